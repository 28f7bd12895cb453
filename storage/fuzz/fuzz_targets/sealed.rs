//! See `../README.md`.
#![no_main]

use larder_storage::fuzzing::{Target, run};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    run(Target::Sealed, input);
});
