//! The laws of `fuzz/src/paths.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::paths::check(data));
