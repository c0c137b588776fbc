//! The laws of `fuzz/src/admission.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::admission::check(data));
