//! Checkpoints: the view is persisted, so that a start replays only what came after.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{Embedded, append_one, body::CheckpointBody, space::SegmentSpace, wait::Wait};
use crate::{
    disk::{Address, BlobId, DiskNo, Frame, FrameKind, Seq},
    meta::{
        MetaError,
        view::{View, ViewChange, ViewError},
    },
    varint,
};

/// Key of the view under which its checkpoint is; above every key space.
pub(crate) const CHECKPOINT_KEY: &[u8] = b"\xffcheckpoint";

/// Version of the view's contents. A view of any other, older or newer, is deleted and rebuilt: it is a cache.
const VIEW_VERSION: u64 = 2;

/// What a checkpoint did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointOutcome {
    /// Everything up to this number is in the view.
    pub settled: Seq,
}

/// From where a start has to replay.
#[derive(Debug, Default)]
pub(super) struct CheckpointState {
    /// The cluster that the view belongs to.
    pub(super) cluster: Bytes,
    /// Everything up to this number is in the view, or void.
    pub(super) settled: Seq,
    /// Extents from this number on may have no record yet.
    pub(super) oldest_in_flight: BlobId,
    /// Per disk: frames before are in the view.
    pub(super) positions: BTreeMap<DiskNo, Address>,
    pub(super) space: SegmentSpace,
}

impl CheckpointState {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        varint::put(&mut out, VIEW_VERSION);
        varint::put(&mut out, self.cluster.len() as u64);
        out.extend_from_slice(&self.cluster);
        varint::put(&mut out, self.settled.0);
        varint::put(&mut out, self.oldest_in_flight.0);
        varint::put(&mut out, self.positions.len() as u64);
        for (disk, address) in &self.positions {
            varint::put(&mut out, u64::from(disk.0));
            varint::put(&mut out, u64::from(address.segment));
            varint::put(&mut out, u64::from(address.offset));
        }
        out.extend_from_slice(&self.space.encode());
        out.into()
    }

    /// `None` on anything that this version's [`Self::encode`] would not write.
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut input = &bytes[..];
        if varint::take(&mut input)? != VIEW_VERSION {
            return None;
        }
        let cluster_bytes = usize::try_from(varint::take(&mut input)?).ok()?;
        let cluster = bytes.slice_ref(varint::take_bytes(&mut input, cluster_bytes)?);
        let settled = Seq(varint::take(&mut input)?);
        let oldest_in_flight = BlobId(varint::take(&mut input)?);
        let count = varint::take(&mut input)?;
        let mut positions = BTreeMap::new();
        for _ in 0..count {
            let disk = DiskNo(u16::try_from(varint::take(&mut input)?).ok()?);
            let segment = u32::try_from(varint::take(&mut input)?).ok()?;
            let offset = u32::try_from(varint::take(&mut input)?).ok()?;
            positions.insert(disk, Address { segment, offset });
        }
        let space = SegmentSpace::decode(input);
        Some(Self {
            cluster,
            settled,
            oldest_in_flight,
            positions,
            space,
        })
    }

    /// The checkpoint that `view` holds, if any.
    pub(super) fn load(view: &dyn View) -> Result<Option<Self>, ViewError> {
        Ok(view
            .get(CHECKPOINT_KEY)?
            .and_then(|bytes| Self::decode(&bytes)))
    }
}

/// What is settled when the commits that were in flight at the mark are.
struct Mark {
    settled: Seq,
    positions: BTreeMap<DiskNo, Address>,
    oldest_in_flight: BlobId,
}

impl Embedded {
    /// Persists the view. Commits go on meanwhile. On `Ok` a start after a power cut replays only what comes after.
    ///
    /// # Errors
    /// [`MetaError`]: the checkpoint before still counts.
    pub async fn checkpoint(self: &Arc<Self>) -> Result<CheckpointOutcome, MetaError> {
        let _one_at_a_time = self.upkeep.lock().await;
        self.checkpoint_alone().await
    }

    /// Bytes appended to all logs since the last checkpoint: what a start would have to replay.
    pub fn bytes_since_checkpoint(&self) -> u64 {
        self.sequencer.lock().appended_bytes
    }

    pub(super) async fn checkpoint_alone(self: &Arc<Self>) -> Result<CheckpointOutcome, MetaError> {
        let mark = self.mark();
        self.wait_until_settled(mark.settled).await;
        let void = self.take_void(mark.settled);
        self.view.off_thread(|view| view.persist()).await?;
        self.append_everywhere(
            FrameKind::Checkpoint,
            &CheckpointBody {
                settled: mark.settled,
                void,
                logs: self.log_ends(),
            }
            .encode(),
        )
        .await;
        let state = CheckpointState {
            cluster: self.cluster.clone(),
            settled: mark.settled,
            oldest_in_flight: mark.oldest_in_flight,
            positions: mark.positions,
            space: SegmentSpace::decode(&self.space.encode()),
        };
        let change = ViewChange {
            key: Bytes::from_static(CHECKPOINT_KEY),
            value: Some(state.encode()),
        };
        self.view
            .off_thread(move |view| view.apply(&[change]))
            .await?;
        Ok(CheckpointOutcome {
            settled: mark.settled,
        })
    }

    fn mark(&self) -> Mark {
        let oldest_in_flight = self.pool.oldest_in_flight();
        let mut positions = self.positions.lock();
        let mut sequencer = self.sequencer.lock();
        sequencer.appended_bytes = 0;
        let disks = self.pool.disks();
        positions.retain(|number, _| disks.entry(*number).is_some());
        for disk in disks.here() {
            if let Ok(address) = disk.next_address(0, sequencer.next) {
                positions.insert(disk.number(), address);
            }
        }
        Mark {
            settled: Seq(sequencer.next.0 - 1),
            positions: positions.clone(),
            oldest_in_flight,
        }
    }

    pub(super) async fn wait_until_settled(&self, settled: Seq) {
        loop {
            let changed = self.settled.notified();
            let oldest = self.sequencer.lock().in_flight.first().copied();
            if oldest.is_none_or(|seq| seq > settled) {
                return;
            }
            changed.await;
        }
    }

    fn take_void(&self, settled: Seq) -> Vec<Seq> {
        let mut sequencer = self.sequencer.lock();
        let (mut taken, kept) = std::mem::take(&mut sequencer.void)
            .into_iter()
            .partition(|seq| *seq <= settled);
        sequencer.void = kept;
        let taken: &mut Vec<Seq> = &mut taken;
        taken.sort_unstable();
        std::mem::take(taken)
    }

    /// Appends a frame to every good disk and waits until it is durable on those that stay good.
    pub(super) async fn append_everywhere(&self, kind: FrameKind, body: &[u8]) {
        self.append_to(kind, body, |_| true).await;
    }

    /// As [`Self::append_everywhere`], to the disks that `wanted` picks.
    pub(super) async fn append_to(
        &self,
        kind: FrameKind,
        body: &[u8],
        wanted: impl Fn(DiskNo) -> bool,
    ) {
        let wait = Wait::new();
        {
            let mut sequencer = self.sequencer.lock();
            let seq = sequencer.next;
            sequencer.next = Seq(seq.0 + 1);
            let frame = Frame {
                kind,
                seq,
                shard_index: 0,
                meta: body,
                shard: &[],
            };
            let disks = self.pool.disks();
            for disk in disks.here().filter(|disk| wanted(disk.number())) {
                append_one(disk, &frame, &wait);
            }
        }
        wait.done().await;
    }
}
