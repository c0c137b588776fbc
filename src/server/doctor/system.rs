//! What the system gives: file descriptors, and rules of time zones.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use crate::config::Limits;

use super::fault::{Area, Fault};

/// Descriptors besides those of connections: store, logs, listeners, runtimes.
const OTHERS: u64 = 128;
/// Where systems keep the text their time zone files were made of.
const SYSTEM_ZONES: &str = "/usr/share/zoneinfo/tzdata.zi";

/// Too few file descriptors for the connections that the settings allow. Asked of the process that serves, or would.
pub(super) fn descriptors(limits: &Limits) -> Option<Fault> {
    judge_descriptors(getrlimit(Resource::Nofile).maximum, limits.connections)
}

fn judge_descriptors(most: Option<u64>, connections: usize) -> Option<Fault> {
    let most = most?;
    // A client's connection, and one to its application.
    let needed = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_mul(2)
        .saturating_add(OTHERS);
    (most < needed).then(|| {
        Fault::warning(
            Area::System,
            "descriptors",
            "limits.connections",
            format!("{connections} connections need up to {needed} file descriptors, and the process may have {most}"),
            format!("set LimitNOFILE={needed} in the unit (`ulimit -Hn` elsewhere), or lower limits.connections"),
        )
    })
}

/// The machine knows newer rules of time zones than were built in; windows of the policies go by those built in.
pub(super) fn zones(built_in: &str) -> Option<Fault> {
    let text = fs::read_to_string(Path::new(SYSTEM_ZONES)).ok()?;
    judge_zones(built_in, text.lines().next()?)
}

fn judge_zones(built_in: &str, first_line: &str) -> Option<Fault> {
    let of_system = first_line.strip_prefix("# version ")?.trim();
    // Releases are a year and a letter, so they order as text: 2025b, 2025c, 2026a.
    (of_system > built_in).then(|| {
        Fault::warning(
            Area::System,
            "time-zones",
            SYSTEM_ZONES,
            format!("the system has the time zones of {of_system}, portcullis was built with those of {built_in}"),
            "windows in policies go by the older rules: upgrade portcullis, or build it anew after `cargo update`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_need_descriptors() {
        for (name, most, connections, wrong) in [
            ("no limit", None, 1_000_000, false),
            ("as systemd gives", Some(524_288), 20_000, false),
            ("an old shell", Some(4096), 20_000, true),
            ("a small house", Some(4096), 1000, false),
        ] {
            assert_eq!(judge_descriptors(most, connections).is_some(), wrong, "{name}");
        }
    }

    #[test]
    fn newer_time_zones_of_the_system_are_told() {
        for (line, wrong) in [
            ("# version 2025b", false),
            ("# version 2024a", false),
            ("# version 2026a", true),
            ("# something else", false),
        ] {
            assert_eq!(judge_zones("2025b", line).is_some(), wrong, "{line}");
        }
    }
}
