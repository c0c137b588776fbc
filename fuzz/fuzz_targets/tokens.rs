//! The laws of `fuzz/src/tokens.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::tokens::check(data));
