//! The application behind: it keeps every byte of every connection, and answers as it is told.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::readers::{self, Next};

/// What is answered to one request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// These bytes, once the request is whole, and the connection stays.
    Bytes(Vec<u8>),
    /// These bytes, and the connection closes.
    Last(Vec<u8>),
    /// These bytes as soon as the head is whole; the body is not waited for, the connection stays.
    Early(Vec<u8>),
    /// Nothing: the connection closes.
    Nothing,
    /// These bytes, and whatever comes then is only kept.
    Tunnel(Vec<u8>),
}

#[derive(Default)]
struct Kept {
    /// What came on each connection since it was last asked.
    connections: Vec<Vec<u8>>,
    answers: VecDeque<Answer>,
    changed: Option<Instant>,
}

/// An application on loopback that keeps what it is sent.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

/// What is answered where nothing else was ordered.
const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nrecorded";

impl Recorder {
    /// Listens.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let recorder = Self {
            address: listener.local_addr().unwrap(),
            kept: Arc::default(),
        };
        let this = recorder.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let this = this.clone();
                let number = {
                    let mut kept = this.kept();
                    kept.connections.push(Vec::new());
                    kept.connections.len() - 1
                };
                std::thread::spawn(move || this.serve(socket, number));
            }
        });
        recorder
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next request is answered with; orders are used up in turn.
    pub(crate) fn answer(&self, answer: Answer) {
        self.kept().answers.push_back(answer);
    }

    /// Forgets what was kept and what was ordered.
    pub(crate) fn clear(&self) {
        let mut kept = self.kept();
        kept.answers.clear();
        for connection in &mut kept.connections {
            connection.clear();
        }
    }

    /// Waits until nothing has come for a moment, and gives what came on each connection on which something did.
    pub(crate) fn arrived(&self) -> Vec<Vec<u8>> {
        let quiet = Duration::from_millis(6);
        let began = Instant::now();
        loop {
            std::thread::sleep(Duration::from_millis(2));
            let kept = self.kept();
            let since = kept.changed.map_or(began, |changed| changed.max(began));
            if since.elapsed() >= quiet {
                return kept.connections.iter().filter(|bytes| !bytes.is_empty()).cloned().collect();
            }
        }
    }

    /// Waits until what came fits; `false` after some seconds.
    pub(crate) fn wait_for(&self, fits: impl Fn(&[Vec<u8>]) -> bool) -> bool {
        let end = Instant::now() + super::wire::PATIENCE;
        while Instant::now() < end {
            if fits(&self.arrived()) {
                return true;
            }
        }
        false
    }

    fn serve(&self, mut socket: TcpStream, number: usize) {
        let mut pending: Vec<u8> = Vec::new();
        let mut space = [0; 16 * 1024];
        let mut deaf = false;
        let mut early = false;
        loop {
            let count = match socket.read(&mut space) {
                Ok(0) | Err(_) => return,
                Ok(count) => count,
            };
            {
                let mut kept = self.kept();
                kept.connections[number].extend_from_slice(&space[..count]);
                kept.changed = Some(Instant::now());
            }
            if deaf {
                continue;
            }
            pending.extend_from_slice(&space[..count]);
            loop {
                let next = readers::next(&pending);
                let ordered = |which: fn(&Answer) -> bool| {
                    let mut kept = self.kept();
                    if kept.answers.front().is_some_and(which) {
                        kept.answers.pop_front()
                    } else {
                        None
                    }
                };
                match next {
                    Next::Whole(taken) => {
                        pending.drain(..taken);
                        if std::mem::take(&mut early) {
                            continue;
                        }
                        let (bytes, stays) = match ordered(|_| true) {
                            None => (PLAIN.to_vec(), true),
                            Some(Answer::Bytes(bytes) | Answer::Early(bytes)) => (bytes, true),
                            Some(Answer::Last(bytes)) => (bytes, false),
                            Some(Answer::Nothing) => (Vec::new(), false),
                            Some(Answer::Tunnel(bytes)) => {
                                deaf = true;
                                (bytes, true)
                            }
                        };
                        if socket.write_all(&bytes).is_err() || !stays {
                            let _ = socket.shutdown(std::net::Shutdown::Both);
                            return;
                        }
                        if deaf {
                            break;
                        }
                    }
                    Next::Head if !early => {
                        if let Some(Answer::Early(bytes)) = ordered(|answer| matches!(answer, Answer::Early(_))) {
                            early = true;
                            let _ = socket.write_all(&bytes);
                        }
                        break;
                    }
                    Next::Head | Next::Partial => break,
                    Next::Unreadable => {
                        deaf = true;
                        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                        break;
                    }
                }
            }
        }
    }
}
