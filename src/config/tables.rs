//! The tables of the settings that name no files: server, listeners, limits, sessions, the assertion, backups.

use std::path::Path;
use std::time::Duration;

use crate::base::diagnostic::Diagnostic;
use crate::base::document::At;
use crate::base::grammar::{self, Flaw, Rate};
use crate::base::reader::Reader;
use crate::base::time::{DAY, HOUR, MINUTE};
use crate::model::ip_pattern::AddressSet;

use super::address::{ListenAddress, PublicUrl};
use super::grammar::network;
use super::settings::{Assertion, BackupTimer, Limits, Listen, SessionBounds, SigningAlgorithm};

pub(super) fn server(top: &mut Reader<'_>) -> (Option<PublicUrl>, Option<std::num::NonZeroUsize>) {
    let Some(mut server) = top.table("server") else {
        top.need("server", "set server.public_url, such as \"https://sso.example.org\"");
        return (None, None);
    };
    server.need("public_url", "such as \"https://sso.example.org\"");
    let public_url = server.parsed("public_url", PublicUrl::parse);
    let threads = server.integer("threads", 1..=1024);
    server.finish();
    let threads = threads
        .and_then(|threads| usize::try_from(threads.value).ok())
        .and_then(std::num::NonZeroUsize::new);
    (public_url.map(|url| url.value), threads)
}

pub(super) fn listen(top: &mut Reader<'_>) -> Listen {
    let tcp = |port: u16| vec![ListenAddress::Tcp(std::net::SocketAddr::from(([127, 0, 0, 1], port)))];
    let mut listen = Listen {
        http: tcp(4180),
        https: Vec::new(),
        authz: Vec::new(),
        grpc: Vec::new(),
        fastcgi: Vec::new(),
        management: tcp(4190),
        allow_plain: false,
        proxy_protocol: AddressSet::default(),
    };
    let Some(mut written) = top.table("listen") else {
        return listen;
    };
    let mut taken: Vec<At<ListenAddress>> = Vec::new();
    for (key, place) in [
        ("http", &mut listen.http),
        ("https", &mut listen.https),
        ("authz", &mut listen.authz),
        ("grpc", &mut listen.grpc),
        ("fastcgi", &mut listen.fastcgi),
        ("management", &mut listen.management),
    ] {
        let Some(addresses) = written.one_or_more(key, ListenAddress::parse) else {
            continue;
        };
        for address in &addresses.value {
            // Port 0 is another one each time.
            let fixed = !matches!(&address.value, ListenAddress::Tcp(address) if address.port() == 0);
            if let Some(first) = taken.iter().find(|other| fixed && other.value == address.value) {
                written.problems().push(
                    Diagnostic::error("E106", format!("two listeners have the address {}", address.value))
                        .at(address.span.clone())
                        .also(first.span.clone(), "also here"),
                );
            }
        }
        taken.extend(addresses.value.iter().cloned());
        *place = values(addresses);
    }
    listen.allow_plain = written.boolean("allow_plain").is_some_and(|yes| yes.value);
    listen.proxy_protocol = trusted(&mut written, "proxy_protocol");
    written.finish();
    listen
}

/// Addresses whose word is taken for where somebody comes from.
pub(super) fn trusted(reader: &mut Reader<'_>, key: &'static str) -> AddressSet {
    let Some(list) = reader.list(key, network) else {
        return AddressSet::default();
    };
    let set = AddressSet::of(list.value.iter().map(|entry| entry.value.clone()));
    if set.v4_count() == 1 << 32 || set.v6_count() == u128::MAX {
        reader.problems().push(
            Diagnostic::warning("W301", format!("`{key}` contains every address: anybody can claim to be anywhere"))
                .at(list.span)
                .help("name the proxies that stand in front of this one"),
        );
    }
    set
}

pub(super) fn values<T>(list: At<Vec<At<T>>>) -> Vec<T> {
    list.value.into_iter().map(|entry| entry.value).collect()
}

pub(super) fn limits(top: &mut Reader<'_>) -> Limits {
    let mut limits = Limits {
        head_time: Duration::from_secs(10),
        body_stall: Duration::from_secs(30),
        body_rate: 500,
        idle: Duration::from_secs(75),
        connections: 20_000,
        connections_per_address: 1024,
        head_bytes: 32 * 1024,
        head_fields: 100,
        target_bytes: 16 * 1024,
        h2_streams: 100,
        h2_header_list_bytes: 16 * 1024,
        h2_stream_window: 64 * 1024,
        h2_connection_window: 1024 * 1024,
        h2_control_frames: Rate {
            count: 1000,
            per: Duration::from_secs(10),
        },
        h2_resets: Rate {
            count: 200,
            per: Duration::from_secs(10),
        },
        forms: Rate { count: 300, per: MINUTE },
        saml: Rate { count: 60, per: MINUTE },
    };
    let Some(mut written) = top.table("limits") else {
        return limits;
    };
    let second = Duration::from_millis(100);
    limits.head_time = span(&mut written, "head_time", limits.head_time, second, 5 * MINUTE);
    limits.body_stall = span(&mut written, "body_stall", limits.body_stall, second, HOUR);
    limits.body_rate = count(&mut written, "body_rate", limits.body_rate, 0, 1 << 20);
    limits.idle = span(&mut written, "idle", limits.idle, second, HOUR);
    limits.connections = count(&mut written, "connections", limits.connections, 1, 10_000_000);
    limits.connections_per_address = count(
        &mut written,
        "connections_per_address",
        limits.connections_per_address,
        1,
        10_000_000,
    );
    limits.head_bytes = bytes(&mut written, "head_bytes", limits.head_bytes, 4096, 1 << 20);
    limits.head_fields = count(&mut written, "head_fields", limits.head_fields, 10, 1000);
    limits.target_bytes = bytes(&mut written, "target_bytes", limits.target_bytes, 256, 64 * 1024);
    limits.h2_streams = u32::try_from(count(&mut written, "h2_streams", 100, 1, 10_000)).unwrap_or(100);
    let mut h2_bytes = |key, default: u32, least, most| {
        let default = usize::try_from(default).unwrap_or(usize::MAX);
        u32::try_from(bytes(&mut written, key, default, least, most)).unwrap_or(u32::MAX)
    };
    limits.h2_header_list_bytes = h2_bytes("h2_header_list_bytes", limits.h2_header_list_bytes, 4096, 1 << 20);
    // The least are what a connection has before any settings (RFC 9113 section 6.9.2); the most is what a window can be.
    limits.h2_stream_window = h2_bytes("h2_stream_window", limits.h2_stream_window, 65_535, (1 << 31) - 1);
    limits.h2_connection_window = h2_bytes("h2_connection_window", limits.h2_connection_window, 65_535, (1 << 31) - 1);
    for (key, limit) in [
        ("h2_control_frames", &mut limits.h2_control_frames),
        ("h2_resets", &mut limits.h2_resets),
        ("forms", &mut limits.forms),
        ("saml", &mut limits.saml),
    ] {
        if let Some(rate) = written.parsed(key, grammar::rate) {
            *limit = rate.value;
        }
    }
    written.finish();
    limits
}

/// Backups on a timer; relative folders count from `root`.
pub(super) fn backup(top: &mut Reader<'_>, root: &Path) -> Option<BackupTimer> {
    let mut written = top.table("backup")?;
    written.need("dir", "the folder they are written to, better on another disk than the store");
    let dir = written.text("dir");
    let every = span(&mut written, "every", DAY, Duration::from_secs(1), 365 * DAY);
    let keep = count(&mut written, "keep", 7, 1, 10_000);
    written.finish();
    Some(BackupTimer {
        dir: root.join(dir?.value),
        every,
        keep,
    })
}

pub(super) fn session(top: &mut Reader<'_>) -> SessionBounds {
    let mut bounds = SessionBounds {
        absolute: DAY,
        idle: 2 * HOUR,
    };
    if let Some(mut written) = top.table("session") {
        bounds.absolute = span(&mut written, "absolute", bounds.absolute, Duration::from_secs(1), 365 * DAY);
        bounds.idle = span(&mut written, "idle", bounds.idle, Duration::from_secs(1), 365 * DAY);
        written.finish();
    }
    bounds
}

pub(super) fn assertion(top: &mut Reader<'_>) -> Assertion {
    let mut assertion = Assertion {
        algorithm: SigningAlgorithm::Es256,
        ttl: 5 * MINUTE,
        rotate: 30 * DAY,
        publish_ahead: DAY,
    };
    if let Some(mut written) = top.table("assertion") {
        if let Some(word) = written.word("alg", &[("ES256", SigningAlgorithm::Es256), ("EdDSA", SigningAlgorithm::EdDsa)]) {
            assertion.algorithm = word.value;
        }
        assertion.ttl = span(&mut written, "ttl", assertion.ttl, Duration::from_secs(1), 15 * MINUTE);
        assertion.rotate = span(&mut written, "rotate", assertion.rotate, MINUTE, 3650 * DAY);
        assertion.publish_ahead = span(&mut written, "publish_ahead", assertion.publish_ahead, Duration::ZERO, 365 * DAY);
        written.finish();
    }
    assertion
}

pub(super) fn span(reader: &mut Reader<'_>, key: &'static str, default: Duration, least: Duration, most: Duration) -> Duration {
    reader
        .parsed(key, |text| {
            let span = grammar::duration(text)?;
            if span < least || span > most {
                return Err(Flaw::range(format!(
                    "`{key}` must be between {} and {}",
                    grammar::show_duration(least),
                    grammar::show_duration(most)
                )));
            }
            Ok(span)
        })
        .map_or(default, |span| span.value)
}

pub(super) fn count(reader: &mut Reader<'_>, key: &'static str, default: usize, least: i64, most: i64) -> usize {
    reader
        .integer(key, least..=most)
        .and_then(|number| usize::try_from(number.value).ok())
        .unwrap_or(default)
}

pub(super) fn bytes(reader: &mut Reader<'_>, key: &'static str, default: usize, least: u64, most: u64) -> usize {
    reader
        .parsed(key, |text| {
            let size = grammar::size(text)?;
            if size < least || size > most {
                return Err(Flaw::range(format!("`{key}` must be between {least} and {most} bytes")));
            }
            Ok(usize::try_from(size).unwrap_or(default))
        })
        .map_or(default, |size| size.value)
}
