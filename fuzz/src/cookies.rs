//! Cookies: ours reach no application, an application sets none of ours, everybody else's pass, and two readers of ours agree.
//!
//! Input: `Cookie` fields, one a line; a line that begins with `set:` is a `Set-Cookie` field of an application's answer.

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use portcullis::config::PublicUrl;
use portcullis::gateway::cookies::OurCookies;
use portcullis::gateway::identity_headers::{cookies_of_others, keep_our_cookies};
use portcullis::web::cookies::Cookie;

const OURS: [&str; 3] = ["portcullis", "portcullis-login", "portcullis-realm"];

/// Sends the cookies through the gate, both ways.
pub fn check(data: &[u8]) {
    let (mut request, mut answer) = (HeaderMap::new(), HeaderMap::new());
    for line in data.split(|byte| *byte == b'\n').take(16) {
        let (headers, name, value) = match line.strip_prefix(b"set:") {
            Some(value) => (&mut answer, SET_COOKIE, value),
            None => (&mut request, COOKIE, line),
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    our_readers_agree(&request);
    let sent = pairs(&request);
    let others = cookies_of_others(&request);
    request.clear();
    request.extend(others.map(|others| (COOKIE, others)));
    let arrived = pairs(&request);
    assert!(
        request.get_all(COOKIE).iter().count() <= 1 || sent.is_empty(),
        "one field (RFC 9113 section 8.2.3)"
    );
    for secure in [false, true] {
        assert!(!OurCookies::read(&request, secure).any, "{arrived:?}");
    }
    assert!(!arrived.iter().any(|pair| is_ours(pair)), "{arrived:?}");
    let others: Vec<_> = sent.into_iter().filter(|pair| !is_ours(pair)).collect();
    assert_eq!(arrived, others, "other cookies pass, in their order");

    let set: Vec<_> = answer.get_all(SET_COOKIE).iter().cloned().collect();
    keep_our_cookies(&mut answer);
    let kept: Vec<_> = answer.get_all(SET_COOKIE).iter().cloned().collect();
    let expected: Vec<_> = set.into_iter().filter(|value| !is_ours(&sent_back(value))).collect();
    assert_eq!(kept, expected);
    for value in kept {
        // What a browser makes of it comes back as a cookie that is none of ours.
        let mut next = HeaderMap::new();
        next.append(
            COOKIE,
            HeaderValue::from_bytes(&sent_back(&value)).expect("a part of a value is one"),
        );
        assert!(
            !OurCookies::read(&next, true).any && !OurCookies::read(&next, false).any,
            "{value:?}"
        );
    }
}

/// The gateway, which reads a session, and the pages, which read every cookie of ours.
fn our_readers_agree(request: &HeaderMap) {
    for url in ["https://sso.example.com", "http://sso.localhost:4180"] {
        let portal = PublicUrl::parse(url).unwrap();
        let gateway = OurCookies::read(request, portal.is_secure());
        let page = Cookie::Session.read(request, &portal);
        if gateway.twice {
            continue;
        }
        if let Some(page) = page {
            assert_eq!(gateway.session.as_deref(), Some(page), "{request:?}");
        }
    }
}

/// Each pair of all fields, without blanks around it, unless it is nothing but blanks.
fn pairs(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let fields = headers.get_all(COOKIE);
    let pairs = fields.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs
        .map(|pair| pair.trim_ascii().to_vec())
        .filter(|pair| !String::from_utf8_lossy(pair).trim().is_empty())
        .collect()
}

/// Whether a reader that is lenient about case, blanks, prefixes and nameless cookies takes a pair for one of ours.
fn is_ours(pair: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pair).to_ascii_lowercase();
    let mut text = text.trim();
    while let Some(nameless) = text.strip_prefix('=') {
        text = nameless.trim();
    }
    let name = text.split('=').next().unwrap_or(text).trim();
    OURS.contains(&name.strip_prefix("__host-").unwrap_or(name))
}

/// What a browser sends after it was told a `Set-Cookie` (RFC 6265 section 5.2, and its successor for those without a name).
fn sent_back(value: &HeaderValue) -> Vec<u8> {
    let pair = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let trim = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len());
        let end = bytes.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
        bytes[start..end].to_vec()
    };
    match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => {
            let (name, value) = (trim(&pair[..at]), trim(&pair[at + 1..]));
            if name.is_empty() { value } else { [name, value].join(&b'=') }
        }
        None => trim(pair),
    }
}
