//! An application that misbehaves as a test says, and counts what reached it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A request whose head has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    /// `GET /path`.
    pub(crate) line: String,
    /// Which one it is on its connection, from 0.
    pub(crate) on_connection: usize,
    /// Which one it is in all, from 0.
    pub(crate) in_all: usize,
}

/// What the application does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Reads it and answers 200 with its request line.
    Answer,
    /// Reads it and answers with this status.
    Status(u16),
    /// Reads it, waits, and answers.
    Late(Duration),
    /// Reads it and sends these bytes.
    Bytes(&'static [u8], Then),
    /// Sends these bytes without reading its body.
    Early(&'static [u8], Then),
    /// Sends the first bytes at once, and then the others one by one, with a pause before each.
    Drip(&'static [u8], &'static [u8], Duration),
}

/// What the application does with the connection after it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// Waits for the next request.
    Keep,
    /// Closes it, as programs do.
    Close,
    /// Breaks it off with a reset.
    Reset,
    /// Says nothing more, for ever.
    Silence,
}

type Script = Arc<dyn Fn(&Arrived) -> Act + Send + Sync>;

/// A server that does what a script says with each request.
#[derive(Clone)]
pub(crate) struct Faulty {
    pub(crate) address: SocketAddr,
    arrived: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    script: Arc<Mutex<Script>>,
    changed: Arc<Notify>,
}

impl Faulty {
    pub(crate) async fn start(script: impl Fn(&Arrived) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            arrived: Arc::default(),
            connections: Arc::default(),
            open: Arc::default(),
            script: Arc::new(Mutex::new(Arc::new(script))),
            changed: Arc::default(),
        };
        let accepting = this.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                accepting.open.fetch_add(1, Ordering::SeqCst);
                let this = accepting.clone();
                let open = Arc::clone(&accepting.open);
                tokio::spawn(async move {
                    this.serve(socket).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        this
    }

    /// From now on it does something else.
    pub(crate) fn now(&self, script: impl Fn(&Arrived) -> Act + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The request lines that have reached it.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.arrived.lock().unwrap().clone()
    }

    /// How often a request line has reached it.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|arrived| *arrived == line).count()
    }

    /// How many connections it has taken.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Closes its connections, each as soon as it waits for a request; all are closed then.
    pub(crate) async fn close_waiting(&self) {
        while self.open.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
            tokio::task::yield_now().await;
        }
    }

    async fn serve(self, mut socket: TcpStream) {
        let mut buffer = Vec::new();
        for on_connection in 0.. {
            let head = loop {
                if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                    break String::from_utf8_lossy(&buffer.drain(..end + 4).collect::<Vec<_>>()).into_owned();
                }
                let mut space = [0; 4096];
                let read = tokio::select! {
                    read = socket.read(&mut space) => read,
                    () = self.changed.notified(), if buffer.is_empty() => return,
                };
                match read {
                    Ok(0) | Err(_) => return,
                    Ok(count) => buffer.extend_from_slice(&space[..count]),
                }
            };
            let line = head.split(" HTTP/").next().unwrap().to_owned();
            let arrived = {
                let mut all = self.arrived.lock().unwrap();
                all.push(line.clone());
                Arrived {
                    line,
                    on_connection,
                    in_all: all.len() - 1,
                }
            };
            let script = Arc::clone(&self.script.lock().unwrap());
            let act = script(&arrived);
            if !matches!(act, Act::Early(..)) && !read_body(&head, &mut buffer, &mut socket).await {
                return;
            }
            let (bytes, then) = match act {
                Act::Answer => (answer(200, &arrived.line), Then::Keep),
                Act::Status(status) => (answer(status, &arrived.line), Then::Keep),
                Act::Late(span) => {
                    tokio::time::sleep(span).await;
                    (answer(200, &arrived.line), Then::Keep)
                }
                Act::Bytes(bytes, then) | Act::Early(bytes, then) => (bytes.to_vec(), then),
                Act::Drip(first, others, pause) => {
                    if socket.write_all(first).await.is_err() {
                        return;
                    }
                    for byte in others {
                        tokio::time::sleep(pause).await;
                        if socket.write_all(&[*byte]).await.is_err() {
                            return;
                        }
                    }
                    (Vec::new(), Then::Keep)
                }
            };
            if socket.write_all(&bytes).await.is_err() {
                return;
            }
            match then {
                Then::Keep => {}
                Then::Close => return,
                Then::Reset => {
                    // What was sent must arrive before the reset, which overtakes it otherwise.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
                    return;
                }
                Then::Silence => {
                    // Not read from either: a reset would say something.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

fn answer(status: u16, line: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{line}", line.len()).into_bytes()
}

/// Reads a body with a declared length, or in chunks up to the last one.
async fn read_body(head: &str, buffer: &mut Vec<u8>, socket: &mut TcpStream) -> bool {
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    let chunked = lower.contains("transfer-encoding: chunked");
    loop {
        let end = match length {
            Some(length) => (buffer.len() >= length).then_some(length),
            None if chunked => buffer.windows(5).position(|five| five == b"0\r\n\r\n").map(|at| at + 5),
            None => Some(0),
        };
        if let Some(end) = end {
            buffer.drain(..end);
            return true;
        }
        let mut space = [0; 16 * 1024];
        match socket.read(&mut space).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => buffer.extend_from_slice(&space[..count]),
        }
    }
}
