//! The laws of `fuzz/src/settings.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::settings::check(data));
