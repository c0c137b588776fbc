//! Brings spans to a collector, on a thread of its own: OTLP in protobuf over HTTP.
//!
//! A request only puts its spans into a queue that is never waited for. What does not fit, and what no collector takes, is lost and counted.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prometheus_client::metrics::counter::Counter;
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use crate::config::Traces;

/// How many spans may wait; each has about a kilobyte.
const QUEUE: usize = 8192;
/// So many are sent at once, however short the time.
const BATCH: usize = 1024;
/// How long spans gather before they are sent.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector may take for one batch, from the name's look-up to the last byte.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pauses before a batch is tried again.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// How long stopping waits for the last spans to be sent.
const LAST: Duration = Duration::from_secs(5);
/// The longest answer of a collector, in bytes.
const LONGEST: usize = 1 << 20;

/// There is no authority that could vouch for the collector.
#[derive(Debug, thiserror::Error)]
#[error("{0} holds no certificates that can be used, and telemetry.traces.otlp is https")]
pub struct Roots(String);

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error("the collector cannot be reached")]
    Unreachable(#[source] std::io::Error),
    #[error("no TLS with the collector: if its certificate is your own authority's, name that in telemetry.traces.ca_file")]
    Tls(#[source] std::io::Error),
    #[error("the collector does not answer as HTTP")]
    Http(#[from] hyper::Error),
    #[error("the collector's answer cannot be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the collector did not answer within 10 s")]
    Late,
    #[error("the collector answers {0}: is `telemetry.traces.otlp` the address for traces by OTLP over HTTP?")]
    Refused(StatusCode),
    #[error("the collector's address cannot be used")]
    Address,
}

impl Undelivered {
    /// Whether trying again may help. Source: OTLP specification, "OTLP/HTTP Response".
    const fn is_passing(&self) -> bool {
        match self {
            Self::Refused(status) => matches!(status.as_u16(), 429 | 502..=504),
            Self::Address => false,
            _ => true,
        }
    }
}

/// Starts the thread. What it is to bring goes into the queue.
pub(super) fn start(settings: &Traces, resource: &Resource, dropped: Counter) -> Result<(Queue, Stop), super::CannotTrace> {
    let (sender, spans) = channel(QUEUE);
    let (stop, stopped) = watch::channel(false);
    let (done, ended) = mpsc::sync_channel(1);
    let courier = Courier {
        spans,
        stopped,
        collector: Collector::new(settings)?,
        resource: resource.into(),
        dropped: dropped.clone(),
        in_trouble: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("traces".into()).spawn(move || {
        runtime.block_on(courier.run());
        // A look-up of a name that hangs must not keep the thread.
        runtime.shutdown_background();
        let _ = done.try_send(());
    })?;
    Ok((Queue { sender, dropped }, Stop { stop, ended }))
}

/// Where spans go that have ended.
#[derive(Debug)]
pub(super) struct Queue {
    sender: Sender<SpanData>,
    dropped: Counter,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.sender.try_send(span).is_err() {
            self.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Ends the thread.
pub(super) struct Stop {
    stop: watch::Sender<bool>,
    ended: mpsc::Receiver<()>,
}

impl Stop {
    /// Has it send what waits, and waits for that as long as is decent. Blocks.
    pub(super) fn stop(self) {
        self.stop.send_replace(true);
        if self.ended.recv_timeout(LAST).is_err() {
            tracing::warn!("the last traces were not taken by their collector in time");
        }
    }
}

struct Courier {
    spans: Receiver<SpanData>,
    stopped: watch::Receiver<bool>,
    collector: Collector,
    resource: ResourceAttributesWithSchema,
    dropped: Counter,
    /// Whether the last batch was not taken: trouble is told once, and so is its end.
    in_trouble: bool,
}

impl Courier {
    async fn run(mut self) {
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                () = told(&mut self.stopped) => self.spans.close(),
                count = self.spans.recv_many(&mut batch, 1) => if count == 0 { return },
            }
            // Once it is closed, this ends with what waits.
            let is_stopped = self.is_stopped();
            tokio::select! {
                biased;
                _ = tokio::time::timeout(GATHER, fill(&mut self.spans, &mut batch)) => {},
                () = told(&mut self.stopped), if !is_stopped => {},
            }
            if !batch.is_empty() {
                self.deliver(batch).await;
            } else if self.is_stopped() {
                return;
            }
        }
    }

    /// Whether it is to stop, or there is nobody left who could say so.
    fn is_stopped(&self) -> bool {
        *self.stopped.borrow() || self.stopped.has_changed().is_err()
    }

    async fn deliver(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
        };
        let bytes = Bytes::from(request.encode_to_vec());
        let mut pauses = PAUSES.into_iter();
        let error = loop {
            let error = match self.collector.take(bytes.clone()).await {
                Ok(refused) => {
                    self.dropped.inc_by(refused.min(count));
                    if std::mem::take(&mut self.in_trouble) {
                        tracing::info!("traces are taken by their collector again");
                    }
                    return;
                }
                Err(error) => error,
            };
            let Some(pause) = pauses.next().filter(|_| error.is_passing() && !self.is_stopped()) else {
                break error;
            };
            // Told to stop, it tries once more at once.
            let _ = tokio::time::timeout(pause, told(&mut self.stopped)).await;
        };
        self.dropped.inc_by(count);
        if !std::mem::replace(&mut self.in_trouble, true) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "traces are not taken by their collector and are lost (portcullis_spans_dropped_total counts their spans)"
            );
        }
    }
}

/// Resolves once it is to stop, or nobody is left who could say so.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Takes spans until there are enough, or no more to come.
async fn fill(spans: &mut Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        if spans.recv_many(batch, room).await == 0 {
            return;
        }
    }
}

/// Whoever takes traces.
struct Collector {
    address: Uri,
    tls: Option<TlsConnector>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Collector {
    fn new(settings: &Traces) -> Result<Self, Roots> {
        let is_secure = settings.otlp.scheme_str() == Some("https");
        Ok(Self {
            address: settings.otlp.clone(),
            tls: is_secure.then(|| tls(settings.ca_file.as_deref())).transpose()?,
        })
    }

    /// Brings one batch: how many of its spans were refused.
    async fn take(&self, batch: Bytes) -> Result<u64, Undelivered> {
        let taken = tokio::time::timeout(PATIENCE, self.exchange(batch)).await;
        taken.unwrap_or(Err(Undelivered::Late))
    }

    async fn exchange(&self, batch: Bytes) -> Result<u64, Undelivered> {
        let host = self
            .address
            .host()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let port = self.address.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let socket = TcpStream::connect((host, port)).await.map_err(Undelivered::Unreachable)?;
        let Some(tls) = &self.tls else {
            return self.post(socket, batch).await;
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Undelivered::Address)?;
        let socket = tls.connect(name, socket).await.map_err(Undelivered::Tls)?;
        self.post(socket, batch).await
    }

    async fn post(&self, socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, batch: Bytes) -> Result<u64, Undelivered> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let authority = self.address.authority().map_or("", http::uri::Authority::as_str);
        let mut request = Request::post(self.address.path())
            .body(Full::new(batch))
            .map_err(|_| Undelivered::Address)?;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(authority).map_err(|_| Undelivered::Address)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION"))),
        );
        let asking = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, LONGEST).collect().await.map_err(Undelivered::Answer)?;
            Ok::<_, Undelivered>((head.status, body.to_bytes()))
        };
        // The connection is driven as long as the answer is awaited, and closed with it.
        let (status, body) = tokio::select! {
            biased;
            answer = asking => answer,
            Err(error) = connection => Err(Undelivered::Http(error)),
        }?;
        if !status.is_success() {
            return Err(Undelivered::Refused(status));
        }
        // What cannot be read says nothing against the batch, which was taken.
        let said = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        let refused = said.partial_success.map_or(0, |partly| partly.rejected_spans);
        Ok(u64::try_from(refused).unwrap_or(0))
    }
}

/// Believes the authorities in `ca_file`, or the system's. Reads files.
fn tls(ca_file: Option<&Path>) -> Result<TlsConnector, Roots> {
    let mut roots = RootCertStore::empty();
    let (all, whose) = match ca_file {
        Some(file) => {
            let all = CertificateDer::pem_file_iter(file).map(|all| all.flatten().collect::<Vec<_>>());
            (all.unwrap_or_default(), file.display().to_string())
        }
        None => (
            rustls_native_certs::load_native_certs().certs,
            "the system's store of authorities".to_owned(),
        ),
    };
    if roots.add_parsable_certificates(all).0 == 0 {
        return Err(Roots(whose));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Roots(whose))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
