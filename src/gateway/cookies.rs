//! Our cookies in a request, read once.

use http::HeaderMap;
use http::header::COOKIE;

/// The names of the session's cookie, by whether the portal is reached over TLS.
const SESSION: [&str; 2] = ["portcullis", "__Host-portcullis"];

/// Every cookie of ours, under either kind of portal.
const OURS: [&str; 8] = [
    "__Host-portcullis",
    "__Host-portcullis-browser",
    "__Host-portcullis-login",
    "__Host-portcullis-realm",
    "portcullis",
    "portcullis-browser",
    "portcullis-login",
    "portcullis-realm",
];

/// What a request's cookies say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OurCookies {
    /// The session's value, as sent.
    pub session: Option<String>,
    /// One of our names came twice: somebody else set one of them, and we do not guess which (SECURITY row 17).
    pub twice: bool,
    /// Any cookie of ours is there.
    pub any: bool,
}

impl OurCookies {
    /// Reads the request's cookies. `secure`: the portal is reached over TLS.
    #[must_use]
    pub fn read(headers: &HeaderMap, secure: bool) -> Self {
        let mut found = Self::default();
        let mut seen = [false; OURS.len()];
        for (name, value) in pairs(headers) {
            let Some(at) = OURS.iter().position(|ours| ours.as_bytes() == name) else {
                continue;
            };
            found.any = true;
            if let Some(seen) = seen.get_mut(at) {
                found.twice |= *seen;
                *seen = true;
            }
            if SESSION.get(usize::from(secure)).is_some_and(|session| session.as_bytes() == name) {
                found.session = Some(String::from_utf8_lossy(value).into_owned());
            }
        }
        found
    }
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(COOKIE).iter().flat_map(|line| {
        line.as_bytes().split(|byte| *byte == b';').map(|pair| {
            let pair = pair.trim_ascii();
            let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at(end);
            (name.trim_ascii_end(), value.strip_prefix(b"=").unwrap_or_default())
        })
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn cookies(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn our_cookies_are_read_and_two_of_a_name_are_noticed() {
        for (name, lines, session, twice, any) in [
            ("none", vec!["a=1"], None, false, false),
            ("ours alone", vec!["__Host-portcullis=abc"], Some("abc"), false, true),
            ("among others", vec!["a=1; __Host-portcullis=abc;b=2"], Some("abc"), false, true),
            ("of a clear portal", vec!["portcullis=abc; a=1"], None, false, true),
            ("the login's", vec!["__Host-portcullis-login=x; a=1"], None, false, true),
            ("twice", vec!["__Host-portcullis=a; __Host-portcullis=b"], Some("b"), true, true),
            (
                "twice in two lines",
                vec!["__Host-portcullis=a", "__Host-portcullis=b; c=d"],
                Some("b"),
                true,
                true,
            ),
            (
                "login twice",
                vec!["__Host-portcullis-login=a; __Host-portcullis-login=b"],
                None,
                true,
                true,
            ),
            ("look-alike", vec!["x__Host-portcullis=1; portcullisx=2"], None, false, false),
            ("blanks", vec![" __Host-portcullis = abc "], Some(" abc"), false, true),
        ] {
            let read = OurCookies::read(&cookies(&lines), true);
            assert_eq!((read.session.as_deref(), read.twice, read.any), (session, twice, any), "{name}");
        }
        assert_eq!(
            OurCookies::read(&cookies(&["portcullis=abc"]), false).session.as_deref(),
            Some("abc")
        );
    }
}
