//! The laws of `fuzz/src/frames.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::frames::check(data));
