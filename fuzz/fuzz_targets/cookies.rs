//! The laws of `fuzz/src/cookies.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::cookies::check(data));
