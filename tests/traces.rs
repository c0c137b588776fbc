//! Traces reach a collector on loopback whole, hold nothing of who asks, and go on with those of trusted proxies only.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may stop on the spot"
)]
#![allow(dead_code, reason = "of what the behaviours share, little is needed here")]

#[path = "behaviour/support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as Outcome;
use portcullis::audit::metrics::Metrics;
use portcullis::audit::trace::Tracer;
use portcullis::base::random::Random;
use portcullis::config::{SourceText, Sources, Traces};
use portcullis::model::id::RequestId;
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use support::browser::Reply;
use support::faulty::{Act, Faulty, Then};
use support::house::{APP, House, PASSWORD, PORTAL, sign_in};
use support::{Answer, Client, request};

const POLICY: &str = r#"
[app.echo]
host = "app.localhost"
upstream = "UPSTREAM"
require = { signed_in = true }
rule = [{ path = "/public/**", access = "public" }]
"#;
const BELIEVING: &str = "trusted_proxies = [\"127.0.0.1/32\"]";
/// What a proxy in front would say, and the parts of it.
const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const GIVEN_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const GIVEN_SPAN: &str = "b7ad6b7169203331";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const PATIENCE: Duration = Duration::from_secs(20);

/// A collector that keeps every span it gets, and every byte.
struct Collector {
    url: String,
    kept: watch::Receiver<Kept>,
    refusing: Arc<Mutex<Option<StatusCode>>>,
}

#[derive(Clone, Default)]
struct Kept {
    spans: Vec<Span>,
    services: Vec<String>,
    bytes: Vec<u8>,
    asked: usize,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (keep, kept) = watch::channel(Kept::default());
        let keep = Arc::new(keep);
        let refusing = Arc::<Mutex<Option<StatusCode>>>::default();
        let refuse = Arc::clone(&refusing);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (keep, refuse) = (Arc::clone(&keep), Arc::clone(&refuse));
                let service = service_fn(move |request| take(Arc::clone(&keep), Arc::clone(&refuse), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        Self { url, kept, refusing }
    }

    /// From now on it answers with this status and keeps nothing; `None`: as it should. 200 refuses one span of each batch.
    fn refuse(&self, status: Option<StatusCode>) {
        *self.refusing.lock().unwrap() = status;
    }

    fn kept(&self) -> Kept {
        self.kept.borrow().clone()
    }

    /// Waits until it has what is asked for.
    async fn until(&self, holds: impl FnMut(&Kept) -> bool) -> Kept {
        let mut kept = self.kept.clone();
        let found = tokio::time::timeout(PATIENCE, kept.wait_for(holds)).await;
        found.expect("the collector got it in time").unwrap().clone()
    }
}

async fn take(
    keep: Arc<watch::Sender<Kept>>,
    refuse: Arc<Mutex<Option<StatusCode>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/v1/traces"));
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let bytes = request.into_body().collect().await?.to_bytes();
    let told = ExportTraceServiceRequest::decode(bytes.clone()).unwrap();
    let refused = *refuse.lock().unwrap();
    keep.send_modify(|kept| {
        kept.asked += 1;
        if refused.is_some() {
            return;
        }
        kept.bytes.extend_from_slice(&bytes);
        for resource in told.resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            kept.services.extend(text_of(&attributes, "service.name"));
            for scope in resource.scope_spans {
                kept.spans.extend(scope.spans);
            }
        }
    });
    let mut response = Response::new(Full::default());
    match refused {
        Some(StatusCode::OK) => {
            let partly = ExportTraceServiceResponse {
                partial_success: Some(ExportTracePartialSuccess {
                    rejected_spans: 1,
                    error_message: "too many".to_owned(),
                }),
            };
            *response.body_mut() = Full::from(partly.encode_to_vec());
        }
        Some(status) => *response.status_mut() = status,
        None => {}
    }
    Ok(response)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text_of(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str) -> Option<String> {
    let mut all = attributes.iter().filter(|attribute| attribute.key == key);
    let found = all.next()?;
    assert!(all.next().is_none(), "{key} is there twice: {attributes:?}");
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    text_of(&span.attributes, key)
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == Outcome::Error)
}

fn servers(spans: &[Span]) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind() == SpanKind::Server).collect()
}

fn clients_below<'s>(spans: &'s [Span], above: &Span) -> Vec<&'s Span> {
    let mut found: Vec<&Span> = spans
        .iter()
        .filter(|span| span.kind() == SpanKind::Client && span.parent_span_id == above.span_id)
        .collect();
    found.sort_by_key(|span| span.start_time_unix_nano);
    found
}

/// The one server span of the request that an answer belongs to.
fn of_request<'s>(spans: &'s [Span], id: &str) -> &'s Span {
    let mut found = servers(spans)
        .into_iter()
        .filter(|span| attribute(span, "portcullis.request_id").as_deref() == Some(id));
    let span = found.next().unwrap_or_else(|| panic!("no span of {id}: {spans:#?}"));
    assert!(found.next().is_none(), "{id} has two spans");
    span
}

/// An answer, as far as it matters here.
struct Told {
    status: u16,
    id: String,
    text: String,
}

impl From<Answer> for Told {
    fn from(answer: Answer) -> Self {
        Self {
            status: answer.status,
            id: answer.field("x-request-id").unwrap().to_owned(),
            text: answer.body,
        }
    }
}

impl From<Reply> for Told {
    fn from(reply: Reply) -> Self {
        Self {
            status: reply.status.as_u16(),
            id: reply.header("x-request-id").unwrap().to_owned(),
            text: reply.text(),
        }
    }
}

/// What the application was told, of one name.
fn told(reply: &Told, name: &str) -> Vec<String> {
    let record: serde_json::Value = serde_json::from_str(&reply.text).unwrap();
    let headers = record["headers"].as_array().unwrap();
    let named = headers.iter().filter(|pair| pair[0] == name);
    named.map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
}

async fn traced(collector: &Collector, more: &str, policy: &str) -> House {
    House::with(&format!("{more}\ntelemetry.traces.otlp = \"{}\"", collector.url), policy).await
}

/// Asks the application, on a connection of its own.
async fn ask(house: &House, path: &str, fields: &[(&str, &str)]) -> Told {
    let mut client = Client::new(TcpStream::connect(house.gateway).await.unwrap());
    client.send(&request("GET", "app.localhost", path, fields)).await;
    client.answer().await.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span_and_each_time_the_application_is_asked_one_below_it() {
    let collector = Collector::start().await;
    let house = traced(&collector, "", POLICY).await;
    let port = house.echo.address.port();
    let reply = ask(&house, "/public/thing", &[]).await;
    let refused = ask(&house, "/private", &[("accept", "application/json")]).await;
    assert_eq!((reply.status, refused.status), (200, 401));
    let page = Told::from(house.browser().get(&format!("{PORTAL}/.portcullis/sign-in")).await);
    let mut broken = Client::new(TcpStream::connect(house.gateway).await.unwrap());
    broken
        .send("GET / HTTP/1.1\r\nHost: app.localhost\r\nHost: other.localhost\r\n\r\n")
        .await;
    assert_eq!(broken.answer().await.status, 400);
    let parents = told(&reply, "traceparent");
    house.running.stop().await;

    let Kept { spans, services, .. } = collector.kept();
    assert!(
        services.iter().all(|name| name == "portcullis") && !services.is_empty(),
        "{services:?}"
    );
    let request = of_request(&spans, &reply.id);
    assert_eq!(request.name, "GET echo");
    assert!(request.parent_span_id.is_empty(), "{request:#?}");
    assert!(request.end_time_unix_nano >= request.start_time_unix_nano);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/public/thing"),
        ("url.scheme", "http"),
        ("server.address", "app.localhost"),
        ("network.protocol.version", "1.1"),
        ("http.response.status_code", "200"),
        ("portcullis.app", "echo"),
        ("portcullis.decision", "allow"),
        ("portcullis.reason", "public-path"),
    ] {
        assert_eq!(attribute(request, key).as_deref(), Some(value), "{key}: {request:#?}");
    }
    let [exchange] = clients_below(&spans, request)[..] else {
        panic!("one span below {request:#?}: {spans:#?}")
    };
    assert_eq!(exchange.trace_id, request.trace_id);
    for (key, value) in [
        ("http.request.method", "GET".to_owned()),
        ("http.response.status_code", "200".to_owned()),
        ("server.address", "127.0.0.1".to_owned()),
        ("server.port", port.to_string()),
    ] {
        assert_eq!(attribute(exchange, key), Some(value), "{key}: {exchange:#?}");
    }
    assert!(!is_error(request) && !is_error(exchange));
    let expected = format!("00-{}-{}-01", hex(&request.trace_id), hex(&exchange.span_id));
    assert_eq!(parents, [expected], "the application's spans go below the exchange");

    let denied = of_request(&spans, &refused.id);
    assert_eq!(attribute(denied, "portcullis.decision").as_deref(), Some("sign-in"), "{denied:#?}");
    assert_eq!(attribute(denied, "http.response.status_code").as_deref(), Some("401"));
    assert!(!is_error(denied), "a denial is no error of ours");
    assert_ne!(denied.trace_id, request.trace_id);
    assert!(clients_below(&spans, denied).is_empty());

    let of_page = of_request(&spans, &page.id);
    assert_eq!(of_page.name, "GET /.portcullis/sign-in");
    assert_eq!(attribute(of_page, "http.route").as_deref(), Some("/.portcullis/sign-in"));
    let malformed = servers(&spans)
        .into_iter()
        .find(|span| attribute(span, "http.response.status_code").as_deref() == Some("400"));
    assert_eq!(malformed.expect("what cannot be read has a span too").name, "HTTP");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_byte_that_a_collector_gets() {
    let collector = Collector::start().await;
    let house = traced(&collector, "", POLICY).await;
    house.add("marjoram").await;
    let first_admin = "sorrel-secret-of-the-first-admin";
    let page = house
        .browser()
        .get(&format!("{PORTAL}/.portcullis/first-admin/{first_admin}"))
        .await;
    let page = Told::from(page);
    let mut browser = sign_in(&house, "marjoram").await;
    // The session is handed over to the application's host.
    assert_eq!(browser.open(&format!("{APP}/private")).await.status, 200);
    let fields = [
        ("authorization", "Basic dGFycmFnb24="),
        ("x-thing", "chervil"),
        ("user-agent", "lovage"),
    ];
    let reply = browser
        .send(Method::GET, &format!("{APP}/private/thing?token=angelica#x"), &fields, None)
        .await;
    let reply = Told::from(reply);
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(told(&reply, "x-portcullis-login"), ["marjoram"]);
    let users = told(&reply, "x-portcullis-user");
    house.running.stop().await;

    let Kept { spans, bytes, .. } = collector.kept();
    let request = of_request(&spans, &reply.id);
    assert_eq!(attribute(request, "url.path").as_deref(), Some("/private/thing"));
    assert_eq!(of_request(&spans, &page.id).name, "GET /.portcullis/first-admin/{secret}");
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("/private/thing"), "the bytes are readable");
    for secret in [
        "marjoram",
        "angelica",
        "token=",
        "chervil",
        "lovage",
        "tarragon",
        "dGFycmFnb24",
        first_admin,
        PASSWORD,
        "portcullis=",
        "ticket",
        "cookie",
        "127.0.0.1:",
        &users[0],
    ] {
        assert!(!text.contains(secret), "{secret} reached the collector");
    }
    assert!(
        spans
            .iter()
            .flat_map(|span| &span.attributes)
            .all(|attribute| !attribute.key.starts_with("client.")),
        "where somebody asks from is not told"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_told_only_where_the_decision_log_keeps_them() {
    let collector = Collector::start().await;
    let house = traced(&collector, "decision_log.path = \"rule\"", POLICY).await;
    let reply = ask(&house, "/public/hyssop", &[]).await;
    house.running.stop().await;
    let Kept { spans, bytes, .. } = collector.kept();
    assert_eq!(attribute(of_request(&spans, &reply.id), "url.path"), None);
    assert!(!String::from_utf8_lossy(&bytes).contains("hyssop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_proxy_says_which_trace_a_request_belongs_to() {
    let collector = Collector::start().await;
    let with_state = [("traceparent", GIVEN), ("tracestate", "vendor=1"), ("tracestate", "other=2")];

    // A stranger neither joins a trace nor decides that one is kept.
    let house = traced(&collector, "telemetry.traces.sampling = 0", POLICY).await;
    let reply = ask(&house, "/public/x", &with_state).await;
    let parents = told(&reply, "traceparent");
    assert_eq!(parents.len(), 1, "{parents:?}");
    assert!(!parents[0].contains(GIVEN_TRACE) && parents[0].ends_with("-00"), "{parents:?}");
    assert!(told(&reply, "tracestate").is_empty());
    house.running.stop().await;
    assert!(collector.kept().spans.is_empty(), "{:#?}", collector.kept().spans);

    // A trusted proxy does both, whatever the share of our own.
    let house = traced(&collector, &format!("{BELIEVING}\ntelemetry.traces.sampling = 0"), POLICY).await;
    let reply = ask(&house, "/public/x", &with_state).await;
    let (parents, states) = (told(&reply, "traceparent"), told(&reply, "tracestate"));
    house.running.stop().await;
    let spans = collector.kept().spans;
    let request = of_request(&spans, &reply.id);
    assert_eq!(
        (hex(&request.trace_id).as_str(), hex(&request.parent_span_id).as_str()),
        (GIVEN_TRACE, GIVEN_SPAN)
    );
    let exchange = clients_below(&spans, request)[0];
    assert_eq!(parents, [format!("00-{GIVEN_TRACE}-{}-01", hex(&exchange.span_id))]);
    assert_eq!(states, ["vendor=1,other=2"]);

    // Its word that a trace is not kept holds too, and goes on to the application.
    let house = traced(&collector, BELIEVING, POLICY).await;
    let reply = ask(&house, "/public/x", &[("traceparent", UNSAMPLED)]).await;
    let parents = told(&reply, "traceparent");
    house.running.stop().await;
    assert!(
        parents[0].starts_with(&format!("00-{GIVEN_TRACE}-")) && parents[0].ends_with("-00"),
        "{parents:?}"
    );
    assert_eq!(collector.kept().spans.len(), spans.len(), "nothing was added");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trusted_proxy_says_wrongly_begins_a_new_trace() {
    let collector = Collector::start().await;
    let house = traced(&collector, BELIEVING, POLICY).await;
    let upper = GIVEN.to_uppercase();
    for (name, lines) in [
        ("empty", vec![""]),
        ("too short", vec!["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"]),
        ("too long", vec!["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"]),
        ("upper case", vec![upper.as_str()]),
        ("no such version", vec!["ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
        ("no trace", vec!["00-00000000000000000000000000000000-b7ad6b7169203331-01"]),
        ("no span", vec!["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"]),
        ("a sign in it", vec!["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1"]),
        ("two of them", vec![GIVEN, GIVEN]),
    ] {
        let fields: Vec<_> = lines.iter().map(|line| ("traceparent", *line)).collect();
        let reply = ask(&house, "/public/x", &fields).await;
        let parents = told(&reply, "traceparent");
        assert_eq!(parents.len(), 1, "{name}: {parents:?}");
        assert!(!parents[0].to_lowercase().contains(GIVEN_TRACE), "{name}: {parents:?}");
        assert!(parents[0].ends_with("-01"), "{name}: {parents:?}");
    }
    let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-brings";
    let reply = ask(&house, "/public/x", &[("traceparent", later), ("tracestate", "no list")]).await;
    assert!(
        told(&reply, "traceparent")[0].starts_with(&format!("00-{GIVEN_TRACE}-")),
        "a later version is read"
    );
    assert!(told(&reply, "tracestate").is_empty(), "what cannot be read is left out");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_shows_each_time() {
    // One server resets what it has read, the other answers 503.
    let breaking = Faulty::start(|_| Act::Bytes(b"", Then::Close)).await;
    let sad = Faulty::start(|_| Act::Status(503)).await;
    let policy = POLICY.replace(
        "\"UPSTREAM\"",
        &format!("[\"{}\", \"{}\"]\nbalance = \"round-robin\"", breaking.url(), sad.url()),
    );
    let collector = Collector::start().await;
    let house = traced(&collector, "", &policy).await;
    let mut again = None;
    for _ in 0..2 {
        let reply = ask(&house, "/public/x", &[]).await;
        assert_eq!(reply.status, 503, "{}", reply.text);
        again = again.or((breaking.count("GET /public/x") == 1).then(|| reply.id.clone()));
    }
    house.running.stop().await;
    let spans = collector.kept().spans;
    let request = of_request(&spans, &again.expect("one of two was sent to the one that breaks"));
    assert!(is_error(request));
    let [first, second] = clients_below(&spans, request)[..] else {
        panic!("two below {request:#?}: {spans:#?}")
    };
    assert_eq!(attribute(first, "error.type").as_deref(), Some("no-answer"), "{first:#?}");
    assert_eq!(attribute(first, "server.port"), Some(breaking.address.port().to_string()));
    assert_eq!(attribute(first, "http.request.resend_count"), None);
    assert_eq!(attribute(second, "http.response.status_code").as_deref(), Some("503"));
    assert_eq!(attribute(second, "server.port"), Some(sad.address.port().to_string()));
    assert_eq!(attribute(second, "http.request.resend_count").as_deref(), Some("1"));
    assert!(is_error(first) && is_error(second));
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_go_out_while_requests_come_in_and_what_is_lost_is_counted() {
    let collector = Collector::start().await;
    let house = traced(&collector, "telemetry.traces.service_name = \"front door\"", POLICY).await;
    ask(&house, "/public/x", &[]).await;
    let kept = collector.until(|kept| kept.spans.len() == 2).await;
    assert_eq!(kept.services, ["front door"]);
    let lost = async |house: &House| {
        let text = house.management("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix("portcullis_spans_dropped_total "));
        line.expect("the figure is there").parse::<u64>().unwrap()
    };
    assert_eq!(lost(&house).await, 0);

    // One that is refused for good is not sent again.
    collector.refuse(Some(StatusCode::BAD_REQUEST));
    ask(&house, "/public/x", &[]).await;
    collector.until(|kept| kept.asked == 2).await;
    collector.refuse(Some(StatusCode::OK));
    ask(&house, "/public/x", &[]).await;
    collector.until(|kept| kept.asked == 3).await;

    // One that is refused for now is.
    collector.refuse(Some(StatusCode::SERVICE_UNAVAILABLE));
    ask(&house, "/public/y", &[]).await;
    collector.until(|kept| kept.asked == 4).await;
    assert_eq!(lost(&house).await, 3, "two of the batch that was refused, one of the other");
    collector.refuse(None);
    collector.until(|kept| kept.spans.len() == 4).await;
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_holds_up_neither_requests_nor_the_end() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let house = House::with(&format!("telemetry.traces.otlp = \"http://{gone}\""), POLICY).await;
    assert_eq!(ask(&house, "/public/x", &[]).await.status, 200);
    let began = std::time::Instant::now();
    house.running.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());

    // Nor does one that takes everything and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let house = House::with(&format!("telemetry.traces.otlp = \"http://{address}\""), POLICY).await;
    for _ in 0..10 {
        assert_eq!(ask(&house, "/public/x", &[]).await.status, 200);
    }
    let began = std::time::Instant::now();
    house.running.stop().await;
    assert!(began.elapsed() < Duration::from_secs(9), "it took {:?}", began.elapsed());
}

#[test]
fn what_a_collector_is_too_slow_for_is_lost_at_once_and_counted() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = Traces {
        otlp: format!("http://{}/v1/traces", silent.local_addr().unwrap()).parse().unwrap(),
        sampling: 1.0,
        service_name: "portcullis".to_owned(),
        ca_file: None,
    };
    let (tracer, metrics) = (Tracer::default(), Metrics::new());
    tracer.start(&settings, &metrics).unwrap();
    let began = std::time::Instant::now();
    for _ in 0..20_000 {
        drop(tracer.begin(RequestId::generate(&Random::System), Version::HTTP_11, None));
    }
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "it took {:?}: somebody waited",
        began.elapsed()
    );
    // So many may wait, and so many may be on their way.
    let (waiting, sent) = (8192, 1024);
    let lost = metrics.spans_dropped().get();
    assert!((20_000 - waiting - sent..=20_000 - waiting).contains(&lost), "{lost} were lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_what_a_client_says_passes_through() {
    let house = House::with("", POLICY).await;
    let reply = ask(&house, "/public/x", &[("traceparent", GIVEN), ("tracestate", "vendor=1")]).await;
    assert_eq!(told(&reply, "traceparent"), [GIVEN]);
    assert_eq!(told(&reply, "tracestate"), ["vendor=1"]);
    house.running.stop().await;
}

#[test]
fn settings_say_where_and_how_much() {
    let load = |more: &str| {
        let sources = Sources {
            settings: Some(SourceText {
                name: "config/portcullis.toml".into(),
                text: format!("server.public_url = \"https://sso.example.org\"\n{more}\n").into(),
            }),
            ..Sources::default()
        };
        portcullis::config::load(&sources)
            .map(|(settings, _)| settings.traces)
            .map_err(|problems| {
                let texts = sources.texts();
                problems.iter().map(|problem| problem.render(&texts)).collect::<String>()
            })
    };
    let traces = load("telemetry.traces.otlp = \"http://[::1]:4318\"").unwrap().unwrap();
    assert_eq!(traces.otlp, "http://[::1]:4318/v1/traces");
    assert!((traces.sampling - 1.0).abs() < f64::EPSILON);
    assert_eq!(traces.service_name, "portcullis");
    let traces = load("[telemetry.traces]\notlp = \"https://c.example.org/otlp\"\nsampling = 0.25")
        .unwrap()
        .unwrap();
    assert_eq!(traces.otlp, "https://c.example.org/otlp");
    assert!((traces.sampling - 0.25).abs() < f64::EPSILON);
    assert!(load("").unwrap().is_none());
    for (more, said) in [
        ("[telemetry.traces]\nsampling = 0.5", "needs `otlp`"),
        ("telemetry.traces.otlp = \"localhost:4318\"", "is no http or https address"),
        ("telemetry.traces.otlp = \"http://me:secret@localhost\"", "has no user, password"),
        ("telemetry.traces.otlp = \"http://localhost/?key=1\"", "has no user, password"),
        ("[telemetry.traces]\notlp = \"http://localhost\"\nsampling = 1.5", "between 0 and 1"),
        ("[telemetry.traces]\notlp = \"http://localhost\"\nsamplng = 1", "samplng"),
        ("[telemetry.trace]\notlp = \"http://localhost\"", "`trace`"),
    ] {
        let problems = load(more).unwrap_err();
        assert!(
            problems.contains(said) && problems.contains("config/portcullis.toml:"),
            "{more}: {problems}"
        );
    }
}
