//! What the storage knows of itself. A new figure of the storage crate is a line in [`SOURCES`] and a function.

use larder_storage::{
    disk::Health,
    open::{DiskStatus, Status, Storage},
    upkeep::{
        heal::HealState,
        scrub::{ScrubState, ScrubStatus},
    },
};

use crate::{
    admin::{accounts::AccountEntry, buckets::BucketEntry},
    app::App,
    metrics::{Exposition, Kind},
};

/// What a source may look at.
pub(super) struct Seen<'a> {
    /// The storage, for whatever is cheap to ask.
    pub(super) storage: &'a Storage,
    /// Disks and degraded objects; `None` where they can't be found out.
    pub(super) status: Option<&'a Status>,
    /// The scrub; `None` where it can't be found out.
    pub(super) scrub: Option<&'a ScrubStatus>,
    /// With their usage.
    pub(super) buckets: &'a [BucketEntry],
    /// With their usage.
    pub(super) accounts: &'a [AccountEntry],
}

/// Buckets that have series of their own: a label should not grow without bound.
const SHOWN_BUCKETS: usize = 1000;
/// The same of accounts.
const SHOWN_ACCOUNTS: usize = 1000;

/// Writes a few families.
type Source = fn(&Seen<'_>, &mut Exposition);

/// All sources, in the order of the answer.
const SOURCES: &[Source] = &[
    disks, redundancy, healing, levelling, scrub, lifecycles, buckets, accounts,
];

pub(super) async fn write(app: &App, storage: &Storage, out: &mut Exposition) {
    let status = storage.status().await;
    if let Err(error) = &status {
        tracing::warn!(%error, "the status of the disks is not known");
    }
    let scrub = storage.scrub().status().await;
    let buckets = super::super::buckets::entries(storage.store(), SHOWN_BUCKETS).await;
    if let Err(error) = &buckets {
        tracing::warn!(%error, "the usage of buckets is not known");
    }
    let mut known = app.accounts.all();
    known.truncate(SHOWN_ACCOUNTS);
    let accounts = super::super::accounts::entries(storage.store(), &known).await;
    if let Err(error) = &accounts {
        tracing::warn!(%error, "the usage of accounts is not known");
    }
    let seen = Seen {
        accounts: accounts.as_deref().unwrap_or_default(),
        buckets: buckets.as_deref().unwrap_or_default(),
        scrub: scrub.as_ref().ok(),
        storage,
        status: status.as_ref().ok(),
    };
    for source in SOURCES {
        source(&seen, out);
    }
}

fn buckets(seen: &Seen<'_>, out: &mut Exposition) {
    let mut each = |name: &str, help: &str, value: fn(&BucketEntry) -> Option<u64>| {
        let mut family = out.family(name, Kind::Gauge, help);
        for bucket in seen.buckets {
            if let Some(value) = value(bucket) {
                family.sample(&[("bucket", &bucket.name)], value);
            }
        }
    };
    each(
        "larder_bucket_objects",
        "Versions of objects in the bucket, without delete markers; of the first thousand buckets by name.",
        |bucket| Some(bucket.objects),
    );
    each(
        "larder_bucket_bytes",
        "Bytes of all versions of objects in the bucket, as clients sent them.",
        |bucket| Some(bucket.bytes),
    );
    each(
        "larder_bucket_delete_markers",
        "Delete markers in the bucket.",
        |bucket| Some(bucket.delete_markers),
    );
    each(
        "larder_bucket_quota_objects",
        "Objects that may be in the bucket, where that is bounded.",
        |bucket| bucket.max_objects,
    );
    each(
        "larder_bucket_quota_bytes",
        "Bytes that may be in the bucket, where that is bounded.",
        |bucket| bucket.max_bytes,
    );
}

fn accounts(seen: &Seen<'_>, out: &mut Exposition) {
    let mut each = |name: &str, help: &str, value: fn(&AccountEntry) -> Option<u64>| {
        let mut family = out.family(name, Kind::Gauge, help);
        for account in seen.accounts {
            if let Some(value) = value(account) {
                family.sample(&[("account", &account.id)], value);
            }
        }
    };
    each(
        "larder_account_objects",
        "Versions of objects in all buckets of the account, without delete markers; of the first thousand accounts.",
        |account| Some(account.objects),
    );
    each(
        "larder_account_bytes",
        "Bytes of all versions of objects in all buckets of the account, as clients sent them.",
        |account| Some(account.bytes),
    );
    each(
        "larder_account_quota_objects",
        "Objects that may be in all buckets of the account, where that is bounded.",
        |account| account.max_objects,
    );
    each(
        "larder_account_quota_bytes",
        "Bytes that may be in all buckets of the account, where that is bounded.",
        |account| account.max_bytes,
    );
}

fn disks(seen: &Seen<'_>, out: &mut Exposition) {
    let Some(status) = seen.status else { return };
    let mut each = |name: &str, help: &str, value: fn(&DiskStatus) -> u64| {
        let mut family = out.family(name, Kind::Gauge, help);
        for disk in &status.disks {
            family.sample(&[("disk", &disk.location)], value(disk));
        }
    };
    each(
        "larder_disk_good",
        "1 for a disk that takes reads and writes.",
        |disk| u64::from(disk.health == Health::Good),
    );
    each(
        "larder_disk_full",
        "1 for a disk that takes reads and deletes only.",
        |disk| u64::from(disk.health == Health::Full),
    );
    each(
        "larder_disk_outdated",
        "1 for a disk that came back as it was at an earlier time, until it is up to date.",
        |disk| u64::from(disk.is_outdated),
    );
    each(
        "larder_disk_size_bytes",
        "Size of the file system.",
        |disk| disk.space.unwrap_or_default().total_bytes,
    );
    each("larder_disk_free_bytes", "Free for Larder.", |disk| {
        disk.space.unwrap_or_default().free_bytes
    });
}

fn redundancy(seen: &Seen<'_>, out: &mut Exposition) {
    let Some(status) = seen.status else { return };
    out.family(
        "larder_writable",
        Kind::Gauge,
        "1 while enough disks are good for writes.",
    )
    .sample(&[], u64::from(status.writable));
    out.family(
        "larder_degraded_objects",
        Kind::Gauge,
        "Objects and parts that miss shards.",
    )
    .sample(&[], status.degraded_objects);
    out.family(
        "larder_damaged_reads_total",
        Kind::Counter,
        "Blocks that were missing or rotten when a reader wanted them.",
    )
    .sample(&[], status.damaged_reads);
}

fn healing(seen: &Seen<'_>, out: &mut Exposition) {
    let status = seen.storage.healer().status();
    let mut each = |name: &str, kind: Kind, help: &str, value: u64| {
        out.family(name, kind, help).sample(&[], value);
    };
    let degraded = |within: fn(i64) -> bool| -> u64 {
        let levels = status.degraded.iter();
        let within = levels.filter(|(spare, _)| within(**spare));
        within.map(|(_, tally)| tally.objects).sum()
    };
    each(
        "larder_heal_no_spare_objects",
        Kind::Gauge,
        "Objects and parts that survive no further loss.",
        degraded(|spare| spare == 0),
    );
    each(
        "larder_heal_unreadable_objects",
        Kind::Gauge,
        "Objects and parts that can't be read now.",
        degraded(|spare| spare < 0),
    );
    each(
        "larder_heal_lost_objects",
        Kind::Gauge,
        "Objects and parts of which too few shards are left.",
        status.lost.objects,
    );
    each(
        "larder_heal_waiting_objects",
        Kind::Gauge,
        "Objects and parts that wait for a disk or for room.",
        status.waiting.objects,
    );
    each(
        "larder_heal_left_bytes",
        Kind::Gauge,
        "Bytes that the round under way has still to heal.",
        status.total.bytes.saturating_sub(status.done.bytes),
    );
    each(
        "larder_heal_paused",
        Kind::Gauge,
        "1 while healing is paused.",
        u64::from(status.state == HealState::Paused),
    );
    each(
        "larder_heal_objects_total",
        Kind::Counter,
        "Objects, parts and other records healed.",
        status.healed_objects,
    );
    each(
        "larder_heal_bytes_total",
        Kind::Counter,
        "Bytes of these.",
        status.healed_bytes,
    );
}

fn levelling(seen: &Seen<'_>, out: &mut Exposition) {
    let status = seen.storage.healer().status();
    let mut each = |name: &str, kind: Kind, help: &str, value: u64| {
        out.family(name, kind, help).sample(&[], value);
    };
    each(
        "larder_rebalance_left_bytes",
        Kind::Gauge,
        "Bytes of shards that are to move from fuller disks to emptier ones.",
        status.left_to_move_bytes,
    );
    each(
        "larder_rebalance_moved_shards_total",
        Kind::Counter,
        "Shards moved from fuller disks to emptier ones.",
        status.moved.objects,
    );
    each(
        "larder_rebalance_moved_bytes_total",
        Kind::Counter,
        "Bytes of these.",
        status.moved.bytes,
    );
}

fn scrub(seen: &Seen<'_>, out: &mut Exposition) {
    let Some(scrub) = seen.scrub else { return };
    let totals = scrub.totals;
    let mut count = |name: &str, help: &str, value: u64| {
        out.family(name, Kind::Counter, help).sample(&[], value);
    };
    count(
        "larder_scrub_verified_bytes_total",
        "Bytes on disks that the scrub has read and verified.",
        totals.bytes,
    );
    count(
        "larder_scrub_damage_total",
        "Shards and copies of records that the scrub found missing or damaged.",
        totals.damage,
    );
    count(
        "larder_scrub_leaks_removed_total",
        "Extents that no record named, removed.",
        totals.leaks,
    );
    count(
        "larder_scrub_passes_total",
        "Passes over all disks that came to their end.",
        totals.passes,
    );
    let mut running = out.family(
        "larder_scrub_running",
        Kind::Gauge,
        "1 while a pass is under way and not paused.",
    );
    running.sample(&[], u64::from(scrub.state == ScrubState::Running));
    let mut last = out.family(
        "larder_disk_last_verified_timestamp_seconds",
        Kind::Gauge,
        "When the last full pass over the disk ended; 0 if there was none.",
    );
    for disk in &scrub.disks {
        let ended = disk.last.map_or(0, |last| last.ended_unix_millis / 1000);
        last.sample(&[("disk", &disk.location)], ended);
    }
}

fn lifecycles(seen: &Seen<'_>, out: &mut Exposition) {
    let status = seen.storage.lifecycles().status();
    let totals = status.totals;
    let mut count = |name: &str, help: &str, value: u64| {
        out.family(name, Kind::Counter, help).sample(&[], value);
    };
    count(
        "larder_lifecycle_expired_objects_total",
        "Current versions that lifecycle rules deleted, or hid by a delete marker.",
        totals.objects,
    );
    count(
        "larder_lifecycle_expired_versions_total",
        "Noncurrent versions that lifecycle rules deleted.",
        totals.versions,
    );
    count(
        "larder_lifecycle_expired_delete_markers_total",
        "Delete markers that hid nothing and that lifecycle rules deleted.",
        totals.delete_markers,
    );
    count(
        "larder_lifecycle_aborted_uploads_total",
        "Uploads that lifecycle rules gave up.",
        totals.uploads,
    );
    count(
        "larder_lifecycle_looked_at_objects_total",
        "Objects and uploads that lifecycle rules were applied to.",
        totals.looked_at,
    );
    count(
        "larder_lifecycle_passes_total",
        "Passes over all buckets with rules that came to their end.",
        status.passes,
    );
    let mut gauge = |name: &str, help: &str, value: u64| {
        out.family(name, Kind::Gauge, help).sample(&[], value);
    };
    gauge(
        "larder_lifecycle_running",
        "1 while a pass is under way.",
        u64::from(status.pass.is_some()),
    );
    gauge(
        "larder_lifecycle_locked_versions",
        "Versions that were due in the last pass and are locked.",
        status.last.locked,
    );
    gauge(
        "larder_lifecycle_last_pass_timestamp_seconds",
        "When the last pass ended; 0 if there was none.",
        status.ended_unix_millis / 1000,
    );
}
