//! The simulation as part of `make test`: seeds that once failed, some more, and proof that it can fail.

use std::thread;

use larder_simulation::{Settings, run};
use larder_storage::mutation::Mutation;

/// Seeds that found a bug, each with a line on what it was. They must stay green.
const REGRESSIONS: &[u64] = &[
    // A disk whose log can't be read stopped the start instead of being given up.
    2, //
    // A commit that recovery adopted with fewer shards than its profile was served before they were made up for.
    4,
    18,
    19,
    36,
    41,
    45,
    100, //
    // The same, when the process died between the epoch frame and the making up.
    124, //
    // Extents of objects that were deleted while their disk was away stayed for ever.
    6, //
    // A copy of an adopted commit in a segment that claimed to be younger: its tombstone was dropped too early.
    16,
    21,
    80,
    114,
    // A disk too rotten to be opened was waited for for ever: by the simulation, which has to replace it as its message says.
    1_795_898_365_648,
    // A part was swept while it was being healed, which took its disk out.
    149, //
    // A disk that was replaced was held against a scrub which had found it damaged: by the simulation.
    74, //
    // A disk could be removed before the others had all its deletions: a look through the logs that began before the drain counted for after.
    43,
    20_092,
    20_145,
    20_414, //
    // A new disk's log was not written while the store closed; a fragile disk that was removed was to fail: by the simulation.
    32,
    10_134,
];

fn check(seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        let failure = run(Settings::new(seed)).err();
        assert!(
            failure.is_none(),
            "{}",
            failure.map_or(String::new(), |f| f.to_string())
        );
    }
}

#[test]
fn seeds_that_once_failed_pass() {
    check(REGRESSIONS.iter().copied());
}

#[test]
fn further_seeds_pass() {
    let halves = [1_000..1_040, 2_000..2_040].map(|seeds| thread::spawn(|| check(seeds)));
    for half in halves {
        half.join().unwrap();
    }
}

#[test]
fn one_seed_gives_one_run() {
    for seed in [7, 8, 9] {
        let settings = Settings::new(seed);
        assert_eq!(run(settings).unwrap(), run(settings).unwrap());
    }
}

/// Seeds within which each deliberate bug must show.
const SEEDS_PER_MUTATION: u64 = 60;

#[test]
fn every_deliberate_bug_is_found() {
    for mutation in Mutation::ALL {
        let broken = |seed| {
            run(Settings {
                mutation: Some(mutation),
                ..Settings::new(seed)
            })
        };
        let found = (1..=SEEDS_PER_MUTATION).find_map(|seed| broken(seed).err());
        assert!(
            found.is_some(),
            "{mutation:?} went unnoticed over {SEEDS_PER_MUTATION} seeds"
        );
    }
}
