#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tower_influx_internals::internals::fuzz::spool(bytes));
