//! What portcullis promises, asked of a running one over real sockets. Each file is named after a promise.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may stop on the spot"
)]

mod a_broken_server_is_left_out;
mod a_person_signs_in;
mod an_application_fails;
mod backups_on_a_timer;
mod behind_a_balancer;
mod by_machine;
mod certificates_by_acme;
mod changes_are_foreseen;
mod commands;
mod connections_rest;
mod doctor;
mod forwarding;
mod framing;
mod ip_pattern_shuts_out;
mod monitoring;
mod nothing_is_sent_twice;
mod our_pages;
mod over_tls;
mod people_are_invited;
mod reload_keeps_old_rules;
mod support;
mod systemd;
mod teams_are_administered;
mod what_is_open_ends;

mod letters_arrive_once;
mod limits_hold;
mod mail_goes_safely;
mod the_clock_is_set;
mod the_disk_is_full;
mod the_store_is_away;
