//! HTTPS to an authority: one request per connection, with limits, and an ear for how long it wants to be left alone.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::base::time::{Clock, Timestamp};

use super::schedule;

/// How long one request may take, from the name's look-up to the last byte.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer, in bytes; a chain of certificates has some thousand.
const LONGEST: usize = 1 << 20;

/// Why an authority could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unheard {
    /// Only https.
    #[error("{0} is no https address")]
    NotHttps(String),
    /// Nothing listens, or its name is not known.
    #[error("{0} cannot be reached")]
    Unreachable(String, #[source] io::Error),
    /// Its certificate is not believed, or it speaks no TLS.
    #[error("no TLS with {0}: if its certificate is your own authority's, name that in tls.acme.ca_file")]
    Tls(String, #[source] io::Error),
    /// It speaks something else.
    #[error("{0} does not answer as HTTP")]
    Http(String, #[source] hyper::Error),
    /// Its answer breaks off or has no end.
    #[error("the answer of {0} cannot be read")]
    Answer(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// It takes too long.
    #[error("{0} did not answer within 30 s")]
    Late(String),
    /// It is out of order, or wants to be left alone.
    #[error("{0} is out of order: it answers {1}")]
    OutOfOrder(String, StatusCode),
    /// The roots cannot be read.
    #[error("{0} holds no certificates that can be used")]
    Roots(String),
}

/// Carries requests to an authority. Clones share what they heard.
#[derive(Clone)]
pub(super) struct Transport {
    tls: TlsConnector,
    clock: Clock,
    wanted: Arc<Mutex<Option<Timestamp>>>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

impl Transport {
    /// One that believes the authorities in `ca_file`, or the system's. Reads files.
    ///
    /// # Errors
    /// [`Unheard::Roots`]
    pub(super) fn open(ca_file: Option<&Path>, clock: Clock) -> Result<Self, Unheard> {
        let mut roots = RootCertStore::empty();
        let (added, whose) = match ca_file {
            Some(file) => {
                let all = CertificateDer::pem_file_iter(file).map(|all| all.flatten().collect::<Vec<_>>());
                (
                    roots.add_parsable_certificates(all.unwrap_or_default()).0,
                    file.display().to_string(),
                )
            }
            None => {
                let all = rustls_native_certs::load_native_certs().certs;
                (
                    roots.add_parsable_certificates(all).0,
                    "the system's store of authorities".to_owned(),
                )
            }
        };
        if added == 0 {
            return Err(Unheard::Roots(whose));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| Unheard::Roots(whose))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            clock,
            wanted: Arc::default(),
        })
    }

    /// The moment before which the authority wants no more of us, if it has said so since this was last asked.
    pub(super) fn take_wanted(&self) -> Option<Timestamp> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn exchange(self, mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Unheard> {
        let uri = request.uri().clone();
        let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(Unheard::NotHttps(uri.to_string()));
        };
        let whom = authority.to_string();
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Unheard::NotHttps(uri.to_string()))?;
        let socket = TcpStream::connect((host, authority.port_u16().unwrap_or(443)))
            .await
            .map_err(|error| Unheard::Unreachable(whom.clone(), error))?;
        let socket = self
            .tls
            .connect(name, socket)
            .await
            .map_err(|error| Unheard::Tls(whom.clone(), error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket))
            .await
            .map_err(|error| Unheard::Http(whom.clone(), error))?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).parse();
        *request.uri_mut() = path.map_err(|_| Unheard::NotHttps(uri.to_string()))?;
        if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
            request.headers_mut().insert(HOST, host);
        }
        // What is read without a signature is there or not; there is nothing to refuse.
        let is_get = request.method() == Method::GET;
        let asking = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| Unheard::Http(whom.clone(), error))?;
            let (mut parts, body) = response.into_parts();
            self.hear(parts.status, &parts.headers);
            // The library adds it to the clock as it stands, and there are more seconds in a field than in a clock.
            parts.headers.remove(RETRY_AFTER);
            let body = Limited::new(body, LONGEST).collect().await;
            Ok((parts, body.map_err(|error| Unheard::Answer(whom.clone(), error))?.to_bytes()))
        };
        // The connection is driven as long as the answer is awaited, and closed with it.
        let (parts, body) = tokio::select! {
            biased;
            answer = asking => answer?,
            Err(error) = connection => return Err(Unheard::Http(whom, error)),
        };
        let is_problem = parts
            .headers
            .get(http::header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok()?.split(';').next())
            .is_some_and(|kind| kind.trim_end().ends_with("json"));
        if !parts.status.is_success() && (parts.status.is_server_error() || !is_problem || is_get) {
            return Err(Unheard::OutOfOrder(whom, parts.status));
        }
        Ok(BytesResponse::from(Response::from_parts(parts, http_body_util::Full::new(body))))
    }

    /// Notes how long to stay away (RFC 8555 section 6.6).
    fn hear(&self, status: StatusCode, headers: &HeaderMap) {
        let is_refusal = status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE;
        let now = self.clock.now();
        let asked = headers.get(RETRY_AFTER).filter(|_| is_refusal);
        let Some(until) = asked.and_then(|value| moment(value, now)).map(|until| schedule::heard(until, now)) else {
            return;
        };
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        *wanted = (*wanted).max(Some(until));
    }
}

impl HttpClient for Transport {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let whom = request.uri().authority().map_or_else(String::new, ToString::to_string);
        let exchange = self.clone().exchange(request);
        Box::pin(async move {
            match tokio::time::timeout(PATIENCE, exchange).await {
                Ok(answer) => answer.map_err(|error| Error::Other(Box::new(error))),
                Err(_) => Err(Error::Other(Box::new(Unheard::Late(whom)))),
            }
        })
    }
}

/// Reads `Retry-After`: seconds, or a moment (RFC 9110 section 10.2.3).
fn moment(value: &HeaderValue, now: Timestamp) -> Option<Timestamp> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(now.after(Duration::from_secs(seconds)));
    }
    Timestamp::parse_http_date(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_to_stay_away_is_read_in_both_spellings() {
        let now = Timestamp::from_secs(1_900_000_000);
        let read = |text| moment(&HeaderValue::from_static(text), now);
        assert_eq!(read("120"), Some(now.after(Duration::from_secs(120))));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Timestamp::from_secs(784_111_777)));
        for wrong in ["", "soon", "-1"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
