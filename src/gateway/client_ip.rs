//! Which address to believe when proxies stand in between.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderMap;

use crate::model::ip_pattern::{AddressSet, fold_mapped};

/// The most hops that are read. Longer chains are none of ours.
const MOST_HOPS: usize = 32;

/// Where a request came from, as far as we can believe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client's address. `None` where a hop could not be read: then it matches no pattern.
    pub address: Option<IpAddr>,
    /// Hops that are believed, the farthest first; the client's own address is the first of them, the peer is not among them.
    pub chain: Vec<IpAddr>,
    /// Whether the peer itself is a trusted proxy.
    pub through_proxy: bool,
}

/// The address the request came from.
///
/// Walks `X-Forwarded-For` from the right over trusted hops and stops at the first address that is not one of ours. IPv4-mapped IPv6
/// addresses are folded to IPv4, and nothing else is: haproxy reads `::10.9.0.1` and `2002:a09:1::` as 10.9.0.1 and opens the gate.
/// An element that cannot be read ends the walk, and the address is unknown: we do not guess.
///
/// `peer` is `None` on a Unix socket, where whoever may connect is trusted as a proxy if there are any.
///
/// Source: RFC 7239 section 7.4; the header itself has no standard.
#[must_use]
pub fn client_ip(peer: Option<IpAddr>, trusted: &AddressSet, headers: &HeaderMap) -> Client {
    let peer = peer.map(fold_mapped);
    let through_proxy = is_proxy(peer, trusted);
    let mut client = Client {
        address: peer,
        chain: Vec::new(),
        through_proxy,
    };
    if !through_proxy {
        return client;
    }
    let values: Vec<&[u8]> = headers.get_all("x-forwarded-for").iter().map(http::HeaderValue::as_bytes).collect();
    let elements = values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
    for element in elements.take(MOST_HOPS) {
        let Some(hop) = read_hop(element) else {
            client.address = None;
            return client;
        };
        client.address = Some(hop);
        client.chain.insert(0, hop);
        if !trusted.contains(hop) {
            break;
        }
    }
    client
}

/// Whether whoever is connected is a trusted proxy.
#[must_use]
pub fn is_proxy(peer: Option<IpAddr>, trusted: &AddressSet) -> bool {
    match peer {
        Some(peer) => trusted.contains(fold_mapped(peer)),
        None => !trusted.is_empty(),
    }
}

/// Reads one element: an address, nothing around it but blanks, no port, no zone, no leading zeros.
fn read_hop(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?.trim_matches([' ', '\t']);
    // `Ipv4Addr` refuses leading zeros and short forms, `Ipv6Addr` refuses zones.
    let address = match text.parse::<Ipv4Addr>() {
        Ok(address) => IpAddr::V4(address),
        Err(_) => IpAddr::V6(text.parse::<Ipv6Addr>().ok()?),
    };
    Some(fold_mapped(address))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use crate::model::ip_pattern::AddressRange;

    use super::*;

    fn trusted(ranges: &[&str]) -> AddressSet {
        AddressSet::of(ranges.iter().map(|range| AddressRange::parse(range).unwrap()))
    }

    #[test]
    fn the_right_most_hop_that_is_not_ours_is_the_client() {
        let own = ["10.0.0.0/8", "::1"];
        for (name, peer, lines, address, chain) in [
            ("a stranger says nothing", "192.0.2.7", vec![], Some("192.0.2.7"), vec![]),
            (
                "a stranger is not believed",
                "192.0.2.7",
                vec!["10.0.0.1"],
                Some("192.0.2.7"),
                vec![],
            ),
            ("a proxy that says nothing", "10.0.0.1", vec![], Some("10.0.0.1"), vec![]),
            ("one hop", "10.0.0.1", vec!["192.0.2.7"], Some("192.0.2.7"), vec!["192.0.2.7"]),
            (
                "a forged hop on the left",
                "10.0.0.1",
                vec!["10.9.9.9, 192.0.2.7"],
                Some("192.0.2.7"),
                vec!["192.0.2.7"],
            ),
            (
                "two proxies",
                "10.0.0.1",
                vec!["192.0.2.7, 10.0.0.2"],
                Some("192.0.2.7"),
                vec!["192.0.2.7", "10.0.0.2"],
            ),
            (
                "two lines",
                "10.0.0.1",
                vec!["6.6.6.6", "192.0.2.7", "10.0.0.2"],
                Some("192.0.2.7"),
                vec!["192.0.2.7", "10.0.0.2"],
            ),
            (
                "only proxies",
                "10.0.0.1",
                vec!["10.0.0.3, 10.0.0.2"],
                Some("10.0.0.3"),
                vec!["10.0.0.3", "10.0.0.2"],
            ),
            (
                "mapped peer",
                "::ffff:10.0.0.1",
                vec!["192.0.2.7"],
                Some("192.0.2.7"),
                vec!["192.0.2.7"],
            ),
            (
                "mapped hop",
                "10.0.0.1",
                vec!["::ffff:192.0.2.7"],
                Some("192.0.2.7"),
                vec!["192.0.2.7"],
            ),
            ("IPv6", "::1", vec!["2001:db8::1"], Some("2001:db8::1"), vec!["2001:db8::1"]),
            (
                "compatible is not IPv4",
                "10.0.0.1",
                vec!["192.0.2.7, ::10.9.0.1"],
                Some("::10.9.0.1"),
                vec!["::10.9.0.1"],
            ),
            (
                "6to4 is not IPv4",
                "10.0.0.1",
                vec!["192.0.2.7, 2002:a09:1::"],
                Some("2002:a09:1::"),
                vec!["2002:a09:1::"],
            ),
            ("a word", "10.0.0.1", vec!["192.0.2.7, unknown"], None, vec![]),
            (
                "a word beyond a proxy",
                "10.0.0.1",
                vec!["unknown, 10.0.0.2"],
                None,
                vec!["10.0.0.2"],
            ),
            ("empty", "10.0.0.1", vec![""], None, vec![]),
            ("empty at the end", "10.0.0.1", vec!["192.0.2.7,"], None, vec![]),
            ("port", "10.0.0.1", vec!["192.0.2.7:80"], None, vec![]),
            ("brackets", "10.0.0.1", vec!["[2001:db8::1]"], None, vec![]),
            ("zone", "10.0.0.1", vec!["fe80::1%eth0"], None, vec![]),
            ("leading zero", "10.0.0.1", vec!["192.0.02.7"], None, vec![]),
            ("short form", "10.0.0.1", vec!["192.2"], None, vec![]),
            ("number", "10.0.0.1", vec!["3221225991"], None, vec![]),
            ("quoted", "10.0.0.1", vec!["\"192.0.2.7\""], None, vec![]),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", HeaderValue::from_static(line));
            }
            let client = client_ip(Some(peer.parse().unwrap()), &trusted(&own), &headers);
            assert_eq!(client.address, address.map(|text: &str| text.parse().unwrap()), "{name}");
            let chain: Vec<IpAddr> = chain.iter().map(|text: &&str| text.parse().unwrap()).collect();
            assert_eq!(client.chain, chain, "{name}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_end_the_walk() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_bytes(b"192.0.2.7, \xff").unwrap());
        assert_eq!(
            client_ip(Some("10.0.0.1".parse().unwrap()), &trusted(&["10.0.0.0/8"]), &headers).address,
            None
        );
    }

    #[test]
    fn without_trusted_proxies_nobody_is_believed() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("192.0.2.7"));
        let client = client_ip(Some("127.0.0.1".parse().unwrap()), &AddressSet::default(), &headers);
        assert_eq!(client.address, Some("127.0.0.1".parse().unwrap()));
        assert!(!client.through_proxy);
        assert_eq!(
            client_ip(None, &AddressSet::default(), &headers).address,
            None,
            "a Unix socket has no address"
        );
    }

    #[test]
    fn a_chain_is_read_so_far_and_no_further() {
        let mut headers = HeaderMap::new();
        let chain = vec!["10.0.0.2"; 40].join(", ");
        headers.append("x-forwarded-for", HeaderValue::from_str(&format!("192.0.2.7, {chain}")).unwrap());
        let client = client_ip(Some("10.0.0.1".parse().unwrap()), &trusted(&["10.0.0.0/8"]), &headers);
        assert_eq!(client.chain.len(), MOST_HOPS);
    }
}
