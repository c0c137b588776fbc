//! Asks an application's server one question beside all traffic: whether it is there, and what it says to strangers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};

use crate::policy::application::{Application, Target, UpstreamTls};

use super::body::RequestBody;
use super::connect::{ConnectError, Sender, connect};
use super::{Cluster, Tell, Wanted};

/// The most of an answer's body that is kept, in bytes.
const MOST_BODY: usize = 256 * 1024;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Probed {
    /// The status.
    pub status: StatusCode,
    /// The head's fields.
    pub headers: HeaderMap,
    /// The body, as far as it is not longer than 256 KiB; empty if it is.
    pub body: Bytes,
}

/// Why a server was not asked, or gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// TLS to it cannot be set up.
    #[error("TLS to it cannot be set up: {0}")]
    Tls(String),
    /// It cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It took the connection and gave no answer in HTTP/1.1.
    #[error("it gives no answer in HTTP/1.1")]
    NoAnswer(#[from] hyper::Error),
    /// It was too slow.
    #[error("no answer within {0:?}")]
    Late(Duration),
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// The gateway, with its certificate if the policy gives it one.
    Gateway,
    /// Anybody, who has no certificate of ours.
    Stranger,
}

/// The servers of one application, to be asked one by one.
#[derive(Debug)]
pub struct Probe {
    gateway: Arc<Cluster>,
    stranger: Arc<Cluster>,
}

impl Probe {
    /// Of what the policy says.
    #[must_use]
    pub fn of(application: &Application) -> Self {
        let bare = Application {
            tls: UpstreamTls {
                cert_file: None,
                key_file: None,
                ..application.tls.clone()
            },
            ..application.clone()
        };
        Self {
            gateway: Cluster::new(application, Tell::default()),
            stranger: Cluster::new(&bare, Tell::default()),
        }
    }

    /// Asks one server on a connection of its own; connecting and answering may take `limit` each.
    ///
    /// # Errors
    /// [`ProbeError`]
    pub async fn ask(&self, target: &Target, who: As, mut request: Request<()>, limit: Duration) -> Result<Probed, ProbeError> {
        let cluster = match who {
            As::Gateway => &self.gateway,
            As::Stranger => &self.stranger,
        };
        if let Err(fault) = &cluster.tls {
            return Err(ProbeError::Tls(fault.to_string()));
        }
        let Some(server) = cluster.servers.iter().find(|server| server.target == *target) else {
            return Err(ConnectError::Io(std::io::ErrorKind::NotFound.into()).into());
        };
        request
            .headers_mut()
            .insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        let Sender::Http1(mut sender) = connect(cluster, server, Wanted::Http1, limit).await? else {
            return Err(ConnectError::Tls.into());
        };
        let asking = async {
            let answer = sender.send_request(request.map(|()| RequestBody::Empty)).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MOST_BODY).collect().await;
            Ok(Probed {
                status: head.status,
                headers: head.headers,
                body: body.map(http_body_util::Collected::to_bytes).unwrap_or_default(),
            })
        };
        tokio::time::timeout(limit, asking).await.unwrap_or(Err(ProbeError::Late(limit)))
    }
}
