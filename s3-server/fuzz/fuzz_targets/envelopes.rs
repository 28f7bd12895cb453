//! See `../README.md`.
#![no_main]

use larder_server::fuzzing::{Target, run};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    run(Target::Envelopes, input);
});
