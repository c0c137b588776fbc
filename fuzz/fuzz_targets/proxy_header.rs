//! The laws of `fuzz/src/proxy_header.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::proxy_header::check(data));
