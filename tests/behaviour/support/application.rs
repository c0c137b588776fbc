//! An application behind the gateway that tells what reached it.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

/// An application that answers every request with a JSON record of it: `method`, `target`, `headers` (a list of pairs, as they came) and `body`.
#[derive(Debug)]
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
            }
        });
        Self { address, serving }
    }

    /// Its address, for `app.upstream`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let record = json!({ "method": head.method.as_str(), "target": head.uri.to_string(), "headers": headers, "body": String::from_utf8_lossy(&body) });
    let mut response = Response::new(Full::new(Bytes::from(record.to_string())));
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    Ok(response)
}
