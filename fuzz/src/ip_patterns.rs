//! IP patterns: an entry has one reading, and sets of addresses are sets.
//!
//! Input: an entry a line; `-` in front takes it out again, `?` asks for an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portcullis::model::ip_pattern::{AddressRange, AddressSet, InvalidRange, fold_mapped};

/// The first and the last address of an entry, as numbers of one family.
type Ends = (bool, u128, u128);

/// Reads the entries twice and compares the sets with lists of ranges.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (mut into, mut out, mut probes) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.split('\n').take(24) {
        if let Some(asked) = line.strip_prefix('?') {
            probes.extend(asked.parse::<IpAddr>());
            continue;
        }
        let (entry, list) = match line.strip_prefix('-') {
            Some(entry) => (entry, &mut out),
            None => (line, &mut into),
        };
        if let Some(range) = one_reading(entry) {
            list.push(range);
        }
    }
    for range in into.iter().chain(&out) {
        let (v4, first, last) = ends(range);
        for number in [
            first.wrapping_sub(1),
            first,
            first.wrapping_add(1),
            last.wrapping_sub(1),
            last,
            last.wrapping_add(1),
        ] {
            probes.push(address(v4, number));
        }
    }
    sets_are_sets(&into, &out, &probes);
}

/// Reads an entry; whoever reads it strictly by other means must agree.
fn one_reading(entry: &str) -> Option<AddressRange> {
    let read = AddressRange::parse(entry);
    match &read {
        Ok(range) => {
            assert_eq!(strictly(entry), Some(ends(range)), "{entry:?}");
            let written = range.to_string();
            assert_eq!(AddressRange::parse(&written).as_ref(), Ok(range), "{entry:?} as {written:?}");
        }
        Err(InvalidRange::HostBits { meant, .. }) => {
            assert_eq!(strictly(entry), None, "{entry:?}");
            assert!(
                AddressRange::parse(&meant.to_string()).is_ok(),
                "what {entry:?} is told to be instead can be read"
            );
        }
        Err(InvalidRange::Unreadable | InvalidRange::Backwards) => assert_eq!(strictly(entry), None, "{entry:?}"),
    }
    read.ok()
}

fn strictly(entry: &str) -> Option<Ends> {
    if entry.contains('*') {
        let parts: Vec<&str> = entry.split('.').collect();
        let stars = parts.iter().rev().take_while(|part| **part == "*").count();
        if entry.matches('*').count() != stars {
            return None;
        }
        let end = |with: &str| {
            entry
                .replace('*', with)
                .parse::<Ipv4Addr>()
                .ok()
                .map(|address| u128::from(u32::from(address)))
        };
        return Some((true, end("0")?, end("255")?));
    }
    if let Some((first, last)) = entry.split_once('-') {
        let (first, last): (IpAddr, IpAddr) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let ((v4, low), (v4_too, high)) = (number(first), number(last));
        let (v4, low, high) = match (first, last) {
            _ if v4 && v4_too => (true, low, high),
            (IpAddr::V6(first), IpAddr::V6(last)) => (false, first.into(), last.into()),
            _ => return None,
        };
        return (low <= high).then_some((v4, low, high));
    }
    let Some((network, digits)) = entry.split_once('/') else {
        let (v4, number) = number(entry.parse().ok()?);
        return Some((v4, number, number));
    };
    let network: IpAddr = network.parse().ok()?;
    let most = if network.is_ipv4() { 32 } else { 128 };
    let length: u32 = digits.parse().ok()?;
    // A length has one spelling.
    if length > most || length.to_string() != digits {
        return None;
    }
    let rest = most - length;
    let hosts = if rest == 128 { u128::MAX } else { (1 << rest) - 1 };
    let (first, last) = match network {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), u128::from(u32::from(v4)) | hosts),
        IpAddr::V6(v6) => (u128::from(v6), u128::from(v6) | hosts),
    };
    if first & hosts != 0 {
        return None;
    }
    let mapped = 0xffff_u128 << 32;
    match network {
        // Within ::ffff:0:0/96 it is the IPv4 network.
        IpAddr::V6(_) if length >= 96 && first >> 32 == 0xffff => Some((true, first - mapped, last - mapped)),
        network => Some((network.is_ipv4(), first, last)),
    }
}

fn sets_are_sets(into: &[AddressRange], out: &[AddressRange], probes: &[IpAddr]) {
    let (one, two) = (AddressSet::of(into.iter().cloned()), AddressSet::of(out.iter().cloned()));
    let (both, either, rest) = (one.intersection(&two), one.union(&two), one.minus(&two));
    for probe in probes {
        let (in_one, in_two) = (is_in(into, *probe), is_in(out, *probe));
        assert_eq!(one.contains(*probe), in_one, "{probe}");
        assert_eq!(both.contains(*probe), in_one && in_two, "{probe} in both");
        assert_eq!(either.contains(*probe), in_one || in_two, "{probe} in either");
        assert_eq!(rest.contains(*probe), in_one && !in_two, "{probe} in the rest");
        if let IpAddr::V4(v4) = probe {
            assert_eq!(one.contains(v4.to_ipv6_mapped().into()), in_one, "{probe} mapped");
        }
    }
    assert_eq!(AddressSet::of(one.ranges()), one, "ranges are told whole");
    assert_eq!(rest.union(&both), one);
    assert_eq!(rest.union(&two), either);
    assert!(both.is_within(&one) && both.is_within(&two) && rest.intersection(&two).is_empty());
    assert_eq!(one.is_within(&two), rest.is_empty());
    assert_eq!(one.v4_count(), rest.v4_count() + both.v4_count());
    assert_eq!(one.first().is_none(), one.is_empty());
    assert!(one.is_within(&AddressSet::everything()));
}

fn is_in(ranges: &[AddressRange], probe: IpAddr) -> bool {
    let (v4, number) = number(probe);
    ranges
        .iter()
        .map(ends)
        .any(|(family, first, last)| family == v4 && (first..=last).contains(&number))
}

fn ends(range: &AddressRange) -> Ends {
    match range {
        AddressRange::V4(range) => (true, u128::from(*range.start()), u128::from(*range.end())),
        AddressRange::V6(range) => (false, *range.start(), *range.end()),
    }
}

fn number(address: IpAddr) -> (bool, u128) {
    match fold_mapped(address) {
        IpAddr::V4(v4) => (true, u128::from(u32::from(v4))),
        IpAddr::V6(v6) => (false, u128::from(v6)),
    }
}

fn address(v4: bool, number: u128) -> IpAddr {
    match u32::try_from(number) {
        Ok(number) if v4 => Ipv4Addr::from(number).into(),
        _ => Ipv6Addr::from(number).into(),
    }
}
