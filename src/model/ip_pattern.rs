//! IP patterns: sets of addresses, as people write them and as they are asked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// The most ranges one pattern may come to once merged.
pub const MOST_RANGES: usize = 4096;

/// Why a text is no address, network or range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// Nothing we can read.
    #[error("not an address, a network like 10.1.2.0/24, a range like 192.0.2.10-192.0.2.40 or a wildcard like 10.1.*.*")]
    Unreadable,
    /// A network with bits set after its prefix; the network that was probably meant.
    #[error("{written} has bits after the prefix; did you mean {meant}?")]
    HostBits {
        /// As written.
        written: String,
        /// The network of that prefix.
        meant: IpNet,
    },
    /// The end lies before the start, or the two are of different families.
    #[error("a range goes from the lower to the higher address of one family")]
    Backwards,
}

/// Folds an IPv4-mapped IPv6 address (`::ffff:0:0/96`, RFC 4291 section 2.5.5.2) to IPv4, and nothing else.
///
/// Other addresses that embed IPv4 (compatible, 6to4, NAT64) are left alone: reading them as IPv4 has opened gates elsewhere.
#[must_use]
pub fn fold_mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// One entry of a pattern: addresses from the first to the last, both of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressRange {
    /// IPv4 addresses as numbers.
    V4(RangeInclusive<u32>),
    /// IPv6 addresses as numbers.
    V6(RangeInclusive<u128>),
}

impl AddressRange {
    /// Reads `192.0.2.7`, `10.1.2.0/24`, `10.1.*.*`, `192.0.2.10-192.0.2.40`, `2001:db8::/32`.
    ///
    /// # Errors
    /// [`InvalidRange`]; for a network with host bits it offers the one that was meant.
    pub fn parse(text: &str) -> Result<Self, InvalidRange> {
        if text.contains('*') {
            return wildcard(text);
        }
        if let Some((first, last)) = text.split_once('-') {
            return between(first.trim(), last.trim());
        }
        if let Some((address, length)) = text.split_once('/') {
            let net = network(address, length).ok_or(InvalidRange::Unreadable)?;
            if net.trunc() != net {
                return Err(InvalidRange::HostBits {
                    written: text.to_owned(),
                    meant: net.trunc(),
                });
            }
            return Ok(Self::of_net(net));
        }
        let address: IpAddr = text.parse().map_err(|_| InvalidRange::Unreadable)?;
        Ok(Self::of_address(address))
    }

    /// One address.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        match fold_mapped(address) {
            IpAddr::V4(v4) => Self::V4(v4.into()..=v4.into()),
            IpAddr::V6(v6) => Self::V6(v6.into()..=v6.into()),
        }
    }

    /// A network. One inside `::ffff:0:0/96` is the IPv4 network it stands for.
    #[must_use]
    pub fn of_net(net: IpNet) -> Self {
        match net {
            IpNet::V4(v4) => Self::V4(v4.network().into()..=v4.broadcast().into()),
            IpNet::V6(v6) => match (v6.network().to_ipv4_mapped(), v6.broadcast().to_ipv4_mapped()) {
                (Some(first), Some(last)) => Self::V4(first.into()..=last.into()),
                _ => Self::V6(v6.network().into()..=v6.broadcast().into()),
            },
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last): (IpAddr, IpAddr) = match self {
            Self::V4(range) => (Ipv4Addr::from(*range.start()).into(), Ipv4Addr::from(*range.end()).into()),
            Self::V6(range) => (Ipv6Addr::from(*range.start()).into(), Ipv6Addr::from(*range.end()).into()),
        };
        if first == last {
            write!(f, "{first}")
        } else {
            write!(f, "{first}-{last}")
        }
    }
}

/// Reads both parts as strictly as an address alone: the library's own reader takes `010.0.0.0/8` for 10.0.0.0/8, others for 8.0.0.0/8.
fn network(address: &str, length: &str) -> Option<IpNet> {
    let digits: u8 = length.parse().ok()?;
    IpNet::new(address.parse().ok()?, digits)
        .ok()
        .filter(|_| digits.to_string() == length)
}

fn wildcard(text: &str) -> Result<AddressRange, InvalidRange> {
    let parts: Vec<&str> = text.split('.').collect();
    let [a, b, c, d] = parts.as_slice() else {
        return Err(InvalidRange::Unreadable);
    };
    let mut first: u32 = 0;
    let mut last: u32 = 0;
    let mut starred = false;
    for part in [a, b, c, d] {
        let (low, high) = if *part == "*" {
            starred = true;
            (0, 255)
        } else {
            // After a star only stars: `10.*.3.4` would be 256 ranges, and nobody means it.
            let leading_zero = part.len() > 1 && part.starts_with('0');
            let digits = part.bytes().all(|byte| byte.is_ascii_digit());
            let value: u8 = part.parse().map_err(|_| InvalidRange::Unreadable)?;
            if starred || leading_zero || !digits {
                return Err(InvalidRange::Unreadable);
            }
            (u32::from(value), u32::from(value))
        };
        first = (first << 8) | low;
        last = (last << 8) | high;
    }
    Ok(AddressRange::V4(first..=last))
}

fn between(first: &str, last: &str) -> Result<AddressRange, InvalidRange> {
    let read = |text: &str| text.parse::<IpAddr>().map_err(|_| InvalidRange::Unreadable);
    let (first, last) = (read(first)?, read(last)?);
    // As in a network: it is of IPv4 if both ends are.
    let ends = match (fold_mapped(first), fold_mapped(last)) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (first.into(), last.into()),
        _ => (first, last),
    };
    match ends {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => Ok(AddressRange::V4(first.into()..=last.into())),
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => Ok(AddressRange::V6(first.into()..=last.into())),
        _ => Err(InvalidRange::Backwards),
    }
}

/// A set of addresses: sorted, disjoint, merged ranges. Asking takes the logarithm of their number.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AddressSet {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl AddressSet {
    /// The addresses of all these ranges.
    #[must_use]
    pub fn of(ranges: impl IntoIterator<Item = AddressRange>) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for range in ranges {
            match range {
                AddressRange::V4(range) => v4.push((*range.start(), *range.end())),
                AddressRange::V6(range) => v6.push((*range.start(), *range.end())),
            }
        }
        Self {
            v4: merge(v4),
            v6: merge(v6),
        }
    }

    /// Every address of both families.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            v4: Box::new([(0, u32::MAX)]),
            v6: Box::new([(0, u128::MAX)]),
        }
    }

    /// Whether the address is in it. IPv4-mapped IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match fold_mapped(address) {
            IpAddr::V4(v4) => holds(&self.v4, v4.into()),
            IpAddr::V6(v6) => holds(&self.v6, v6.into()),
        }
    }

    /// Addresses that are in this or the other.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            v4: merge(self.v4.iter().chain(&other.v4).copied().collect()),
            v6: merge(self.v6.iter().chain(&other.v6).copied().collect()),
        }
    }

    /// Addresses that are in this and the other.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            v4: common(&self.v4, &other.v4),
            v6: common(&self.v6, &other.v6),
        }
    }

    /// Addresses that are in this and not in the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self {
            v4: without(&self.v4, &other.v4),
            v6: without(&self.v6, &other.v6),
        }
    }

    /// Whether no address is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether each address in it is in the other too.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.minus(other).is_empty()
    }

    /// How many ranges it comes to.
    #[must_use]
    pub fn range_count(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// How many IPv4 addresses are in it.
    #[must_use]
    pub fn v4_count(&self) -> u64 {
        self.v4.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// How many IPv6 addresses are in it, at most `u128::MAX`.
    #[must_use]
    pub fn v6_count(&self) -> u128 {
        self.v6
            .iter()
            .fold(0, |sum: u128, (first, last)| sum.saturating_add((last - first).saturating_add(1)))
    }

    /// The ranges, IPv4 first, each family in order.
    pub fn ranges(&self) -> impl Iterator<Item = AddressRange> + '_ {
        let v4 = self.v4.iter().map(|(first, last)| AddressRange::V4(*first..=*last));
        let v6 = self.v6.iter().map(|(first, last)| AddressRange::V6(*first..=*last));
        v4.chain(v6)
    }

    /// The lowest address in it, IPv4 before IPv6.
    #[must_use]
    pub fn first(&self) -> Option<IpAddr> {
        let v4 = self.v4.first().map(|(first, _)| IpAddr::V4((*first).into()));
        v4.or_else(|| self.v6.first().map(|(first, _)| IpAddr::V6((*first).into())))
    }
}

/// What the algorithms on ranges need of a number.
trait Number: Copy + Ord {
    fn next(self) -> Option<Self>;
    fn previous(self) -> Option<Self>;
}

impl Number for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl Number for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

fn holds<N: Number>(ranges: &[(N, N)], number: N) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= number);
    after
        .checked_sub(1)
        .and_then(|index| ranges.get(index))
        .is_some_and(|(_, last)| number <= *last)
}

fn merge<N: Number>(mut ranges: Vec<(N, N)>) -> Box<[(N, N)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(N, N)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            // Ranges that touch become one, so that equal sets are equal values.
            Some((_, end)) if end.next().is_none_or(|next| first <= next) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

fn common<N: Number>(left: &[(N, N)], right: &[(N, N)]) -> Box<[(N, N)]> {
    let mut out = Vec::new();
    let (mut lefts, mut rights) = (left.iter().peekable(), right.iter().peekable());
    while let (Some((a, b)), Some((c, d))) = (lefts.peek(), rights.peek()) {
        let (first, last) = ((*a).max(*c), (*b).min(*d));
        if first <= last {
            out.push((first, last));
        }
        if b <= d {
            lefts.next();
        } else {
            rights.next();
        }
    }
    out.into()
}

fn without<N: Number>(left: &[(N, N)], right: &[(N, N)]) -> Box<[(N, N)]> {
    let mut out = Vec::new();
    for (first, last) in left {
        let mut rest = Some(*first);
        let from = right.partition_point(|(_, end)| end < first);
        for (cut_first, cut_last) in right.iter().skip(from).take_while(|(start, _)| start <= last) {
            let Some(start) = rest else { break };
            if let Some(before) = cut_first.previous().filter(|before| *before >= start && cut_first > &start) {
                out.push((start, before));
            }
            rest = cut_last.next().map(|next| next.max(start));
        }
        if let Some(start) = rest.filter(|start| start <= last) {
            out.push((start, *last));
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(entries: &[&str]) -> AddressSet {
        AddressSet::of(entries.iter().map(|entry| AddressRange::parse(entry).unwrap()))
    }

    #[test]
    fn patterns_contain_what_they_say() {
        for (name, pattern, address, expected) in [
            ("one address", "192.0.2.7", "192.0.2.7", true),
            ("its neighbour", "192.0.2.7", "192.0.2.8", false),
            ("first of a network", "10.1.2.0/24", "10.1.2.0", true),
            ("last of a network", "10.1.2.0/24", "10.1.2.255", true),
            ("after a network", "10.1.2.0/24", "10.1.3.0", false),
            ("wildcard", "10.1.*.*", "10.1.255.3", true),
            ("outside a wildcard", "10.1.*.*", "10.2.0.1", false),
            ("range", "192.0.2.10-192.0.2.40", "192.0.2.40", true),
            ("after a range", "192.0.2.10-192.0.2.40", "192.0.2.41", false),
            ("mapped IPv6", "10.1.0.0/16", "::ffff:10.1.0.1", true),
            ("compatible IPv6 is not IPv4", "10.1.0.0/16", "::10.1.0.1", false),
            ("6to4 is not IPv4", "10.1.0.0/16", "2002:a01:1::", false),
            ("IPv6 network", "2001:db8::/32", "2001:db8:ffff::1", true),
            ("outside an IPv6 network", "2001:db8::/32", "2001:db9::", false),
            ("a mapped pattern is IPv4", "::ffff:10.1.0.0/112", "10.1.0.9", true),
            ("everything of IPv4 has no IPv6", "0.0.0.0/0", "::1", false),
        ] {
            assert_eq!(set(&[pattern]).contains(address.parse().unwrap()), expected, "{name}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for text in [
            "",
            "10.1.2",
            "10.1.2.256",
            "010.1.2.3",
            "10.*.3.4",
            "*",
            "10.1.*",
            "1.2.3.4/33",
            "::1%eth0",
            "10.1.2.+3",
            "a-b",
            "10.1.*.*/8",
            "010.0.0.0/8",
            "203.0.016.0/24",
            "10.0.0.0/08",
            "10.0.0.0/+8",
        ] {
            assert_eq!(AddressRange::parse(text), Err(InvalidRange::Unreadable), "{text}");
        }
        assert_eq!(AddressRange::parse("192.0.2.9-192.0.2.1"), Err(InvalidRange::Backwards));
        assert_eq!(AddressRange::parse("192.0.2.9-::1"), Err(InvalidRange::Backwards));
        let Err(InvalidRange::HostBits { meant, .. }) = AddressRange::parse("203.0.113.7/26") else {
            panic!("host bits")
        };
        assert_eq!(meant.to_string(), "203.0.113.0/26");
    }

    #[test]
    fn a_range_is_written_so_that_it_reads_back() {
        for text in [
            "192.0.2.7",
            "10.1.0.0/16",
            "::ffff:10.1.0.0/112",
            "2001:db8::/32",
            "::/80",
            "::1-::ffff:10.1.0.9",
        ] {
            let range = AddressRange::parse(text).unwrap();
            assert_eq!(AddressRange::parse(&range.to_string()), Ok(range), "{text}");
        }
    }

    #[test]
    fn exclusion_cuts_holes() {
        let rest = set(&["203.0.113.0/24"]).minus(&set(&["203.0.113.0", "203.0.113.250-203.0.113.255", "203.0.113.9"]));
        assert_eq!(rest.range_count(), 2);
        assert!(!rest.contains("203.0.113.0".parse().unwrap()));
        assert!(rest.contains("203.0.113.8".parse().unwrap()));
        assert!(!rest.contains("203.0.113.9".parse().unwrap()));
        assert_eq!(rest.v4_count(), 248);
        assert!(set(&["0.0.0.0/0"]).minus(&set(&["0.0.0.0/0"])).is_empty());
        assert!(AddressSet::everything().minus(&AddressSet::everything()).is_empty());
    }

    fn any_set() -> impl Strategy<Value = AddressSet> {
        // A small world, so that ranges meet; its ends are the ends of IPv4.
        let point = prop_oneof![0u32..40, (u32::MAX - 40)..=u32::MAX];
        proptest::collection::vec((point.clone(), point), 0..8)
            .prop_map(|ranges| AddressSet::of(ranges.into_iter().map(|(a, b)| AddressRange::V4(a.min(b)..=a.max(b)))))
    }

    proptest! {
        #[test]
        fn sets_obey_the_laws_of_sets(a in any_set(), b in any_set(), n in prop_oneof![0u32..42, (u32::MAX - 42)..=u32::MAX]) {
            let at = IpAddr::V4(n.into());
            prop_assert_eq!(a.union(&b).contains(at), a.contains(at) || b.contains(at));
            prop_assert_eq!(a.intersection(&b).contains(at), a.contains(at) && b.contains(at));
            prop_assert_eq!(a.minus(&b).contains(at), a.contains(at) && !b.contains(at));
            prop_assert_eq!(&a.minus(&b).union(&a.intersection(&b)), &a);
            prop_assert_eq!(a.intersection(&b), b.intersection(&a));
            prop_assert!(a.intersection(&b).is_within(&a));
        }
    }
}
