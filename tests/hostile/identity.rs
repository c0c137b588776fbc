//! Rows 9 to 11 and 30: who asks and from where is our word alone, whatever a client writes; our cookies stay with us.

use crate::support::case::{Case, OTHER, World};
use crate::support::readers::Message;
use crate::support::recorder::Answer;
use crate::support::{Asking, Protocol, Reply, Verdict, ensure};

/// Every name that an application is told by.
const TOLD: [&str; 12] = [
    "X-Portcullis-User",
    "X-Portcullis-Login",
    "X-Portcullis-Email",
    "X-Portcullis-Name",
    "X-Portcullis-Roles",
    "X-Portcullis-Teams",
    "X-Portcullis-Permissions",
    "X-Portcullis-Projects",
    "X-Portcullis-App",
    "X-Portcullis-Decision",
    "X-Portcullis-Jwt-Assertion",
    "X-Portcullis-Anything-New",
];

/// What strangers claim.
const CLAIM: &str = "mallory";

pub(crate) fn cases() -> Vec<Case> {
    let mut all = claims();
    all.extend(connection());
    all.extend(forwarded());
    all.extend(our_cookies());
    all
}

fn fold(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase()
}

/// Nothing of the claim is in what arrived, and what is ours is there once, in our spelling.
fn unclaimed(world: &World, reply: &Reply) -> Result<Message, String> {
    ensure!(reply.status == 200, "answered {}", reply.status);
    let one = world.arrived_one()?;
    if let Some((name, value)) = one.fields.iter().find(|(_, value)| value.contains(CLAIM)) {
        return Err(format!("{name}: {value} went on"));
    }
    for (name, _) in &one.fields {
        let same = one.fields.iter().filter(|(other, _)| fold(other) == fold(name)).count();
        let ours = fold(name).starts_with("xportcullis") || fold(name).starts_with("xforwarded");
        ensure!(!ours || same == 1, "{name} is there {same} times");
    }
    Ok(one)
}

type Spelling = (&'static str, fn(&str) -> String);

const SPELLINGS: [Spelling; 12] = [
    ("as it is", str::to_owned),
    ("in small letters", str::to_ascii_lowercase),
    ("in capitals", str::to_ascii_uppercase),
    ("with underscores", |name| name.replace('-', "_")),
    ("with dots", |name| name.replace('-', ".")),
    ("with one underscore", |name| name.replacen('-', "_", 1)),
    ("with the last an underscore", |name| name.replacen("Portcullis-", "Portcullis_", 1)),
    ("with nothing between", |name| name.replace('-', "")),
    ("with two dashes", |name| name.replace('-', "--")),
    ("with a dash behind", |name| format!("{name}-")),
    ("with a dash in front", |name| format!("-{name}")),
    ("with signs of every kind", |name| {
        name.replacen('-', "~", 1).replacen('-', "!", 1) + "'"
    }),
];

fn claims() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, spell) in SPELLINGS {
        all.push(Case::story(9, &format!("claims {name}"), Protocol::ALL, move |world, protocol| {
            let asking = TOLD
                .iter()
                .fold(Asking::get("/told/a"), |asking, told| asking.field(&spell(told), CLAIM));
            let reply = world.ask(protocol, &asking)?;
            unclaimed(world, &reply).map(drop)
        }));
        all.push(Case::story(
            9,
            &format!("claims {name}, of somebody signed in"),
            Protocol::ALL,
            move |world, protocol| {
                let kim = world.person("kim");
                world.behind.arrived();
                world.behind.clear();
                let asking = TOLD
                    .iter()
                    .fold(Asking::get("/in/a"), |asking, told| asking.field(&spell(told), CLAIM));
                let reply = world.ask(protocol, &asking.cookie(&kim.cookies("eln.localhost")))?;
                let one = unclaimed(world, &reply)?;
                ensure!(
                    one.field("x-portcullis-login") == "kim",
                    "the application is told {:?}",
                    one.field("x-portcullis-login")
                );
                Ok(())
            },
        ));
    }
    for told in TOLD {
        all.push(Case::story(
            9,
            &format!("{told} in a trailer"),
            Protocol::ALL,
            move |world, protocol| {
                let asking = Asking::new("POST", "/told/a")
                    .body("hello")
                    .trailer(told, CLAIM)
                    .trailer(&told.replace('-', "_"), CLAIM);
                let reply = world.ask(protocol, &asking.field("trailer", told))?;
                let one = unclaimed(world, &reply)?;
                ensure!(one.body == b"hello", "the body is another");
                let bytes = String::from_utf8_lossy(&world.behind.arrived().concat()).into_owned();
                ensure!(!bytes.contains(CLAIM), "the trailer went on");
                Ok(())
            },
        ));
    }
    all.push(Case::asks(
        9,
        "the same claim twice",
        Asking::get("/told/a")
            .field("X-Portcullis-User", CLAIM)
            .field("X-Portcullis-User", CLAIM),
        |world, reply| unclaimed(world, reply).map(drop),
    ));
    all.push(Case::asks(
        9,
        "an empty claim",
        Asking::get("/told/a").field("X_Portcullis_User", ""),
        |world, reply| {
            let one = unclaimed(world, reply)?;
            ensure!(!one.fields.iter().any(|(name, _)| name.contains('_')), "it went on");
            Ok(())
        },
    ));
    all.push(Case::asks(
        9,
        "names of signs alone",
        Asking::get("/told/a").field("_", CLAIM).field("~!", CLAIM),
        |world, reply| unclaimed(world, reply).map(drop),
    ));
    all.push(Case::asks(
        9,
        "the names that an application trusts by its preset",
        Asking::get("/public/a")
            .host(OTHER)
            .field("X-WEBAUTH-USER", CLAIM)
            .field("x_webauth_user", CLAIM)
            .field("X-WEBAUTH-ROLE", CLAIM),
        |world, reply| {
            ensure!(reply.status == 200, "answered {}", reply.status);
            let bytes = String::from_utf8_lossy(&world.elsewhere.arrived().concat()).into_owned();
            ensure!(bytes.contains("/public/a") && !bytes.contains(CLAIM), "{bytes}");
            Ok(())
        },
    ));
    all.push(Case::asks(
        9,
        "a credential of a service that is none",
        Asking::get("/in/a").field("authorization", "Bearer pcs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        |world, reply| {
            ensure!(reply.status == 401, "answered {}", reply.status);
            world.nothing_arrived()
        },
    ));
    all
}

fn connection() -> Vec<Case> {
    let mut all = Vec::new();
    for name in [
        "X-Portcullis-User",
        "x-portcullis-decision",
        "X-Forwarded-For",
        "X-Forwarded-Proto, X-Forwarded-Host",
        "X-Request-Id",
        "Forwarded",
        "X-Portcullis-User, close",
    ] {
        let text = format!("GET /told/a HTTP/1.1\r\nHost: eln.localhost\r\nConnection: {name}\r\n\r\n");
        all.push(Case::story(
            10,
            &format!("Connection: {name}"),
            Protocol::HTTP1,
            move |world, protocol| {
                let mut line = world.line(protocol);
                line.send(text.as_bytes());
                let reply = line.answer().ok_or("no answer")?;
                ensure!(reply.status == 200, "answered {}", reply.status);
                let one = world.arrived_one()?;
                for name in [
                    "x-portcullis-decision",
                    "x-forwarded-for",
                    "x-forwarded-proto",
                    "x-forwarded-host",
                    "x-request-id",
                    "forwarded",
                    "host",
                ] {
                    ensure!(one.all(name).count() == 1 && !one.field(name).is_empty(), "{name} is missing");
                }
                ensure!(one.all("x-portcullis-user").count() == 1, "X-Portcullis-User is missing");
                Ok(())
            },
        ));
    }
    for (name, fields, kept) in [
        ("Host", "", "host"),
        ("Cookie", "Cookie: a=1\r\n", "cookie"),
        ("Authorization", "Authorization: Basic x\r\n", "authorization"),
        ("Content-Type", "Content-Type: text/plain\r\n", "content-type"),
        ("close, Cookie", "Cookie: a=1\r\n", "cookie"),
        ("COOKIE\r\nConnection: close", "Cookie: a=1\r\n", "cookie"),
    ] {
        let text =
            format!("POST /public/a HTTP/1.1\r\nHost: eln.localhost\r\nConnection: {name}\r\n{fields}Content-Length: 5\r\n\r\nhello");
        all.push(Case::story(
            10,
            &format!("what Connection must not name: {}", name.replace("\r\n", ", ")),
            Protocol::HTTP1,
            move |world, protocol| {
                let mut line = world.line(protocol);
                line.send(text.as_bytes());
                let reply = line.answer().ok_or("no answer")?;
                ensure!(matches!(reply.status, 200 | 400), "answered {}", reply.status);
                if reply.status == 200 {
                    let one = world.arrived_one()?;
                    ensure!(!one.field(kept).is_empty() && one.body == b"hello", "{kept} was taken out");
                }
                Ok(())
            },
        ));
    }
    for (name, fields) in [
        ("a field of the connection", "Connection: X-Hop\r\nX-Hop: hop-value\r\n"),
        ("in capitals", "CONNECTION: X-HOP\r\nx-hop: hop-value\r\n"),
        ("two fields", "Connection: close\r\nConnection: x-hop\r\nX-Hop: hop-value\r\n"),
        ("empty elements", "Connection: ,, x-hop ,\r\nX-Hop: hop-value\r\n"),
        ("Keep-Alive", "Connection: keep-alive\r\nKeep-Alive: hop-value\r\n"),
        ("Proxy-Connection", "Proxy-Connection: hop-value\r\n"),
        ("Proxy-Authorization", "Proxy-Authorization: hop-value\r\n"),
        ("TE", "TE: hop-value\r\n"),
        ("Trailer", "Trailer: hop-value\r\n"),
        ("HTTP2-Settings", "HTTP2-Settings: hop-value\r\n"),
    ] {
        let text = format!("GET /public/a HTTP/1.1\r\nHost: eln.localhost\r\n{fields}\r\n");
        all.push(Case::story(
            10,
            &format!("stays behind: {name}"),
            Protocol::HTTP1,
            move |world, protocol| {
                let mut line = world.line(protocol);
                line.send(text.as_bytes());
                let reply = line.answer().ok_or("no answer")?;
                ensure!(reply.status == 200, "answered {}", reply.status);
                let one = world.arrived_one()?;
                ensure!(one.fields.iter().all(|(_, value)| value != "hop-value"), "it went on");
                Ok(())
            },
        ));
    }
    all
}

fn forwarded() -> Vec<Case> {
    let mut all = Vec::new();
    for name in [
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
        "X-Forwarded-Uri",
        "X-Forwarded-Method",
        "X-Forwarded-Scheme",
        "X-Forwarded-Ssl",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Forwarded-Groups",
        "X-Forwarded-Preferred-Username",
        "X-Forwarded-Access-Token",
        "X-Forwarded-Client-Cert",
        "Forwarded",
        "X-Real-IP",
        "X-Original-URL",
        "X-Original-Uri",
        "X-Original-Method",
        "X-Original-Host",
        "X-Original-Forwarded-For",
        "X-Rewrite-URL",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Client-IP",
        "Client-IP",
        "X-Cluster-Client-IP",
        "Fastly-Client-IP",
        "X-Remote-IP",
        "X-Originating-IP",
        "X-ProxyUser-Ip",
        "X-Host",
        "X-Envoy-External-Address",
        "X-Request-Id",
        "Front-End-Https",
        "Proxy",
    ] {
        all.push(Case::story(11, name, Protocol::ALL, move |world, protocol| {
            let asking = Asking::get("/public/a")
                .field(name, CLAIM)
                .field(&name.replace('-', "_"), CLAIM)
                .field(&name.to_ascii_lowercase().replace('-', "."), CLAIM);
            let reply = world.ask(protocol, &asking)?;
            let one = unclaimed(world, &reply)?;
            let folds: Vec<&String> = one
                .fields
                .iter()
                .map(|(known, _)| known)
                .filter(|known| fold(known) == fold(name))
                .collect();
            ensure!(folds.len() <= 1, "{folds:?} went on");
            Ok(())
        }));
    }
    for (name, asking) in [
        (
            "another address in X-Original-URL opens nothing",
            Asking::get("/admin/a")
                .field("X-Original-URL", "/public/a")
                .field("X-Rewrite-URL", "/public/a"),
        ),
        (
            "another address in X-Forwarded-Uri opens nothing",
            Asking::get("/admin/a")
                .field("X-Forwarded-Uri", "/public/a")
                .field("X-Original-Uri", "/public/a"),
        ),
        (
            "another method in X-Forwarded-Method opens nothing",
            Asking::get("/admin/a")
                .field("X-Forwarded-Method", "OPTIONS")
                .field("X-Original-Method", "OPTIONS"),
        ),
        (
            "another host in X-Forwarded-Host opens nothing",
            Asking::get("/in/a")
                .field("X-Forwarded-Host", OTHER)
                .field("X-Host", OTHER)
                .field("Forwarded", "host=other.localhost"),
        ),
    ] {
        all.push(Case::asks(11, name, asking, |world, reply| {
            ensure!(reply.status == 401, "answered {}", reply.status);
            world.nothing_arrived()
        }));
    }
    all.push(Case::asks(
        11,
        "another host in X-Forwarded-Host leads nowhere",
        Asking::get("/in/a").browser().field("X-Forwarded-Host", "evil.example"),
        |_, reply| {
            ensure!(reply.status == 302, "answered {}", reply.status);
            ensure!(!reply.field("location").contains("evil"), "it leads to {}", reply.field("location"));
            Ok(())
        },
    ));
    all.push(Case::asks(
        11,
        "what is told instead is true",
        Asking::get("/public/a").from("127.0.0.7"),
        |world, reply| {
            let one = unclaimed(world, reply)?;
            ensure!(
                one.field("x-forwarded-for") == "127.0.0.7",
                "X-Forwarded-For: {}",
                one.field("x-forwarded-for")
            );
            ensure!(
                one.field("x-forwarded-host") == "eln.localhost",
                "X-Forwarded-Host: {}",
                one.field("x-forwarded-host")
            );
            ensure!(
                one.field("forwarded")
                    .starts_with("for=127.0.0.7;host=\"eln.localhost\";proto=http"),
                "Forwarded: {}",
                one.field("forwarded")
            );
            Ok(())
        },
    ));
    all
}

fn our_cookies() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, fields) in [
        ("alone", &["portcullis=secret"][..]),
        ("the login's", &["portcullis-login=secret"]),
        ("the realm's", &["portcullis-realm=secret"]),
        ("the browser's", &["portcullis-browser=secret"]),
        ("with its prefix", &["__Host-portcullis=secret"]),
        ("the login's with its prefix", &["__Host-portcullis-login=secret"]),
        ("first", &["portcullis=secret; a=1"]),
        ("last", &["a=1; portcullis=secret"]),
        ("without a blank", &["a=1;portcullis=secret;b=2"]),
        ("in a second field", &["a=1", "portcullis=secret"]),
        ("in another case", &["Portcullis=secret; __HOST-PORTCULLIS=secret"]),
        ("blanks around the name", &["a=1;  portcullis =secret"]),
        ("without a name", &["=portcullis=secret; a=1"]),
        ("without a name and with blanks", &[" = portcullis=secret; a=1"]),
        ("a tab in front", &["a=1;\tportcullis=secret"]),
        ("beside bytes beyond ASCII", &["a=\u{e9}; portcullis=secret"]),
        ("quoted", &["portcullis=\"secret\""]),
    ] {
        all.push(Case::story(
            30,
            &format!("kept back: {name}"),
            Protocol::ALL,
            move |world, protocol| {
                let asking = fields
                    .iter()
                    .fold(Asking::get("/public/a"), |asking, value| asking.field("cookie", value));
                let reply = world.ask(protocol, &asking)?;
                ensure!(matches!(reply.status, 200 | 400), "answered {}", reply.status);
                for message in world.arrived()? {
                    let sent: Vec<&str> = message.all("cookie").collect();
                    ensure!(!sent.iter().any(|value| value.contains("secret")), "Cookie: {sent:?} went on");
                    let others = fields.iter().any(|value| value.contains("a=1"));
                    ensure!(
                        !others || sent.iter().any(|value| value.contains("a=1")),
                        "the application's own were lost: {sent:?}"
                    );
                }
                Ok(())
            },
        ));
    }
    for (name, line) in [
        ("as it is", "portcullis=evil; Path=/"),
        ("with its prefix", "__Host-portcullis=evil; Path=/; Secure"),
        ("the login's", "portcullis-login=evil"),
        ("the login's with its prefix", "__Host-portcullis-login=evil; Secure; Path=/"),
        ("the realm's", "portcullis-realm=evil"),
        ("the browser's", "portcullis-browser=evil"),
        ("in another case", "PortCullis=evil"),
        ("blanks around", "  portcullis  =  evil"),
        ("a tab in front", "\tportcullis=evil"),
        ("without a name", "=portcullis=evil"),
        ("with a domain", "portcullis=evil; Domain=localhost"),
        ("without a value", "portcullis; evil"),
        ("quoted", "portcullis=\"evil\""),
        ("taken back", "portcullis=evil; Max-Age=0"),
    ] {
        all.push(Case::story(
            30,
            &format!("set by an application: {name}"),
            Protocol::ALL,
            move |world, protocol| {
                let answer =
                    format!("HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: {line}\r\nset-cookie: b=2\r\nContent-Length: 2\r\n\r\nok");
                world.behind.answer(Answer::Bytes(answer.into_bytes()));
                let reply = world.ask(protocol, &Asking::get("/public/a"))?;
                ensure!(reply.status == 200, "answered {}", reply.status);
                let set: Vec<&str> = reply.all("set-cookie").collect();
                ensure!(set == ["a=1", "b=2"], "set: {set:?}");
                Ok(())
            },
        ));
    }
    all.push(Case::story(30, "set in a trailer", Protocol::ALL, |world, protocol| {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie\r\n\r\n2\r\nok\r\n0\r\nSet-Cookie: portcullis=evil\r\n\r\n";
        world.behind.answer(Answer::Bytes(answer.as_bytes().to_vec()));
        let mut line = world.line(protocol);
        if protocol == Protocol::H2 {
            return set_in_trailers(world);
        }
        line.send(&Asking::get("/public/a").field("te", "trailers").http1());
        line.until_quiet();
        ensure!(!String::from_utf8_lossy(&line.got).contains("evil"), "it went on");
        Ok(())
    }));
    all.push(Case::story(30, "set in an interim answer", Protocol::HTTP1, |world, protocol| {
        let answer = "HTTP/1.1 103 Early Hints\r\nSet-Cookie: portcullis=evil\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        world.behind.answer(Answer::Bytes(answer.as_bytes().to_vec()));
        let mut line = world.line(protocol);
        line.send(&Asking::get("/public/a").http1());
        line.until_quiet();
        ensure!(!String::from_utf8_lossy(&line.got).contains("evil"), "it went on");
        Ok(())
    }));
    all
}

fn set_in_trailers(world: &World) -> Verdict {
    let reply = world.ask(Protocol::H2, &Asking::get("/public/a").field("te", "trailers"))?;
    ensure!(!format!("{:?}", reply.trailers).contains("evil"), "it went on");
    Ok(())
}
