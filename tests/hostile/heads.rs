//! Rows 4, 5 and 15: what a head may look like, whom it asks, and how big it may be.

use crate::support::case::{APP, Case, OTHER, refused};
use crate::support::wire::PATIENCE;
use crate::support::{Asking, Protocol, ensure};

const HOST: &str = "Host: eln.localhost\r\n";
const SMUGGLED: &str = "GET /public/smuggled HTTP/1.1\r\nHost: eln.localhost\r\n\r\n";

pub(crate) fn cases() -> Vec<Case> {
    let mut all = lines();
    all.extend(request_lines());
    all.extend(hosts());
    all.extend(sizes());
    all
}

fn lines() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, head) in [
        ("bare line feeds", "GET /public/a HTTP/1.1\nHost: eln.localhost\n\n".to_owned()),
        (
            "a bare line feed behind the request line",
            format!("GET /public/a HTTP/1.1\n{HOST}\r\n"),
        ),
        (
            "a bare line feed behind a field",
            format!("GET /public/a HTTP/1.1\r\n{HOST}X: y\n\r\n"),
        ),
        ("a bare line feed at the end", format!("GET /public/a HTTP/1.1\r\n{HOST}\n")),
        ("line feed, carriage return", format!("GET /public/a HTTP/1.1\r\n{HOST}\n\r")),
        ("two carriage returns", format!("GET /public/a HTTP/1.1\r\n{HOST}X: y\r\r\n\r\n")),
        (
            "a bare carriage return in a value",
            format!("GET /public/a HTTP/1.1\r\n{HOST}X: a\rb\r\n\r\n"),
        ),
        (
            "a carriage return before the colon",
            format!("GET /public/a HTTP/1.1\r\n{HOST}X\r: b\r\n\r\n"),
        ),
        (
            "a carriage return that ends the head",
            format!("GET /public/a HTTP/1.1\r\n{HOST}X: a\r\rY: b\r\n\r\n"),
        ),
        ("a NUL in a value", format!("GET /public/a HTTP/1.1\r\n{HOST}X: a\0b\r\n\r\n")),
        ("a NUL in a name", format!("GET /public/a HTTP/1.1\r\n{HOST}X\0Y: b\r\n\r\n")),
        ("a NUL in the target", format!("GET /public/a\0b HTTP/1.1\r\n{HOST}\r\n")),
        ("a NUL in the method", format!("G\0ET /public/a HTTP/1.1\r\n{HOST}\r\n")),
        (
            "a control character in a value",
            format!("GET /public/a HTTP/1.1\r\n{HOST}X: a\x01b\r\n\r\n"),
        ),
        (
            "an escape in a value",
            format!("GET /public/a HTTP/1.1\r\n{HOST}X: a\x1b[31m\r\n\r\n"),
        ),
        ("DEL in a value", format!("GET /public/a HTTP/1.1\r\n{HOST}X: a\x7fb\r\n\r\n")),
        ("DEL in the target", format!("GET /public/a\x7fb HTTP/1.1\r\n{HOST}\r\n")),
        ("folded with a blank", format!("GET /public/a HTTP/1.1\r\n{HOST}X: a\r\n b\r\n\r\n")),
        ("folded with a tab", format!("GET /public/a HTTP/1.1\r\n{HOST}X: a\r\n\tb\r\n\r\n")),
        ("folded at once", format!("GET /public/a HTTP/1.1\r\n X: a\r\n{HOST}\r\n")),
        ("folded with nothing", format!("GET /public/a HTTP/1.1\r\n{HOST}X: a\r\n \r\n\r\n")),
        ("a blank before the colon", format!("GET /public/a HTTP/1.1\r\n{HOST}X : a\r\n\r\n")),
        ("a tab before the colon", format!("GET /public/a HTTP/1.1\r\n{HOST}X\t: a\r\n\r\n")),
        ("a blank in a name", format!("GET /public/a HTTP/1.1\r\n{HOST}X Y: a\r\n\r\n")),
        ("no colon", format!("GET /public/a HTTP/1.1\r\n{HOST}X\r\n\r\n")),
        ("no name", format!("GET /public/a HTTP/1.1\r\n{HOST}: a\r\n\r\n")),
        ("a bracket in a name", format!("GET /public/a HTTP/1.1\r\n{HOST}X(y): a\r\n\r\n")),
        ("a quote in a name", format!("GET /public/a HTTP/1.1\r\n{HOST}\"X\": a\r\n\r\n")),
        ("an at sign in a name", format!("GET /public/a HTTP/1.1\r\n{HOST}X@y: a\r\n\r\n")),
        ("a slash in a name", format!("GET /public/a HTTP/1.1\r\n{HOST}X/y: a\r\n\r\n")),
        (
            "a letter beyond ASCII in a name",
            format!("GET /public/a HTTP/1.1\r\n{HOST}Xé: a\r\n\r\n"),
        ),
    ] {
        all.push(Case::refused(4, name, format!("{head}{SMUGGLED}"), &[400]));
    }
    all.push(Case::story(
        4,
        "what goes on has the normal form",
        Protocol::HTTP1,
        |world, protocol| {
            let mut line = world.line(protocol);
            line.send(b"\r\nGET /public/a HTTP/1.1\r\nhOsT:eln.localhost\r\nx-ODD: \t a  b\t \r\nACCEPT:*/*\r\n\r\n");
            let reply = line.answer().ok_or("no answer")?;
            ensure!(reply.status == 200, "answered {}", reply.status);
            let arrived = String::from_utf8_lossy(&world.behind.arrived().concat()).into_owned();
            world.arrived_one()?;
            for text in arrived.strip_suffix("\r\n\r\n").ok_or("no end of a head")?.split("\r\n").skip(1) {
                let (name, value) = text
                    .split_once(": ")
                    .or_else(|| text.strip_suffix(':').map(|name| (name, "")))
                    .ok_or(format!("{text:?}"))?;
                ensure!(value == value.trim() && !name.contains(' '), "{text:?} is not in normal form");
            }
            Ok(())
        },
    ));
    all.push(Case::either(
        4,
        "bytes beyond ASCII in a value",
        format!("GET /public/a HTTP/1.1\r\n{HOST}X: \u{e9}\u{fffd}\r\n\r\n"),
    ));
    all
}

fn request_lines() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, line) in [
        ("two blanks", "GET  /public/a HTTP/1.1"),
        ("two blanks before the version", "GET /public/a  HTTP/1.1"),
        ("tabs", "GET\t/public/a\tHTTP/1.1"),
        ("a vertical tab", "GET\x0b/public/a HTTP/1.1"),
        ("a blank in front", " GET /public/a HTTP/1.1"),
        ("a blank behind", "GET /public/a HTTP/1.1 "),
        ("no version", "GET /public/a"),
        ("a blank in the target", "GET /public/a /public/b HTTP/1.1"),
        ("two versions", "GET /public/a HTTP/1.1 HTTP/1.1"),
        ("HTTP/1.2", "GET /public/a HTTP/1.2"),
        ("HTTP/0.9", "GET /public/a HTTP/0.9"),
        ("HTTP/2.0", "GET /public/a HTTP/2.0"),
        ("HTTP/3", "GET /public/a HTTP/3"),
        ("a zero in the version", "GET /public/a HTTP/01.1"),
        ("two digits in the version", "GET /public/a HTTP/1.10"),
        ("a plus in the version", "GET /public/a HTTP/+1.1"),
        ("a small version", "GET /public/a http/1.1"),
        ("another protocol", "GET /public/a ICY/1.1"),
        ("no target", "GET HTTP/1.1"),
        ("no method", "/public/a HTTP/1.1"),
        ("a bracket in the method", "G(ET /public/a HTTP/1.1"),
        ("a colon in the method", "GET: /public/a HTTP/1.1"),
        ("CONNECT", "CONNECT eln.localhost:80 HTTP/1.1"),
        ("TRACE", "TRACE /public/a HTTP/1.1"),
        ("the beginning of HTTP/2", "PRI * HTTP/2.0"),
        ("bytes that are no text", "GET /public/\u{7}a HTTP/1.1"),
    ] {
        let bytes = format!("{line}\r\n{HOST}\r\n{SMUGGLED}");
        all.push(Case::refused(4, &format!("request line: {name}"), bytes, &[400, 405, 501, 505]));
    }
    all.push(Case::refused(
        4,
        "request line: not UTF-8",
        [b"GET /public/\xff HTTP/1.1\r\n", HOST.as_bytes(), b"\r\n"].concat(),
        &[400],
    ));
    all.push(Case::refused(
        4,
        "request line: a simple request of HTTP/0.9",
        "GET /public/a\r\n\r\n",
        &[400],
    ));
    all.push(Case::story(
        4,
        "request line: TLS to the door in clear",
        &[Protocol::Clear],
        |world, protocol| {
            let mut line = world.line(protocol);
            line.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
            ensure!(line.until_closed(PATIENCE), "the connection stays open");
            refused(&line, &[400])
        },
    ));
    all.push(Case::either(
        4,
        "request line: a small method",
        format!("get /public/a HTTP/1.1\r\n{HOST}\r\n"),
    ));
    all
}

fn hosts() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, line, fields) in [
        ("none", "GET /public/a HTTP/1.1", String::new()),
        ("none in HTTP/1.0", "GET /public/a HTTP/1.0", String::new()),
        (
            "none, but another's name for it",
            "GET /public/a HTTP/1.1",
            "X-Forwarded-Host: eln.localhost\r\n".to_owned(),
        ),
        ("the same twice", "GET /public/a HTTP/1.1", format!("{HOST}{HOST}")),
        (
            "two that differ",
            "GET /public/a HTTP/1.1",
            format!("{HOST}Host: other.localhost\r\n"),
        ),
        (
            "two, one in another case",
            "GET /public/a HTTP/1.1",
            format!("{HOST}hOST: other.localhost\r\n"),
        ),
        ("two, one empty", "GET /public/a HTTP/1.1", format!("{HOST}Host:\r\n")),
        (
            "a list",
            "GET /public/a HTTP/1.1",
            "Host: eln.localhost, other.localhost\r\n".to_owned(),
        ),
        ("empty", "GET /public/a HTTP/1.1", "Host:\r\n".to_owned()),
        ("only a port", "GET /public/a HTTP/1.1", "Host: :80\r\n".to_owned()),
        ("a user", "GET /public/a HTTP/1.1", "Host: x@eln.localhost\r\n".to_owned()),
        (
            "a user that looks like it",
            "GET /public/a HTTP/1.1",
            "Host: eln.localhost@other.localhost\r\n".to_owned(),
        ),
        ("a path", "GET /public/a HTTP/1.1", "Host: eln.localhost/public\r\n".to_owned()),
        ("a query", "GET /public/a HTTP/1.1", "Host: eln.localhost?x\r\n".to_owned()),
        ("a fragment", "GET /public/a HTTP/1.1", "Host: eln.localhost#x\r\n".to_owned()),
        ("a scheme", "GET /public/a HTTP/1.1", "Host: http://eln.localhost\r\n".to_owned()),
        ("a backslash", "GET /public/a HTTP/1.1", "Host: eln.localhost\\x\r\n".to_owned()),
        (
            "a blank within",
            "GET /public/a HTTP/1.1",
            "Host: eln.localhost other.localhost\r\n".to_owned(),
        ),
        (
            "a tab within",
            "GET /public/a HTTP/1.1",
            "Host: eln.localhost\tother.localhost\r\n".to_owned(),
        ),
        (
            "a port too large",
            "GET /public/a HTTP/1.1",
            "Host: eln.localhost:65536\r\n".to_owned(),
        ),
        (
            "a port with a letter",
            "GET /public/a HTTP/1.1",
            "Host: eln.localhost:80a\r\n".to_owned(),
        ),
        (
            "a port with a sign",
            "GET /public/a HTTP/1.1",
            "Host: eln.localhost:+80\r\n".to_owned(),
        ),
        ("two ports", "GET /public/a HTTP/1.1", "Host: eln.localhost:80:80\r\n".to_owned()),
        ("an open bracket", "GET /public/a HTTP/1.1", "Host: [::1\r\n".to_owned()),
        (
            "a bracket that is no address",
            "GET /public/a HTTP/1.1",
            "Host: [eln.localhost]\r\n".to_owned(),
        ),
        (
            "something behind a bracket",
            "GET /public/a HTTP/1.1",
            "Host: [::1]eln.localhost\r\n".to_owned(),
        ),
        (
            "an address with a zone",
            "GET /public/a HTTP/1.1",
            "Host: [fe80::1%25lo]\r\n".to_owned(),
        ),
        ("two dots", "GET /public/a HTTP/1.1", "Host: eln..localhost\r\n".to_owned()),
        ("a dot in front", "GET /public/a HTTP/1.1", "Host: .eln.localhost\r\n".to_owned()),
        ("an encoded dot", "GET /public/a HTTP/1.1", "Host: eln%2elocalhost\r\n".to_owned()),
        (
            "letters beyond ASCII",
            "GET /public/a HTTP/1.1",
            "Host: élan.localhost\r\n".to_owned(),
        ),
        ("a wide dot", "GET /public/a HTTP/1.1", "Host: eln\u{3002}localhost\r\n".to_owned()),
        (
            "a blank before the colon",
            "GET /public/a HTTP/1.1",
            "Host : eln.localhost\r\n".to_owned(),
        ),
        ("folded", "GET /public/a HTTP/1.1", "Host:\r\n eln.localhost\r\n".to_owned()),
        (
            "another in the target",
            "GET http://other.localhost/public/a HTTP/1.1",
            HOST.to_owned(),
        ),
        (
            "another in the target, with a user",
            "GET http://eln.localhost@other.localhost/public/a HTTP/1.1",
            HOST.to_owned(),
        ),
        (
            "a user in the target",
            "GET http://x@eln.localhost/public/a HTTP/1.1",
            HOST.to_owned(),
        ),
        (
            "another port in the target",
            "GET http://eln.localhost:81/public/a HTTP/1.1",
            HOST.to_owned(),
        ),
        ("none in the target", "GET http:///public/a HTTP/1.1", HOST.to_owned()),
        (
            "one slash in the target",
            "GET http:/eln.localhost/public/a HTTP/1.1",
            HOST.to_owned(),
        ),
        (
            "no slash in the target",
            "GET http:eln.localhost/public/a HTTP/1.1",
            HOST.to_owned(),
        ),
        (
            "another scheme in the target",
            "GET ftp://eln.localhost/public/a HTTP/1.1",
            HOST.to_owned(),
        ),
        ("a file in the target", "GET file:///etc/passwd HTTP/1.1", HOST.to_owned()),
        ("only an authority", "GET eln.localhost:80 HTTP/1.1", HOST.to_owned()),
        ("a target without slash", "GET public/a HTTP/1.1", HOST.to_owned()),
        ("an at sign for a target", "GET @other.localhost/public/a HTTP/1.1", HOST.to_owned()),
        ("a star for GET", "GET * HTTP/1.1", HOST.to_owned()),
        ("a backslash for a target", "GET \\public\\a HTTP/1.1", HOST.to_owned()),
        ("a quote in the query", "GET /public/a?b=\"c\" HTTP/1.1", HOST.to_owned()),
    ] {
        all.push(Case::refused(5, name, format!("{line}\r\n{fields}\r\n{SMUGGLED}"), &[400]));
    }
    all.push(Case::passed(
        5,
        "the same in the target",
        format!("GET http://eln.localhost/public/a HTTP/1.1\r\n{HOST}\r\n"),
        &["/public/a"],
    ));
    all.push(Case::passed(
        5,
        "in upper case",
        "GET /public/a HTTP/1.1\r\nHost: ELN.LocalHost\r\n\r\n",
        &["/public/a"],
    ));
    all.push(Case::passed(
        5,
        "any port",
        "GET /public/a HTTP/1.1\r\nHost: eln.localhost:4180\r\n\r\n",
        &["/public/a"],
    ));
    all.push(Case::either(
        5,
        "a dot at the end",
        "GET /public/a HTTP/1.1\r\nHost: eln.localhost.\r\n\r\n",
    ));
    all.push(Case::either(5, "a star for OPTIONS", format!("OPTIONS * HTTP/1.1\r\n{HOST}\r\n")));
    for host in [
        "evil.example",
        "127.0.0.1",
        "localhost",
        "x.eln.localhost",
        "eln.localhost.evil.example",
        "[::1]",
        "eln",
    ] {
        let asking = Asking::get("/public/a").host(host);
        all.push(Case::asks(5, &format!("a stranger: {host}"), asking, |world, reply| {
            ensure!(reply.status == 421, "answered {}", reply.status);
            world.nothing_arrived()
        }));
    }
    all.push(Case::asks(
        5,
        "each host its own application",
        Asking::get("/public/a").host(OTHER),
        |world, reply| {
            ensure!(reply.status == 200, "answered {}", reply.status);
            ensure!(world.behind.arrived().is_empty(), "it reached the wrong application");
            ensure!(!world.elsewhere.arrived().is_empty(), "it did not reach the right one");
            Ok(())
        },
    ));
    all.push(Case::asks(
        5,
        "a host spelled in another field",
        Asking::get("/public/a").field("H-ost", OTHER).field("ho_st", OTHER),
        |world, reply| {
            ensure!(reply.status == 200, "answered {}", reply.status);
            let one = world.arrived_one()?;
            ensure!(one.field("host") == APP, "the application reads {:?}", one.field("host"));
            let folded = |name: &str| {
                name.chars()
                    .filter(char::is_ascii_alphanumeric)
                    .collect::<String>()
                    .to_ascii_lowercase()
            };
            let hosts = one.fields.iter().filter(|(name, _)| folded(name) == "host").count();
            ensure!(hosts == 1, "{hosts} fields pass for Host");
            Ok(())
        },
    ));
    all
}

fn sizes() -> Vec<Case> {
    let passes = |world: &crate::support::case::World, reply: &crate::support::Reply| {
        ensure!(reply.status == 200, "answered {}", reply.status);
        world.arrived_one().map(drop)
    };
    let many = |count: usize| (0..count).fold(Asking::get("/public/a"), |asking, number| asking.field(&format!("x-{number}"), "y"));
    let padded = |bytes: usize| {
        (0..bytes / 1000).fold(Asking::get("/public/a"), |asking, number| {
            asking.field(&format!("x-{number}"), "y".repeat(990))
        })
    };
    let too_large = |name: &str, asking: Asking| {
        Case::story(15, name, Protocol::ALL, move |world, protocol| {
            match world.ask(protocol, &asking) {
                Ok(reply) => ensure!(matches!(reply.status, 400 | 414 | 421 | 431), "answered {}", reply.status),
                // HTTP/2 may end the stream or the connection over it.
                Err(why) => ensure!(protocol == Protocol::H2, "{why}"),
            }
            world.nothing_arrived()
        })
    };
    // More than a head may have, and not more than the server reads before it closes on what it refused: of a client that sends more the
    // system may throw away the answer it has not read yet.
    let without_end = || "a".repeat(90_000);
    let mut all = vec![
        too_large("40 kB in one field", Asking::get("/public/a").field("x", "y".repeat(40_000))),
        too_large("40 kB in many fields", padded(40_000)),
        too_large("90 kB of cookies", Asking::get("/public/a").field("cookie", "c=1; ".repeat(18_000))),
        too_large("a name of 40 kB", Asking::get("/public/a").field(&"x".repeat(40_000), "y")),
        too_large("a target of 17 kB", Asking::get(&format!("/public/{}", "a".repeat(17_000)))),
        too_large("a query of 17 kB", Asking::get(&format!("/public/a?{}", "a".repeat(17_000)))),
        too_large("110 fields", many(110)),
        Case::asks(15, "90 fields", many(90), passes),
        Case::asks(15, "12 kB in many fields", padded(12_000), passes),
        Case::asks(
            15,
            "a target of 12 kB",
            Asking::get(&format!("/public/{}", "a".repeat(12_000))),
            passes,
        ),
        too_large("a host of 17 kB", Asking::get("/public/a").host(&"a".repeat(17_000))),
        Case::story(15, "a body larger than its application takes", Protocol::ALL, |world, protocol| {
            let reply = world.ask(protocol, &Asking::new("POST", "/public/small").body(vec![b'x'; 2000]))?;
            ensure!(reply.status == 413, "answered {}", reply.status);
            for bytes in world.behind.arrived() {
                ensure!(crate::support::readers::prefix_only(&bytes, "/none"), "a whole request arrived");
            }
            Ok(())
        }),
    ];
    for (name, bytes, statuses) in [("31 kB pass", 31_000, None), ("33 kB do not", 33_500, Some(()))] {
        let text = format!("GET /public/a HTTP/1.1\r\n{HOST}X: {}\r\n\r\n", "y".repeat(bytes));
        all.push(match statuses {
            None => Case::passed(15, name, text, &["/public/a"]),
            Some(()) => Case::refused(15, name, text, &[431]),
        });
    }
    all.push(Case::refused(
        15,
        "exactly 101 fields",
        format!("GET /public/a HTTP/1.1\r\n{HOST}{}\r\n", "X: y\r\n".repeat(100)),
        &[431],
    ));
    all.push(Case::passed(
        15,
        "exactly 100 fields",
        format!("GET /public/a HTTP/1.1\r\n{HOST}{}\r\n", "X: y\r\n".repeat(99)),
        &["/public/a"],
    ));
    all.push(Case::refused(
        15,
        "a request line without end",
        "GET /".to_owned() + &without_end(),
        &[414, 431, 400],
    ));
    all.push(Case::refused(
        15,
        "a name without end",
        format!("GET /public/a HTTP/1.1\r\n{HOST}{}", without_end()),
        &[431, 400],
    ));
    all.push(Case::refused(15, "no line at all", without_end(), &[431, 400]));
    all.push(Case::story(15, "empty lines without end", Protocol::HTTP1, |world, protocol| {
        let mut line = world.line(protocol);
        line.send("\r\n".repeat(100_000).as_bytes());
        line.send(SMUGGLED.as_bytes());
        // Taken for nothing, or refused; never kept.
        ensure!(line.answer().is_some(), "no answer");
        Ok(())
    }));
    all
}
