//! Which request heads are let in at all: one function for HTTP/1.1 and HTTP/2, on the bytes as they came.
//!
//! Every rule here is a place where two servers in a chain have read one request differently. HTTP/1 heads are judged before the HTTP library
//! sees them, because it repairs some of what must be refused: it takes the first of two `Host` fields, drops a `Content-Length` beside a
//! `Transfer-Encoding`, and lets lines end with a bare line feed.

use memchr::{memchr, memmem};

use crate::policy::facts::Host;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the whole head.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
    /// Bytes of the request target.
    pub target_bytes: usize,
}

/// Which protocol a head came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

/// A request head, taken apart and not yet believed.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    /// Which protocol it came by.
    pub protocol: Protocol,
    /// The method.
    pub method: &'a [u8],
    /// The target as it stood in the request line, or `:path`.
    pub target: &'a [u8],
    /// `:authority` of HTTP/2.
    pub authority: Option<&'a [u8]>,
    /// Names and values, without the white space around values.
    pub fields: Vec<(&'a [u8], &'a [u8])>,
}

/// How the end of the body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Frames of HTTP/2 say it.
    Frames,
}

/// A head that has exactly one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// The host that is asked, lower case, without port.
    pub host: Host,
    /// How the body ends.
    pub framing: Framing,
    /// Whether it asks for another protocol on this connection.
    pub upgrade: bool,
}

/// Why a head was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The request line is not `METHOD target HTTP/1.1`.
    RequestLine,
    /// A line feed without carriage return, or the other way round.
    LineEnd,
    /// A control character.
    Control,
    /// A line that goes on the one before.
    Folded,
    /// Not a field name, or white space before the colon.
    FieldName,
    /// White space around a value, which HTTP/2 does not take off.
    FieldValue,
    /// No `Host`.
    NoHost,
    /// Several `Host` fields.
    SeveralHosts,
    /// `Host` is no host.
    BadHost,
    /// The target's authority is not the `Host`.
    HostMismatch,
    /// `Content-Length` and `Transfer-Encoding` together.
    BothLengths,
    /// A `Content-Length` that is no number, or several that differ.
    ContentLength,
    /// Anything but `chunked`, once.
    TransferCoding,
    /// A target in a form that is not served, or with characters that may not be there.
    Target,
    /// The target is too long.
    TargetTooLong,
    /// The head is too large.
    TooLarge,
    /// Too many fields.
    TooManyFields,
    /// A method that no gateway serves.
    Method,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    Version,
    /// `Expect` asks for something else than `100-continue`.
    Expectation,
    /// The head did not arrive in time.
    Late,
}

impl Flaw {
    /// In words, without anything of the request.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::RequestLine => "the request line cannot be read",
            Self::LineEnd => "a line of the head does not end with CR LF",
            Self::Control => "the head has a control character",
            Self::Folded => "a header field is folded over several lines",
            Self::FieldName => "a header field's name cannot be read",
            Self::FieldValue => "a header field's value begins or ends with a blank",
            Self::NoHost => "it names no host",
            Self::SeveralHosts => "it names its host twice",
            Self::BadHost => "its host cannot be read",
            Self::HostMismatch => "its target and its Host differ",
            Self::BothLengths => "it says in two ways how long it is",
            Self::ContentLength => "its Content-Length cannot be read",
            Self::TransferCoding => "its Transfer-Encoding is not `chunked`",
            Self::Target => "its target cannot be read",
            Self::TargetTooLong => "its target is too long",
            Self::TooLarge => "its head is too large",
            Self::TooManyFields => "its head has too many fields",
            Self::Method => "its method is not served here",
            Self::Version => "its HTTP version is not served here",
            Self::Expectation => "what it expects cannot be met",
            Self::Late => "its head did not arrive in time",
        }
    }
}

/// Lets a head in, if it has exactly one reading.
///
/// # Errors
/// The first [`Flaw`] found.
///
/// Source: RFC 9112 sections 3.2, 5.1, 6.1 and 6.3; RFC 9110 section 7.2; RFC 9113 section 8.3.
pub fn admit(head: &Head<'_>, limits: &HeadLimits) -> Result<Canonical, Flaw> {
    if head.target.len() > limits.target_bytes {
        return Err(Flaw::TargetTooLong);
    }
    if head.fields.len() > limits.fields {
        return Err(Flaw::TooManyFields);
    }
    // CONNECT makes a tunnel to anywhere; TRACE shows a script the cookies it may not read.
    if matches!(head.method, b"CONNECT" | b"TRACE") {
        return Err(Flaw::Method);
    }
    let mut found = Found::default();
    for (name, value) in &head.fields {
        found.take(name, value)?;
    }
    let authority = target_authority(head.target, head.method)?;
    // `:path` is never an address (RFC 9113 section 8.3.1).
    if authority.is_some() && head.protocol == Protocol::Http2 {
        return Err(Flaw::Target);
    }
    let host = found.host(head, authority)?;
    let framing = found.framing(head.protocol)?;
    if found.bad_expectation {
        return Err(Flaw::Expectation);
    }
    Ok(Canonical {
        host,
        framing,
        upgrade: found.upgrade && head.protocol == Protocol::Http11,
    })
}

/// Lets in what HTTP/2 says of the scheme. Nothing goes by it, but whoever writes another one means to be read in two ways.
///
/// # Errors
/// [`Flaw::Target`] of anything but `http` and `https`.
pub fn admit_scheme(scheme: Option<&str>) -> Result<(), Flaw> {
    match scheme {
        Some(scheme) if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") => Err(Flaw::Target),
        _ => Ok(()),
    }
}

/// Reads an HTTP/1 head, from the request line to the empty line, and lets it in.
///
/// # Errors
/// The first [`Flaw`] found.
pub fn admit_http1(raw: &[u8], limits: &HeadLimits) -> Result<Canonical, Flaw> {
    if raw.len() > limits.bytes {
        return Err(Flaw::TooLarge);
    }
    let mut rest = Some(raw.strip_suffix(b"\r\n\r\n").ok_or(Flaw::LineEnd)?);
    let (method, target, protocol) = request_line_parts(next_line(&mut rest)?)?;
    let mut fields = Vec::with_capacity(24);
    while rest.is_some() {
        let text = next_line(&mut rest)?;
        if matches!(text.first(), Some(b' ' | b'\t')) {
            return Err(Flaw::Folded);
        }
        let colon = memchr(b':', text).ok_or(Flaw::FieldName)?;
        let (name, value) = text.split_at(colon);
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(Flaw::FieldName);
        }
        if fields.len() >= limits.fields {
            return Err(Flaw::TooManyFields);
        }
        fields.push((name, trim(value.get(1..).unwrap_or_default())));
    }
    let head = Head {
        protocol,
        method,
        target,
        authority: None,
        fields,
    };
    admit(&head, limits)
}

/// What became of the bytes of a head so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// More is to come; so many bytes need not be looked at again.
    Partial(usize),
    /// The head ends before this byte.
    Complete(usize),
    /// It can never become a head.
    Flawed(Flaw),
}

/// Looks for the end of an HTTP/1 head in `bytes`, from `from` on, and at each byte whether it may be there.
///
/// Found early, so that a stranger who speaks another protocol is answered at once, not when the time is over.
#[must_use]
pub fn scan_http1(bytes: &[u8], from: usize, limits: &HeadLimits) -> Scan {
    // One byte back, to see the carriage return of a line feed that comes first.
    let mut before = from.checked_sub(1).and_then(|at| bytes.get(at)).copied().unwrap_or(0);
    for (at, byte) in bytes.iter().copied().enumerate().skip(from) {
        match byte {
            b'\n' if before != b'\r' => return Scan::Flawed(Flaw::LineEnd),
            b'\n' if bytes.get(..=at).is_some_and(|head| head.ends_with(b"\r\n\r\n")) => return Scan::Complete(at + 1),
            b'\n' => {}
            _ if before == b'\r' => return Scan::Flawed(Flaw::LineEnd),
            b'\r' | b'\t' => {}
            0..=31 | 127 => return Scan::Flawed(Flaw::Control),
            _ => {}
        }
        if at >= limits.bytes {
            return Scan::Flawed(Flaw::TooLarge);
        }
        before = byte;
    }
    Scan::Partial(bytes.len())
}

/// Whether these bytes are one head and nothing more, as nearly all are that come: to be asked before looking closer.
#[must_use]
pub fn is_one_head(bytes: &[u8]) -> bool {
    memmem::find(bytes, b"\r\n\r\n").is_some_and(|end| end + 4 == bytes.len())
}

/// Takes the next line off, without its end; the last one has lost it already.
fn next_line<'a>(rest: &mut Option<&'a [u8]>) -> Result<&'a [u8], Flaw> {
    let text = rest.take().unwrap_or_default();
    let line = match memchr(b'\n', text) {
        None => text,
        Some(end) => {
            let (line, more) = text.split_at(end);
            *rest = more.get(1..);
            line.strip_suffix(b"\r").ok_or(Flaw::LineEnd)?
        }
    };
    // Each byte is looked at, whatever the ones before it were: so many at once.
    if line
        .iter()
        .fold(true, |fine, byte| fine & (*byte >= 32 && *byte != 127 || *byte == b'\t'))
    {
        return Ok(line);
    }
    Err(if line.contains(&b'\r') { Flaw::LineEnd } else { Flaw::Control })
}

fn request_line_parts(text: &[u8]) -> Result<(&[u8], &[u8], Protocol), Flaw> {
    let mut parts = text.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(Flaw::RequestLine);
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(Flaw::RequestLine);
    }
    let protocol = match version {
        b"HTTP/1.1" => Protocol::Http11,
        b"HTTP/1.0" => Protocol::Http10,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(Flaw::Version),
        _ => return Err(Flaw::RequestLine),
    };
    Ok((method, target, protocol))
}

/// The fields that say where a request goes and how long it is.
#[derive(Default)]
struct Found<'a> {
    hosts: usize,
    host: Option<&'a [u8]>,
    length: Option<u64>,
    codings: usize,
    chunked: bool,
    upgrade: bool,
    bad_expectation: bool,
}

impl<'a> Found<'a> {
    fn take(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Flaw> {
        // What stands upstream in HTTP/1 would be read without them (RFC 9113 section 8.2.1).
        if trim(value).len() != value.len() {
            return Err(Flaw::FieldValue);
        }
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            self.host = Some(value);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = content_length(value)?;
            if self.length.is_some_and(|before| before != length) {
                return Err(Flaw::ContentLength);
            }
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.codings += 1;
            self.chunked = value.eq_ignore_ascii_case(b"chunked");
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        } else if name.eq_ignore_ascii_case(b"expect") {
            self.bad_expectation |= !value.eq_ignore_ascii_case(b"100-continue");
        }
        Ok(())
    }

    fn host(&self, head: &Head<'_>, target: Option<&[u8]>) -> Result<Host, Flaw> {
        if self.hosts > 1 {
            return Err(Flaw::SeveralHosts);
        }
        let named = match (head.authority, self.host) {
            (Some(authority), Some(host)) if !same_authority(authority, host) => return Err(Flaw::HostMismatch),
            (Some(authority), _) => authority,
            (None, Some(host)) => host,
            (None, None) => return Err(Flaw::NoHost),
        };
        if target.is_some_and(|target| !same_authority(target, named)) {
            return Err(Flaw::HostMismatch);
        }
        read_host(named)
    }

    fn framing(&self, protocol: Protocol) -> Result<Framing, Flaw> {
        match (protocol, self.codings, self.length) {
            (Protocol::Http2, 0, _) => Ok(Framing::Frames),
            (_, 0, None | Some(0)) => Ok(Framing::Empty),
            (_, 0, Some(length)) => Ok(Framing::Length(length)),
            (_, _, Some(_)) => Err(Flaw::BothLengths),
            (Protocol::Http11, 1, None) if self.chunked => Ok(Framing::Chunked),
            _ => Err(Flaw::TransferCoding),
        }
    }
}

/// Digits only: no sign, no list, no blank. `5, 5` is refused too: who sends it is up to no good.
fn content_length(value: &[u8]) -> Result<u64, Flaw> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Flaw::ContentLength);
    }
    Ok(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// The authority of a target in absolute form; `None` of one in origin form.
fn target_authority<'a>(target: &'a [u8], method: &[u8]) -> Result<Option<&'a [u8]>, Flaw> {
    // No `#`, `<`, `>`; no grave accent in a path and no quote in a query: the HTTP library would refuse those, and its answers are not ours.
    let may_be_there = |byte: &u8| matches!(byte, b'!' | b'"' | b'$'..=b';' | b'=' | b'?'..=b'~' | 0x80..);
    let query_at = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(query_at);
    if !target.iter().all(may_be_there) || path.contains(&b'`') || query.contains(&b'"') || std::str::from_utf8(target).is_err() {
        return Err(Flaw::Target);
    }
    if target.first() == Some(&b'/') || target == b"*" && method == b"OPTIONS" {
        return Ok(None);
    }
    let scheme_end = target.iter().position(|byte| *byte == b':').ok_or(Flaw::Target)?;
    let (scheme, rest) = target.split_at(scheme_end);
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(Flaw::Target);
    }
    let rest = rest.strip_prefix(b"://").ok_or(Flaw::Target)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    if authority.is_empty() || authority.contains(&b'@') {
        return Err(Flaw::Target);
    }
    Ok(Some(authority))
}

fn same_authority(one: &[u8], two: &[u8]) -> bool {
    one.eq_ignore_ascii_case(two)
}

/// A host name, an IPv4 address or an IPv6 literal in brackets, with or without port.
fn read_host(named: &[u8]) -> Result<Host, Flaw> {
    let text = std::str::from_utf8(named).map_err(|_| Flaw::BadHost)?;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, port) = rest.split_once(']').ok_or(Flaw::BadHost)?;
            inside.parse::<std::net::Ipv6Addr>().map_err(|_| Flaw::BadHost)?;
            (inside, port)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (host, port) = text.split_at(end);
            let labels = host.strip_suffix('.').unwrap_or(host);
            if labels.len() > 253
                || labels.split('.').any(|label| {
                    label.is_empty()
                        || label.len() > 63
                        || !label
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
                })
            {
                return Err(Flaw::BadHost);
            }
            (host, port)
        }
    };
    let port_is_good = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits.is_empty() || digits.parse::<u16>().is_ok()),
        None => port.is_empty(),
    };
    if host.is_empty() || !port_is_good {
        return Err(Flaw::BadHost);
    }
    Ok(Host::of(text))
}

const fn is_token(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests;
