//! The management listener: is it alive, is it ready, and its numbers. Never on a public address.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Scrapers and probes at a time; more wait.
const AT_A_TIME: usize = 32;
/// How long a probe has for its request, and a connection for all it wants.
const HEAD_TIME: Duration = Duration::from_secs(5);
const CONNECTION_TIME: Duration = Duration::from_secs(60);

/// What the listener tells. Asked anew for each request.
pub trait Tells: Send + Sync + 'static {
    /// Whether start-up is over.
    fn started(&self) -> bool;
    /// Whether requests are answered, and by which rules.
    fn readiness(&self) -> Readiness;
    /// The metrics in the OpenMetrics text format.
    fn metrics(&self) -> String;
}

/// The body of `/readyz`.
#[derive(Debug, Clone, Serialize)]
pub struct Readiness {
    /// Whether a load balancer should send requests here.
    pub ready: bool,
    /// Generation of the policies in force.
    pub generation: String,
    /// Why the policies in force are not those in the files. Does not make it unready: the last good ones protect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_stale: Option<String>,
    /// Hosts that the authority gave no certificate for, or none anew. Does not make it unready: the authority must be able to look at us.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// What makes it unready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Serves until the future is dropped.
pub async fn serve(listener: TcpListener, tells: Arc<dyn Tells>) {
    let seats = Arc::new(Semaphore::new(AT_A_TIME));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: trying again at once would only burn the processor.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let tells = Arc::clone(&tells);
        tokio::spawn(async move {
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let response = answer(&*tells, request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
            drop(seat);
        });
    }
}

fn answer(tells: &dyn Tells, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned());
    }
    match path {
        "/healthz" => text(StatusCode::OK, "text/plain", "alive\n".to_owned()),
        "/startupz" if tells.started() => text(StatusCode::OK, "text/plain", "started\n".to_owned()),
        "/startupz" => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "starting\n".to_owned()),
        "/readyz" => {
            let readiness = tells.readiness();
            let status = if readiness.ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            text(
                status,
                "application/json",
                serde_json::to_string(&readiness).unwrap_or_default() + "\n",
            )
        }
        "/metrics" => text(
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            tells.metrics(),
        ),
        _ => text(
            StatusCode::NOT_FOUND,
            "text/plain",
            "/healthz /readyz /startupz /metrics\n".to_owned(),
        ),
    }
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Told {
        started: bool,
        ready: bool,
    }

    impl Tells for Told {
        fn started(&self) -> bool {
            self.started
        }
        fn readiness(&self) -> Readiness {
            Readiness {
                ready: self.ready,
                generation: "5f0c2a91".into(),
                policy_stale: Some("E111".into()),
                certificates: Vec::new(),
                problems: Vec::new(),
            }
        }
        fn metrics(&self) -> String {
            "# EOF\n".into()
        }
    }

    #[test]
    fn each_address_answers_with_its_status() {
        let well = Told {
            started: true,
            ready: true,
        };
        let ill = Told {
            started: false,
            ready: false,
        };
        for (name, told, method, path, status) in [
            ("alive", &ill, Method::GET, "/healthz", 200),
            ("starting", &ill, Method::GET, "/startupz", 503),
            ("started", &well, Method::GET, "/startupz", 200),
            ("ready", &well, Method::GET, "/readyz", 200),
            ("not ready", &ill, Method::HEAD, "/readyz", 503),
            ("metrics", &ill, Method::GET, "/metrics", 200),
            ("nothing else", &well, Method::GET, "/", 404),
            ("nothing is changed here", &well, Method::POST, "/healthz", 405),
        ] {
            assert_eq!(answer(told, &method, path).status().as_u16(), status, "{name}");
        }
    }
}
