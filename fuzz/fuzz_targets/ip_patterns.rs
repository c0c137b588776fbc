//! The laws of `fuzz/src/ip_patterns.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::ip_patterns::check(data));
