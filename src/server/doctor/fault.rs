//! What the doctor says: a fault, and the report of all of them. Also what `doctor --json` prints.

use serde::{Deserialize, Serialize};

use crate::model::role::words;

words!(
    /// What a fault is about.
    Area {
        /// What time this machine thinks it is.
        Clock = "clock",
        /// Settings and policies as they are on disk, and as they are in force.
        Policy = "policy",
        /// Who may read and write the files.
        Files = "files",
        /// The master key.
        Key = "master key",
        /// Certificates, ours and those of upstreams.
        Certificates = "certificates",
        /// What listens where, and who is believed.
        Listeners = "listeners",
        /// The store with its audit trail.
        Store = "store",
        /// Backups on a timer.
        Backup = "backup",
        /// The applications behind the gateway.
        Upstreams = "upstreams",
        /// The mail server.
        Mail = "mail",
        /// What the system gives.
        System = "system",
    }
);

words!(
    /// How bad it is.
    Severity {
        /// Something does not work, or is open that should be shut.
        Error = "error",
        /// It works today.
        Warning = "warning",
    }
);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What it is about.
    pub area: Area,
    /// How bad it is.
    pub severity: Severity,
    /// Stable, for scripts and for `--accept`: `mode-secret`, `certificate-ends`, …
    pub code: String,
    /// Where: a file, a setting, an application.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub help: String,
}

impl Fault {
    pub(super) fn error(area: Area, code: &str, at: impl Into<String>, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            area,
            severity: Severity::Error,
            code: code.to_owned(),
            at: at.into(),
            what: what.into(),
            help: help.into(),
        }
    }

    pub(super) fn warning(area: Area, code: &str, at: impl Into<String>, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(area, code, at, what, help)
        }
    }
}

/// Everything that was looked at, and what was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Whether a server runs on this store.
    pub running: bool,
    /// What was looked at.
    pub looked_at: Vec<Area>,
    /// What could not be looked at or was not asked for, and why.
    pub left_out: Vec<LeftOut>,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// An area that was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which.
    pub area: Area,
    /// Why.
    pub why: String,
}

impl Report {
    /// How many faults are this bad.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.faults.iter().filter(|fault| fault.severity == severity).count()
    }
}
