//! Which rows there are, which tests run them, and how many cases stand in each.

use std::collections::BTreeSet;

use crate::support::Case;
use crate::support::case::run_rows;

/// Rows about what is not built: their cases join with it. So do those of row 19 about answers of SAML.
const PENDING: [(u8, &str); 1] = [(28, "SAML")];

/// How many rows the table has.
const ROWS: u8 = 33;

/// Every case of the suite.
pub(crate) fn cases() -> Vec<Case> {
    let lists = [
        crate::framing::cases,
        crate::heads::cases,
        crate::bodies::cases,
        crate::behind::cases,
        crate::identity::cases,
        crate::paths::cases,
        crate::sessions::cases,
        crate::forms::cases,
        crate::guessing::cases,
        crate::pages::cases,
        crate::mail::cases,
        crate::slow::cases,
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
fn row_18_rights_that_end() {
    run_rows(&[18]);
}

#[test]
fn row_19_forms_of_others() {
    run_rows(&[19]);
}

#[test]
fn row_20_addresses_to_go_on_to() {
    run_rows(&[20]);
}

#[test]
fn row_21_where_links_of_letters_lead() {
    run_rows(&[21]);
}

#[test]
fn row_22_headers_of_letters_and_floods_of_them() {
    run_rows(&[22]);
}

#[test]
fn row_23_guessing() {
    run_rows(&[23]);
}

#[test]
fn row_24_finding_out_who_there_is() {
    run_rows(&[24]);
}

#[test]
fn row_25_floods_of_passwords() {
    run_rows(&[25]);
}

#[test]
fn row_26_what_is_written_into_pages_and_logs() {
    run_rows(&[26]);
}

#[test]
fn row_27_what_our_answers_forbid() {
    run_rows(&[27]);
}

#[test]
fn row_29_secrets_that_are_nearly_right() {
    run_rows(&[29]);
}

#[test]
fn row_30_our_cookies_and_applications() {
    run_rows(&[30]);
}

#[test]
fn row_31_good_once() {
    run_rows(&[31]);
}

#[test]
fn row_32_not_for_the_public() {
    run_rows(&[32]);
}

#[test]
fn row_33_matching_sees_the_path_alone() {
    run_rows(&[33]);
}

#[test]
fn no_row_is_without_cases_and_no_case_without_a_run() {
    let cases = cases();
    let pending: BTreeSet<u8> = PENDING.iter().map(|(row, _)| *row).collect();
    let tried: BTreeSet<u8> = cases.iter().map(|case| case.row).collect();
    let all: BTreeSet<u8> = (1..=ROWS).collect();
    assert_eq!(&tried | &pending, all);
    assert!(tried.is_disjoint(&pending));
    let mut names: BTreeSet<(u8, &str)> = BTreeSet::new();
    let twice: Vec<_> = cases
        .iter()
        .filter(|case| !names.insert((case.row, &case.name)))
        .map(|case| &case.name)
        .collect();
    assert!(twice.is_empty(), "cases have one name: {twice:?}");
    assert!(cases.iter().all(|case| !case.over.is_empty()));
    assert!(cases.len() >= 300, "{} cases", cases.len());
    // Each row that is tried has a test that runs all of it.
    let tests = include_str!("rows.rs");
    for row in tried {
        assert!(tests.contains(&format!("fn row_{row:02}_")), "no test runs row {row}");
        assert!(tests.contains(&format!("run_rows(&[{row}])")), "no test runs row {row}");
    }
    let runs: usize = cases.iter().map(|case| case.over.len()).sum();
    println!("{} cases, {runs} runs", cases.len());
}
