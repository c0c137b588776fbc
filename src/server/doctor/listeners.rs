//! What listens where, and who is believed: in clear beyond this machine, management in public, trust too wide.

use std::net::IpAddr;

use crate::config::{ListenAddress, Settings};

use super::fault::{Area, Fault};

/// More addresses of proxies than this is a network, not proxies.
const MANY_V4: u64 = 1 << 16;
const MANY_V6: u128 = 1 << 64;

pub(super) fn look(settings: &Settings) -> Vec<Fault> {
    let mut faults = Vec::new();
    if settings.trusted_proxies.is_empty() {
        faults.extend(settings.listen.http.iter().filter(|address| !address.is_local()).map(in_clear));
    }
    faults.extend(settings.listen.management.iter().filter_map(management));
    let (v4, v6) = (settings.trusted_proxies.v4_count(), settings.trusted_proxies.v6_count());
    let whole = v4 == 1 << 32 || v6 == u128::MAX;
    if whole || v4 > MANY_V4 || v6 > MANY_V6 {
        let what = if whole {
            "every address is believed: anybody can say where they come from, and IP patterns hold nobody back".to_owned()
        } else {
            format!("{v4} IPv4 and {v6} IPv6 addresses are believed; anybody at one of them can say where they come from")
        };
        let help = "name the addresses of the proxies in front, not the network they are in";
        faults.push(if whole {
            Fault::error(Area::Listeners, "trusted-proxies", "trusted_proxies", what, help)
        } else {
            Fault::warning(Area::Listeners, "trusted-proxies", "trusted_proxies", what, help)
        });
    }
    faults
}

fn in_clear(address: &ListenAddress) -> Fault {
    Fault::warning(
        Area::Listeners,
        "listener-in-clear",
        format!("listen.http {address}"),
        "passwords and cookies from other machines pass the network in clear",
        "use listen.https; or name the proxy in front that speaks TLS in trusted_proxies and let only it through",
    )
}

fn management(address: &ListenAddress) -> Option<Fault> {
    let ListenAddress::Tcp(tcp) = address else { return None };
    let at = format!("listen.management {address}");
    let help = "listen on loopback, or on an address of the network your monitoring is in";
    if tcp.ip().is_unspecified() {
        let what = "metrics and health can be read from every network this machine is in";
        return Some(Fault::warning(Area::Listeners, "management-public", at, what, help));
    }
    is_public(tcp.ip()).then(|| {
        Fault::error(
            Area::Listeners,
            "management-public",
            at,
            "metrics and health can be read by anybody",
            help,
        )
    })
}

/// Whether an address is one of the internet.
///
/// Source: the special-purpose registries of RFC 6890, those of them that a listener can have.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets().first_chunk() == Some(&[100_u8]) && v4.octets().get(1).is_some_and(|second| second & 0xc0 == 64);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || shared)
        }
        IpAddr::V6(v6) => !(v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_internet_are_told_from_ones_own() {
        for (address, public) in [
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("100.1.0.1", true),
            ("169.254.1.1", false),
            ("203.0.113.9", true),
            ("::1", false),
            ("fd00::1", false),
            ("fe80::1", false),
            ("2001:db8::1", true),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }
}
