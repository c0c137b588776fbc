//! Connections that are no longer HTTP, and what tells them to look again whether they still may.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::Instant;

/// Bytes that are on their way in one direction.
const BUFFER: usize = 16 * 1024;

/// Tells all tunnels at once that something has changed: rules, a person, a session.
#[derive(Clone, Debug)]
pub struct Tunnels(Arc<watch::Sender<u64>>);

impl Default for Tunnels {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Tunnels {
    /// Something has changed: each tunnel is decided again.
    pub fn look_again(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// To be told when to look again.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// Copies bytes both ways until both ends are done, or for `idle` nothing moved.
///
/// When one end closes its direction, the other is told so and may go on.
///
/// # Errors
/// The first error of either end.
pub async fn splice<A, B>(one: A, two: B, idle: Duration) -> std::io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut one_read, mut one_write) = tokio::io::split(one);
    let (mut two_read, mut two_write) = tokio::io::split(two);
    let moved = watch::Sender::new(Instant::now());
    let there = copy(&mut one_read, &mut two_write, &moved);
    let back = copy(&mut two_read, &mut one_write, &moved);
    let silence = async {
        loop {
            let due = *moved.borrow() + idle;
            if Instant::now() >= due {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    };
    tokio::select! {
        done = async { tokio::try_join!(there, back).map(|_| ()) } => done,
        () = silence => Ok(()),
    }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: &watch::Sender<Instant>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..count).unwrap_or_default()).await?;
        to.flush().await?;
        moved.send_replace(Instant::now());
    }
}
