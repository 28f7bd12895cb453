//! One pass: logs, objects, uploads, leaks.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    Scrub, Stop,
    memory::{DiskTally, Pass, Stage, Verified, bucket_key, bucket_keys, bucket_of_key, disk_key},
    tally,
};
use crate::{
    disk::{BlobId, Disk, DiskError, DiskNo, Health},
    meta::{
        Meta, MetaError,
        embedded::{
            Embedded,
            inspect::{Cover, Intact, LogStep, Suspect, Trace},
        },
    },
    mutation::{self, Mutation},
    objects::{
        StoreError,
        blobs::{BlobWalk, NamedBlob, WalkPosition, WalkSpace, Walked, bucket_of},
    },
    stripes::{BlobCheck, Job, ShardState, check_blob},
};

/// Things in the logs that are remembered at a time, 8 bytes each; the view is walked once per so many.
pub(super) const INTACT_LIMIT: usize = 2 << 20;
/// Extents that are looked up at a time; all records are read once per so many.
pub(super) const LEAKS_AT_ONCE: usize = 256 << 10;
/// Bytes of a log that are read at a time.
const LOG_STEP_BYTES: u64 = 1 << 20;
/// Entries of the view that are looked at at a time.
const VIEW_STEP: usize = 2000;
/// Suspects that are followed up at a time.
const SUSPECTS_AT_ONCE: usize = 10_000;
/// Blobs that are read at the same time.
const BLOBS_AT_ONCE: usize = 4;
/// Buckets whose damage is counted apart.
const BUCKETS_WITH_DAMAGE: usize = 500;
/// Changes of one commit.
const CHANGES_AT_ONCE: usize = 30;

/// The rest of one disk's log.
struct LogPlan {
    disk: Arc<dyn Disk>,
    /// The last segment that was read; all there are once nothing is left.
    read: u32,
    left: VecDeque<u32>,
}

/// Comes after every segment.
const ALL_SEGMENTS: u32 = u32::MAX;

/// What was read of one disk's log.
struct LogGroup {
    disk: DiskNo,
    intact: Intact,
    /// The last segment that was read; `None` where the disk is out.
    read: Option<u32>,
}

impl Scrub {
    /// Makes a pass, or the rest of one.
    pub(super) async fn pass(&self) -> Result<BTreeMap<DiskNo, DiskTally>, Stop> {
        let turn = self.begin();
        self.save().await?;
        loop {
            let stage = self.look_at_pass(turn, |pass| pass.stage)?;
            self.note_missing_disks(turn)?;
            match stage {
                Stage::Logs => self.read_logs(turn).await?,
                Stage::Objects => self.walk(turn, WalkSpace::Objects).await?,
                Stage::Uploads => self.walk(turn, WalkSpace::Uploads).await?,
                Stage::Leaks => self.find_leaks(turn).await?,
            }
            self.note_missing_disks(turn)?;
            let Some(next) = stage.next() else { break };
            self.note(turn, |pass, _| {
                pass.stage = next;
                pass.walk = WalkPosition::default();
            })?;
        }
        self.end(turn).await
    }

    fn begin(&self) -> u64 {
        let now = self.clock.unix_millis();
        let mut state = self.state.lock();
        state.is_wanted = false;
        if state.memory.pass.is_none() {
            state.memory.last_started_unix_millis = now;
            state.memory.pass = Some(Pass {
                started_unix_millis: now,
                ..Pass::default()
            });
            tracing::info!("scrubbing begins");
        }
        state.turn
    }

    fn look_at_pass<T>(&self, turn: u64, look: impl FnOnce(&Pass) -> T) -> Result<T, Stop> {
        let mut seen = None;
        self.note(turn, |pass, _| seen = Some(look(pass)))?;
        seen.ok_or(Stop::Interrupted)
    }

    /// A disk that is not here now is not verified by this pass.
    fn note_missing_disks(&self, turn: u64) -> Result<(), Stop> {
        let disks = self.pool.disks();
        let is_out = |health: Health| matches!(health, Health::Failed(_));
        let out = disks.iter().filter(|disk| is_out(disk.health()));
        let out: BTreeSet<DiskNo> = out.map(|disk| disk.number).collect();
        self.note(turn, |pass, _| {
            pass.missed.extend(out);
            for disk in &disks {
                tally(pass, disk.number);
            }
        })
    }

    /// Remembers what the pass found of each disk and each bucket.
    async fn end(&self, turn: u64) -> Result<BTreeMap<DiskNo, DiskTally>, Stop> {
        let pass = self.look_at_pass(turn, Pass::clone)?;
        let members: BTreeSet<DiskNo> = self.pool.disks().iter().map(|d| d.number).collect();
        let mut changes = Vec::new();
        for (disk, tally) in &pass.disks {
            if pass.missed.contains(disk) || !members.contains(disk) {
                continue;
            }
            let verified = Verified {
                started_unix_millis: pass.started_unix_millis,
                ended_unix_millis: self.clock.unix_millis(),
                bytes: tally.bytes,
                damage: tally.damage,
            };
            changes.push((disk_key(*disk), Some(verified.encode())));
        }
        changes.extend(self.buckets_that_are_gone().await?);
        for chunk in changes.chunks(CHANGES_AT_ONCE) {
            self.put(chunk.to_vec()).await?;
        }
        let damage: u64 = pass.disks.values().map(|tally| tally.damage).sum();
        let bytes: u64 = pass.disks.values().map(|tally| tally.bytes).sum();
        tracing::info!(bytes, damage, "scrubbing is through");
        self.note(turn, |_, totals| totals.passes += 1)?;
        self.state.lock().memory.pass = None;
        self.save().await?;
        Ok(pass.disks)
    }

    /// Changes that forget buckets that were deleted.
    async fn buckets_that_are_gone(&self) -> Result<Vec<(Bytes, Option<Bytes>)>, Stop> {
        let known = self.store.bucket_ids().await?;
        let (mut from, to) = bucket_keys();
        let mut gone = Vec::new();
        loop {
            let entries = self.engine.scan(&from, &to, VIEW_STEP).await?;
            let Some(last) = entries.last() else { break };
            from = [&last.key[..], &[0]].concat();
            for entry in entries {
                let id = bucket_of_key(&entry.key);
                if id.is_none_or(|id| !known.contains_key(&id)) {
                    gone.push((entry.key, None));
                }
            }
        }
        Ok(gone)
    }

    // The logs.

    async fn read_logs(&self, turn: u64) -> Result<(), Stop> {
        let read = self.look_at_pass(turn, |pass| pass.segments.clone())?;
        let before = self.engine.next_seq();
        let mut plans = self.plan_logs(&read)?;
        while plans.iter().any(|plan| plan.read < ALL_SEGMENTS) {
            let limit = INTACT_LIMIT / plans.len().max(1);
            let groups = plans.iter_mut().filter(|plan| plan.read < ALL_SEGMENTS);
            let groups = groups.map(|plan| self.read_group(turn, plan, limit));
            let (mut intact, mut cover) = (Intact::default(), Cover::default());
            cover.before = before;
            for group in join_all(groups).await {
                let group = group?;
                let Some(read) = group.read else { continue };
                let first =
                    self.look_at_pass(turn, |pass| pass.segments.get(&group.disk).copied())?;
                let first = first.unwrap_or(0).saturating_add(1);
                cover.segments.insert(group.disk, first..=read);
                intact.absorb(group.intact);
            }
            let covered = cover.segments.clone();
            self.find_suspects(turn, cover, intact).await?;
            self.note(turn, |pass, _| {
                let read = covered.iter().map(|(disk, range)| (*disk, *range.end()));
                pass.segments.extend(read);
            })?;
            plans.retain(|plan| covered.contains_key(&plan.disk.number()));
            plans.retain(|plan| plan.read < ALL_SEGMENTS);
            self.breathe(turn).await?;
        }
        Ok(())
    }

    fn plan_logs(&self, read: &BTreeMap<DiskNo, u32>) -> Result<Vec<LogPlan>, Stop> {
        let mut plans = Vec::new();
        for disk in self.pool.disks().here() {
            if matches!(disk.health(), Health::Failed(_)) {
                continue;
            }
            let read = read.get(&disk.number()).copied().unwrap_or(0);
            let segments = disk.segments().map_err(MetaError::from)?.into_iter();
            let left = segments.map(|s| s.number).filter(|number| *number > read);
            plans.push(LogPlan {
                disk: Arc::clone(disk),
                read,
                left: left.collect(),
            });
        }
        Ok(plans)
    }

    /// Reads whole segments until about `limit` things are known of them.
    async fn read_group(
        &self,
        turn: u64,
        plan: &mut LogPlan,
        limit: usize,
    ) -> Result<LogGroup, Stop> {
        let disk = plan.disk.number();
        let mut intact = Intact::default();
        while intact.len() < limit
            && let Some(segment) = plan.left.front().copied()
        {
            let Some(found) = self.read_segment(turn, &plan.disk, segment, true).await? else {
                self.note(turn, |pass, _| {
                    pass.missed.insert(disk);
                })?;
                return Ok(LogGroup {
                    disk,
                    intact,
                    read: None,
                });
            };
            intact.absorb(found);
            plan.read = segment;
            plan.left.pop_front();
        }
        if plan.left.is_empty() {
            // What should be in a later one is missing: the log has lost its end.
            plan.read = ALL_SEGMENTS;
        }
        Ok(LogGroup {
            disk,
            intact,
            read: Some(plan.read),
        })
    }

    /// What is intact in a segment; nothing of one that is gone or can't be read. `None` where the disk is out.
    async fn read_segment(
        &self,
        turn: u64,
        disk: &Arc<dyn Disk>,
        segment: u32,
        counts: bool,
    ) -> Result<Option<Intact>, Stop> {
        let (mut intact, mut offset) = (Intact::default(), 0);
        loop {
            let began = self.pace.begin();
            let step = self.read_step(disk, segment, offset).await;
            let (found, step) = match step {
                None | Some((_, Err(DiskError::Failed(_)))) => return Ok(None),
                Some((_, Err(error))) => {
                    if error != DiskError::NotFound {
                        tracing::warn!(%error, disk = disk.number().0, segment, "segment can't be read");
                    }
                    return Ok(Some(intact));
                }
                Some((found, Ok(step))) => (found, step),
            };
            intact.absorb(found);
            let bytes = step.frame_bytes + step.skipped_bytes;
            if counts {
                self.count_step(turn, disk.number(), segment, &step)?;
            }
            self.pace.rest_since(began, bytes).await;
            self.breathe(turn).await?;
            match step.next {
                Some(next) => offset = next,
                None => return Ok(Some(intact)),
            }
        }
    }

    async fn read_step(
        &self,
        disk: &Arc<dyn Disk>,
        segment: u32,
        offset: u64,
    ) -> Option<(Intact, Result<LogStep, DiskError>)> {
        let (engine, target) = (Arc::clone(&self.engine), Arc::clone(disk));
        let job: Job<_> = Box::new(move || {
            let mut intact = Intact::default();
            let step = engine.inspect_log(&target, segment, offset, LOG_STEP_BYTES, &mut intact);
            (intact, step)
        });
        let mut done = self.pool.on_disks(1, vec![(disk.number(), job)]).await;
        done.pop().flatten()
    }

    fn count_step(
        &self,
        turn: u64,
        disk: DiskNo,
        segment: u32,
        step: &LogStep,
    ) -> Result<(), Stop> {
        let LogStep {
            frame_bytes,
            skipped_bytes,
            unreadable_bytes,
            ..
        } = *step;
        if unreadable_bytes > 0 {
            tracing::warn!(
                disk = disk.0,
                segment,
                unreadable_bytes,
                "unreadable sectors in the log"
            );
        } else if skipped_bytes > 0 {
            tracing::info!(
                disk = disk.0,
                segment,
                skipped_bytes,
                "bytes in the log that are no frame"
            );
        }
        self.note(turn, |pass, totals| {
            let tally = tally(pass, disk);
            tally.bytes += frame_bytes + skipped_bytes;
            tally.skipped_log_bytes += skipped_bytes;
            totals.bytes += frame_bytes + skipped_bytes;
        })
    }

    /// Walks the view for what should be in the segments that were read, and is not.
    async fn find_suspects(&self, turn: u64, cover: Cover, intact: Intact) -> Result<(), Stop> {
        let mut intact = intact;
        let sorted = move || {
            intact.sort();
            intact
        };
        let intact = Arc::new(self.pool.blocking(sorted).await);
        let cover = Arc::new(cover);
        let mut next = Some(Vec::new());
        let mut suspects = Vec::new();
        while let Some(from) = next {
            let began = self.pace.begin();
            let (cover, intact) = (Arc::clone(&cover), Arc::clone(&intact));
            let page = self.engine.suspects(cover, intact, from, VIEW_STEP).await?;
            suspects.extend(page.suspects);
            next = page.next;
            self.pace.rest_since(began, 0).await;
            self.breathe(turn).await?;
            if suspects.len() >= SUSPECTS_AT_ONCE {
                self.follow_up(turn, std::mem::take(&mut suspects)).await?;
            }
        }
        self.follow_up(turn, suspects).await
    }

    /// Reads the segments of suspects again; what is still not there, and still should be, is damage.
    async fn follow_up(&self, turn: u64, suspects: Vec<Suspect>) -> Result<(), Stop> {
        let mut by_segment: BTreeMap<(DiskNo, u32), Vec<Suspect>> = BTreeMap::new();
        for suspect in suspects {
            if self.engine.still_names(&suspect).await? {
                let segment = suspect.trace.segment();
                by_segment.entry(segment).or_default().push(suspect);
            }
        }
        let mut damage = Vec::new();
        for ((number, segment), suspects) in by_segment {
            let Some(disk) = self.pool.disk(number) else {
                continue;
            };
            let Some(mut intact) = self.read_segment(turn, &disk, segment, false).await? else {
                continue;
            };
            intact.sort();
            for suspect in suspects {
                let is_good = Embedded::is_intact(&intact, &suspect);
                if !is_good && self.engine.still_names(&suspect).await? && is_here(&*disk) {
                    damage.push(suspect);
                }
            }
        }
        self.log_damage(turn, damage).await
    }

    async fn log_damage(&self, turn: u64, damage: Vec<Suspect>) -> Result<(), Stop> {
        let (mut queued, mut renewed) = (Vec::new(), BTreeMap::new());
        for Suspect { key, seq, trace } in damage {
            let (disk, segment) = trace.segment();
            tracing::warn!(disk = disk.0, segment, ?trace, "damage in the log");
            self.count_damage(turn, &key, &[disk])?;
            match trace {
                Trace::Shard(..) => queued.push(key),
                Trace::Copy(..) => drop(renewed.insert(key, seq)),
            }
        }
        self.queue_damaged(queued).await?;
        // Nobody looks for copies but this: they are made up for at once.
        for (key, seq) in renewed {
            if let Err(error) = self.engine.renew_copies(key, seq).await {
                tracing::warn!(%error, "a record with a damaged copy was not written anew");
            }
            self.breathe(turn).await?;
        }
        Ok(())
    }

    fn count_damage(&self, turn: u64, key: &[u8], disks: &[DiskNo]) -> Result<(), Stop> {
        self.note(turn, |pass, totals| {
            for disk in disks {
                tally(pass, *disk).damage += 1;
                totals.damage += 1;
            }
            if let Some(bucket) = bucket_of(key) {
                count_in_bucket(pass, bucket, disks.len() as u64);
            }
        })
    }

    async fn queue_damaged(&self, keys: Vec<Bytes>) -> Result<(), Stop> {
        if mutation::is_active(Mutation::ScrubForgetsDamage) {
            return Ok(());
        }
        Ok(self.store.queue_damaged_for_healing(&keys).await?)
    }

    // Extents.

    async fn walk(&self, turn: u64, space: WalkSpace) -> Result<(), Stop> {
        let position = self.look_at_pass(turn, |pass| pass.walk.clone())?;
        let mut walk = self.store.walk_all(space, &position);
        loop {
            let is_through = self.walk_step(turn, space, &mut walk).await?;
            let position = walk.position();
            self.note(turn, |pass, _| pass.walk = position)?;
            self.breathe(turn).await?;
            if is_through {
                break;
            }
        }
        self.leave_bucket(turn, None).await
    }

    /// Looks at some blobs; true at the end of the walk.
    async fn walk_step(
        &self,
        turn: u64,
        space: WalkSpace,
        walk: &mut BlobWalk,
    ) -> Result<bool, Stop> {
        let mut blobs = Vec::new();
        let mut steps = 0;
        let mut is_through = false;
        while blobs.len() < BLOBS_AT_ONCE && steps < VIEW_STEP {
            steps += 1;
            match walk.next().await? {
                None => {
                    is_through = true;
                    break;
                }
                Some(Walked::Blob(blob)) if blob.placement.is_extents() => blobs.push(blob),
                Some(Walked::Blob(blob)) => self.look_for_lacks(blob).await?,
                Some(Walked::End { bucket, size, .. }) if space == WalkSpace::Objects => {
                    self.leave_bucket(turn, Some(bucket)).await?;
                    self.note(turn, |pass, _| add_to_bucket(pass, bucket, size))?;
                }
                Some(Walked::End { .. }) => {}
                Some(Walked::Unknown { key, error, .. }) => {
                    tracing::warn!(?key, error, "a record can't be followed");
                }
            }
        }
        let checks = blobs.iter().map(|blob| self.check(blob));
        let checks = join_all(checks).await;
        for (blob, check) in blobs.into_iter().zip(checks) {
            self.judge(turn, blob, check).await?;
        }
        Ok(is_through)
    }

    async fn check(&self, blob: &NamedBlob) -> BlobCheck {
        check_blob(&self.pool, &blob.placement, &self.pace).await
    }

    /// A blob in the log whose record says that shards are nowhere, or on disks that are no more, should be queued already.
    async fn look_for_lacks(&self, blob: NamedBlob) -> Result<(), Stop> {
        let disks = self.pool.disks();
        let is_member = |disk| disks.entry(disk).is_some();
        let mut places = blob.placement.shards.iter();
        if !places.all(|place| place.disk().is_some_and(is_member)) {
            self.store.queue_lacking_for_healing(&[blob.key]).await?;
        }
        Ok(())
    }

    async fn judge(&self, turn: u64, blob: NamedBlob, check: BlobCheck) -> Result<(), Stop> {
        let places = blob.placement.shards.iter();
        let disks: Vec<Option<DiskNo>> = places.map(|place| place.disk()).collect();
        let with = |wanted: fn(&ShardState) -> bool| {
            let states = check.shards.iter().zip(&disks);
            let wanted = states.filter(move |(state, _)| wanted(state));
            wanted.filter_map(|(_, disk)| *disk).collect::<Vec<_>>()
        };
        let away = with(|state| *state == ShardState::Away);
        let bad = with(|state| matches!(state, ShardState::Bad { .. }));
        self.note(turn, |pass, totals| {
            pass.missed.extend(away);
            for (disk, bytes) in disks.iter().zip(&check.read_bytes) {
                if let Some(disk) = disk {
                    tally(pass, *disk).bytes += bytes;
                    totals.bytes += bytes;
                }
            }
        })?;
        if check.is_whole() || !self.store.is_named(&blob).await? {
            return Ok(());
        }
        if !bad.is_empty() {
            let BlobId(id) = blob.placement.blob;
            tracing::warn!(blob = id, disks = ?bad, "damaged extents");
            self.count_damage(turn, &blob.whole_key, &bad)?;
        }
        if check.lost_stripes > 0 && check.is_damaged() {
            tracing::error!(key = ?blob.key, stripes = check.lost_stripes, "an object can't be read any more: too few shards are good");
        }
        if check.is_damaged() {
            self.queue_damaged(vec![blob.key]).await?;
        } else if check.lacks_shards() {
            self.store.queue_lacking_for_healing(&[blob.key]).await?;
        }
        Ok(())
    }

    /// Ends the bucket that the walk was in, if `next` is another.
    async fn leave_bucket(&self, turn: u64, next: Option<u64>) -> Result<(), Stop> {
        let left = self.look_at_pass(turn, |pass| {
            let left = pass.bucket.filter(|(bucket, _)| Some(*bucket) != next);
            left.map(|(bucket, bytes)| {
                let damage = pass.bucket_damage.get(&bucket).copied();
                let verified = Verified {
                    started_unix_millis: pass.started_unix_millis,
                    ended_unix_millis: self.clock.unix_millis(),
                    bytes,
                    damage: damage.unwrap_or(0),
                };
                (bucket, verified)
            })
        })?;
        let Some((bucket, verified)) = left else {
            return Ok(());
        };
        self.put(vec![(bucket_key(bucket), Some(verified.encode()))])
            .await?;
        self.note(turn, |pass, _| pass.bucket = None)
    }

    // Leaks.

    async fn find_leaks(&self, turn: u64) -> Result<(), Stop> {
        loop {
            let first = self.look_at_pass(turn, |pass| pass.fan_out)?;
            if first > u64::from(u8::MAX) {
                return Ok(());
            }
            // Before anything is listed: whatever is below is complete.
            let oldest = self.pool.oldest_in_flight();
            let (listed, next) = self.list_extents(turn, first, oldest).await?;
            if !listed.is_empty() {
                self.remove_unnamed(turn, listed).await?;
            }
            self.note(turn, |pass, _| pass.fan_out = next)?;
            self.breathe(turn).await?;
        }
    }

    /// Extents below `oldest`, from one directory on; and the directory to go on with.
    async fn list_extents(
        &self,
        turn: u64,
        first: u64,
        oldest: BlobId,
    ) -> Result<(Vec<Extent>, u64), Stop> {
        let (mut listed, mut next) = (Vec::new(), first);
        while listed.len() < LEAKS_AT_ONCE
            && let Ok(fan_out) = u8::try_from(next)
        {
            let began = self.pace.begin();
            let list = |disk: &Arc<dyn Disk>| -> (DiskNo, Job<Vec<Extent>>) {
                let (disk, number) = (Arc::clone(disk), disk.number());
                let list = move || {
                    let extents = disk.extents_in(fan_out).unwrap_or_default().into_iter();
                    let old = extents.filter(|(blob, _)| *blob < oldest);
                    old.map(|(blob, shard)| (number, blob, shard)).collect()
                };
                (number, Box::new(list))
            };
            let disks = self.pool.disks();
            let jobs: Vec<_> = disks.here().map(list).collect();
            let found = self.pool.on_disks(jobs.len(), jobs).await;
            listed.extend(found.into_iter().flatten().flatten());
            next += 1;
            self.pace.rest_since(began, 0).await;
            self.breathe(turn).await?;
        }
        Ok((listed, next))
    }

    async fn remove_unnamed(&self, turn: u64, listed: Vec<Extent>) -> Result<(), Stop> {
        // A commit that failed may be found after a crash, until a checkpoint has said that it does not count.
        self.engine.checkpoint().await?;
        let blobs: HashSet<BlobId> = listed.iter().map(|(_, blob, _)| *blob).collect();
        let unnamed = match self.store.unnamed(blobs).await {
            Ok(unnamed) => unnamed,
            Err(StoreError::Record(error)) => {
                tracing::warn!(%error, "a record that is not understood may name any extent: leaks are left alone");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let mut leaks: BTreeMap<DiskNo, Vec<(BlobId, u8)>> = BTreeMap::new();
        for (disk, blob, shard) in listed {
            if unnamed.contains(&blob) {
                leaks.entry(disk).or_default().push((blob, shard));
            }
        }
        for (number, extents) in leaks {
            let Some(disk) = self.pool.disk(number) else {
                continue;
            };
            let count = extents.len() as u64;
            let remove: Job<()> = Box::new(move || {
                for (blob, shard) in extents {
                    if let Err(error) = disk.remove_extent(blob, shard) {
                        tracing::warn!(%error, disk = number.0, "extent not removed");
                    }
                }
            });
            self.pool.on_disks(1, vec![(number, remove)]).await;
            tracing::info!(
                disk = number.0,
                count,
                "extents that no record names removed"
            );
            self.note(turn, |pass, totals| {
                tally(pass, number).leaks += count;
                totals.leaks += count;
            })?;
        }
        Ok(())
    }
}

/// An extent where it was found.
type Extent = (DiskNo, BlobId, u8);

fn is_here(disk: &dyn Disk) -> bool {
    !matches!(disk.health(), Health::Failed(_))
}

fn count_in_bucket(pass: &mut Pass, bucket: u64, count: u64) {
    let is_known = pass.bucket_damage.contains_key(&bucket);
    if is_known || pass.bucket_damage.len() < BUCKETS_WITH_DAMAGE {
        *pass.bucket_damage.entry(bucket).or_default() += count;
    }
}

fn add_to_bucket(pass: &mut Pass, bucket: u64, bytes: u64) {
    let (_, sum) = pass.bucket.get_or_insert((bucket, 0));
    *sum += bytes;
}
