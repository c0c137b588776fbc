//! Rows 12, 13 and 33: from where, and to what. Every reading of a path is judged, and the bytes that were judged go on.

use crate::support::case::{Case, PORTAL, Setup};
use crate::support::{Asking, Protocol, ensure};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = addresses();
    all.extend(readings());
    all.extend(path_only());
    all
}

fn address(name: &str, from: &'static str, lines: &'static [&'static [u8]], seen: Option<&'static str>) -> Case {
    Case::story(12, name, Protocol::ALL, move |world, protocol| {
        let with = |asking: Asking| {
            lines
                .iter()
                .fold(asking.from(from), |asking, line| asking.field("x-forwarded-for", line))
        };
        let reply = world.ask(protocol, &with(Asking::get("/.portcullis/whoami").host(PORTAL)))?;
        ensure!(reply.status == 200, "answered {}", reply.status);
        let wanted = seen.map_or("\"ip\":null".to_owned(), |address| format!("\"{address}\""));
        let text = reply.text();
        let shown = text.split("\"address\":").nth(1).unwrap_or("");
        ensure!(
            shown.starts_with(&wanted) || shown.contains(&wanted) || seen.is_none() && shown.contains("null"),
            "seen as {shown}"
        );
        let opens = seen.is_some_and(|address| address.starts_with("10.9."));
        let reply = world.ask(protocol, &with(Asking::get("/a").host("desk.localhost")))?;
        ensure!(reply.status == if opens { 200 } else { 403 }, "the gate answers {}", reply.status);
        Ok(())
    })
    .on(Setup::Proxied)
}

fn addresses() -> Vec<Case> {
    let proxy = "127.0.0.2";
    let stranger = "127.0.0.5";
    let mut all = vec![
        address("a stranger who says nothing", stranger, &[], Some("127.0.0.5")),
        address("a stranger is not believed", stranger, &[b"10.9.0.1"], Some("127.0.0.5")),
        address("a proxy that says nothing", proxy, &[], Some("127.0.0.2")),
        address("a proxy is believed", proxy, &[b"10.9.0.1"], Some("10.9.0.1")),
        address("the other proxy too", "127.0.0.3", &[b"10.9.0.1"], Some("10.9.0.1")),
        address("a forged hop on the left", proxy, &[b"10.9.0.1, 192.0.2.1"], Some("192.0.2.1")),
        address(
            "a forged proxy on the left",
            proxy,
            &[b"10.9.0.1, 127.0.0.3, 192.0.2.1"],
            Some("192.0.2.1"),
        ),
        address("over two proxies", proxy, &[b"192.0.2.1, 10.9.0.1, 127.0.0.3"], Some("10.9.0.1")),
        address("two fields", proxy, &[b"10.9.0.1", b"192.0.2.1"], Some("192.0.2.1")),
        address(
            "two fields, the other way round",
            proxy,
            &[b"192.0.2.1", b"10.9.0.1"],
            Some("10.9.0.1"),
        ),
        address("mapped", proxy, &[b"::ffff:10.9.0.1"], Some("10.9.0.1")),
        address("mapped in hexadecimal", proxy, &[b"::ffff:a09:1"], Some("10.9.0.1")),
        address("mapped at full length", proxy, &[b"0:0:0:0:0:ffff:0a09:0001"], Some("10.9.0.1")),
        address("compatible is no IPv4", proxy, &[b"::10.9.0.1"], Some("::a09:1")),
        address("6to4 is no IPv4", proxy, &[b"2002:a09:1::"], Some("2002:a09:1::")),
        address("NAT64 is no IPv4", proxy, &[b"64:ff9b::10.9.0.1"], Some("64:ff9b::a09:1")),
        address("translated is no IPv4", proxy, &[b"::ffff:0:10.9.0.1"], Some("::ffff:0:a09:1")),
        address("Teredo is no IPv4", proxy, &[b"2001:0:a09:1::1"], Some("2001:0:a09:1::1")),
        address("blanks and tabs around", proxy, &[b" \t10.9.0.1\t "], Some("10.9.0.1")).over(Protocol::HTTP1),
    ];
    for (name, line) in [
        ("a port", &b"10.9.0.1:80"[..]),
        ("a zero in front", b"010.9.0.1"),
        ("a zero within", b"10.09.0.1"),
        ("hexadecimal", b"0xa.9.0.1"),
        ("three parts", b"10.9.1"),
        ("one number", b"168361985"),
        ("one hexadecimal number", b"0x0a090001"),
        ("five parts", b"10.9.0.1.2"),
        ("too large a part", b"10.9.0.257"),
        ("a dot behind", b"10.9.0.1."),
        ("a plus", b"+10.9.0.1"),
        ("a zone", b"fe80::1%lo"),
        ("a zone behind mapped", b"::ffff:10.9.0.1%lo"),
        ("brackets", b"[::ffff:10.9.0.1]"),
        ("brackets and a port", b"[::ffff:10.9.0.1]:80"),
        ("quotes", b"\"10.9.0.1\""),
        ("as Forwarded has it", b"for=10.9.0.1"),
        ("unknown", b"unknown"),
        ("hidden", b"_hidden"),
        ("empty", b""),
        ("nothing behind a comma", b"10.9.0.1,"),
        ("a word behind", b"10.9.0.1, evil"),
        ("a blank for a comma", b"10.9.0.1 192.0.2.1"),
        ("a semicolon for a comma", b"10.9.0.1; 192.0.2.1"),
        ("bytes beyond ASCII", b"10.9.0.1, \xff"),
        ("a name", b"localhost"),
        ("a mask", b"10.9.0.1/32"),
        ("other digits", "\u{0661}0.9.0.1".as_bytes()),
    ] {
        let lines: &'static [&'static [u8]] = Vec::leak(vec![line]);
        all.push(address(&format!("unreadable: {name}"), proxy, lines, None));
    }
    for (name, field, value) in [
        ("X-Real-IP", "x-real-ip", "10.9.0.1"),
        ("Forwarded", "forwarded", "for=10.9.0.1"),
        ("another spelling", "x_forwarded_for", "10.9.0.1"),
        ("True-Client-IP", "true-client-ip", "10.9.0.1"),
        ("CF-Connecting-IP", "cf-connecting-ip", "10.9.0.1"),
        ("X-Client-IP", "x-client-ip", "10.9.0.1"),
    ] {
        all.push(
            Case::asks(
                12,
                &format!("a proxy is not believed in {name}"),
                Asking::get("/a").host("desk.localhost").from(proxy).field(field, value),
                |world, reply| {
                    ensure!(reply.status == 403, "the gate answers {}", reply.status);
                    world.nothing_arrived()
                },
            )
            .on(Setup::Proxied),
        );
    }
    all.push(
        Case::asks(
            12,
            "an unreadable chain goes no further",
            Asking::get("/public/a")
                .from(proxy)
                .field("x-forwarded-for", "10.9.0.1, evil, 127.0.0.3"),
            |world, reply| {
                ensure!(reply.status == 200, "answered {}", reply.status);
                let one = world.arrived_one()?;
                ensure!(
                    one.field("x-forwarded-for") == "127.0.0.3, 127.0.0.2",
                    "told: {}",
                    one.field("x-forwarded-for")
                );
                Ok(())
            },
        )
        .on(Setup::Proxied),
    );
    all
}

fn readings() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, target) in [
        ("dots", "/public/../admin/a"),
        ("dots at the end", "/public/.."),
        ("one dot", "/public/./a"),
        ("one dot at the end", "/public/."),
        ("encoded dots", "/public/%2e%2e/admin/a"),
        ("encoded dots in capitals", "/public/%2E%2E/admin/a"),
        ("half encoded dots", "/public/.%2e/admin/a"),
        ("dots and an encoded slash", "/public/..%2fadmin/a"),
        ("all encoded", "/public/%2e%2e%2fadmin%2fa"),
        ("dots encoded twice", "/public/%252e%252e/admin/a"),
        ("a slash encoded twice", "/public/..%252fadmin/a"),
        ("encoded three times", "/public/%25252e%25252e/admin/a"),
        ("dots with parameters", "/public/..;/admin/a"),
        ("dots with a parameter", "/public/..;x=1/admin/a"),
        ("dots with an encoded semicolon", "/public/..%3b/admin/a"),
        ("one dot with parameters", "/public/.;/a"),
        ("a backslash", "/public/..\\admin\\a"),
        ("a backslash alone", "/public\\a"),
        ("an encoded backslash", "/public/..%5cadmin%5ca"),
        ("a backslash encoded twice", "/public/..%255cadmin"),
        ("NUL", "/public/a%00"),
        ("NUL behind dots", "/public/..%00/admin/a"),
        ("a line break", "/public/a%0d%0aX:y"),
        ("a tab", "/public/a%09"),
        ("DEL", "/public/a%7f"),
        ("an overlong slash", "/public/..%c0%afadmin"),
        ("an overlong dot", "/public/%c0%ae%c0%ae/admin/a"),
        ("a surrogate", "/public/%ed%a0%80"),
        ("not UTF-8", "/public/%ff"),
        ("a lone percent", "/public/100%"),
        ("half an escape", "/public/%2"),
        ("no escape", "/public/%zz"),
        ("as Microsoft has it", "/public/%u002e%u002e/admin/a"),
        ("our own pages behind dots", "/public/..;/.portcullis/admin"),
        ("our own pages behind an encoded slash", "/.portcullis%2fadmin"),
        ("our own pages with a parameter", "/.portcullis;x/admin"),
        ("our own pages behind two slashes", "//.portcullis/admin"),
        ("our own pages encoded twice", "/%252eportcullis/admin"),
    ] {
        all.push(Case::asks(
            13,
            &format!("no safe reading: {name}"),
            Asking::get(target),
            |world, reply| {
                ensure!(reply.status == 400, "answered {}", reply.status);
                world.nothing_arrived()
            },
        ));
    }
    for (name, target) in [
        ("two slashes in front", "//admin/a"),
        ("two slashes within", "/admin//a"),
        ("an encoded slash", "/admin%2fa"),
        ("a parameter", "/admin;x=1/a"),
        ("a parameter behind", "/admin/a;x=1"),
        ("an encoded letter", "/%61dmin/a"),
        ("a letter encoded twice", "/%2561dmin/a"),
        ("an encoded parameter", "/admin%3bx/a"),
        ("a way out of what is public", "/public%2f/a/%2fadmin"),
        ("a public path with a parameter for its name", "/public;/a"),
        ("an empty name before a public path", "//public/a"),
        ("a query encoded into the path", "/admin/a%3fx=/public/a"),
        ("a fragment encoded into the path", "/admin/a%23/public/a"),
        ("a public path within a name", "/admin%2f%2fpublic/a"),
        ("capitals", "/PUBLIC/a"),
        ("wide letters", "/\u{ff50}ublic/a"),
        ("a dot behind a name", "/public./a"),
        ("a blank behind a name", "/public%20/a"),
    ] {
        all.push(Case::asks(
            13,
            &format!("every reading is judged: {name}"),
            Asking::get(target),
            |world, reply| {
                ensure!(matches!(reply.status, 400 | 401), "answered {}", reply.status);
                world.nothing_arrived()
            },
        ));
    }
    for target in [
        "/public/a%2fb",
        "/public//a",
        "/public/a;v=1/b",
        "/public/%61%62",
        "/public/%c3%a9",
        "/public/a%2520b",
        "/public/...",
        "/public/a?x=%2e%2e/&y=..%2f",
        "/public/a?",
        "/public/a%3b%2c",
        "/public/~a!$&'()*+,=:@",
    ] {
        all.push(Case::asks(
            13,
            &format!("what was judged goes on: {target}"),
            Asking::get(target),
            move |world, reply| {
                ensure!(reply.status == 200, "answered {}", reply.status);
                let one = world.arrived_one()?;
                ensure!(one.target == target, "{} went on", one.target);
                Ok(())
            },
        ));
    }
    for (name, target) in [
        ("whoever is signed in is not let past a reading either", "/in/%2fadmin/../x"),
        ("nor by an encoded name", "/%61dmin/a"),
        ("nor by two slashes", "//admin/a"),
        ("nor by a parameter", "/admin;x/a"),
        ("nor by an encoded slash", "/admin%2fa"),
    ] {
        all.push(Case::story(13, name, Protocol::ALL, move |world, protocol| {
            let kim = world.person("kim");
            world.behind.arrived();
            world.behind.clear();
            let reply = world.ask(protocol, &Asking::get(target).cookie(&kim.cookies("eln.localhost")))?;
            ensure!(matches!(reply.status, 400 | 403), "answered {}", reply.status);
            world.nothing_arrived()
        }));
    }
    all
}

fn path_only() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, target) in [
        ("a public path in the query", "/admin/a?x=/public/a"),
        ("a public path for a query", "/admin/a?/public/a"),
        ("a way back in the query", "/admin/a?/../public/a"),
        ("a suffix in the query", "/admin/a?.css"),
        ("a second question mark", "/admin/a??/public/"),
        ("an encoded question mark", "/admin/a%3f/public/a"),
        ("an encoded fragment", "/admin/a%23/public/a"),
    ] {
        all.push(Case::asks(33, name, Asking::get(target), |world, reply| {
            ensure!(reply.status == 401, "answered {}", reply.status);
            world.nothing_arrived()
        }));
    }
    for (name, target) in [
        ("a fragment", "/public/a#b"),
        ("a protected path for a fragment", "/public#/../admin/a"),
        ("a public path for a fragment", "/admin/a#/public/a"),
        ("a fragment behind a query", "/public/a?b#c"),
    ] {
        all.push(Case::refused(
            33,
            name,
            format!("GET {target} HTTP/1.1\r\nHost: eln.localhost\r\n\r\n"),
            &[400],
        ));
    }
    for (name, target) in [
        ("a protected path in the query of a public one", "/public/a?x=/admin/a"),
        ("dots in a query", "/public/a?../admin/a"),
    ] {
        all.push(Case::asks(33, name, Asking::get(target), move |world, reply| {
            ensure!(reply.status == 200, "answered {}", reply.status);
            let one = world.arrived_one()?;
            ensure!(one.target == target, "{} went on", one.target);
            Ok(())
        }));
    }
    all
}
