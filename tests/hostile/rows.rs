//! Which rows there are, which tests run them, and how many cases stand in each.

use crate::support::Case;
use crate::support::case::run_rows;

/// Every case of the suite.
pub(crate) fn cases() -> Vec<Case> {
    let lists = [crate::framing::cases, crate::heads::cases];
    lists.iter().flat_map(|list| list()).collect()
}

#[test]
fn row_01_two_lengths_or_strange_codings() {
    run_rows(&[1]);
}

#[test]
fn row_02_odd_lengths() {
    run_rows(&[2]);
}

#[test]
fn row_04_lines_and_bytes_of_a_head() {
    run_rows(&[4]);
}

#[test]
fn row_05_hosts() {
    run_rows(&[5]);
}

#[test]
fn row_15_big_heads() {
    run_rows(&[15]);
}
