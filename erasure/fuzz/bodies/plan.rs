//! Hostile index lists, profiles, levels and lengths: a plan is refused by a reason that holds, or
//! it rebuilds the right bytes. The body of the fuzz target `plan` and of the test `fuzz_bodies`,
//! which runs it on a fixed set of inputs.

use larder_erasure::{Codec, Error, Level, Plan, Profile};

/// What an input led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It named a profile that is not there.
    NotTried,
    /// The plan was refused, rightly so.
    Refused(Error),
    /// The plan rebuilt so many shards, byte for byte.
    Rebuilt(usize),
}

/// Runs one input. Panics if the library is wrong.
pub(crate) fn run(bytes: &[u8]) -> Outcome {
    let mut input = Input(bytes);
    let Ok(profile) = Profile::new(input.byte(), input.byte()) else {
        return Outcome::NotTried;
    };
    let codec = codec(profile, input.byte());
    let length = usize::from(input.byte()) * 2 + usize::from(input.byte() & 1);
    let (present, want) = lists(&mut input, profile);
    match codec.plan(&present, &want) {
        Ok(plan) => {
            assert_rebuilds(&codec, &plan, length, input.0);
            Outcome::Rebuilt(want.len())
        }
        Err(refusal) => {
            assert_justified(profile, &present, &want, refusal);
            Outcome::Refused(refusal)
        }
    }
}

/// A codec at one of the levels that the processor has.
fn codec(profile: Profile, choice: u8) -> Codec {
    let mut levels = Level::ALL.to_vec();
    levels.retain(|level| level.is_available());
    let level = levels[usize::from(choice) % levels.len()];
    Codec::with_level(profile, level).expect("a level that is there")
}

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

/// What is present and what is wanted: as the input says, byte for byte, or cut from a shuffle of
/// all shards (which chance would hardly ever hit), with up to one wrong index put in.
fn lists(input: &mut Input<'_>, profile: Profile) -> (Vec<u8>, Vec<u8>) {
    let way = input.byte() % 8;
    if way < 2 {
        return (input.list(), input.list());
    }
    let mut shards = shuffled(input, profile.total());
    // At times one more is lost than can be.
    let lost = usize::from(input.byte()) % (profile.parity() + 2);
    let mut present = shards.split_off(lost.min(shards.len()));
    let mut want = shards;
    want.truncate(usize::from(input.byte()) % (want.len() + 1));
    match way {
        2 => spoil(&mut present, input, profile.total()),
        3 => spoil(&mut want, input, profile.total()),
        _ => {}
    }
    (present, want)
}

/// Numbers `0..count`, each exchanged with one that the input chooses.
fn shuffled(input: &mut Input<'_>, count: usize) -> Vec<u8> {
    let mut order: Vec<u8> = (0..=u8::MAX).take(count).collect();
    for index in 0..count {
        order.swap(index, usize::from(input.byte()) % count);
    }
    order
}

/// Puts an index anywhere: most likely one of the profile's, or the first that is none.
fn spoil(list: &mut Vec<u8>, input: &mut Input<'_>, total: usize) {
    let place = usize::from(input.byte()).min(list.len());
    let index = usize::from(input.byte()) % (total + 1);
    list.insert(place, index.to_le_bytes()[0]);
}

/// Byte `i` of data shard `j`.
fn pattern(seed: &[u8], j: usize, i: usize) -> u8 {
    let noise = seed.get(i % seed.len().max(1)).copied().unwrap_or(1);
    let place = (j * 7 + i * 3 + 1).to_le_bytes()[0];
    noise.wrapping_mul(place) ^ (i ^ j).to_le_bytes()[0]
}

fn assert_rebuilds(codec: &Codec, plan: &Plan, length: usize, seed: &[u8]) {
    let profile = codec.profile();
    let shard = |j| (0..length).map(|i| pattern(seed, j, i)).collect();
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
        let read = plan.sources();
        assert!(
            rebuilt == source(index),
            "{profile} {}: shard {index} from {read:?}",
            codec.level()
        );
    }
}

fn assert_justified(profile: Profile, present: &[u8], want: &[u8], refusal: Error) {
    let is_twice = |list: &[u8], index| {
        let mut places = list.iter().filter(|&&other| other == index);
        places.next().is_some() && places.next().is_some()
    };
    match refusal {
        Error::IndexOutOfRange { limit, index } => {
            assert_eq!(limit, profile.total());
            assert!(usize::from(index) >= limit);
            assert!(present.contains(&index) || want.contains(&index));
        }
        Error::DuplicateShard { index } => {
            assert!(is_twice(present, index) || is_twice(want, index));
        }
        Error::WantedPresent { index } => {
            assert!(present.contains(&index) && want.contains(&index));
        }
        Error::TooFewShards {
            needed,
            present: got,
        } => {
            assert_eq!((needed, got), (profile.data(), present.len()));
            assert!(got < needed && !want.is_empty());
        }
        other => panic!("plan cannot fail with {other}"),
    }
}
