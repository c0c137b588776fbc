//! Where in the policy files something is written.

use std::fmt;
use std::ops::Range;

use crate::base::diagnostic::{Location, Span};

/// A place in the policy files: for people (file, line, column) and for carets (bytes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// File, line and column.
    pub location: Location,
    /// The bytes of that file.
    pub bytes: Range<usize>,
}

impl Place {
    /// The place of something that no file says: the built-in roles and the team `main`.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            location: Location {
                file: "built in".into(),
                line: 0,
                column: 0,
            },
            bytes: 0..0,
        }
    }

    /// Whether a file says it.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.location.line > 0
    }

    /// The stretch of the file, for a diagnostic.
    #[must_use]
    pub fn span(&self) -> Span {
        Span {
            file: self.location.file.clone(),
            bytes: self.bytes.clone(),
        }
    }

    /// File and line, as explanations show it: `policies/eln.toml:27`.
    #[must_use]
    pub fn line(&self) -> String {
        if self.is_written() {
            format!("{}:{}", self.location.file, self.location.line)
        } else {
            self.location.file.to_string()
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::built_in()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_written() {
            self.location.fmt(f)
        } else {
            f.write_str(&self.location.file)
        }
    }
}
