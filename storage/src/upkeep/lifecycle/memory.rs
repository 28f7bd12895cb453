//! What lifecycles remember over restarts: a small record in the metadata.
//!
//! `01`, then varints: when the last pass began; when the last pass that came to its end did, and its tally; 1 if a pass is under way, and then
//! its tally, length and bytes of the bucket's name that it is at, its stage (0 objects, 1 uploads), length and bytes of the key after which
//! it goes on. A tally is a count and its numbers: looked at, objects, versions, delete markers, uploads, locked, lost. What follows is for
//! later releases.

use bytes::Bytes;

use crate::{
    objects::{BucketName, Expired, Place},
    varint,
};

/// Where it is kept.
pub(super) const MEMORY_KEY: &[u8] = b"slife";
const VERSION: u8 = 1;

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) started_unix_millis: u64,
    pub(super) ended_unix_millis: u64,
    pub(super) last: Expired,
    pub(super) pass: Option<Pass>,
}

/// A pass under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) tally: Expired,
    /// `None`: before the first.
    pub(super) bucket: Option<BucketName>,
    pub(super) place: Place,
}

impl Memory {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        varint::put(&mut out, self.started_unix_millis);
        varint::put(&mut out, self.ended_unix_millis);
        put_tally(&mut out, &self.last);
        varint::put(&mut out, u64::from(self.pass.is_some()));
        if let Some(pass) = &self.pass {
            put_tally(&mut out, &pass.tally);
            let name = pass.bucket.as_ref().map(BucketName::as_str);
            put_bytes(&mut out, name.unwrap_or_default().as_bytes());
            let (stage, after) = match &pass.place {
                Place::Objects(after) => (0, after.as_bytes()),
                Place::Uploads(after) => (1, &after[..]),
            };
            varint::put(&mut out, stage);
            put_bytes(&mut out, after);
        }
        out.into()
    }

    /// `None` on anything that [`Self::encode`] would not write, but for what follows it.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let input = &mut bytes.strip_prefix(&[VERSION])?;
        let mut memory = Self {
            started_unix_millis: varint::take(input)?,
            ended_unix_millis: varint::take(input)?,
            last: take_tally(input)?,
            pass: None,
        };
        if varint::take(input)? != 0 {
            memory.pass = Some(take_pass(input)?);
        }
        Some(memory)
    }
}

fn take_pass(input: &mut &[u8]) -> Option<Pass> {
    let tally = take_tally(input)?;
    let bucket = match take_text(input)?.as_str() {
        "" => None,
        name => Some(BucketName::parse(name).ok()?),
    };
    let place = match varint::take(input)? {
        0 => Place::Objects(take_text(input)?),
        1 => Place::Uploads(Bytes::copy_from_slice(take_bytes(input)?)),
        _ => return None,
    };
    Some(Pass {
        tally,
        bucket,
        place,
    })
}

fn put_tally(out: &mut Vec<u8>, tally: &Expired) {
    let numbers = numbers(tally);
    varint::put(out, numbers.len() as u64);
    for number in numbers {
        varint::put(out, number);
    }
}

fn numbers(tally: &Expired) -> [u64; 7] {
    let Expired {
        looked_at,
        objects,
        versions,
        markers,
        uploads,
        locked,
        lost,
    } = *tally;
    [looked_at, objects, versions, markers, uploads, locked, lost]
}

/// Numbers that are missing are 0, and those that are not known are left out.
fn take_tally(input: &mut &[u8]) -> Option<Expired> {
    let mut numbers = [0; 7];
    for at in 0..varint::take(input)? {
        let number = varint::take(input)?;
        let at = usize::try_from(at).ok()?;
        if let Some(place) = numbers.get_mut(at) {
            *place = number;
        }
    }
    let [looked_at, objects, versions, markers, uploads, locked, lost] = numbers;
    Some(Expired {
        looked_at,
        objects,
        versions,
        markers,
        uploads,
        locked,
        lost,
    })
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint::take(input)?).ok()?;
    varint::take_bytes(input, length)
}

fn take_text(input: &mut &[u8]) -> Option<String> {
    String::from_utf8(take_bytes(input)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn tally() -> impl Strategy<Value = Expired> {
        any::<[u64; 7]>().prop_map(|numbers| {
            let mut bytes = vec![7];
            for number in numbers {
                varint::put(&mut bytes, number);
            }
            take_tally(&mut &bytes[..]).unwrap()
        })
    }

    prop_compose! {
        fn pass()(tally in tally(), bucket in option::of("[a-z]{3,9}"), after in "\\PC{0,9}", uploads: bool) -> Pass {
            let place = if uploads { Place::Uploads(after.into()) } else { Place::Objects(after) };
            let bucket = bucket.map(|name| BucketName::parse(&name).unwrap());
            Pass { tally, bucket, place }
        }
    }

    proptest! {
        #[test]
        fn what_is_remembered_survives_the_round_trip(
            started_unix_millis: u64, ended_unix_millis: u64, last in tally(), pass in option::of(pass()), more in vec(any::<u8>(), 0..9),
        ) {
            let memory = Memory { started_unix_millis, ended_unix_millis, last, pass };
            let mut bytes = memory.encode().to_vec();
            bytes.extend_from_slice(&more);
            prop_assert_eq!(Memory::decode(&bytes), Some(memory));
        }

        #[test]
        fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..60)) {
            drop(Memory::decode(&bytes));
        }
    }
}
