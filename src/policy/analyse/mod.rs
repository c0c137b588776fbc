//! Findings about a policy that loads: what cannot be reached, given, met, or meant. A file for each kind.

mod addresses;
mod administrators;
mod conditions;
mod giving;
mod in_use;
mod paths;
mod reach;
mod upkeep;

use crate::base::diagnostic::Diagnostic;

use super::definitions::Definitions;
use super::load::Context;
use super::parse::CHECKS;
use super::selftest::TestOutcome;

pub use administrators::{Reach, administrators, could_administer};
pub use in_use::{NamesInUse, orphans, unused};

/// Everything that the definitions show by themselves.
pub(super) fn analyse(definitions: &Definitions, context: &Context) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    reach::analyse(definitions, &mut found);
    giving::analyse(definitions, &mut found);
    conditions::analyse(definitions, &mut found);
    addresses::analyse(definitions, context, &mut found);
    upkeep::analyse(definitions, context, &mut found);
    found
}

/// What the tests show: those that depend on the clock, and applications that are not tested both ways.
pub(super) fn analyse_tests(definitions: &Definitions, tests: &[TestOutcome]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    upkeep::tests(definitions, tests, &mut found);
    found
}

/// A finding at the level its code has when `[checks]` says nothing.
fn finding(code: &'static str, message: impl Into<String>) -> Diagnostic {
    let level = CHECKS
        .iter()
        .find(|(known, _)| *known == code)
        .map_or(crate::base::diagnostic::Level::Warning, |(_, level)| *level);
    Diagnostic::new(level, code, message)
}
