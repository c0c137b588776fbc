//! IP patterns: `W240` empty, `W241` nearly everybody, `W242` overlaps, `W243` one family only, `W244` read the other way round.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write;

use crate::base::diagnostic::Diagnostic;
use crate::model::ip_pattern::AddressRange;

use super::super::condition::Condition;
use super::super::definitions::{Definitions, IpPattern};
use super::super::load::Context;
use super::finding;

pub(super) fn analyse(definitions: &Definitions, context: &Context, found: &mut Vec<Diagnostic>) {
    let patterns = &definitions.ip_patterns;
    for pattern in patterns {
        one(pattern, context, found);
        covered_entries(pattern, found);
    }
    for (number, pattern) in patterns.iter().enumerate() {
        for other in patterns.iter().skip(number + 1) {
            overlap(pattern, other, found);
        }
        for other in patterns {
            if other
                .exclude
                .iter()
                .any(|entry| entry.strip_prefix('@') == Some(pattern.name.as_str()))
            {
                found.push(
                    finding(
                        "W244",
                        format!(
                            "`{}` is excluded by `{}`: whatever is taken out of it gets in there",
                            pattern.name, other.name
                        ),
                    )
                    .at(pattern.at.span())
                    .also(other.at.span(), "excluded here"),
                );
            }
        }
    }
    inverse_guards(definitions, found);
}

fn one(pattern: &IpPattern, context: &Context, found: &mut Vec<Diagnostic>) {
    let addresses = &pattern.addresses;
    if addresses.is_empty() {
        found.push(
            finding("W240", format!("IP pattern `{}` contains no address", pattern.name))
                .at(pattern.at.span())
                .label(if pattern.exclude.is_empty() {
                    "nothing is included"
                } else {
                    "all that is included is excluded again"
                }),
        );
        return;
    }
    let v4_half = addresses.v4_count() >= 1 << 31;
    let v6_half = addresses.v6_count() >= 1 << 127;
    if !pattern.allow_all && (v4_half || v6_half) {
        let family = match (v4_half, v6_half) {
            (true, true) => "IPv4 and IPv6",
            (true, false) => "IPv4",
            (false, _) => "IPv6",
        };
        found.push(
            finding(
                "W241",
                format!("IP pattern `{}` contains half of all {family} addresses or more", pattern.name),
            )
            .at(pattern.at.span())
            .help("name the networks that are meant; `allow_all = true` if everybody is"),
        );
    }
    if context.both_families && (addresses.v4_count() == 0) != (addresses.v6_count() == 0) {
        let (has, lacks) = if addresses.v6_count() == 0 {
            ("IPv4", "IPv6")
        } else {
            ("IPv6", "IPv4")
        };
        found.push(
            finding(
                "W243",
                format!(
                    "IP pattern `{}` has {has} addresses only, and the gateway is reached over {lacks} too",
                    pattern.name
                ),
            )
            .at(pattern.at.span())
            .help(format!("add the {lacks} networks of the same place")),
        );
    }
}

/// Entries of `include` that the others contain already. Of two that are equal, the later one is told.
fn covered_entries(pattern: &IpPattern, found: &mut Vec<Diagnostic>) {
    let mut told: Vec<usize> = Vec::new();
    let (mut v4, mut v6) = (BTreeMap::new(), BTreeMap::new());
    for (number, entry) in pattern.include.iter().enumerate() {
        let Ok(range) = AddressRange::parse(entry) else { continue };
        let (family, ends) = match range {
            AddressRange::V4(range) => (&mut v4, (u128::from(*range.start()), u128::from(*range.end()))),
            AddressRange::V6(range) => (&mut v6, (*range.start(), *range.end())),
        };
        match family.entry(ends) {
            Entry::Vacant(free) => {
                free.insert(number);
            }
            Entry::Occupied(_) => told.push(number),
        }
    }
    told.extend(covered(&v4));
    told.extend(covered(&v6));
    told.sort_unstable();
    for entry in told.iter().filter_map(|number| pattern.include.get(*number)) {
        found.push(finding("W242", format!("\"{entry}\" is covered by other entries of `{}`", pattern.name)).at(pattern.at.span()));
    }
}

/// The numbers of the ranges in which no address is in that range alone; ends included, all of one family.
fn covered(ranges: &BTreeMap<(u128, u128), usize>) -> Vec<usize> {
    // Between two cuts an address is in as many ranges as its neighbours.
    let mut cuts: Vec<u128> = ranges
        .keys()
        .flat_map(|(first, last)| [Some(*first), last.checked_add(1)])
        .flatten()
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let place = |address: u128| cuts.partition_point(|cut| *cut < address);
    let pieces = |(first, last): &(u128, u128)| place(*first)..last.checked_add(1).map_or(cuts.len(), place);
    let mut begin = vec![0_usize; cuts.len() + 1];
    let mut end = begin.clone();
    for range in ranges.keys() {
        let of_it = pieces(range);
        for (count, at) in [(&mut begin, of_it.start), (&mut end, of_it.end)] {
            if let Some(count) = count.get_mut(at) {
                *count += 1;
            }
        }
    }
    // How many pieces before each lie in one range only.
    let (mut depth, mut alone) = (0, 0);
    let alone_before: Vec<usize> = begin
        .iter()
        .zip(&end)
        .map(|(begun, ended)| {
            let before = alone;
            depth = depth + begun - ended;
            alone += usize::from(depth == 1);
            before
        })
        .collect();
    ranges
        .iter()
        .filter(|(range, _)| {
            let of_it = pieces(range);
            alone_before.get(of_it.start) == alone_before.get(of_it.end)
        })
        .map(|(_, number)| *number)
        .collect()
}

fn overlap(one: &IpPattern, other: &IpPattern, found: &mut Vec<Diagnostic>) {
    let refers = |from: &IpPattern, to: &IpPattern| {
        from.include
            .iter()
            .chain(&from.exclude)
            .any(|entry| entry.strip_prefix('@') == Some(to.name.as_str()))
    };
    let both = one.addresses.intersection(&other.addresses);
    if both.is_empty() || refers(one, other) || refers(other, one) {
        return;
    }
    let mut ranges = String::new();
    for (number, range) in both.ranges().enumerate() {
        if number == 4 {
            let _ = write!(ranges, " and {} more", both.range_count() - 4);
            break;
        }
        let _ = write!(ranges, "{}{range}", if number == 0 { "" } else { ", " });
    }
    found.push(
        finding("W242", format!("IP patterns `{}` and `{}` share {ranges}", one.name, other.name))
            .at(other.at.span())
            .also(one.at.span(), "the other one"),
    );
}

/// Patterns and roles that `guard.when` reads: taking something out of them, or taking the role away, opens what the guard shuts.
fn inverse_guards(definitions: &Definitions, found: &mut Vec<Diagnostic>) {
    for guard in &definitions.guards {
        let Some(when) = &guard.when else { continue };
        let mut names: Vec<String> = Vec::new();
        when.walk(&mut |condition: &Condition| {
            names.extend(condition.ip_pattern.iter().map(|name| format!("IP pattern `{name}`")));
            names.extend(
                condition
                    .roles
                    .iter()
                    .chain(&condition.all_roles)
                    .map(|name| format!("role `{name}`")),
            );
        });
        names.sort();
        names.dedup();
        for name in names {
            found.push(
                finding(
                    "W244",
                    format!(
                        "guard \"{}\" reads {name} in `when`: who is outside of it is not stopped",
                        guard.name
                    ),
                )
                .at(when.at.span())
                .help("where that is not meant, write the exception in `unless`"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::covered;

    proptest! {
        #[test]
        fn covered_are_those_whose_every_address_is_in_another(ends in prop::collection::btree_set((0_u128..24, 0_u128..6), 0..9)) {
            let ranges: BTreeSet<(u128, u128)> = ends.iter().map(|(first, more)| (*first, first + more)).collect();
            let numbered: BTreeMap<(u128, u128), usize> = ranges.iter().copied().zip(0..).collect();
            let expected: Vec<usize> = numbered
                .iter()
                .filter(|(range, _)| {
                    let others = || ranges.iter().filter(|other| other != range);
                    (range.0..=range.1).all(|address| others().any(|other| (other.0..=other.1).contains(&address)))
                })
                .map(|(_, number)| *number)
                .collect();
            prop_assert_eq!(covered(&numbered), expected);
        }
    }

    #[test]
    fn the_last_address_of_all_counts_too() {
        let ranges = |all: &[(u128, u128)]| all.iter().copied().zip(0..).collect::<BTreeMap<_, usize>>();
        assert_eq!(covered(&ranges(&[(5, u128::MAX), (7, u128::MAX)])), [1]);
        assert_eq!(covered(&ranges(&[(0, u128::MAX)])), [0_usize; 0]);
        assert_eq!(covered(&ranges(&[])), [0_usize; 0]);
    }
}
