//! The only source of randomness in this crate, so that a seed replays a run.

use std::fmt::Debug;

use parking_lot::Mutex;

/// A source of random numbers, shared by reference.
pub trait Rng: Send + Sync + Debug {
    /// A uniformly distributed number.
    fn next_u64(&self) -> u64;
}

/// Randomness of the operating system (`getrandom`). Fit for identifiers that must not be guessed.
#[derive(Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn next_u64(&self) -> u64 {
        let mut bytes = [0_u8; 8];
        getrandom::fill(&mut bytes).unwrap_or_else(|error| {
            // Without entropy no safe identifier can be made: stopping is the only right thing.
            tracing::error!(%error, "the operating system gives no randomness");
            std::process::abort()
        });
        u64::from_le_bytes(bytes)
    }
}

/// A seeded generator (`SplitMix64`) for tests and simulation.
#[derive(Debug)]
pub struct SeededRng(Mutex<u64>);

impl SeededRng {
    /// The generator that `seed` determines.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Rng for SeededRng {
    fn next_u64(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
