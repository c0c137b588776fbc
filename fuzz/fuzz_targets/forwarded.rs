//! The laws of `fuzz/src/forwarded.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::forwarded::check(data));
