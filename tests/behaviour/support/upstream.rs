//! Applications behind the gateway: one that echoes what it received, and one that sends what a test says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server on loopback, there as long as the runtime.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    /// Connections it has taken.
    pub(crate) connections: Arc<AtomicUsize>,
    /// Requests it has taken.
    pub(crate) requests: Arc<AtomicUsize>,
}

impl Upstream {
    /// The address as policies write it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn listening() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        (upstream, listener)
    }

    /// An application that answers with what it received: request line, fields, body. It speaks HTTP/1.1, and HTTP/2 without being asked.
    pub(crate) async fn echo() -> Self {
        let (upstream, listener) = Self::listening().await;
        let this = upstream.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                this.connections.fetch_add(1, Ordering::SeqCst);
                let requests = Arc::clone(&this.requests);
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        requests.fetch_add(1, Ordering::SeqCst);
                        answer(request)
                    });
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection_with_upgrades(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        upstream
    }

    /// The same on a Unix socket.
    pub(crate) async fn echo_on(path: &Path) -> Self {
        let (upstream, _) = Self::listening().await;
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection_with_upgrades(TokioIo::new(socket), service_fn(answer))
                        .await;
                });
            }
        });
        upstream
    }

    /// Sends `bytes` as soon as a head has arrived, then closes or waits.
    pub(crate) async fn raw(bytes: &'static [u8], close: bool) -> Self {
        let (upstream, listener) = Self::listening().await;
        let this = upstream.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                this.connections.fetch_add(1, Ordering::SeqCst);
                let requests = Arc::clone(&this.requests);
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    let mut space = [0; 4096];
                    while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
                        match socket.read(&mut space).await {
                            Ok(0) | Err(_) => return,
                            Ok(count) => seen.extend_from_slice(&space[..count]),
                        }
                    }
                    requests.fetch_add(1, Ordering::SeqCst);
                    let _ = socket.write_all(bytes).await;
                    if !close {
                        // Until the other end goes.
                        while matches!(socket.read(&mut space).await, Ok(count) if count > 0) {}
                    }
                });
            }
        });
        upstream
    }

    /// An address that nobody listens on.
    pub(crate) async fn nobody() -> Self {
        let (upstream, listener) = Self::listening().await;
        drop(listener);
        upstream
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    match request.uri().path() {
        "/ws" => return Ok(websocket(&mut request)),
        "/events" => return Ok(events()),
        "/trailers" => return Ok(trailers()),
        "/cookies" => {
            let mut response = Response::new(Full::from("set").boxed());
            for value in ["a=1; Path=/", "__Host-portcullis=evil; Path=/; Secure", "portcullis=evil"] {
                response.headers_mut().append("set-cookie", HeaderValue::from_static(value));
            }
            return Ok(response);
        }
        _ => {}
    }
    let mut text = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    let version = request.version();
    let collected = request.into_body().collect().await?;
    if let Some(trailers) = collected.trailers() {
        for (name, value) in trailers {
            text.push_str(&format!("trailer {name}: {value:?}\n"));
        }
    }
    let body = collected.to_bytes();
    text.push_str(&format!("\n{}", String::from_utf8_lossy(&body)));
    let mut response = Response::new(Full::from(text).boxed());
    if version == Version::HTTP_2 {
        response.headers_mut().insert("x-spoken", HeaderValue::from_static("h2"));
    }
    Ok(response)
}

fn trailers() -> Response<BoxBody<Bytes, Infallible>> {
    let mut fields = HeaderMap::new();
    fields.insert("x-sum", HeaderValue::from_static("42"));
    let frames = vec![Ok(Frame::data(Bytes::from_static(b"data"))), Ok(Frame::trailers(fields))];
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed());
    response.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
    response
}

/// One event, then silence for ever.
fn events() -> Response<BoxBody<Bytes, Infallible>> {
    use futures_util::StreamExt as _;
    let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"data: one\n\n")))]);
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(first.chain(futures_util::stream::pending()))));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("text/event-stream"));
    response
}

/// Accepts any handshake and echoes bytes in capitals.
fn websocket(request: &mut Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
    let key = request
        .headers()
        .get("sec-websocket-key")
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key);
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut socket = TokioIo::new(upgraded);
        let mut space = [0; 1024];
        while let Ok(count) = socket.read(&mut space).await {
            if count == 0 || socket.write_all(&space[..count].to_ascii_uppercase()).await.is_err() {
                return;
            }
        }
    });
    Response::builder()
        .status(101)
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-accept", accept)
        .body(Full::default().boxed())
        .unwrap()
}
