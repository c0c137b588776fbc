//! The application that `demo` puts behind the gateway: shows whoever looks which headers reached it.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;

/// How much of a request's body is shown back, in bytes.
const SHOWN_BODY: usize = 16 * 1024;
/// How long one request may take.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// Serves until the future is dropped.
pub(super) async fn serve(listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        tokio::spawn(async move {
            let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(request: http::Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = tokio::time::timeout(REQUEST_TIME, Limited::new(body, SHOWN_BODY).collect()).await;
    let body = body
        .ok()
        .and_then(Result::ok)
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let wants_page = head
        .headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.to_str().unwrap_or_default().contains("text/html"));
    let (kind, text) = if wants_page {
        ("text/html; charset=utf-8", page(&head.method, &head.uri, &head.headers))
    } else {
        ("application/json", record(&head.method, &head.uri, &head.headers, &body))
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::OK;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

fn record(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> String {
    let shown: serde_json::Map<_, _> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), json!(String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    let whole = json!({ "method": method.as_str(), "target": uri.to_string(), "headers": shown, "body": String::from_utf8_lossy(body) });
    format!("{whole:#}\n")
}

const STYLE: &str = ":root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}body{max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:start;padding:.3rem .6rem;border-block-end:1px solid #8886;vertical-align:top}\
td{overflow-wrap:anywhere;font-family:ui-monospace,monospace}th{white-space:nowrap;font-weight:600}nav a{margin-inline-end:1rem}";

fn page(method: &Method, uri: &Uri, headers: &HeaderMap) -> String {
    let value = |name: &str| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default()
    };
    let name = value("x-portcullis-name");
    let greeting = if name.is_empty() {
        "Hello, whoever you are".to_owned()
    } else {
        format!("Hello {name}")
    };
    let (mut ours, mut others) = (String::new(), String::new());
    for (name, value) in headers {
        let row = if name.as_str().starts_with("x-portcullis-") {
            &mut ours
        } else {
            &mut others
        };
        let _ = write!(
            row,
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
            escaped(name.as_str()),
            escaped(&String::from_utf8_lossy(value.as_bytes()))
        );
    }
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Sample application</title><style>{STYLE}</style></head><body><main><h1>{}</h1>\
         <p>This is the sample application. It knows nothing about sign-in: what it knows of you came in headers.</p>\
         <nav><a href=\"/\">Start</a><a href=\"/projects/3\">A project</a><a href=\"/groups/\">Groups</a><a href=\"/dictionaries/7\">A dictionary</a>\
         <a href=\"/.portcullis/sign-out\">Sign out</a></nav>\
         <h2>{} {}</h2><h2>What portcullis says about you</h2><table>{ours}</table><h2>The other headers</h2><table>{others}</table>\
         </main></body></html>",
        escaped(&greeting),
        escaped(method.as_str()),
        escaped(&uri.to_string()),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_is_shown_and_never_run() {
        let mut headers = HeaderMap::new();
        headers.insert("x-portcullis-name", "<b>Ada</b>".parse().unwrap());
        let page = page(&Method::GET, &"/a?b=<i>".parse::<Uri>().unwrap_or_default(), &headers);
        assert!(page.contains("Hello &lt;b&gt;Ada") && !page.contains("<b>Ada"), "{page}");
        let record: serde_json::Value = serde_json::from_str(&record(&Method::POST, &"/x".parse().unwrap(), &headers, b"hi")).unwrap();
        assert_eq!(
            (&record["body"], &record["headers"]["x-portcullis-name"]),
            (&json!("hi"), &json!("<b>Ada</b>"))
        );
    }
}
