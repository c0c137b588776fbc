//! Which rows there are, which tests run them, and how many cases stand in each.

use crate::support::Case;
use crate::support::case::run_rows;

/// Every case of the suite.
pub(crate) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for list in [crate::framing::cases] {
        all.extend(list());
    }
    all
}

#[test]
fn row_01_two_lengths_or_strange_codings() {
    run_rows(&[1]);
}
