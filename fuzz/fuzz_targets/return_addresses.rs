//! The laws of `fuzz/src/return_addresses.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::return_addresses::check(data));
