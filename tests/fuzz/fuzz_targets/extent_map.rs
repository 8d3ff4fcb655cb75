//! Runs any calls of a plugin on the extent map and on its oracle, and compares both (E12).

#![no_main]

#[path = "../../../host/crates/extent-map/tests/oracle/model.rs"]
mod model;
#[path = "../../../host/crates/extent-map/tests/oracle/script.rs"]
mod script;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| script::run_bytes(bytes));
