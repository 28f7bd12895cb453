//! Hostile index lists, profiles, levels and lengths: a plan is refused by a reason that holds, or
//! it rebuilds the right bytes.
#![no_main]

use larder_erasure::{Codec, Error, Level, Plan, Profile};
use libfuzzer_sys::fuzz_target;

/// Hands out the fuzzer's bytes; zeros at the end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    fn list(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.0.len());
        let (list, rest) = self.0.split_at(length);
        self.0 = rest;
        list.to_vec()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let Ok(profile) = Profile::new(input.byte(), input.byte()) else {
        return;
    };
    let level = Level::ALL[usize::from(input.byte()) % Level::ALL.len()];
    let Some(codec) = Codec::with_level(profile, level) else {
        return;
    };
    let length = usize::from(input.byte());
    let (present, want) = (input.list(), input.list());
    match codec.plan(&present, &want) {
        Ok(plan) => assert_rebuilds(&codec, &plan, length, input.0),
        Err(refusal) => assert_justified(profile, &present, &want, refusal),
    }
});

fn assert_rebuilds(codec: &Codec, plan: &Plan, length: usize, seed: &[u8]) {
    let profile = codec.profile();
    let byte = |j: usize, i: usize| {
        let noise = seed.get(i % seed.len().max(1)).copied().unwrap_or(1);
        noise.wrapping_mul((j * 7 + i * 3 + 1) as u8) ^ (i as u8)
    };
    let shard = |j| (0..length).map(|i| byte(j, i)).collect::<Vec<u8>>();
    let mut shards: Vec<Vec<u8>> = (0..profile.total()).map(shard).collect();
    let (data, parity) = shards.split_at_mut(profile.data());
    let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let mut parity: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
    codec.encode(&data, &mut parity).expect("a valid stripe");

    let source = |&index: &u8| shards[usize::from(index)].as_slice();
    let sources: Vec<&[u8]> = plan.sources().iter().map(source).collect();
    let mut rebuilt = vec![vec![0xa5; length]; plan.targets().len()];
    let mut targets: Vec<&mut [u8]> = rebuilt.iter_mut().map(Vec::as_mut_slice).collect();
    plan.run(&sources, &mut targets).expect("a valid plan");
    for (index, rebuilt) in plan.targets().iter().zip(&rebuilt) {
        assert_eq!(
            rebuilt,
            source(index),
            "{profile}: shard {index} from {:?}",
            plan.sources()
        );
    }
}

fn assert_justified(profile: Profile, present: &[u8], want: &[u8], refusal: Error) {
    let count = |list: &[u8], index| list.iter().filter(|&&other| other == index).count();
    match refusal {
        Error::IndexOutOfRange { limit, index } => {
            assert_eq!(limit, profile.total());
            assert!(usize::from(index) >= limit);
        }
        Error::DuplicateShard { index } => {
            assert!(count(present, index) > 1 || count(want, index) > 1);
        }
        Error::WantedPresent { index } => {
            assert!(present.contains(&index) && want.contains(&index));
        }
        Error::TooFewShards {
            needed,
            present: got,
        } => {
            assert_eq!((needed, got), (profile.data(), present.len()));
            assert!(got < needed);
        }
        other => panic!("plan cannot fail with {other}"),
    }
}
