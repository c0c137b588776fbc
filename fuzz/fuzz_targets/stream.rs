//! The laws of `fuzz/src/stream.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::stream::check(data));
