//! See `bodies/plan.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/plan.rs"]
mod plan;

fuzz_target!(|bytes: &[u8]| {
    plan::run(bytes);
});
