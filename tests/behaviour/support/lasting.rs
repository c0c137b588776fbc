//! An application whose answers last, and clients that hold them open: each knows when it has ended.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http::{HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Client, request};

/// How long anything may go on whose right has ended.
pub(crate) const AT_MOST: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);
/// What the download says it is.
pub(crate) const GIB: u64 = 1 << 30;

/// An application whose answers last.
#[derive(Clone)]
pub(crate) struct Lasting {
    pub(crate) address: SocketAddr,
    open: Arc<AtomicUsize>,
}

/// Counts what the application has open.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn one(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Lasting {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            open: Arc::default(),
        };
        let open = Arc::clone(&this.open);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let open = Arc::clone(&open);
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(request, Arc::clone(&open)));
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection_with_upgrades(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        this
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until the application has so many things open.
    pub(crate) async fn has_open(&self, count: usize) {
        let there = async {
            while self.open.load(Ordering::SeqCst) != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let seen = || format!("{} are open, not {count}", self.open.load(Ordering::SeqCst));
        timeout(PATIENCE, there).await.unwrap_or_else(|_| panic!("{}", seen()));
    }
}

async fn answer(mut request: Request<Incoming>, open: Arc<AtomicUsize>) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let counted = Counted::one(&open);
    let ticking = |counted: Counted, every: Duration, text: &'static str| {
        stream::unfold((counted, 0_u64), move |(counted, number)| async move {
            if number > 0 {
                tokio::time::sleep(every).await;
            }
            Some((Ok(Frame::data(Bytes::from(format!("{text}{number}\n\n")))), (counted, number + 1)))
        })
    };
    Ok(match request.uri().path() {
        "/ws" => websocket(&mut request, counted),
        "/events" => {
            let mut response = Response::new(BodyExt::boxed(StreamBody::new(ticking(
                counted,
                Duration::from_secs(3600),
                "data: ",
            ))));
            response
                .headers_mut()
                .insert("content-type", HeaderValue::from_static("text/event-stream"));
            response
        }
        "/numbers" => Response::new(BodyExt::boxed(StreamBody::new(ticking(counted, Duration::from_millis(5), "n ")))),
        "/big" => {
            let piece = Bytes::from(vec![b'x'; 64 * 1024]);
            let pieces = stream::unfold(counted, move |counted| {
                let piece = piece.clone();
                async move { Some((Ok(Frame::data(piece)), counted)) }
            });
            let mut response = Response::new(BodyExt::boxed(StreamBody::new(pieces)));
            response.headers_mut().insert("content-length", HeaderValue::from(GIB));
            response
        }
        "/wait" => {
            std::future::pending::<()>().await;
            Response::new(Full::default().boxed())
        }
        _ => {
            let _ = request.into_body().collect().await;
            drop(counted);
            Response::new(Full::from("done").boxed())
        }
    })
}

fn websocket(request: &mut Request<Incoming>, counted: Counted) -> Response<BoxBody<Bytes, Infallible>> {
    let key = request.headers()["sec-websocket-key"].as_bytes().to_vec();
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let _counted = counted;
        let Ok(upgraded) = upgrade.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    Response::builder()
        .status(101)
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header(
            "sec-websocket-accept",
            tokio_tungstenite::tungstenite::handshake::derive_accept_key(&key),
        )
        .body(Empty::new().boxed())
        .unwrap()
}

/// A WebSocket that a browser holds.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub(crate) async fn open(gateway: SocketAddr, host: &str, cookie: &str) -> Self {
        let mut request = format!("ws://{host}/ws").into_client_request().unwrap();
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        let socket = TcpStream::connect(gateway).await.unwrap();
        let (mut socket, _) = client_async(request, socket).await.unwrap();
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().to_text().unwrap(), "hello");
        Self(socket)
    }

    /// Says something and hears it back.
    pub(crate) async fn talk(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
        let heard = timeout(PATIENCE, self.0.next()).await.unwrap();
        assert_eq!(heard.unwrap().unwrap().to_text().unwrap(), text);
    }

    /// With what it was closed, once that is so.
    pub(crate) async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

/// What a client holds open, and how long it took to end since `began`.
pub(crate) async fn within(what: &str, began: Instant, ends: impl Future<Output = ()>) {
    timeout(PATIENCE, ends).await.unwrap_or_else(|_| panic!("{what} goes on"));
    let took = began.elapsed();
    assert!(took < AT_MOST, "{what} took {took:?} to end");
}

/// An answer over HTTP/1 of which the beginning was read, and no more.
pub(crate) async fn begun(gateway: SocketAddr, host: &str, path: &str, cookie: &str, until: &str) -> Client<TcpStream> {
    let mut client = Client::new(TcpStream::connect(gateway).await.unwrap());
    client.send(&request("GET", host, path, &[("Cookie", cookie)])).await;
    let text = client.until(until).await;
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    client
}
