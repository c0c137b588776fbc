//! From a request's head to what a decision looks at: host, scheme, address and path, each as far as it can be believed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Method, header};

use crate::app::refusal::Asked;
use crate::base::time::Timestamp;
use crate::config::Challenge;
use crate::config::Settings;
use crate::model::id::RequestId;
use crate::policy::facts::{Host, RequestFacts, RequestPath, Scheme, Via};

use super::admit::{Canonical, Flaw, Head, HeadLimits, Protocol, admit, admit_scheme};
use super::client_ip::{Client, client_ip};

/// What is known of the connection a request came by.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// Whoever is connected; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Whether it is TLS.
    pub secure: bool,
}

/// A request as it will be judged and, if all goes well, forwarded.
#[derive(Debug)]
pub struct Read {
    /// What the decision looks at.
    pub facts: RequestFacts,
    /// The request's identifier.
    pub id: RequestId,
    /// Path and query as sent.
    pub target: Arc<str>,
    /// The chain of addresses, for the application behind.
    pub client: Client,
    /// Host and port as they came.
    pub authority: Box<str>,
}

impl Read {
    /// What a refusal needs to know, or a page of ours. Fields are copied for it, so it is made only where it is needed.
    #[must_use]
    pub fn asked(&self, headers: &HeaderMap) -> Asked {
        Asked {
            id: self.id,
            method: self.facts.method.clone(),
            scheme: self.facts.scheme,
            host: Some(self.facts.host.clone()),
            target: Arc::clone(&self.target),
            client_ip: self.facts.client_ip,
            headers: headers.clone(),
        }
    }
}

/// Reads the head of a request. `host` is the one that was let in, without port.
#[must_use]
pub fn read(parts: &Parts, host: Host, connection: Connection, settings: &Settings, id: RequestId, now: Timestamp) -> Read {
    let client = client_ip(connection.peer, &settings.trusted_proxies, &parts.headers);
    let scheme = scheme(connection, &client, &parts.headers, settings);
    let authority = parts
        .uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| parts.headers.get(header::HOST)?.to_str().ok());
    let authority: Box<str> = authority.unwrap_or(host.as_str()).into();
    let target: Arc<str> = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).into();
    let facts = RequestFacts {
        scheme,
        host,
        method: parts.method.clone(),
        path: RequestPath::read(parts.uri.path()),
        client_ip: client.address,
        now,
        // Known once it is known who asks.
        rested: Duration::ZERO,
        via: Via::Proxy,
        preflight: preflight(parts),
    };
    Read {
        facts,
        id,
        target,
        client,
        authority,
    }
}

/// Lets an HTTP/2 request in by the same rules as HTTP/1.
///
/// # Errors
/// The first [`Flaw`] found.
pub fn admit_http2(parts: &Parts, limits: &HeadLimits) -> Result<Canonical, Flaw> {
    let target = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let fields: Vec<(&[u8], &[u8])> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
        .collect();
    let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    if bytes > limits.bytes {
        return Err(Flaw::TooLarge);
    }
    admit_scheme(parts.uri.scheme_str())?;
    let head = Head {
        protocol: Protocol::Http2,
        method: parts.method.as_str().as_bytes(),
        target: target.as_bytes(),
        authority: parts.uri.authority().map(|authority| authority.as_str().as_bytes()),
        fields,
    };
    admit(&head, limits)
}

/// How a request came in: over TLS; else what a trusted proxy says; else as the portal is reached, since something in front may end TLS.
///
/// Where an authority looks at port 80 nothing does, and anybody may come there in clear.
fn scheme(connection: Connection, client: &Client, headers: &HeaderMap, settings: &Settings) -> Scheme {
    if connection.secure {
        return Scheme::Https;
    }
    let said = client.through_proxy.then(|| forwarded_proto(headers)).flatten();
    let authority = settings.tls.as_ref().and_then(|tls| tls.acme.as_ref());
    let is_looked_at = authority.is_some_and(|authority| authority.challenge == Challenge::Http01) && !client.through_proxy;
    said.unwrap_or(if settings.public_url.is_secure() && !is_looked_at {
        Scheme::Https
    } else {
        Scheme::Http
    })
}

/// The one word of `X-Forwarded-Proto`; nothing if there are several, or another.
fn forwarded_proto(headers: &HeaderMap) -> Option<Scheme> {
    let mut values = headers.get_all("x-forwarded-proto").iter();
    let (Some(only), None) = (values.next(), values.next()) else {
        return None;
    };
    match only.to_str().ok()?.trim() {
        word if word.eq_ignore_ascii_case("https") => Some(Scheme::Https),
        word if word.eq_ignore_ascii_case("http") => Some(Scheme::Http),
        _ => None,
    }
}

/// The method a browser's preflight asks for. A request with a cookie or a credential is none: browsers send them without.
fn preflight(parts: &Parts) -> Option<Method> {
    let bare = !parts.headers.contains_key(header::COOKIE) && !parts.headers.contains_key(header::AUTHORIZATION);
    if parts.method != Method::OPTIONS || !parts.headers.contains_key(header::ORIGIN) || !bare {
        return None;
    }
    let asked = parts.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(asked.as_bytes()).ok()
}
