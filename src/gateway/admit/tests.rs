use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 32 * 1024,
    fields: 100,
    target_bytes: 16 * 1024,
};

fn judge(raw: &str) -> Result<Canonical, Flaw> {
    match scan_http1(raw.as_bytes(), 0, &LIMITS) {
        Scan::Complete(end) => {
            assert_eq!(end, raw.len(), "the head ends at its end: {raw:?}");
            admit_http1(raw.as_bytes(), &LIMITS)
        }
        Scan::Flawed(flaw) => Err(flaw),
        Scan::Partial(_) => panic!("no head: {raw:?}"),
    }
}

fn framing_of(fields: &str) -> Result<Framing, Flaw> {
    judge(&format!("POST / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n")).map(|head| head.framing)
}

#[test]
fn a_body_ends_in_one_way_or_the_request_is_refused() {
    for (name, fields, expected) in [
        ("nothing", "", Ok(Framing::Empty)),
        ("zero", "Content-Length: 0\r\n", Ok(Framing::Empty)),
        ("length", "Content-Length: 5\r\n", Ok(Framing::Length(5))),
        ("chunked", "Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
        ("chunked in capitals", "Transfer-Encoding: CHUNKED\r\n", Ok(Framing::Chunked)),
        (
            "the same twice",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            Ok(Framing::Length(5)),
        ),
        (
            "CL.TE",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Err(Flaw::BothLengths),
        ),
        (
            "TE.CL",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            Err(Flaw::BothLengths),
        ),
        (
            "TE and zero",
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            Err(Flaw::BothLengths),
        ),
        (
            "TE.TE",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err(Flaw::TransferCoding),
        ),
        (
            "TE.TE, one of them odd",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
            Err(Flaw::TransferCoding),
        ),
        (
            "identity first",
            "Transfer-Encoding: identity, chunked\r\n",
            Err(Flaw::TransferCoding),
        ),
        ("gzip first", "Transfer-Encoding: gzip, chunked\r\n", Err(Flaw::TransferCoding)),
        (
            "twice in a list",
            "Transfer-Encoding: chunked, chunked\r\n",
            Err(Flaw::TransferCoding),
        ),
        (
            "chunked not last",
            "Transfer-Encoding: chunked, identity\r\n",
            Err(Flaw::TransferCoding),
        ),
        ("identity", "Transfer-Encoding: identity\r\n", Err(Flaw::TransferCoding)),
        ("empty", "Transfer-Encoding:\r\n", Err(Flaw::TransferCoding)),
        ("vertical tab", "Transfer-Encoding: \x0bchunked\r\n", Err(Flaw::Control)),
        ("parameter", "Transfer-Encoding: chunked;a=b\r\n", Err(Flaw::TransferCoding)),
        ("quoted", "Transfer-Encoding: \"chunked\"\r\n", Err(Flaw::TransferCoding)),
        ("space before colon", "Transfer-Encoding : chunked\r\n", Err(Flaw::FieldName)),
        (
            "two lengths",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            Err(Flaw::ContentLength),
        ),
        ("sign", "Content-Length: +5\r\n", Err(Flaw::ContentLength)),
        ("minus", "Content-Length: -5\r\n", Err(Flaw::ContentLength)),
        ("list", "Content-Length: 5, 5\r\n", Err(Flaw::ContentLength)),
        ("hexadecimal", "Content-Length: 0x5\r\n", Err(Flaw::ContentLength)),
        ("fraction", "Content-Length: 5.0\r\n", Err(Flaw::ContentLength)),
        ("empty length", "Content-Length:\r\n", Err(Flaw::ContentLength)),
        ("blank inside", "Content-Length: 1 1\r\n", Err(Flaw::ContentLength)),
        (
            "too long a number",
            "Content-Length: 99999999999999999999\r\n",
            Err(Flaw::ContentLength),
        ),
        ("continue", "Expect: 100-continue\r\nContent-Length: 5\r\n", Ok(Framing::Length(5))),
        ("other expectation", "Expect: x\r\n", Err(Flaw::Expectation)),
    ] {
        assert_eq!(framing_of(fields), expected, "{name}");
    }
    assert_eq!(
        judge("POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Err(Flaw::TransferCoding),
        "HTTP/1.0 knows no chunks"
    );
}

#[test]
fn a_head_has_one_host() {
    for (name, raw, expected) in [
        ("host", "GET / HTTP/1.1\r\nHost: A.Example:8080\r\n\r\n", Ok("a.example")),
        ("IPv6", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", Ok("::1")),
        ("IPv4", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", Ok("127.0.0.1")),
        ("final dot", "GET / HTTP/1.1\r\nHost: a.example.\r\n\r\n", Ok("a.example")),
        ("empty port", "GET / HTTP/1.1\r\nHost: a.example:\r\n\r\n", Ok("a.example")),
        ("HTTP/1.0", "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n", Ok("a.example")),
        (
            "absolute form",
            "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Ok("a.example"),
        ),
        (
            "absolute form, query",
            "GET http://a.example?x HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Ok("a.example"),
        ),
        ("none", "GET / HTTP/1.1\r\n\r\n", Err(Flaw::NoHost)),
        ("none in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", Err(Flaw::NoHost)),
        (
            "two",
            "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
            Err(Flaw::SeveralHosts),
        ),
        (
            "the same twice",
            "GET / HTTP/1.1\r\nHost: a.example\r\nhost: a.example\r\n\r\n",
            Err(Flaw::SeveralHosts),
        ),
        ("list", "GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", Err(Flaw::BadHost)),
        ("empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", Err(Flaw::BadHost)),
        ("user", "GET / HTTP/1.1\r\nHost: u@a.example\r\n\r\n", Err(Flaw::BadHost)),
        ("path", "GET / HTTP/1.1\r\nHost: a.example/x\r\n\r\n", Err(Flaw::BadHost)),
        ("port", "GET / HTTP/1.1\r\nHost: a.example:8x\r\n\r\n", Err(Flaw::BadHost)),
        ("large port", "GET / HTTP/1.1\r\nHost: a.example:99999\r\n\r\n", Err(Flaw::BadHost)),
        ("empty label", "GET / HTTP/1.1\r\nHost: a..example\r\n\r\n", Err(Flaw::BadHost)),
        ("bare IPv6", "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", Err(Flaw::BadHost)),
        ("zone", "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", Err(Flaw::BadHost)),
        ("backslash", "GET / HTTP/1.1\r\nHost: a.example\\b\r\n\r\n", Err(Flaw::BadHost)),
        (
            "absolute form of another",
            "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Err(Flaw::HostMismatch),
        ),
        (
            "absolute form with user",
            "GET http://u@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Err(Flaw::Target),
        ),
    ] {
        assert_eq!(
            judge(raw).map(|head| head.host.as_str().to_owned()),
            expected.map(str::to_owned),
            "{name}"
        );
    }
}

#[test]
fn what_is_no_head_is_found_out() {
    let long = "a".repeat(17 * 1024);
    let cases = [
        ("bare line feeds", "GET / HTTP/1.1\nHost: a\n\n".to_owned(), Flaw::LineEnd),
        (
            "one bare line feed",
            "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n".to_owned(),
            Flaw::LineEnd,
        ),
        (
            "bare carriage return",
            "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n".to_owned(),
            Flaw::LineEnd,
        ),
        (
            "two carriage returns",
            "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n".to_owned(),
            Flaw::LineEnd,
        ),
        ("NUL", "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n".to_owned(), Flaw::Control),
        ("delete", "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n".to_owned(), Flaw::Control),
        ("folded", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n".to_owned(), Flaw::Folded),
        (
            "folded by tab",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n".to_owned(),
            Flaw::Folded,
        ),
        ("folded request line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n".to_owned(), Flaw::Folded),
        (
            "blank before colon",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(),
            Flaw::FieldName,
        ),
        ("no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n".to_owned(), Flaw::FieldName),
        ("no name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n".to_owned(), Flaw::FieldName),
        (
            "name beyond ASCII",
            "GET / HTTP/1.1\r\nHost: a\r\nXé: x\r\n\r\n".to_owned(),
            Flaw::FieldName,
        ),
        (
            "name in brackets",
            "GET / HTTP/1.1\r\nHost: a\r\nX(y): x\r\n\r\n".to_owned(),
            Flaw::FieldName,
        ),
        ("two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Flaw::RequestLine),
        ("tab", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Flaw::RequestLine),
        ("no version", "GET /\r\nHost: a\r\n\r\n".to_owned(), Flaw::RequestLine),
        (
            "blank in target",
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            Flaw::RequestLine,
        ),
        (
            "lower-case version",
            "GET / http/1.1\r\nHost: a\r\n\r\n".to_owned(),
            Flaw::RequestLine,
        ),
        ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n".to_owned(), Flaw::Version),
        ("HTTP/2 in clear", "PRI * HTTP/2.0\r\n\r\n".to_owned(), Flaw::Version),
        ("method", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Flaw::RequestLine),
        ("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".to_owned(), Flaw::Method),
        ("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Flaw::Method),
        ("no slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Flaw::Target),
        ("asterisk", "GET * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Flaw::Target),
        ("fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Flaw::Target),
        ("angle", "GET /a<b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Flaw::Target),
        ("grave accent", "GET /a`b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Flaw::Target),
        (
            "quote in a query",
            "GET /a?b=\"c\" HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            Flaw::Target,
        ),
        ("other scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Flaw::Target),
        (
            "long target",
            format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            Flaw::TargetTooLong,
        ),
        (
            "large head",
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\nY: {long}\r\n\r\n"),
            Flaw::TooLarge,
        ),
        (
            "many fields",
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100)),
            Flaw::TooManyFields,
        ),
        ("TLS", "\x16\x03\x01\x02".to_owned(), Flaw::Control),
    ];
    for (name, raw, expected) in cases {
        assert_eq!(judge(&raw), Err(expected), "{name}");
    }
}

#[test]
fn http2_heads_go_through_the_same_door() {
    let head = |authority: Option<&'static [u8]>, fields: Vec<(&'static [u8], &'static [u8])>| Head {
        protocol: Protocol::Http2,
        method: b"GET",
        target: b"/",
        authority,
        fields,
    };
    for (name, head, expected) in [
        ("authority", head(Some(b"a.example"), vec![]), Ok("a.example")),
        ("host", head(None, vec![(b"host", b"a.example")]), Ok("a.example")),
        ("both", head(Some(b"a.example"), vec![(b"host", b"a.example")]), Ok("a.example")),
        (
            "they differ",
            head(Some(b"a.example"), vec![(b"host", b"b.example")]),
            Err(Flaw::HostMismatch),
        ),
        ("neither", head(None, vec![]), Err(Flaw::NoHost)),
        (
            "a blank before a value",
            head(Some(b"a.example"), vec![(b"x-note", b" y")]),
            Err(Flaw::FieldValue),
        ),
        (
            "a tab behind a value",
            head(Some(b"a.example"), vec![(b"x-note", b"y\t")]),
            Err(Flaw::FieldValue),
        ),
        (
            "an address as path",
            Head {
                target: b"https://a.example/x",
                ..head(Some(b"a.example"), vec![])
            },
            Err(Flaw::Target),
        ),
        (
            "codings",
            head(Some(b"a.example"), vec![(b"transfer-encoding", b"chunked")]),
            Err(Flaw::TransferCoding),
        ),
    ] {
        assert_eq!(
            admit(&head, &LIMITS).map(|head| head.host.as_str().to_owned()),
            expected.map(str::to_owned),
            "{name}"
        );
    }
}

#[test]
fn a_head_in_pieces_is_the_same_head() {
    let raw = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    let mut from = 0;
    for end in 1..raw.len() - 4 {
        match scan_http1(&raw[..end], from, &LIMITS) {
            Scan::Partial(seen) => from = seen,
            other => panic!("{end}: {other:?}"),
        }
    }
    assert_eq!(scan_http1(raw, from, &LIMITS), Scan::Complete(raw.len() - 4));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = scan_http1(&raw, 0, &LIMITS);
        let _ = admit_http1(&raw, &LIMITS);
    }

    #[test]
    fn heads_made_of_nasty_pieces_have_one_host_and_one_end(pieces in proptest::collection::vec(
        prop_oneof![
            Just("Host: a\r\n"), Just("Content-Length: 5\r\n"), Just("Content-Length: 6\r\n"), Just("Transfer-Encoding: chunked\r\n"),
            Just("Transfer-Encoding: x\r\n"), Just("X: y\r\n"), Just(" z\r\n"), Just("\n"), Just("Host: b\r\n"),
        ], 0..6)) {
        let raw = format!("POST / HTTP/1.1\r\n{}\r\n", pieces.concat());
        if admit_http1(raw.as_bytes(), &LIMITS).is_ok() {
            let count = |name: &str| pieces.iter().filter(|piece| piece.starts_with(name)).count();
            prop_assert_eq!(count("Host"), 1);
            prop_assert!(count("Content-Length") == 0 || count("Transfer-Encoding") == 0);
            prop_assert_eq!(count("Transfer-Encoding: x") + count(" z") + count("\n"), 0);
        }
    }
}

#[test]
fn a_scheme_is_one_of_two() {
    for (scheme, expected) in [
        (None, Ok(())),
        (Some("https"), Ok(())),
        (Some("HTTP"), Ok(())),
        (Some("ftp"), Err(Flaw::Target)),
        (Some("javascript"), Err(Flaw::Target)),
    ] {
        assert_eq!(admit_scheme(scheme), expected, "{scheme:?}");
    }
}
