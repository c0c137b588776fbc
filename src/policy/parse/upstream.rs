//! Where an application's requests go: upstreams, time limits, health checks, TLS.

use std::ops::RangeInclusive;
use std::time::Duration;

use url::{Host, Url};

use crate::base::diagnostic::Diagnostic;
use crate::base::document::{At, Value};
use crate::base::grammar::{Flaw, duration};
use crate::base::reader::Reader;
use crate::base::time::DAY;

use super::super::application::{Application, Health, Mode, Target, Timeouts, TlsVersion, UpstreamServer, UpstreamTls};
use super::scope::{Scope, between, line, listed};

impl Scope<'_> {
    /// Reads `upstream`; false if it is missing or wrong, which is `E124`.
    pub(super) fn upstreams(&self, reader: &mut Reader<'_>, app: &mut Application) -> bool {
        let Some(entry) = reader.entry("upstream") else {
            if app.mode == Mode::Proxy {
                self.problems.push(
                    Diagnostic::error("E124", format!("`app.{}` does not say where requests go", app.name))
                        .at(app.at.span())
                        .help("add upstream = \"http://127.0.0.1:8080\", or mode = \"authorize\" if only front proxies ask"),
                );
                return false;
            }
            return true;
        };
        if app.mode == Mode::Authorize {
            self.problem("E124", "mode = \"authorize\" never forwards: it has no `upstream`", &entry.key.span);
            return false;
        }
        let before = self.problems.count();
        match &entry.node.value {
            Value::List(items) => {
                for item in items {
                    match &item.value {
                        Value::Table(inner) => {
                            let mut one = Reader::new(inner, format!("app.{}.upstream", app.name), item.span.clone(), self.problems);
                            if one.entry("url").is_none() {
                                self.problem("E124", "an upstream needs `url`", &item.span);
                            }
                            let found = one.parsed("url", target);
                            let weight = one.integer("weight", 1..=1000);
                            one.finish();
                            app.upstreams.extend(found.map(|found| UpstreamServer {
                                target: found.value,
                                weight: weight.and_then(|weight| u32::try_from(weight.value).ok()).unwrap_or(1),
                            }));
                        }
                        Value::Text(text) => self.upstream(text, &item.span, app),
                        _ => reader.wrong_type("upstream", item, "an address or a table with `url` and `weight`"),
                    }
                }
                if items.is_empty() {
                    self.problem("E124", "`upstream` is an empty list", &entry.node.span);
                }
            }
            Value::Text(text) => self.upstream(text, &entry.node.span, app),
            _ => reader.wrong_type("upstream", &entry.node, "an address or a list of them"),
        }
        self.problems.count() == before
    }

    fn upstream(&self, text: &str, span: &crate::base::diagnostic::Span, app: &mut Application) {
        match target(text) {
            Ok(target) => app.upstreams.push(UpstreamServer { target, weight: 1 }),
            Err(flaw) => self.problems.flaw(flaw, span),
        }
    }

    /// Time limits over those that hold otherwise.
    pub(super) fn timeouts(&self, reader: &mut Reader<'_>, otherwise: Timeouts) -> Timeouts {
        let Some(mut written) = reader.table("timeout") else {
            return otherwise;
        };
        let least = Duration::from_millis(1);
        let mut limit = |key, value: &mut Duration| {
            if let Some(found) = written.parsed(key, between(key, least, DAY)) {
                *value = found.value;
            }
        };
        let mut timeouts = otherwise;
        limit("connect", &mut timeouts.connect);
        limit("first_byte", &mut timeouts.first_byte);
        limit("idle", &mut timeouts.idle);
        limit("websocket_idle", &mut timeouts.websocket_idle);
        if let Some(total) = written.parsed("total", duration) {
            timeouts.total = Some(total.value).filter(|total| !total.is_zero());
        }
        written.finish();
        timeouts
    }

    pub(super) fn health(&self, reader: &mut Reader<'_>) -> Health {
        let mut health = Health::default();
        let Some(mut written) = reader.table("health") else {
            return health;
        };
        if let Some(path) = written.parsed("path", |text| {
            let plain =
                text.starts_with('/') && text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains('#');
            if plain {
                Ok(text.to_owned())
            } else {
                Err(Flaw::malformed(
                    "a health check asks for a path in visible ASCII that begins with `/`",
                ))
            }
        }) {
            health.path = Some(path.value);
        }
        let second = Duration::from_millis(100);
        let every = written.parsed("every", between("every", second, DAY));
        let timeout = written.parsed("timeout", between("timeout", Duration::from_millis(10), DAY));
        let span = timeout.as_ref().or(every.as_ref()).map(|at| at.span.clone());
        health.every = every.map_or(health.every, |every| every.value);
        // Not written, the time-out follows a short interval.
        health.timeout = timeout.map_or(health.timeout.min(health.every / 2), |timeout| timeout.value);
        if let Some(span) = span
            && health.timeout >= health.every
        {
            self.problem("E104", "a health check must time out before the next one begins", &span);
        }
        health.fail = times(&mut written, "fail", health.fail);
        health.pass = times(&mut written, "pass", health.pass);
        if let Some(expect) = self.expect(&mut written) {
            health.expect = expect;
        }
        written.finish();
        health
    }

    fn expect(&self, written: &mut Reader<'_>) -> Option<Vec<RangeInclusive<u16>>> {
        let entry = written.entry("expect")?;
        let Value::List(items) = &entry.node.value else {
            written.wrong_type("expect", &entry.node, "a list of statuses");
            return None;
        };
        let mut ranges = Vec::new();
        for item in items {
            let range = match &item.value {
                Value::Integer(Some(status)) => u16::try_from(*status).ok().map(|status| status..=status),
                Value::Text(text) => {
                    let (first, last) = text.split_once('-').unwrap_or((text, text));
                    first
                        .parse()
                        .ok()
                        .zip(last.parse().ok())
                        .map(|(first, last): (u16, u16)| first..=last)
                }
                _ => None,
            };
            match range.filter(|range| (100..=599).contains(range.start()) && (100..=599).contains(range.end()) && !range.is_empty()) {
                Some(range) => ranges.push(range),
                None => self.problems.push(
                    Diagnostic::error("E103", "not a status")
                        .at(item.span.clone())
                        .help("write 200 or \"200-399\""),
                ),
            }
        }
        Some(ranges)
    }

    pub(super) fn upstream_tls(&self, reader: &mut Reader<'_>) -> UpstreamTls {
        let mut tls = UpstreamTls::default();
        let Some(mut written) = reader.table("tls") else {
            return tls;
        };
        let ca = written.text("ca_file");
        let cert = written.text("cert_file");
        let key = written.text("key_file");
        if cert.is_some() != key.is_some() {
            let at = cert
                .as_ref()
                .or(key.as_ref())
                .map_or_else(|| written.place().clone(), |file| file.span.clone());
            self.problem("E122", "`cert_file` and `key_file` go together", &at);
        }
        tls.server_name = written.parsed("server_name", line).map(|name| name.value);
        if let Some(min) = written.word("min", listed!(TlsVersion)) {
            tls.min = min.value;
        }
        written.finish();
        let file = |file: Option<At<String>>, secret| file.and_then(|file| self.file(&file, secret));
        tls.ca_file = file(ca, false);
        tls.cert_file = file(cert, false);
        tls.key_file = file(key, true);
        tls
    }
}

fn times(reader: &mut Reader<'_>, key: &'static str, default: u32) -> u32 {
    reader
        .integer(key, 1..=1000)
        .and_then(|times| u32::try_from(times.value).ok())
        .unwrap_or(default)
}

/// `http://host:port`, `https://host`, `unix:/path`; nothing else in it.
fn target(text: &str) -> Result<Target, Flaw> {
    let wrong = |why: &str| {
        Flaw::new("E124", format!("\"{text}\" is no upstream: {why}"))
            .help("write http://127.0.0.1:8080, https://host or unix:/run/app.sock")
    };
    if let Some(path) = text.strip_prefix("unix:") {
        if !path.starts_with('/') {
            return Err(wrong("a socket is named by its whole path"));
        }
        return Ok(Target::Unix { path: path.into() });
    }
    let url = Url::parse(text).map_err(|_| wrong("it is not an address"))?;
    let tls = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(wrong("it is http, https or unix")),
    };
    if url.password().is_some() {
        return Err(Flaw::new("E113", "an upstream's address holds a password").help("policies hold no secrets"));
    }
    if !url.username().is_empty() || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it ends with host and port; paths are forwarded as they come"));
    }
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return Err(wrong("it has no host")),
    };
    match url.port_or_known_default() {
        Some(port) if port != 0 => Ok(Target::Tcp {
            tls,
            host: host.into(),
            port,
        }),
        _ => Err(wrong("it has no port")),
    }
}
