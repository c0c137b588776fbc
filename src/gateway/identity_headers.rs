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
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
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
    [&b"portcullis"[..], b"portcullis-login", b"portcullis-realm"]
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

/// Begins a head with who asks. Every name is set, empty where there is nothing to say, so that no front proxy can leave a forged one in place.
pub fn identity(told: &Told, decision: Option<&HeaderValue>, assertion: Option<HeaderValue>) -> HeaderMap {
    let mut headers = told.fields().clone();
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
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        headers
    }

    fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn what_connection_names_goes_but_never_the_message_itself() {
        let mut headers = map(&[
            ("connection", "close, X-Hop, Host, Cookie, content-length, Authorization"),
            ("x-hop", "1"),
            ("host", "lab.example"),
            ("cookie", "a=b"),
            ("content-length", "3"),
            ("authorization", "Basic x"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
            ("keep-alive", "5"),
        ]);
        remove_hop_by_hop(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "content-length", "cookie", "host"]);
    }

    #[test]
    fn what_is_passed_on_leaves_the_client_s_own_as_it_was() {
        let headers = map(&[
            ("host", "lab.example"),
            ("connection", "close, X-Hop, Host, content-length"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("keep-alive", "5"),
            ("expect", "100-continue"),
            ("content-length", "3"),
            ("authorization", "Bearer pcs_secret"),
            ("accept", "text/html"),
            ("accept", "*/*"),
            ("-_-", "folds to nothing"),
            ("content_length", "7"),
            ("cookie", "portcullis=secret; a=1"),
        ]);
        let before = headers.clone();
        let mut onward = HeaderMap::new();
        pass_on(&headers, &mut onward, &ProtectedNames::none());
        let mut left: Vec<(&str, &str)> = onward
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        left.sort_unstable();
        assert_eq!(
            left,
            [
                ("accept", "*/*"),
                ("accept", "text/html"),
                ("cookie", "a=1"),
                ("host", "lab.example")
            ]
        );
        assert_eq!(headers, before);
    }

    #[test]
    fn what_connection_names_beside_bytes_that_are_no_name_goes_too() {
        let mut headers = map(&[("x-hop", "1"), ("accept", "*/*")]);
        headers.append(CONNECTION, HeaderValue::from_bytes(b"x-hop, \xff").unwrap());
        let mut onward = HeaderMap::new();
        pass_on(&headers, &mut onward, &ProtectedNames::none());
        assert_eq!(onward.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn a_service_s_credential_stays_here_however_it_is_spaced() {
        for (value, stays) in [
            ("Bearer pcs_secret", true),
            ("bearer\t pcs_secret", true),
            ("Bearer  pcs_secret", true),
            ("Bearer other", false),
            ("Basic pcs_", false),
            ("Bearerpcs_secret", false),
        ] {
            let mut onward = HeaderMap::new();
            pass_on(&map(&[("authorization", value)]), &mut onward, &ProtectedNames::none());
            assert_eq!(onward.is_empty(), stays, "{value}");
        }
    }

    #[test]
    fn nothing_of_a_client_takes_the_place_of_ours_or_comes_beside_it() {
        let headers = map(&[
            ("x-login", "root"),
            ("x-login", "admin"),
            ("accept", "text/html"),
            ("accept", "*/*"),
            ("cookie", "a=1"),
            ("x-login-too", "me"),
        ]);
        let mut onward = map(&[("x-login", "ada"), ("cookie", "ours=1")]);
        // Should a name ever be missing among those that are protected.
        pass_on(&headers, &mut onward, &ProtectedNames::none());
        assert_eq!(all(&onward, "x-login"), ["ada"]);
        assert_eq!(all(&onward, "cookie"), ["ours=1"]);
        assert_eq!(all(&onward, "accept"), ["text/html", "*/*"]);
        assert_eq!(all(&onward, "x-login-too"), ["me"]);
    }

    #[test]
    fn forwarded_fields_are_kept_for_one_host_and_scheme_without_hops_in_front() {
        let direct = Client {
            address: Some("192.0.2.7".parse().unwrap()),
            chain: Vec::new(),
            through_proxy: false,
        };
        let through = Client {
            chain: vec!["198.51.100.1".parse().unwrap()],
            ..direct
        };
        let kept = Mutex::default();
        for (client, scheme, host, expected) in [
            (&direct, Scheme::Https, "a.example", "for=192.0.2.7;host=\"a.example\";proto=https"),
            (&direct, Scheme::Https, "a.example", "for=192.0.2.7;host=\"a.example\";proto=https"),
            (&direct, Scheme::Https, "b.example", "for=192.0.2.7;host=\"b.example\";proto=https"),
            (&direct, Scheme::Http, "b.example", "for=192.0.2.7;host=\"b.example\";proto=http"),
            (
                &through,
                Scheme::Http,
                "b.example",
                "for=198.51.100.1;host=\"b.example\";proto=http, for=192.0.2.7",
            ),
            (&direct, Scheme::Http, "b.example", "for=192.0.2.7;host=\"b.example\";proto=http"),
        ] {
            let origin = Origin {
                client,
                peer: direct.address,
                scheme,
                host,
            };
            let mut headers = HeaderMap::new();
            set_origin(&mut headers, &origin, RequestId::from_number(1), &kept);
            assert_eq!(all(&headers, "forwarded"), [expected]);
            assert_eq!(all(&headers, "x-forwarded-host"), [host]);
        }
    }

    #[test]
    fn our_cookies_stay_with_us_and_the_others_go_on() {
        for (name, sent, expected) in [
            ("ours alone", vec!["__Host-portcullis=secret"], vec![]),
            ("ours in the middle", vec!["a=1; portcullis=secret; b=2"], vec!["a=1; b=2"]),
            ("in two fields", vec!["a=1; __Host-portcullis-login=x", "b=2"], vec!["a=1; b=2"]),
            ("in another case", vec!["__host-PORTCULLIS=x; a=1"], vec!["a=1"]),
            ("nameless", vec!["=portcullis=x; a=1"], vec!["a=1"]),
            ("nameless twice over", vec!["= =portcullis=x; a=1"], vec!["a=1"]),
            (
                "a name that only begins like ours",
                vec!["portcullis-app=1"],
                vec!["portcullis-app=1"],
            ),
            ("nothing of ours", vec!["a=1;b=2"], vec!["a=1;b=2"]),
        ] {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append(COOKIE, HeaderValue::from_str(value).unwrap());
            }
            let mut onward = HeaderMap::new();
            pass_on(&headers, &mut onward, &ProtectedNames::none());
            assert_eq!(all(&onward, "cookie"), expected, "{name}");
        }
    }

    #[test]
    fn an_application_cannot_set_our_cookies() {
        let mut headers = map(&[
            ("set-cookie", "a=1; Path=/"),
            ("set-cookie", "__Host-portcullis=evil; Path=/; Secure"),
            ("set-cookie", "=portcullis=evil"),
            ("set-cookie", "==portcullis=evil"),
            ("set-cookie", " Portcullis-Login =evil"),
            ("set-cookie", "b=portcullis"),
        ]);
        keep_our_cookies(&mut headers);
        assert_eq!(all(&headers, "set-cookie"), ["a=1; Path=/", "b=portcullis"]);
    }

    #[test]
    fn trailers_frame_nothing_and_set_nothing() {
        let mut headers = map(&[
            ("grpc-status", "0"),
            ("set-cookie", "a=1"),
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
        ]);
        clean_trailers(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status"]);
    }

    #[test]
    fn forwarded_fields_name_the_believed_chain_and_the_peer() {
        let client = Client {
            address: Some("192.0.2.7".parse().unwrap()),
            chain: vec!["192.0.2.7".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            through_proxy: true,
        };
        let origin = Origin {
            client: &client,
            peer: Some("10.0.0.1".parse().unwrap()),
            scheme: Scheme::Https,
            host: "lab.example:8443",
        };
        let mut headers = HeaderMap::new();
        let kept = Mutex::default();
        set_origin(&mut headers, &origin, RequestId::from_number(1), &kept);
        assert_eq!(all(&headers, "x-forwarded-for"), ["192.0.2.7, 2001:db8::1, 10.0.0.1"]);
        assert_eq!(all(&headers, "x-forwarded-proto"), ["https"]);
        assert_eq!(all(&headers, "x-forwarded-host"), ["lab.example:8443"]);
        assert_eq!(
            all(&headers, "forwarded"),
            ["for=192.0.2.7;host=\"lab.example:8443\";proto=https, for=\"[2001:db8::1]\", for=10.0.0.1"]
        );
        assert_eq!(all(&headers, "x-request-id"), ["r-00000000000000000000000001"]);
    }
}
