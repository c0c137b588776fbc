//! Whether somebody who goes around the gateway is let in by an application, and says who they are with headers of their own.

use std::fs;
use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Request, header};

use crate::base::encoding::base64url;
use crate::base::time::Timestamp;
use crate::model::principal::Principal;
use crate::policy::application::{Application, HostPattern, Target};
use crate::policy::headers::names;
use crate::policy::{PolicySet, RequestFacts, Verdict, decide};
use crate::upstream::probe::Probed;

use super::fault::{Area, Fault};

/// Who is claimed to ask. Always the same, so that an application that makes accounts by itself makes one at most.
const NOBODY: &str = "portcullis-doctor";

/// Whether others than this machine can reach a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exposed {
    /// It listens on loopback only, or on a Unix socket.
    OnlyHere,
    /// It is on this machine and listens on every address of it.
    Everywhere,
    /// It is on another machine.
    Elsewhere,
}

/// How far a target can be reached.
pub(super) async fn exposure(target: &Target) -> Exposed {
    let Target::Tcp { host, port, .. } = target else {
        return Exposed::OnlyHere;
    };
    let Ok(addresses) = tokio::net::lookup_host((&**host, *port)).await else {
        return Exposed::Elsewhere;
    };
    let addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
    if !addresses.iter().all(IpAddr::is_loopback) {
        return Exposed::Elsewhere;
    }
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    if listens_everywhere(&tables, *port) {
        Exposed::Everywhere
    } else {
        Exposed::OnlyHere
    }
}

/// Whether a port is listened on by a socket that takes every address, and by none that takes loopback only.
///
/// Source: proc(5), `/proc/net/tcp`: address and port in hexadecimal, state `0A` is LISTEN; an address is in the machine's own byte order.
fn listens_everywhere(tables: &[String], port: u16) -> bool {
    let port = format!("{port:04X}");
    let mut everywhere = false;
    for line in tables.iter().flat_map(|table| table.lines()) {
        let mut columns = line.split_whitespace().skip(1);
        let (Some(local), Some(_), Some(state)) = (columns.next(), columns.next(), columns.next()) else {
            continue;
        };
        let Some((address, at)) = local.rsplit_once(':') else { continue };
        if state != "0A" || at != port {
            continue;
        }
        if address.bytes().all(|digit| digit == b'0') {
            everywhere = true;
        } else {
            // A socket of its own on loopback answers there, whoever has the other addresses.
            return false;
        }
    }
    everywhere
}

/// Where to ask: the application's first path, and whether policy leaves that open to anybody.
pub(super) struct Door {
    host: String,
    path: String,
    is_public: bool,
    preserve_host: bool,
}

impl Door {
    pub(super) fn of(policies: &PolicySet, application: &Application, now: Timestamp) -> Self {
        let host = match application.hosts.first() {
            Some(HostPattern::Exact(host)) => host.to_string(),
            Some(HostPattern::Under(parent)) => format!("doctor.{parent}"),
            None => "localhost".to_owned(),
        };
        let below = application.path.trim_end_matches('/');
        let facts = RequestFacts::new(http::Method::GET, &host, &format!("{below}/"), None, now);
        let is_public = decide(policies, &Principal::Anonymous, &facts).verdict == Verdict::Allow;
        let path = if application.strip_prefix {
            "/".to_owned()
        } else {
            format!("{below}/")
        };
        Self {
            host,
            path,
            is_public,
            preserve_host: application.preserve_host,
        }
    }

    /// A request as a stranger would send it, saying nothing of themselves.
    pub(super) fn plain(&self, target: &Target) -> Result<Request<()>, http::Error> {
        let host = if self.preserve_host { self.host.clone() } else { host_of(target) };
        Request::get(&self.path)
            .header(header::HOST, host)
            .header(header::USER_AGENT, NOBODY)
            .header(header::ACCEPT, "text/html,*/*;q=0.8")
            .body(())
    }

    /// The same with every identity header the application believes, made up.
    pub(super) fn forged(&self, application: &Application, target: &Target) -> Result<Request<()>, http::Error> {
        let mut request = self.plain(target)?;
        for name in names(application) {
            if let Some(value) = made_up(&name) {
                request.headers_mut().insert(name, value);
            }
        }
        Ok(request)
    }
}

/// What a request to a target says in `Host` where nothing else is to be said.
pub(super) fn host_of(target: &Target) -> String {
    match target {
        Target::Tcp { host, .. } if host.contains(':') => format!("[{host}]"),
        Target::Tcp { host, .. } => host.to_string(),
        Target::Unix { .. } => "localhost".to_owned(),
    }
}

fn made_up(name: &HeaderName) -> Option<HeaderValue> {
    let value = match name.as_str() {
        // Unsigned: RFC 7519 section 6 has a form that whoever believes it believes anybody.
        "x-portcullis-jwt-assertion" => {
            let claims = format!("{{\"sub\":\"{NOBODY}\",\"login\":\"{NOBODY}\",\"exp\":4102444799}}");
            format!("{}.{}.", base64url(b"{\"alg\":\"none\"}"), base64url(claims.as_bytes()))
        }
        "authorization" => return None,
        name if name.contains("email") || name.contains("mail") => format!("{NOBODY}@example.org"),
        _ => NOBODY.to_owned(),
    };
    HeaderValue::from_str(&value).ok()
}

/// What the two answers mean, if others than this machine can get them.
pub(super) fn judge(at: &str, exposed: Exposed, door: &Door, plain: &Probed, forged: &Probed, jwks: &str) -> Option<Fault> {
    let way = match exposed {
        Exposed::OnlyHere => return None,
        Exposed::Everywhere => "it listens on every address of this machine",
        Exposed::Elsewhere => "it is on the network",
    };
    let close = format!(
        "have it listen on loopback or a Unix socket, let only this gateway's address through its firewall, \
         or have it verify X-Portcullis-Jwt-Assertion with {jwks}"
    );
    let names_nobody = |answer: &Probed| answer.body.windows(NOBODY.len()).any(|bytes| bytes == NOBODY.as_bytes());
    let (open, opened) = (plain.status.is_success(), forged.status.is_success());
    if opened && (!open || (names_nobody(forged) && !names_nobody(plain))) {
        let what = format!(
            "whoever goes around the gateway is who they say: without headers it answers {}, with made-up ones {}; {way}",
            plain.status.as_u16(),
            forged.status.as_u16()
        );
        return Some(Fault::error(Area::Upstreams, "upstream-believes", at, what, close));
    }
    (open && !door.is_public).then(|| {
        let what = format!(
            "whoever goes around the gateway is answered {} on {}, which policy opens to nobody without a session; {way}",
            plain.status.as_u16(),
            door.path
        );
        Fault::warning(Area::Upstreams, "upstream-open", at, what, close)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n";

    #[test]
    fn a_listener_on_every_address_is_told_from_one_on_loopback() {
        let line = |address: &str, state: &str| format!("   0: {address} 00000000:0000 {state} 00000000:00000000\n");
        for (name, v4, v6, wide) in [
            ("loopback", line("0100007F:1F90", "0A"), String::new(), false),
            ("all of IPv4", line("00000000:1F90", "0A"), String::new(), true),
            (
                "all of IPv6",
                String::new(),
                line("00000000000000000000000000000000:1F90", "0A"),
                true,
            ),
            ("another port", line("00000000:1F91", "0A"), String::new(), false),
            ("a connection", line("00000000:1F90", "01"), String::new(), false),
            (
                "loopback has a socket of its own",
                line("00000000:1F90", "0A") + &line("0100007F:1F90", "0A"),
                String::new(),
                false,
            ),
        ] {
            let tables = [HEAD.to_owned() + &v4, HEAD.to_owned() + &v6];
            assert_eq!(listens_everywhere(&tables, 8080), wide, "{name}");
        }
    }

    #[test]
    fn an_application_that_believes_anybody_is_told_where_anybody_can_reach_it() {
        let answer = |status: u16, body: &'static str| Probed {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        };
        let door = |is_public| Door {
            host: "app.example".to_owned(),
            path: "/".to_owned(),
            is_public,
            preserve_host: true,
        };
        let hello = "hello portcullis-doctor";
        for (name, exposed, is_public, plain, forged, code) in [
            (
                "believes",
                Exposed::Elsewhere,
                false,
                answer(401, ""),
                answer(200, ""),
                "upstream-believes",
            ),
            (
                "greets",
                Exposed::Everywhere,
                true,
                answer(200, "hello"),
                answer(200, hello),
                "upstream-believes",
            ),
            (
                "asks nobody",
                Exposed::Elsewhere,
                false,
                answer(200, "a"),
                answer(200, "b"),
                "upstream-open",
            ),
            ("public", Exposed::Elsewhere, true, answer(200, "a"), answer(200, "b"), ""),
            ("verifies", Exposed::Elsewhere, false, answer(401, ""), answer(401, ""), ""),
            ("sends to sign in", Exposed::Elsewhere, false, answer(302, ""), answer(302, ""), ""),
            ("loopback only", Exposed::OnlyHere, false, answer(401, ""), answer(200, hello), ""),
        ] {
            let found = judge("app.x", exposed, &door(is_public), &plain, &forged, "https://sso.example/jwks");
            assert_eq!(found.map(|fault| fault.code).unwrap_or_default(), code, "{name}");
        }
    }
}
