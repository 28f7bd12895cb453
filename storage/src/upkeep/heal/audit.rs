//! Whether all that is stored is there physically and in full: what tests ask after healing.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{
    Healer,
    survey::{Standings, blob_of},
};
use crate::{
    disk::{BlobId, Disk, DiskError, DiskNo, FRAME_HEADER_BYTES, Health, ReadMode},
    meta::embedded::Stored,
    objects::{StoreError, any_extents_of},
    stripes::{BlobPlacement, ShardPlace, StripeError, verify_shard},
};

/// What [`Healer::audit`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Keys whose records lack copies or shards, with what they lack.
    pub weak: Vec<(Bytes, String)>,
    /// Deletions and other knowledge on too few disks.
    pub unknown: Vec<String>,
    /// Extents that nothing names.
    pub strays: Vec<String>,
}

impl Audit {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.weak.is_empty() && self.unknown.is_empty() && self.strays.is_empty()
    }
}

impl Healer {
    /// Reads every frame and every shard on every disk. To be called while nothing else goes on.
    ///
    /// # Errors
    /// [`StoreError`]: something can't be read at all.
    pub async fn audit(&self) -> Result<Audit, StoreError> {
        let mut audit = Audit::default();
        for weakness in self.engine.audit_logs()? {
            match weakness.key {
                Some(key) => audit.weak.push((key, weakness.what)),
                None => audit.unknown.push(weakness.what),
            }
        }
        let standings = self.standings()?;
        let (rows, _) = self
            .engine
            .rows(Bytes::new(), usize::MAX, usize::MAX, |_, _| true)
            .await?;
        let mut named = BTreeSet::new();
        for (key, row) in rows {
            self.audit_row(&key, &row, &standings, &mut audit, &mut named);
        }
        audit.strays = self.strays(&named)?;
        Ok(audit)
    }

    /// What scrub would do about it: damage is queued.
    ///
    /// # Errors
    /// The metadata engine's.
    pub async fn queue_found(&self, audit: &Audit) -> Result<(), StoreError> {
        let keys: BTreeSet<Bytes> = audit.weak.iter().map(|(key, _)| key.clone()).collect();
        self.store.queue_for_healing(keys).await?;
        if !audit.unknown.is_empty() {
            let disks: Vec<DiskNo> = self.pool.disks().iter().map(|disk| disk.number).collect();
            self.distrust(&disks).await?;
        }
        Ok(())
    }

    fn audit_row(
        &self,
        key: &Bytes,
        row: &Stored,
        standings: &Standings,
        audit: &mut Audit,
        named: &mut BTreeSet<(DiskNo, BlobId, u8)>,
    ) {
        let Some(value) = &row.value else { return };
        if let Ok(Some((extents, _))) = any_extents_of(key, value) {
            name(&extents, named);
        }
        let Some((placement, _)) = blob_of(key, row, value) else {
            return;
        };
        name(&placement, named);
        let mut on = BTreeSet::new();
        let mut good = 0;
        for (shard, place) in placement.shards.iter().enumerate() {
            if self.is_good(&placement, shard) {
                good += 1;
                on.extend(place.disk());
            }
        }
        let attainable = placement.profile.total().min(standings.here().len());
        if good < attainable || on.len() < good {
            let what = format!("{good} good shards on {on:?}: {placement:?}");
            audit.weak.push((key.clone(), what));
        }
    }

    fn is_good(&self, placement: &BlobPlacement, shard: usize) -> bool {
        self.shard(placement, shard).is_ok_and(|bytes| {
            let index = u8::try_from(shard).unwrap_or(u8::MAX);
            verify_shard(&bytes, placement.layout(), placement.blob, index)
        })
    }

    fn shard(&self, placement: &BlobPlacement, shard: usize) -> Result<Vec<u8>, DiskError> {
        let place = placement.shards[shard];
        let disk = place.disk().and_then(|disk| self.pool.disk(disk));
        let disk = disk.ok_or(DiskError::NotFound)?;
        let index = u8::try_from(shard).unwrap_or(u8::MAX);
        let (file, at) = match place {
            ShardPlace::Log(_, address) => (
                disk.open_segment(address.segment)?,
                u64::from(address.offset) + u64::from(FRAME_HEADER_BYTES),
            ),
            _ => (disk.open_extent(placement.blob, index)?, 0),
        };
        let length = usize::try_from(placement.layout().shard_bytes()).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at, ReadMode::MayBlock)?;
        Ok(bytes)
    }

    fn strays(&self, named: &BTreeSet<(DiskNo, BlobId, u8)>) -> Result<Vec<String>, StoreError> {
        let mut strays = Vec::new();
        for disk in self.pool.disks().here() {
            if matches!(disk.health(), Health::Failed(_)) {
                continue;
            }
            for (blob, shard) in disk.extents().map_err(StripeError::Disk)? {
                if !named.contains(&(disk.number(), blob, shard)) {
                    let number = Disk::number(&**disk).0;
                    strays.push(format!("shard {shard} of {:x} on {number}", blob.0));
                }
            }
        }
        Ok(strays)
    }
}

fn name(placement: &BlobPlacement, named: &mut BTreeSet<(DiskNo, BlobId, u8)>) {
    for (shard, place) in placement.shards.iter().enumerate() {
        if let ShardPlace::Extent(disk) = place {
            let index = u8::try_from(shard).unwrap_or(u8::MAX);
            named.insert((*disk, placement.blob, index));
        }
    }
}
