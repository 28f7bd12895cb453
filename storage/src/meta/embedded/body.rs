//! The metadata part of the engine's frames, and the values of the view.
//!
//! `Commit`: number of trailing bytes of the first value that are the inline placement (0: none), number of changes, then
//! per change key length, key, and value length plus one with the value (0: delete). `Shard`: the first change's key.
//! `Epoch` and `Checkpoint`: see [`EpochBody`] and [`CheckpointBody`]. All numbers are LEB128.

use bytes::Bytes;

use super::log_ends::LogEnds;
use crate::{
    disk::{DiskNo, Seq},
    meta::Change,
    varint,
};

/// A commit's changes as the log keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommitBody {
    /// Trailing bytes of the first value that are the encoded placement of the inline blob.
    pub(super) placement_bytes: usize,
    pub(super) changes: Vec<Change>,
}

pub(super) fn encode_commit(placement_bytes: usize, changes: &[Change]) -> Vec<u8> {
    let size: usize = changes.iter().map(change_bytes).sum();
    let mut out = Vec::with_capacity(size + 8);
    varint::put(&mut out, placement_bytes as u64);
    varint::put(&mut out, changes.len() as u64);
    for change in changes {
        varint::put(&mut out, change.key.len() as u64);
        out.extend_from_slice(&change.key);
        varint::put(
            &mut out,
            change
                .value
                .as_ref()
                .map_or(0, |value| value.len() as u64 + 1),
        );
        out.extend_from_slice(change.value.as_deref().unwrap_or_default());
    }
    out
}

/// Bytes that a change takes in a frame, at most.
pub(super) fn change_bytes(change: &Change) -> usize {
    change.key.len() + change.value.as_ref().map_or(0, Bytes::len) + 6
}

/// `None` on anything that [`encode_commit`] would not write. Keys and values share `body`'s memory.
pub(super) fn decode_commit(body: &Bytes) -> Option<CommitBody> {
    let mut input = &body[..];
    let placement_bytes = usize::try_from(varint::take(&mut input)?).ok()?;
    let count = varint::take(&mut input)?;
    let mut changes = Vec::new();
    for _ in 0..count {
        let key_bytes = usize::try_from(varint::take(&mut input)?).ok()?;
        let key = body.slice_ref(varint::take_bytes(&mut input, key_bytes)?);
        let value = match varint::take(&mut input)? {
            0 => None,
            more => {
                let bytes = usize::try_from(more - 1).ok()?;
                Some(body.slice_ref(varint::take_bytes(&mut input, bytes)?))
            }
        };
        changes.push(Change { key, value });
    }
    let first = changes
        .first()
        .and_then(|change| change.value.as_ref())
        .map_or(0, Bytes::len);
    (input.is_empty() && placement_bytes <= first).then_some(CommitBody {
        placement_bytes,
        changes,
    })
}

/// Written on every disk at each start, before anything is served: how the epoch before ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EpochBody {
    /// The new epoch.
    pub(super) epoch: u32,
    /// Everything at or below is settled already (see [`CheckpointBody`]).
    pub(super) settled: Seq,
    /// Of what is above `settled` and below the new epoch: only these count. Ascending.
    pub(super) adopted: Vec<Seq>,
    /// How far the logs go.
    pub(super) logs: LogEnds,
}

/// Written now and then: commits at or below `settled` are durable, but for the void ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CheckpointBody {
    pub(super) settled: Seq,
    /// Commits that failed since the checkpoint before: their frames don't count. Ascending.
    pub(super) void: Vec<Seq>,
    /// How far the logs go.
    pub(super) logs: LogEnds,
}

fn put_seqs(out: &mut Vec<u8>, seqs: &[Seq]) {
    varint::put(out, seqs.len() as u64);
    let mut previous = 0;
    for seq in seqs {
        varint::put(out, seq.0.wrapping_sub(previous));
        previous = seq.0;
    }
}

fn take_seqs(input: &mut &[u8]) -> Option<Vec<Seq>> {
    let count = varint::take(input)?;
    let mut previous = 0_u64;
    let mut seqs = Vec::new();
    for _ in 0..count {
        previous = previous.wrapping_add(varint::take(input)?);
        seqs.push(Seq(previous));
    }
    Some(seqs)
}

impl EpochBody {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(&mut out, u64::from(self.epoch));
        varint::put(&mut out, self.settled.0);
        put_seqs(&mut out, &self.adopted);
        self.logs.put(&mut out);
        out
    }

    pub(super) fn decode(mut input: &[u8]) -> Option<Self> {
        let epoch = u32::try_from(varint::take(&mut input)?).ok()?;
        let settled = Seq(varint::take(&mut input)?);
        Some(Self {
            epoch,
            settled,
            adopted: take_seqs(&mut input)?,
            logs: LogEnds::take(&mut input).unwrap_or_default(),
        })
    }
}

impl CheckpointBody {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(&mut out, self.settled.0);
        put_seqs(&mut out, &self.void);
        self.logs.put(&mut out);
        out
    }

    pub(super) fn decode(mut input: &[u8]) -> Option<Self> {
        let settled = Seq(varint::take(&mut input)?);
        Some(Self {
            settled,
            void: take_seqs(&mut input)?,
            logs: LogEnds::take(&mut input).unwrap_or_default(),
        })
    }
}

/// What the view keeps beside a value: when it was written and where its copies are, so that their space is known to
/// be dead once the value is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ViewValue {
    pub(crate) seq: Seq,
    /// `None` marks a deletion; only during recovery.
    pub(crate) value: Option<Bytes>,
    /// Trailing bytes of the value that are an inline placement.
    pub(crate) placement_bytes: usize,
    /// Disk and segment of each copy of the record.
    pub(crate) homes: Vec<(DiskNo, u32)>,
}

impl ViewValue {
    pub(super) fn encode(&self) -> Bytes {
        let value = self.value.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(value.len() + 24);
        varint::put(&mut out, self.seq.0);
        out.push(u8::from(self.value.is_none()));
        varint::put(&mut out, self.placement_bytes as u64);
        varint::put(&mut out, self.homes.len() as u64);
        for (disk, segment) in &self.homes {
            varint::put(&mut out, u64::from(disk.0));
            varint::put(&mut out, u64::from(*segment));
        }
        out.extend_from_slice(value);
        out.into()
    }

    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut input = &bytes[..];
        let seq = Seq(varint::take(&mut input)?);
        let deleted = varint::take_bytes(&mut input, 1)?[0] == 1;
        let placement_bytes = usize::try_from(varint::take(&mut input)?).ok()?;
        let count = varint::take(&mut input)?;
        let mut homes = Vec::new();
        for _ in 0..count {
            let disk = DiskNo(u16::try_from(varint::take(&mut input)?).ok()?);
            homes.push((disk, u32::try_from(varint::take(&mut input)?).ok()?));
        }
        let value = (!deleted).then(|| bytes.slice_ref(input));
        Some(Self {
            seq,
            value,
            placement_bytes,
            homes,
        })
    }

    /// The sequence number and the value alone, without allocating: what reads need.
    pub(super) fn peek(bytes: &[u8]) -> Option<(Seq, &[u8])> {
        let mut input = bytes;
        let seq = Seq(varint::take(&mut input)?);
        varint::take_bytes(&mut input, 1)?;
        varint::take(&mut input)?;
        let count = varint::take(&mut input)?;
        for _ in 0..count {
            varint::take(&mut input)?;
            varint::take(&mut input)?;
        }
        Some((seq, input))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(limit: usize) -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..limit).prop_map(Bytes::from)
    }

    proptest! {
        #[test]
        fn commits_survive_the_round_trip(
            changes in prop::collection::vec((bytes(40), prop::option::of(bytes(300))), 0..6), placement in 0..20_usize,
        ) {
            let changes: Vec<_> = changes.into_iter().map(|(key, value)| Change { key, value }).collect();
            let first = changes.first().and_then(|c| c.value.as_ref()).map_or(0, Bytes::len);
            let body = CommitBody { placement_bytes: placement.min(first), changes };
            let encoded = Bytes::from(encode_commit(body.placement_bytes, &body.changes));
            prop_assert_eq!(decode_commit(&encoded), Some(body));
        }

        #[test]
        fn random_bytes_never_panic(random in bytes(80)) {
            let _ = decode_commit(&random);
            let _ = EpochBody::decode(&random);
            let _ = CheckpointBody::decode(&random);
            let _ = ViewValue::decode(&random);
            let _ = ViewValue::peek(&random);
        }

        #[test]
        fn view_values_survive_the_round_trip(seq: u64, value in prop::option::of(bytes(99)), homes in prop::collection::vec((any::<u16>(), any::<u32>()), 0..5)) {
            let homes = homes.into_iter().map(|(disk, segment)| (DiskNo(disk), segment)).collect();
            let value = ViewValue { seq: Seq(seq), value, placement_bytes: 3, homes };
            let encoded = value.encode();
            let (peeked, plain) = ViewValue::peek(&encoded).unwrap();
            prop_assert_eq!((peeked, plain), (value.seq, value.value.as_deref().unwrap_or_default()));
            prop_assert_eq!(ViewValue::decode(&encoded), Some(value));
        }
    }

    #[test]
    fn epochs_and_checkpoints_survive_the_round_trip() {
        let adopted = vec![Seq::new(3, 9), Seq::new(3, 10), Seq::new(3, 4000)];
        let epoch = EpochBody {
            epoch: 4,
            settled: Seq::new(3, 8),
            adopted: adopted.clone(),
            logs: LogEnds::default(),
        };
        assert_eq!(EpochBody::decode(&epoch.encode()), Some(epoch));
        let checkpoint = CheckpointBody {
            settled: Seq::new(3, 8),
            void: adopted,
            logs: LogEnds::default(),
        };
        assert_eq!(
            CheckpointBody::decode(&checkpoint.encode()),
            Some(checkpoint)
        );
    }
}
