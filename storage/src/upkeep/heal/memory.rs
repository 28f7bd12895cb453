//! What healing remembers over restarts: a small record in the metadata.
//!
//! `01`, then fields as varints: 1 if it is paused, share of time in percent, bytes per second at most (0: no limit), and the numbers of
//! the disks whose logs are known to have all deletions that they should have, with a count before. What follows is for later releases.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::{disk::DiskNo, upkeep::PaceSettings, varint};

const VERSION: u8 = 1;

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) paused: bool,
    pub(super) pace: PaceSettings,
    pub(super) whole: BTreeSet<DiskNo>,
}

impl Memory {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        varint::put(&mut out, u64::from(self.paused));
        self.pace.put(&mut out);
        varint::put(&mut out, self.whole.len() as u64);
        for disk in &self.whole {
            varint::put(&mut out, u64::from(disk.0));
        }
        out.into()
    }

    /// `None` on anything that [`Self::encode`] would not write, but for what follows it.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = bytes.strip_prefix(&[VERSION])?;
        let paused = varint::take(&mut input)? != 0;
        let pace = PaceSettings::take(&mut input)?;
        let count = varint::take(&mut input)?;
        let mut whole = BTreeSet::new();
        for _ in 0..count {
            whole.insert(DiskNo(u16::try_from(varint::take(&mut input)?).ok()?));
        }
        Some(Self {
            paused,
            pace,
            whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_remembered_survives_the_round_trip(
            paused: bool, share_percent in 1..=100_u8, limit: u64, disks in prop::collection::btree_set(any::<u16>(), 0..5), more: Vec<u8>,
        ) {
            let memory = Memory {
                paused,
                pace: PaceSettings {
                    share_percent,
                    max_bytes_per_second: Some(limit).filter(|limit| *limit > 0),
                },
                whole: disks.into_iter().map(DiskNo).collect(),
            };
            let mut bytes = memory.encode().to_vec();
            bytes.extend_from_slice(&more);
            prop_assert_eq!(Memory::decode(&bytes), Some(memory));
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            drop(Memory::decode(&bytes));
        }
    }
}
