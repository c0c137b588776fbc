//! Request heads: what is let in has exactly one reading, whoever reads it, and HTTP/2 is judged like HTTP/1.
//!
//! Input: an HTTP/1 head as it comes over the wire.

use http::Request;
use portcullis::gateway::admit::{Canonical, Flaw, Framing, HeadLimits, Scan, admit_http1, is_one_head, scan_http1};
use portcullis::gateway::facts::admit_http2;

/// Small, so that they are met.
const LIMITS: HeadLimits = HeadLimits {
    bytes: 2048,
    fields: 20,
    target_bytes: 512,
};

/// Reads the head as we do, and as others would.
pub fn check(data: &[u8]) {
    let whole = scan_http1(data, 0, &LIMITS);
    is_found_however_it_arrives(data, whole);
    let end = match whole {
        Scan::Complete(end) => end,
        Scan::Flawed(flaw) => {
            assert!(admit_http1(data, &LIMITS).is_err(), "{flaw:?} while scanning");
            return;
        }
        Scan::Partial(_) => {
            assert!(admit_http1(data, &LIMITS).is_err(), "not whole");
            return;
        }
    };
    let head = &data[..end];
    assert_eq!(
        head.windows(4).position(|four| four == b"\r\n\r\n"),
        Some(end - 4),
        "the first empty line ends it"
    );
    let alone = end == data.len();
    assert!(
        alone == is_one_head(data) && (alone || admit_http1(data, &LIMITS).is_err()),
        "two heads are not one"
    );
    let judged = admit_http1(head, &LIMITS);
    if let Ok(canonical) = &judged {
        everybody_agrees(head, canonical);
        the_library_agrees(head, canonical);
    }
    http2_is_judged_alike(head, &judged);
}

fn is_found_however_it_arrives(data: &[u8], whole: Scan) {
    let cuts = [1, data.len() / 3, data.len() / 2, data.len().saturating_sub(1)];
    for cut in cuts.into_iter().filter(|cut| (1..data.len()).contains(cut)) {
        let seen = match scan_http1(&data[..cut], 0, &LIMITS) {
            Scan::Partial(seen) => scan_http1(data, seen, &LIMITS),
            early => early,
        };
        assert_eq!(seen, whole, "cut at {cut}");
    }
}

/// A head as one reader sees it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    method: Vec<u8>,
    target: Vec<u8>,
    version: Vec<u8>,
    fields: Vec<(String, Vec<u8>)>,
}

/// How a reader is more lenient than the standard. Each of these has been seen in a server.
#[derive(Clone, Copy, Debug)]
struct Reader {
    lone_line_feeds_end_lines: bool,
    lone_carriage_returns_end_lines: bool,
    joins_folded_lines: bool,
    trims_names: bool,
    any_blank_divides: bool,
}

impl Reader {
    const STRICT: Self = Self {
        lone_line_feeds_end_lines: false,
        lone_carriage_returns_end_lines: false,
        joins_folded_lines: false,
        trims_names: false,
        any_blank_divides: false,
    };

    fn all() -> impl Iterator<Item = Self> {
        (0_u8..32).map(|bits| Self {
            lone_line_feeds_end_lines: bits & 1 != 0,
            lone_carriage_returns_end_lines: bits & 2 != 0,
            joins_folded_lines: bits & 4 != 0,
            trims_names: bits & 8 != 0,
            any_blank_divides: bits & 16 != 0,
        })
    }

    fn lines(self, head: &[u8]) -> Vec<Vec<u8>> {
        let (mut lines, mut line, mut at) = (Vec::new(), Vec::new(), 0);
        while at < head.len() {
            let (byte, next) = (head[at], head.get(at + 1));
            at += 1;
            if byte == b'\r' && next == Some(&b'\n') {
                at += 1;
                lines.push(std::mem::take(&mut line));
            } else if byte == b'\n' && self.lone_line_feeds_end_lines || byte == b'\r' && self.lone_carriage_returns_end_lines {
                lines.push(std::mem::take(&mut line));
            } else {
                line.push(byte);
            }
        }
        lines
    }

    fn read(self, head: &[u8]) -> Option<Seen> {
        let mut lines: Vec<Vec<u8>> = Vec::new();
        for line in self.lines(head) {
            if line.is_empty() {
                break;
            }
            match lines.last_mut() {
                Some(before) if self.joins_folded_lines && matches!(line[0], b' ' | b'\t') => before.extend(line),
                _ => lines.push(line),
            }
        }
        let (first, rest) = lines.split_first()?;
        let divides = |byte: &u8| *byte == b' ' || self.any_blank_divides && matches!(byte, b'\t' | 0x0b | 0x0c | b'\r');
        let words: Vec<&[u8]> = first
            .split(divides)
            .filter(|word| !self.any_blank_divides || !word.is_empty())
            .collect();
        let [method, target, version] = words.as_slice() else { return None };
        let mut fields = Vec::new();
        for line in rest {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
            let name = if self.trims_names { name.trim().to_owned() } else { name };
            fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
        Some(Seen {
            method: method.to_vec(),
            target: target.to_vec(),
            version: version.to_vec(),
            fields,
        })
    }
}

fn everybody_agrees(head: &[u8], canonical: &Canonical) {
    let strict = Reader::STRICT.read(head).expect("a strict reader can read what is let in");
    for reader in Reader::all() {
        assert_eq!(
            reader.read(head).as_ref(),
            Some(&strict),
            "{reader:?} reads {:?}",
            String::from_utf8_lossy(head)
        );
    }
    assert!(matches!(&*strict.version, b"HTTP/1.1" | b"HTTP/1.0"));
    assert!(!matches!(&*strict.method, b"CONNECT" | b"TRACE"));
    assert!(strict.target.len() <= LIMITS.target_bytes && strict.fields.len() <= LIMITS.fields && head.len() <= LIMITS.bytes);
    for (name, value) in &strict.fields {
        assert!(
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte)),
            "{name:?}"
        );
        assert!(
            value.iter().all(|byte| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f),
            "{name}: {value:?}"
        );
    }
    one_host(&strict, canonical);
    one_length(&strict, canonical);
    let upgrade = strict.version == b"HTTP/1.1" && strict.fields.iter().any(|(name, _)| name == "upgrade");
    assert_eq!(canonical.upgrade, upgrade);
}

fn values<'s>(seen: &'s Seen, name: &str) -> Vec<&'s [u8]> {
    seen.fields
        .iter()
        .filter(|(known, _)| known == name)
        .map(|(_, value)| value.as_slice())
        .collect()
}

fn one_host(seen: &Seen, canonical: &Canonical) {
    let hosts = values(seen, "host");
    let [host] = hosts.as_slice() else {
        panic!("{} hosts", hosts.len())
    };
    let host = String::from_utf8(host.to_vec()).expect("a host is ASCII").to_ascii_lowercase();
    let (name, port) = if let Some(inside) = host.strip_prefix('[') {
        let (inside, port) = inside.split_once(']').expect("brackets are closed");
        (
            inside.parse::<std::net::Ipv6Addr>().expect("an address is in brackets").to_string(),
            port,
        )
    } else {
        let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
        (name.strip_suffix('.').unwrap_or(name).to_owned(), port)
    };
    assert_eq!(canonical.host.as_str(), name, "{host:?}");
    assert!(port.is_empty() || port == ":" || port[1..].parse::<u16>().is_ok(), "{host:?}");
    // A target in absolute form names the same host (RFC 9112 section 3.2.2); whoever goes by it and whoever goes by the field agree.
    let target = String::from_utf8(seen.target.clone())
        .expect("a target is text")
        .to_ascii_lowercase();
    if !target.starts_with('/') && target != "*" {
        let url = target
            .strip_prefix("http://")
            .or_else(|| target.strip_prefix("https://"))
            .expect("an absolute target has a scheme of the web");
        assert_eq!(url.split(['/', '?']).next(), Some(&*host), "{target:?}");
    }
}

fn one_length(seen: &Seen, canonical: &Canonical) {
    let lengths = values(seen, "content-length");
    let codings = values(seen, "transfer-encoding");
    let expected = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Framing::Empty,
        ([], [coding]) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked") && seen.version == b"HTTP/1.1", "{coding:?}");
            Framing::Chunked
        }
        ([first, rest @ ..], []) => {
            let number = |value: &[u8]| {
                assert!(value.iter().all(u8::is_ascii_digit), "{value:?}");
                std::str::from_utf8(value).unwrap().parse::<u64>().expect("a length is a number")
            };
            assert!(rest.iter().all(|other| number(other) == number(first)), "{lengths:?}");
            match number(first) {
                0 => Framing::Empty,
                length => Framing::Length(length),
            }
        }
        _ => panic!("{lengths:?} and {codings:?}"),
    };
    assert_eq!(canonical.framing, expected);
}

/// What we let in, the HTTP library takes as well, and sees the same: its own refusals are not ours to answer.
fn the_library_agrees(head: &[u8], canonical: &Canonical) {
    let mut space = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut space);
    assert_eq!(request.parse(head), Ok(httparse::Status::Complete(head.len())));
    let strict = Reader::STRICT.read(head).unwrap();
    assert_eq!(request.method.map(str::as_bytes), Some(&*strict.method));
    assert_eq!(request.path.map(str::as_bytes), Some(&*strict.target));
    let fields: Vec<(String, &[u8])> = request
        .headers
        .iter()
        .map(|field| (field.name.to_ascii_lowercase(), field.value))
        .collect();
    assert!(
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .eq(strict.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
    );
    let uri: http::Uri = request
        .path
        .unwrap()
        .parse()
        .unwrap_or_else(|error| panic!("{:?}: {error}", request.path));
    if let Some(authority) = uri.authority() {
        let host = canonical.host.as_str();
        assert!(
            authority.host().trim_matches(['[', ']']).len() >= host.len().min(2),
            "{authority} of {host}"
        );
    }
    for (name, value) in fields {
        assert!(
            http::HeaderName::from_bytes(name.as_bytes()).is_ok() && http::HeaderValue::from_bytes(value).is_ok(),
            "{name}"
        );
    }
    assert!(http::Method::from_bytes(&strict.method).is_ok());
}

/// The same head in HTTP/2: what says nothing of a connection is judged alike.
fn http2_is_judged_alike(head: &[u8], judged: &Result<Canonical, Flaw>) {
    let Some(seen) = Reader::STRICT.read(head) else { return };
    // The library cuts a fragment off before we see it.
    if !seen.target.starts_with(b"/") || seen.target.contains(&b'#') {
        return;
    }
    let hosts = values(&seen, "host");
    let ([host], []) = (hosts.as_slice(), values(&seen, "transfer-encoding").as_slice()) else {
        return;
    };
    let Ok(host) = std::str::from_utf8(host) else { return };
    let (Ok(target), Ok(method)) = (std::str::from_utf8(&seen.target), http::Method::from_bytes(&seen.method)) else {
        return;
    };
    let Ok(uri) = http::Uri::builder().scheme("https").authority(host).path_and_query(target).build() else {
        return;
    };
    let mut request = Request::builder().method(method).uri(uri).version(http::Version::HTTP_2);
    for (name, value) in seen
        .fields
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "host" | "connection" | "upgrade"))
    {
        request = request.header(name, value.as_slice());
    }
    let Ok(request) = request.body(()) else { return };
    let (parts, ()) = request.into_parts();
    match (judged, admit_http2(&parts, &LIMITS)) {
        (Ok(one), Ok(two)) => {
            assert_eq!(one.host, two.host);
            assert_eq!((two.framing, two.upgrade), (Framing::Frames, false));
        }
        (Ok(one), Err(flaw)) => panic!("{one:?} over HTTP/1, {flaw:?} over HTTP/2: {parts:?}"),
        // A request line, a connection's fields and blanks are of HTTP/1 alone.
        (
            Err(
                Flaw::RequestLine
                | Flaw::Version
                | Flaw::TooLarge
                | Flaw::TooManyFields
                | Flaw::TargetTooLong
                | Flaw::FieldName
                | Flaw::Folded,
            ),
            Ok(_),
        ) => {}
        (Err(flaw), Ok(two)) => panic!("{flaw:?} over HTTP/1, {two:?} over HTTP/2: {parts:?}"),
        (Err(_), Err(_)) => {}
    }
}
