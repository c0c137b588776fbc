//! HTTP/2 by a client that keeps to its rules. Frames built by hand are elsewhere.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::reply::Reply;
use super::server::Server;
use super::wire::{Asking, PATIENCE, client_config};

/// Sends one request on a connection of its own. Nothing where it is not answered, or where this client will not send it.
pub(crate) fn ask(server: &Server, asking: &Asking) -> Option<Reply> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, send(server, asking)).await.ok().flatten() })
}

async fn send(server: &Server, asking: &Asking) -> Option<Reply> {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    if let Some(from) = asking.from {
        socket.bind((from, 0).into()).unwrap();
    }
    let tcp = socket.connect(server.https).await.ok()?;
    let name = ServerName::try_from(super::case::NAME.to_owned()).unwrap();
    let tls = TlsConnector::from(client_config(&server.certificate, b"h2"))
        .connect(name, tcp)
        .await
        .ok()?;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
        .await
        .ok()?;
    let driving = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(asking.method.as_str())
        .uri(format!("https://{}{}", asking.host, asking.target));
    for (name, value) in &asking.fields {
        request = request.header(name.to_ascii_lowercase(), HeaderValue::from_bytes(value).ok()?);
    }
    let mut frames = Vec::new();
    if !asking.body.is_empty() {
        frames.push(Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(asking.body.clone()))));
    }
    if !asking.trailers.is_empty() {
        let mut trailers = HeaderMap::new();
        for (name, value) in &asking.trailers {
            trailers.append(
                HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).ok()?,
                HeaderValue::from_bytes(value).ok()?,
            );
        }
        frames.push(Ok(Frame::trailers(trailers)));
    }
    let request = request.body(StreamBody::new(futures_util::stream::iter(frames))).ok()?;
    let answer = sender.send_request(request).await.ok()?;
    let (head, body) = answer.into_parts();
    let mut reply = Reply {
        status: head.status.as_u16(),
        fields: pairs(&head.headers),
        ..Reply::default()
    };
    match body.collect().await {
        Ok(body) => {
            reply.trailers = body.trailers().map(pairs).unwrap_or_default();
            reply.body = body.to_bytes().to_vec();
            reply.whole = true;
        }
        Err(_) => reply.whole = false,
    }
    drop(sender);
    let _ = tokio::time::timeout(Duration::from_millis(200), driving).await;
    Some(reply)
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}
