//! Which rows there are, which tests run them, and how many cases stand in each.

use crate::support::Case;
use crate::support::case::run_rows;

/// Every case of the suite.
pub(crate) fn cases() -> Vec<Case> {
    let lists = [
        crate::framing::cases,
        crate::heads::cases,
        crate::bodies::cases,
        crate::behind::cases,
        crate::identity::cases,
        crate::paths::cases,
        crate::h2_heads::cases,
        crate::h2_frames::cases,
        crate::h2_claims::cases,
        crate::h2_floods::cases,
        crate::h2_slow::cases,
    ];
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
fn row_03_bad_chunks() {
    run_rows(&[3]);
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
fn row_06_bodies_left_over() {
    run_rows(&[6]);
}

#[test]
fn row_07_upgrades_and_expectations() {
    run_rows(&[7]);
}

#[test]
fn row_08_hostile_applications() {
    run_rows(&[8]);
}

#[test]
fn row_09_claims_of_who_one_is() {
    run_rows(&[9]);
}

#[test]
fn row_10_what_connection_names() {
    run_rows(&[10]);
}

#[test]
fn row_11_forwarded_fields() {
    run_rows(&[11]);
}

#[test]
fn row_12_client_addresses() {
    run_rows(&[12]);
}

#[test]
fn row_13_readings_of_paths() {
    run_rows(&[13]);
}

#[test]
fn row_14_slow_clients_and_crowds() {
    run_rows(&[14]);
}

#[test]
fn row_15_big_heads() {
    run_rows(&[15]);
}

#[test]
fn row_16_floods_of_http2() {
    run_rows(&[16]);
}

#[test]
fn row_17_cookies_changed_planted_and_doubled() {
    run_rows(&[17]);
}

#[test]
fn row_30_our_cookies_and_applications() {
    run_rows(&[30]);
}

#[test]
fn row_33_matching_sees_the_path_alone() {
    run_rows(&[33]);
}
