//! Rows 1 to 3: how long a request is.

use crate::support::case::{Case, Setup, refused};
use crate::support::wire::PATIENCE;
use crate::support::{Protocol, ensure, readers};

const HEAD: &str = "POST /public/up HTTP/1.1\r\nHost: eln.localhost\r\n";
const SMUGGLED: &str = "GET /public/smuggled HTTP/1.1\r\nHost: eln.localhost\r\n\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

pub(crate) fn cases() -> Vec<Case> {
    let mut all = codings();
    all.extend(lengths());
    all.extend(chunks());
    all
}

fn codings() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, fields) in [
        ("a length, then chunks", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
        ("chunks, then a length", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
        (
            "chunks and a length of nothing",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        ),
        ("a length and no coding", "Content-Length: 5\r\nTransfer-Encoding: identity\r\n"),
        (
            "chunked twice, two fields",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "chunked, then identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        ),
        (
            "identity, then chunked",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "chunked, then something",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n",
        ),
        ("identity before chunked in a list", "Transfer-Encoding: identity, chunked\r\n"),
        ("gzip before chunked", "Transfer-Encoding: gzip, chunked\r\n"),
        ("chunked twice in a list", "Transfer-Encoding: chunked, chunked\r\n"),
        ("chunked, not last", "Transfer-Encoding: chunked, gzip\r\n"),
        ("identity", "Transfer-Encoding: identity\r\n"),
        ("gzip", "Transfer-Encoding: gzip\r\n"),
        ("a word that ends so", "Transfer-Encoding: xchunked\r\n"),
        ("a word that begins so", "Transfer-Encoding: chunkedx\r\n"),
        ("a parameter", "Transfer-Encoding: chunked;q=1\r\n"),
        ("quoted", "Transfer-Encoding: \"chunked\"\r\n"),
        ("single quotes", "Transfer-Encoding: 'chunked'\r\n"),
        ("empty", "Transfer-Encoding:\r\n"),
        ("a comma in front", "Transfer-Encoding: ,chunked\r\n"),
        ("a comma behind", "Transfer-Encoding: chunked,\r\n"),
        ("two words", "Transfer-Encoding: chunked identity\r\n"),
        ("a blank before the colon", "Transfer-Encoding : chunked\r\n"),
        ("a tab before the colon", "Transfer-Encoding\t: chunked\r\n"),
        ("a vertical tab in front", "Transfer-Encoding: \x0bchunked\r\n"),
        ("a form feed behind", "Transfer-Encoding: chunked\x0c\r\n"),
        ("a NUL behind", "Transfer-Encoding: chunked\0\r\n"),
        ("a no-break space in front", "Transfer-Encoding: \u{a0}chunked\r\n"),
        ("folded", "Transfer-Encoding:\r\n chunked\r\n"),
        ("folded, then a word", "Transfer-Encoding: chunked\r\n , identity\r\n"),
        ("behind a bare carriage return", "X: y\rTransfer-Encoding: chunked\r\n"),
        (
            "behind a bare line feed, with a length",
            "Content-Length: 5\r\nX: y\nTransfer-Encoding: chunked\r\n",
        ),
        ("a blank in front of the name", " Transfer-Encoding: chunked\r\n"),
        ("a blank in the name", "Transfer Encoding: chunked\r\n"),
    ] {
        all.push(Case::refused(
            1,
            name,
            format!("{HEAD}{fields}\r\n0\r\n\r\n{SMUGGLED}"),
            &[400, 501],
        ));
    }
    let body = "3\r\nabc\r\n0\r\n\r\n";
    for (name, fields) in [
        ("chunks alone", "Transfer-Encoding: chunked\r\n"),
        ("in upper case", "TRANSFER-ENCODING: CHUNKED\r\n"),
        ("blanks and tabs around", "Transfer-Encoding: \t chunked \t \r\n"),
        (
            "named by Connection",
            "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
        ),
    ] {
        all.push(Case::passed(1, name, format!("{HEAD}{fields}\r\n{body}"), &["/public/up"]));
    }
    let length = SMUGGLED.len();
    for (name, fields) in [
        (
            "chunked with an underscore",
            format!("Content-Length: {length}\r\nTransfer_Encoding: chunked\r\n"),
        ),
        (
            "chunked with a dot",
            format!("Content-Length: {length}\r\nTransfer.Encoding: chunked\r\n"),
        ),
        (
            "chunked under a proxy's own name",
            format!("Content-Length: {length}\r\nX-Transfer-Encoding: chunked\r\n"),
        ),
    ] {
        all.push(Case::passed(1, name, format!("{HEAD}{fields}\r\n{SMUGGLED}"), &["/public/up"]));
    }
    all.push(Case::refused(
        1,
        "chunks in HTTP/1.0",
        format!("POST /public/up HTTP/1.0\r\nHost: eln.localhost\r\n{CHUNKED}\r\n0\r\n\r\n{SMUGGLED}"),
        &[400, 501],
    ));
    all.push(Case::refused(
        1,
        "both with GET",
        format!("GET /public/up HTTP/1.1\r\nHost: eln.localhost\r\nContent-Length: 5\r\n{CHUNKED}\r\n0\r\n\r\n{SMUGGLED}"),
        &[400],
    ));
    all
}

fn lengths() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, fields) in [
        ("a plus", "Content-Length: +5\r\n"),
        ("a minus", "Content-Length: -5\r\n"),
        ("minus nothing", "Content-Length: -0\r\n"),
        ("hexadecimal", "Content-Length: 0x5\r\n"),
        ("a point", "Content-Length: 5.0\r\n"),
        ("an exponent", "Content-Length: 5e0\r\n"),
        ("an underscore", "Content-Length: 1_0\r\n"),
        ("empty", "Content-Length:\r\n"),
        ("blanks only", "Content-Length:   \r\n"),
        ("quoted", "Content-Length: \"5\"\r\n"),
        ("a parameter", "Content-Length: 5;x\r\n"),
        ("two that differ in a list", "Content-Length: 5, 6\r\n"),
        ("a blank within", "Content-Length: 5 5\r\n"),
        ("a comma behind", "Content-Length: 5,\r\n"),
        ("a vertical tab behind", "Content-Length: 5\x0b\r\n"),
        ("other digits", "Content-Length: \u{0665}\r\n"),
        ("wide digits", "Content-Length: \u{ff15}\r\n"),
        ("beyond 64 bits", "Content-Length: 18446744073709551621\r\n"),
        ("beyond 128 bits", "Content-Length: 340282366920938463463374607431768211461\r\n"),
        ("two fields that differ", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        (
            "the third differs",
            "Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 0\r\n",
        ),
        ("a blank before the colon", "Content-Length : 5\r\n"),
        ("a blank in the name", "Content Length: 5\r\n"),
        ("folded", "Content-Length:\r\n 5\r\n"),
        ("folded to another", "Content-Length: 5\r\n 0\r\n"),
        ("no number", "Content-Length: five\r\n"),
    ] {
        all.push(Case::refused(2, name, format!("{HEAD}{fields}\r\nhello{SMUGGLED}"), &[400]));
    }
    let length = SMUGGLED.len();
    for (name, fields) in [
        ("a zero in front", format!("Content-Length: 0{length}\r\n")),
        (
            "the same twice",
            format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"),
        ),
        ("the same twice in a list", format!("Content-Length: {length}, {length}\r\n")),
        ("blanks and tabs around", format!("Content-Length:\t {length}\t\r\n")),
        (
            "another with an underscore",
            format!("Content-Length: {length}\r\nContent_Length: 0\r\n"),
        ),
        ("another with a dot", format!("Content.Length: 0\r\nContent-Length: {length}\r\n")),
        (
            "named by Connection",
            format!("Connection: Content-Length\r\nContent-Length: {length}\r\n"),
        ),
    ] {
        all.push(Case::either(2, name, format!("{HEAD}{fields}\r\n{SMUGGLED}")));
        let head = HEAD.replace("POST", "GET");
        all.push(Case::either(
            2,
            &format!("{name}, with GET"),
            format!("{head}{fields}\r\n{SMUGGLED}"),
        ));
    }
    all
}

/// A request whose body goes wrong: refused as the client's fault, and what the application saw of it is at most a part of one request.
fn broken(name: &str, body: impl Into<Vec<u8>>) -> Case {
    let mut bytes = format!("{HEAD}{CHUNKED}\r\n").into_bytes();
    bytes.extend(body.into());
    bytes.extend_from_slice(SMUGGLED.as_bytes());
    Case::story(3, name, Protocol::HTTP1, move |world, protocol| {
        let mut line = world.line(protocol);
        line.send(&bytes);
        let closed = line.until_closed(PATIENCE);
        refused(&line, &[400])?;
        ensure!(closed, "the connection stays open");
        for connection in world.behind.arrived() {
            ensure!(
                readers::prefix_only(&connection, "/public/up"),
                "arrived: {}",
                crate::support::show(&connection)
            );
        }
        Ok(())
    })
}

fn chunks() -> Vec<Case> {
    let long = "a".repeat(70_000);
    let mut all = vec![
        broken("no number", "zz\r\nabc\r\n0\r\n\r\n"),
        broken("a minus", "-3\r\nabc\r\n0\r\n\r\n"),
        broken("a plus", "+3\r\nabc\r\n0\r\n\r\n"),
        broken("0x in front", "0x3\r\nabc\r\n0\r\n\r\n"),
        broken("a blank in front", " 3\r\nabc\r\n0\r\n\r\n"),
        broken("a tab in front", "\t3\r\nabc\r\n0\r\n\r\n"),
        broken("quoted", "\"3\"\r\nabc\r\n0\r\n\r\n"),
        broken("no size", "\r\nabc\r\n0\r\n\r\n"),
        broken("an extension without a size", ";a=b\r\nabc\r\n0\r\n\r\n"),
        broken("a bare line feed behind the size", "3\nabc\r\n0\r\n\r\n"),
        broken("a bare carriage return behind the size", "3\rabc\r\n0\r\n\r\n"),
        broken("two carriage returns", "3\r\r\nabc\r\n0\r\n\r\n"),
        broken("a NUL behind the size", "3\0\r\nabc\r\n0\r\n\r\n"),
        broken("longer than it says", "3\r\nabcd\r\n0\r\n\r\n"),
        broken("shorter than it says", "5\r\nabc\r\n0\r\n\r\n"),
        broken("a bare line feed behind the data", "3\r\nabc\n0\r\n\r\n"),
        broken("a bare carriage return behind the data", "3\r\nabc\r0\r\n\r\n"),
        broken("two other bytes behind the data", "3\r\nabcXX0\r\n\r\n"),
        broken("a size beyond 64 bits", "10000000000000003\r\nabc\r\n0\r\n\r\n"),
        broken("a size of 64 bits", "ffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        broken("a line feed within an extension", "3;a\nb\r\nabc\r\n0\r\n\r\n"),
        broken("a carriage return within an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n"),
        broken("a NUL within an extension", "3;a\0b\r\nabc\r\n0\r\n\r\n"),
        broken("an extension without end", format!("3;{long}\r\nabc\r\n0\r\n\r\n")),
        broken("zeros without end", format!("{}3\r\nabc\r\n0\r\n\r\n", "0".repeat(70_000))),
        broken("a bare line feed behind the last chunk", "3\r\nabc\r\n0\n\r\n"),
        broken("a bare line feed at the end", "3\r\nabc\r\n0\r\n\n"),
        broken("a bare line feed behind a trailer", "3\r\nabc\r\n0\r\nX: y\n\r\n"),
        broken("a NUL in a trailer", "3\r\nabc\r\n0\r\nX: \0\r\n\r\n"),
        broken("trailers without end", format!("3\r\nabc\r\n0\r\nX: {long}\r\n\r\n")),
        broken("a thousand trailers", format!("3\r\nabc\r\n0\r\n{}\r\n", "X: y\r\n".repeat(10_000))),
    ];
    for (name, body) in [
        ("an extension", "3;a=b\r\nabc\r\n0\r\n\r\n"),
        ("a quoted extension", "3;a=\"b;c\"\r\nabc\r\n0\r\n\r\n"),
        ("many zeros at the end", "3\r\nabc\r\n000\r\n\r\n"),
        ("upper case", "A\r\n0123456789\r\n0\r\n\r\n"),
        ("a trailer", "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"),
        (
            "trailers that frame",
            "3\r\nabc\r\n0\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
    ] {
        all.push(Case::passed(3, name, format!("{HEAD}{CHUNKED}\r\n{body}"), &["/public/up"]));
    }
    for (name, body) in [
        ("a blank behind the size", "3 \r\nabc\r\n0\r\n\r\n"),
        ("a tab behind the size", "3\t\r\nabc\r\n0\r\n\r\n"),
        ("a blank before an extension", "3 ;a\r\nabc\r\n0\r\n\r\n"),
        ("zeros in front", "0000000003\r\nabc\r\n0\r\n\r\n"),
        ("a trailer without colon", "3\r\nabc\r\n0\r\nX\r\n\r\n"),
        ("a quote that hides the end", "3;a=\"\r\nabc\r\n0\r\n\r\n"),
    ] {
        let bytes = format!("{HEAD}{CHUNKED}\r\n{body}");
        all.push(Case::story(3, name, Protocol::HTTP1, move |world, protocol| {
            let mut line = world.line(protocol);
            line.send(bytes.as_bytes());
            let reply = line.answer().ok_or("no answer")?;
            ensure!(matches!(reply.status, 200 | 400), "answered {}", reply.status);
            if reply.status == 200 {
                let one = world.arrived_one()?;
                ensure!(one.body == b"abc", "the body became {}", crate::support::show(&one.body));
            }
            Ok(())
        }));
    }
    all.push(
        Case::story(3, "chunks that stop", Protocol::HTTP1, |world, protocol| {
            let mut line = world.line(protocol);
            line.send(format!("{HEAD}{CHUNKED}\r\n3\r\nabc\r\n").as_bytes());
            ensure!(line.until_closed(PATIENCE), "the connection stays open");
            refused(&line, &[408, 400])
        })
        .on(Setup::Short),
    );
    all
}
