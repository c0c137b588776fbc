//! Who asks, as the application behind is told it: what a client claims is removed first, then our word is set.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{CONNECTION, COOKIE, Entry, HeaderName, HeaderValue, SET_COOKIE};
use http::{HeaderMap, header};

use crate::model::id::{DecisionId, RequestId};
use crate::policy::decision::Decision;
use crate::policy::facts::Scheme;
use crate::policy::headers::Told;
use crate::policy::protected::ProtectedNames;

use super::authenticate;
use super::client_ip::Client;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const DECISION: HeaderName = HeaderName::from_static("x-portcullis-decision");
const ASSERTION: HeaderName = HeaderName::from_static("x-portcullis-jwt-assertion");

/// Fields that are about one connection only (RFC 9110 section 7.6.1), and two that browsers and old proxies add to them.
static HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// The fields that `Connection` names: they are about one connection only too.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        // What nearly every message names is removed in any case.
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive") && !name.eq_ignore_ascii_case(b"close"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        // A client must not have the message itself taken apart.
        .filter(|name| {
            ![
                header::HOST,
                header::CONTENT_LENGTH,
                header::CONTENT_TYPE,
                header::AUTHORIZATION,
                COOKIE,
            ]
            .contains(name)
        })
        .collect()
}

/// Removes what is about one connection only: the fields that `Connection` names, and those that always are.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    // Each field is looked at once, which is cheaper than to ask for ten names of which one or two are there.
    while let Some(name) = headers.keys().find_map(|name| HOP_BY_HOP.iter().find(|hop| *hop == name)) {
        headers.remove(name);
    }
}

/// Adds to `onward` what a client's fields may say to an application: not what is about one connection only, not what a client claims
/// under a name that is ours to speak under, none of our cookies, no credential of a service, and nothing that is answered or said anew here.
///
/// What is in `onward` already is ours, and no field of a client's replaces it or comes beside it. The client's own stay as they are: a
/// request that has to be sent twice is made twice.
pub fn pass_on(headers: &HeaderMap, onward: &mut HeaderMap, protected: &ProtectedNames) {
    let named = named_by_connection(headers);
    let of_a_service = authenticate::shows_service_credential(headers);
    let mut room = Vec::new();
    let mut cookies = false;
    // Fields of one name come one after the other.
    let mut added = None;
    for (name, value) in headers {
        if name == COOKIE {
            cookies = !protected.covers(name.as_str(), &mut room);
            continue;
        }
        let stays = name == header::EXPECT
            || name == header::CONTENT_LENGTH
            || of_a_service && name == header::AUTHORIZATION
            || HOP_BY_HOP.contains(name)
            || named.contains(name)
            || protected.covers(name.as_str(), &mut room);
        if stays {
            continue;
        }
        match onward.entry(name) {
            Entry::Vacant(free) => {
                free.insert(value.clone());
                added = Some(name);
            }
            Entry::Occupied(mut taken) if added == Some(name) => taken.append(value.clone()),
            Entry::Occupied(_) => {}
        }
    }
    if cookies && let (Some(value), Entry::Vacant(free)) = (cookies_of_others(headers), onward.entry(COOKIE)) {
        free.insert(value);
    }
}

/// Whether a cookie of that name is ours, with or without the prefix that browsers guard.
fn is_our_cookie(name: &[u8]) -> bool {
    let bare = match name.split_at_checked(7) {
        Some((prefix, bare)) if prefix.eq_ignore_ascii_case(b"__Host-") => bare,
        _ => name,
    };
    [&b"portcullis"[..], b"portcullis-browser", b"portcullis-login", b"portcullis-realm"]
        .iter()
        .any(|ours| bare.eq_ignore_ascii_case(ours))
}

/// The name of a cookie pair. A pair without `=` is a nameless cookie, which browsers send back as it stands: its value may pass for a name.
fn cookie_name(pair: &[u8]) -> &[u8] {
    let begin = pair.iter().position(|byte| *byte != b'=' && !is_blank(*byte)).unwrap_or(pair.len());
    let named = pair.get(begin..).unwrap_or_default();
    let end = named.iter().position(|byte| *byte == b'=').unwrap_or(named.len());
    let name = named.get(..end).unwrap_or_default();
    let end = name.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |last| last + 1);
    name.get(..end).unwrap_or_default()
}

/// What some reader of cookies may take for a blank: of those that a field's value can hold, blank and tab (RFC 9110 section 5.5).
const fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace()
}

/// The cookies of a request without ours, in one field; none if nothing is left.
#[must_use]
pub fn cookies_of_others(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut kept: Vec<u8> = Vec::new();
    let mut as_it_came = None;
    let mut ours = false;
    for (number, value) in headers.get_all(COOKIE).iter().enumerate() {
        as_it_came = (number == 0).then_some(value);
        for pair in value.as_bytes().split(|byte| *byte == b';') {
            if is_our_cookie(cookie_name(pair)) {
                ours = true;
            } else if !pair.trim_ascii().is_empty() {
                if !kept.is_empty() {
                    kept.extend_from_slice(b"; ");
                }
                kept.extend_from_slice(pair.trim_ascii());
            }
        }
    }
    match as_it_came {
        Some(only) if !ours => Some(only.clone()),
        _ if kept.is_empty() => None,
        _ => HeaderValue::from_maybe_shared(bytes::Bytes::from(kept)).ok(),
    }
}

/// Removes from an application's answer what would set a cookie of ours.
pub fn keep_our_cookies(headers: &mut HeaderMap) {
    let sets_ours = |value: &HeaderValue| {
        let pair = value.as_bytes().split(|byte| *byte == b';').next();
        pair.is_some_and(|pair| is_our_cookie(cookie_name(pair)))
    };
    if !headers.get_all(SET_COOKIE).iter().any(sets_ours) {
        return;
    }
    let kept: Vec<HeaderValue> = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter(|value| !sets_ours(value))
        .cloned()
        .collect();
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

/// Removes from an application's trailers what must not come so late: fields that frame, and cookies, which some clients take even there
/// (RFC 9110 section 6.5.1).
pub(super) fn clean_trailers(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(SET_COOKIE);
}

/// Where a request came from, as the application behind is told it.
#[derive(Debug)]
pub struct Origin<'a> {
    /// The address it came from, and the hops in between that are believed.
    pub client: &'a Client,
    /// Whoever is connected to us; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// As far as we can believe it.
    pub scheme: Scheme,
    /// The `Host` field as it came, port included.
    pub host: &'a str,
}

/// The forwarded fields of one connection for one host: the same with nearly every request, so they are kept with the connection.
#[derive(Debug)]
pub struct OriginFields {
    peer: Option<IpAddr>,
    scheme: Scheme,
    host: Box<str>,
    /// `X-Forwarded-For`, `X-Forwarded-Host` and `Forwarded`, as far as they can be written.
    fields: [(HeaderName, Option<HeaderValue>); 3],
}

impl OriginFields {
    fn of(origin: &Origin<'_>) -> Self {
        let hops: Vec<String> = hops(origin).map(|hop| hop.to_string()).collect();
        let value = |text: &str| HeaderValue::from_str(text).ok();
        Self {
            peer: origin.peer,
            scheme: origin.scheme,
            host: origin.host.into(),
            fields: [
                (X_FORWARDED_FOR, value(&hops.join(", "))),
                (X_FORWARDED_HOST, value(origin.host)),
                (FORWARDED, value(&forwarded(origin))),
            ],
        }
    }

    /// Whether they say the same of a request. With hops in front of the peer every request may say something else.
    fn say(&self, origin: &Origin<'_>) -> bool {
        origin.client.chain.is_empty() && self.peer == origin.peer && self.scheme == origin.scheme && *self.host == *origin.host
    }
}

fn hops(origin: &Origin<'_>) -> impl Iterator<Item = IpAddr> {
    origin.client.chain.iter().copied().chain(origin.peer)
}

/// Sets the forwarded fields, but for those that an application is told otherwise. `kept` are those of the request before on this connection.
pub fn set_origin(headers: &mut HeaderMap, origin: &Origin<'_>, request: RequestId, kept: &Mutex<Option<Arc<OriginFields>>>) {
    let known = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let fields = known.filter(|known| known.say(origin)).unwrap_or_else(|| {
        let fields = Arc::new(OriginFields::of(origin));
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = origin.client.chain.is_empty().then(|| Arc::clone(&fields));
        fields
    });
    for (name, value) in &fields.fields {
        if let (Some(value), Entry::Vacant(free)) = (value, headers.entry(name)) {
            free.insert(value.clone());
        }
    }
    if let Entry::Vacant(free) = headers.entry(X_FORWARDED_PROTO) {
        free.insert(HeaderValue::from_static(origin.scheme.as_str()));
    }
    if let (Some(id), Entry::Vacant(free)) = (request_id(request), headers.entry(X_REQUEST_ID)) {
        free.insert(id);
    }
}

/// The value of `X-Request-Id`.
#[must_use]
pub fn request_id(request: RequestId) -> Option<HeaderValue> {
    HeaderValue::from_bytes(&request.symbols()).ok()
}

/// RFC 7239 section 4: one element for each hop; host and scheme are of the first.
fn forwarded(origin: &Origin<'_>) -> String {
    let mut hops = hops(origin);
    let first = hops.next().map_or_else(|| "unknown".to_owned(), node);
    let mut text = format!("for={first};host=\"{}\";proto={}", origin.host, origin.scheme.as_str());
    for hop in hops {
        text.push_str(", for=");
        text.push_str(&node(hop));
    }
    text
}

fn node(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        // Colons and brackets need quotes (RFC 7239 section 6).
        IpAddr::V6(v6) => format!("\"[{v6}]\""),
    }
}

/// Begins a head with who asks, with room for so many fields that come after. Every name is set, empty where there is nothing to say, so that no
/// front proxy can leave a forged one in place.
pub fn identity(told: &Told, decision: Option<&HeaderValue>, assertion: Option<HeaderValue>, more: usize) -> HeaderMap {
    let mut headers = told.fields().clone();
    // Once, before the first is added: a map that grows on the way is arranged anew each time.
    headers.reserve(more);
    if let Some(decision) = decision {
        headers.insert(DECISION, decision.clone());
    }
    if let Some(assertion) = assertion {
        headers.insert(ASSERTION, assertion);
    }
    headers
}

/// The value of `X-Portcullis-Decision`: `d-…;allow;reason=requirement-met;generation=5f0c2a91`.
#[must_use]
pub fn decision_value(id: DecisionId, decision: &Decision<'_>, generation: &str) -> HeaderValue {
    let mut text = Vec::with_capacity(96);
    text.extend_from_slice(&id.symbols());
    for part in [
        ";",
        decision.verdict.word(),
        ";reason=",
        decision.reason.code(),
        ";generation=",
        generation,
    ] {
        text.extend_from_slice(part.as_bytes());
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests;
