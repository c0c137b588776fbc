//! IP patterns: `W240` empty, `W241` nearly everybody, `W242` overlaps, `W243` one family only, `W244` read the other way round.

use std::fmt::Write;

use crate::base::diagnostic::Diagnostic;
use crate::model::ip_pattern::{AddressRange, AddressSet};

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

/// Entries of `include` that the others contain already.
fn covered_entries(pattern: &IpPattern, found: &mut Vec<Diagnostic>) {
    let ranges: Vec<Option<AddressSet>> = pattern
        .include
        .iter()
        .map(|entry| AddressRange::parse(entry).ok().map(|range| AddressSet::of([range])))
        .collect();
    for (number, set) in ranges.iter().enumerate() {
        let Some(set) = set else { continue };
        let others = ranges
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != number)
            .filter_map(|(other, range)| range.as_ref().map(|range| (other, range)));
        // Of two entries that are equal, the later one is told.
        let covering = others
            .filter(|(other, range)| *other < number || **range != *set)
            .fold(AddressSet::default(), |all, (_, range)| all.union(range));
        if set.is_within(&covering) {
            let entry = pattern.include.get(number).map_or("", String::as_str);
            found.push(finding("W242", format!("\"{entry}\" is covered by other entries of `{}`", pattern.name)).at(pattern.at.span()));
        }
    }
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
