//! The control socket: a Unix socket only the server's own user can open, one JSON line each way.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as AsyncBufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::{Answer, Request};

/// The longest question, in bytes; a password and a few names are far shorter.
const LONGEST_REQUEST: u64 = 64 * 1024;
/// The longest answer, in bytes: a page of people or of the audit trail.
const LONGEST_ANSWER: u64 = 64 * 1024 * 1024;
/// How long a command has for typing its line.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long a command waits for its answer; a backup of a large store takes a while.
const ANSWER_TIME: Duration = Duration::from_secs(600);
/// Commands served at a time; more wait.
const AT_A_TIME: usize = 8;

/// Why a running server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens: no server runs here.
    #[error("no server is listening on {0}")]
    NobodyThere(PathBuf),
    /// The socket is another user's.
    #[error("the control socket {path} may not be opened: run this as the user the server runs as")]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the server did not answer on {path}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The answer is in words this version does not know.
    #[error("the server's answer is not understood: is it of another version?")]
    Strange(#[source] serde_json::Error),
}

/// Asks the server that listens on the socket at `path`. Blocks until it answers.
///
/// # Errors
/// [`AskError::NobodyThere`] if no server runs; the others if one does and cannot be asked.
pub fn ask(path: &Path, request: &Request) -> Result<Answer, AskError> {
    let broken = |source| AskError::Broken {
        path: path.to_owned(),
        source,
    };
    let mut stream = match BlockingStream::connect(path) {
        Ok(stream) => stream,
        Err(error) => {
            return Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NobodyThere(path.to_owned()),
                io::ErrorKind::PermissionDenied => AskError::NotAllowed { path: path.to_owned() },
                _ => broken(error),
            });
        }
    };
    stream.set_read_timeout(Some(ANSWER_TIME)).map_err(broken)?;
    let mut line = serde_json::to_vec(request).map_err(AskError::Strange)?;
    line.push(b'\n');
    stream.write_all(&line).map_err(broken)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(LONGEST_ANSWER))
        .read_until(b'\n', &mut answer)
        .map_err(broken)?;
    if answer.is_empty() {
        return Err(broken(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(&answer).map_err(AskError::Strange)
}

/// The socket of a running server; removes its file when dropped.
#[derive(Debug)]
pub struct Listening {
    path: PathBuf,
    listener: UnixListener,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens the socket with mode 0600. A file left by a server that died is replaced; one that answers is left alone.
///
/// # Errors
/// What the system says; `AddrInUse` if another server answers there.
pub fn listen(path: &Path) -> io::Result<Listening> {
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() || BlockingStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        fs::remove_file(path)?;
    }
    // Between bind and chmod the socket has the mode of the umask, so it is born in a folder nobody else can enter and moved from there.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let cradle = folder.join(format!(".portcullis-{}", std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&cradle)?;
    let born = cradle.join("s");
    let listener = UnixListener::bind(&born).and_then(|listener| {
        fs::set_permissions(&born, fs::Permissions::from_mode(0o600))?;
        fs::rename(&born, path)?;
        Ok(listener)
    });
    let _ = fs::remove_file(&born);
    let _ = fs::remove_dir(&cradle);
    Ok(Listening {
        path: path.to_owned(),
        listener: listener?,
    })
}

impl Listening {
    /// Answers questions until the future is dropped.
    pub async fn serve<F>(self, answer: impl Fn(Request) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let answer = Arc::new(answer);
        let seats = Arc::new(Semaphore::new(AT_A_TIME));
        loop {
            let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let answer = Arc::clone(&answer);
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, |request| answer(request)).await {
                            tracing::warn!(error = %error, "control connection broke");
                        }
                        drop(seat);
                    });
                }
                Err(error) => {
                    tracing::warn!(error = %error, "control socket cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn converse<F: Future<Output = Answer>>(stream: UnixStream, answer: impl FnOnce(Request) -> F) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = Vec::new();
    let mut reader = AsyncBufReader::new(reader.take(LONGEST_REQUEST));
    tokio::time::timeout(REQUEST_TIME, reader.read_until(b'\n', &mut line)).await??;
    if line.is_empty() {
        return Ok(());
    }
    let answer = match serde_json::from_slice(&line) {
        Ok(request) => answer(request).await,
        Err(error) => Answer::refused("not-understood", format!("the question is not understood: {error}")),
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    tokio::time::timeout(REQUEST_TIME, writer.write_all(&text)).await??;
    writer.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn at(path: PathBuf, request: Request) -> Result<Answer, AskError> {
        tokio::task::spawn_blocking(move || ask(&path, &request)).await.unwrap()
    }

    #[tokio::test]
    async fn a_question_is_answered_and_the_socket_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/portcullis.sock");
        assert!(matches!(at(path.clone(), Request::Health).await, Err(AskError::NobodyThere(_))));
        let listening = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(listen(&path).is_err(), "a second server takes the socket of the first");
        let serving = tokio::spawn(listening.serve(|request| async move {
            match request {
                Request::UserShow { who } => Answer::Done(who),
                _ => Answer::refused("other", "other"),
            }
        }));
        let long = "ü".repeat(20_000);
        let Ok(Answer::Done(who)) = at(path.clone(), Request::UserShow { who: long.clone() }).await else {
            panic!("no answer")
        };
        assert_eq!(who, long);
        serving.abort();
        let _ = serving.await;
        assert!(!path.exists(), "the socket outlives its server");
    }

    #[tokio::test]
    async fn nonsense_is_refused_and_a_dead_socket_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let serving = tokio::spawn(listen(&path).unwrap().serve(|_| async { Answer::Done(String::new()) }));
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"{\"ask\":\"fly\"}\n").await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.contains("not-understood"), "{said}");
        serving.abort();
    }
}
