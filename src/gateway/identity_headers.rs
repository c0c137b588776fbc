//! Who asks, as the application behind is told it: what a client claims is removed first, then our word is set.

use std::net::IpAddr;

use http::header::{CONNECTION, COOKIE, HeaderName, HeaderValue, SET_COOKIE};
use http::{HeaderMap, header};

use crate::model::id::{DecisionId, RequestId};
use crate::policy::decision::{Decision, Verdict};
use crate::policy::facts::Scheme;
use crate::policy::headers::Told;
use crate::policy::protected::ProtectedNames;

use super::client_ip::Client;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const DECISION: HeaderName = HeaderName::from_static("x-portcullis-decision");
const ASSERTION: HeaderName = HeaderName::from_static("x-portcullis-jwt-assertion");

/// Fields that are about one connection only (RFC 9110 section 7.6.1), and two that browsers and old proxies add to them.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "http2-settings",
];

/// Removes what is about one connection only: the fields that `Connection` names, and those that always are.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
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
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(*name);
    }
}

/// Removes everything a client sent under a name that is ours to speak under.
pub fn remove_claims(headers: &mut HeaderMap, protected: &ProtectedNames) {
    let mut room = String::new();
    let claimed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| protected.covers(name.as_str(), &mut room))
        .cloned()
        .collect();
    for name in claimed {
        headers.remove(name);
    }
}

/// Whether a cookie of that name is ours, with or without the prefix that browsers guard.
fn is_our_cookie(name: &str) -> bool {
    let bare = match name.get(..7) {
        Some(prefix) if prefix.eq_ignore_ascii_case("__Host-") => name.get(7..).unwrap_or(""),
        _ => name,
    };
    ["portcullis", "portcullis-login", "portcullis-realm"]
        .iter()
        .any(|ours| bare.eq_ignore_ascii_case(ours))
}

/// The name of a cookie pair. A pair without `=` is a nameless cookie, which browsers send back as it stands: its value may pass for a name.
fn cookie_name(pair: &str) -> &str {
    let named = pair.trim_start_matches(|c: char| c == '=' || c.is_whitespace());
    named.split('=').next().unwrap_or(named).trim()
}

/// Removes our cookies from a request and puts the others into one field.
pub fn remove_our_cookies(headers: &mut HeaderMap) {
    let fields = headers.get_all(COOKIE).iter().count();
    if fields == 0 {
        return;
    }
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let ours = headers
        .get_all(COOKIE)
        .iter()
        .any(|value| text(value).split(';').any(|pair| is_our_cookie(cookie_name(pair))));
    if fields == 1 && !ours {
        return;
    }
    let mut kept: Vec<u8> = Vec::new();
    for value in headers.get_all(COOKIE) {
        for pair in value.as_bytes().split(|byte| *byte == b';') {
            let shown = String::from_utf8_lossy(pair);
            if shown.trim().is_empty() || is_our_cookie(cookie_name(&shown)) {
                continue;
            }
            if !kept.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(pair.trim_ascii());
        }
    }
    headers.remove(COOKIE);
    if let Some(value) = Some(kept)
        .filter(|kept| !kept.is_empty())
        .and_then(|kept| HeaderValue::from_maybe_shared(bytes::Bytes::from(kept)).ok())
    {
        headers.insert(COOKIE, value);
    }
}

/// Removes from an application's answer what would set a cookie of ours.
pub fn keep_our_cookies(headers: &mut HeaderMap) {
    let sets_ours = |value: &HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes());
        is_our_cookie(cookie_name(text.split(';').next().unwrap_or("")))
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

/// Sets the forwarded fields. The client's own were removed before.
pub fn set_origin(headers: &mut HeaderMap, origin: &Origin<'_>, request: RequestId) {
    let hops: Vec<String> = origin
        .client
        .chain
        .iter()
        .copied()
        .chain(origin.peer)
        .map(|hop| hop.to_string())
        .collect();
    insert(headers, X_FORWARDED_FOR, &hops.join(", "));
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(origin.scheme.as_str()));
    insert(headers, X_FORWARDED_HOST, origin.host);
    insert(headers, FORWARDED, &forwarded(origin));
    insert(headers, X_REQUEST_ID, &request.to_string());
}

/// RFC 7239 section 4: one element for each hop; host and scheme are of the first.
fn forwarded(origin: &Origin<'_>) -> String {
    let mut hops = origin.client.chain.iter().copied().chain(origin.peer);
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

/// Sets who asks. Every name is set, empty where there is nothing to say, so that no front proxy can leave a forged one in place.
pub fn set_identity(headers: &mut HeaderMap, told: &Told, decision: &HeaderValue, assertion: Option<HeaderValue>) {
    for (name, value) in told.headers() {
        headers.insert(name, value.clone());
    }
    headers.insert(DECISION, decision.clone());
    headers.insert(ASSERTION, assertion.unwrap_or_else(|| HeaderValue::from_static("")));
}

/// The value of `X-Portcullis-Decision`: `d-…;allow;reason=requirement-met;generation=5f0c2a91`.
#[must_use]
pub fn decision_value(id: DecisionId, decision: &Decision<'_>, generation: &str) -> HeaderValue {
    let verdict: Verdict = decision.verdict;
    HeaderValue::from_str(&format!("{id};{verdict};reason={};generation={generation}", decision.reason.code()))
        .unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Sets a value that is visible ASCII by how it was made; one that is not is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
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
            remove_our_cookies(&mut headers);
            assert_eq!(all(&headers, "cookie"), expected, "{name}");
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
        set_origin(&mut headers, &origin, RequestId::from_number(1));
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
