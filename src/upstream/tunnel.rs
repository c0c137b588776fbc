//! WebSockets once both ends have agreed: bytes are passed on as they come, and closed in good order when they may no longer.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

pub use super::frames::Close;
use super::frames::Frames;

/// Bytes that are on their way in one direction.
const BUFFER: usize = 16 * 1024;

/// How long a frame that is under way may take to end before its WebSocket is cut without a word; as long again has the client to hear it.
const GRACE: Duration = Duration::from_millis(300);

/// What an application hears whose client may no longer speak to it: as if the browser had gone (RFC 6455 section 7.4.1).
const GONE: Close = Close {
    code: 1001,
    reason: "the session has ended",
};

/// Copies bytes both ways until both ends are done, for `idle` nothing moved, or `cut` resolves. Then no other frame passes: the one that is
/// under way in each direction may end, the client gets what `cut` said, and the upstream that its client has gone, masked with `mask`.
///
/// When one end closes its direction, the other is told so and may go on.
///
/// # Errors
/// The first error of either end.
pub async fn splice<A, B>(client: A, upstream: B, idle: Duration, cut: impl Future<Output = Close>, mask: [u8; 4]) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut client_read, mut client_write) = tokio::io::split(client);
    let (mut upstream_read, mut upstream_write) = tokio::io::split(upstream);
    let (mut there, mut back) = (Way::new(), Way::new());
    let moved = watch::Sender::new(Instant::now());
    let silence = async {
        loop {
            let due = *moved.borrow() + idle;
            if Instant::now() >= due {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    };
    let both = async {
        tokio::try_join!(
            there.pass(&mut client_read, &mut upstream_write, &moved),
            back.pass(&mut upstream_read, &mut client_write, &moved),
        )
    };
    let close = tokio::select! {
        done = both => return done.map(|_| ()),
        () = silence => return Ok(()),
        close = cut => close,
    };
    tokio::join!(
        there.close(&mut client_read, &mut upstream_write, GONE.to_frame(Some(mask))),
        back.close(&mut upstream_read, &mut client_write, close.to_frame(None)),
    );
    // Closing with unread bytes would make the client's system throw away what it has not read yet.
    let _ = timeout(GRACE, tokio::io::copy(&mut client_read, &mut tokio::io::sink())).await;
    Ok(())
}

/// One direction.
struct Way {
    buffer: Vec<u8>,
    /// The bytes of the buffer that were read and not written yet.
    from: usize,
    to: usize,
    /// As far as was written.
    frames: Frames,
    ended: bool,
}

impl Way {
    fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER],
            from: 0,
            to: 0,
            frames: Frames::default(),
            ended: false,
        }
    }

    fn waiting(&self) -> &[u8] {
        self.buffer.get(self.from..self.to).unwrap_or_default()
    }

    /// Reads where nothing waits to be written; false at the end.
    async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
        if self.from == self.to {
            let count = from.read(&mut self.buffer).await?;
            (self.from, self.to) = (0, count);
        }
        Ok(self.from < self.to)
    }

    /// Writes some of at most `most` bytes that wait.
    async fn write(&mut self, to: &mut (impl AsyncWrite + Unpin), most: usize) -> io::Result<()> {
        let waiting = self.buffer.get(self.from..self.to.min(self.from + most)).unwrap_or_default();
        let count = to.write(waiting).await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.frames.pass(waiting.get(..count).unwrap_or_default());
        self.from += count;
        Ok(())
    }

    /// Passes on until the end. Nothing is lost where this is dropped.
    async fn pass(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        moved: &watch::Sender<Instant>,
    ) -> io::Result<()> {
        while self.read(from).await? {
            while !self.waiting().is_empty() {
                self.write(to, BUFFER).await?;
            }
            to.flush().await?;
            moved.send_replace(Instant::now());
        }
        self.ended = true;
        to.shutdown().await
    }

    /// Says `last` behind the frame that is under way, if that ends soon, and closes the direction.
    async fn close(&mut self, from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), last: Vec<u8>) {
        if self.ended {
            return;
        }
        // Whoever does not take it in time has it closed without.
        let _ = timeout(GRACE, async {
            while !self.frames.is_between() {
                if !self.read(from).await? {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let rest = self.frames.rest_in(self.waiting());
                self.write(to, rest).await?;
            }
            to.write_all(&last).await?;
            to.flush().await
        })
        .await;
        let _ = timeout(GRACE, to.shutdown()).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio::sync::oneshot;

    use super::*;

    const CLOSE: Close = Close {
        code: 4401,
        reason: "signed out",
    };

    #[tokio::test]
    async fn a_frame_that_is_under_way_ends_before_the_close_and_none_follows() {
        let (mut browser, client) = duplex(64 * 1024);
        let (upstream, mut application) = duplex(64 * 1024);
        let (cut, when) = oneshot::channel::<()>();
        let splicing = tokio::spawn(splice(
            client,
            upstream,
            Duration::from_secs(60),
            async {
                let _ = when.await;
                CLOSE
            },
            [1, 2, 3, 4],
        ));
        application.write_all(&[0x82, 4, b'a', b'b']).await.unwrap();
        let mut got = [0; 4];
        browser.read_exact(&mut got).await.unwrap();
        assert_eq!(got, [0x82, 4, b'a', b'b']);
        cut.send(()).unwrap();
        tokio::task::yield_now().await;
        application
            .write_all(&[&[b'c', b'd'][..], &[0x81, 6], b"secret"].concat())
            .await
            .unwrap();
        let mut rest = vec![0; 2 + 14];
        browser.read_exact(&mut rest).await.unwrap();
        assert_eq!(rest, [b"cd", &CLOSE.to_frame(None)[..]].concat());
        let mut told = Vec::new();
        let mut space = [0; 256];
        while let Ok(count @ 1..) = application.read(&mut space).await {
            told.extend_from_slice(&space[..count]);
        }
        assert_eq!(told, GONE.to_frame(Some([1, 2, 3, 4])));
        drop(browser);
        splicing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_frame_without_an_end_is_cut_all_the_same() {
        let (mut browser, client) = duplex(64);
        let (upstream, mut application) = duplex(64);
        application.write_all(&[0x82, 100, b'a']).await.unwrap();
        let splicing = tokio::spawn(splice(
            client,
            upstream,
            Duration::from_secs(60),
            async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                CLOSE
            },
            [0; 4],
        ));
        let began = Instant::now();
        let mut all = Vec::new();
        browser.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [0x82, 100, b'a'], "no close in the middle of a frame");
        drop(browser);
        splicing.await.unwrap().unwrap();
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}
