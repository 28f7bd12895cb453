//! Deliberate bugs, to prove that the simulation would find them.
//!
//! A mutation is active in one thread until it is taken back. Without the feature `testing` none of this exists, and
//! `is_active` is constantly false.

/// A promise that the store breaks while the mutation is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Frames count as durable without a sync of their segment.
    SkipLogSync,
    /// A new segment's name is not synced.
    SkipSegmentNameSync,
    /// Extents count as durable without a sync of their bytes.
    SkipExtentSync,
    /// Extents count as durable without a sync of their names.
    SkipExtentNameSync,
    /// Readers do not look at the checksums of blocks.
    SkipBlockChecksum,
    /// Commits do not look at their preconditions.
    SkipPreconditions,
    /// Commits in doubt are adopted as they are, with whatever shards they have.
    SkipRenewal,
    /// Commits in doubt are void, however many disks have them.
    VoidDoubts,
    /// Reclaim removes segments without moving what is alive.
    SkipMoves,
    /// Healing writes shards that are not what they should be, with checksums that match.
    HealWrongShard,
    /// Healing leaves records on fewer disks than they should be on.
    SkipCopyHealing,
    /// Healing does not look after deletions.
    SkipTombstones,
    /// Healing commits what it has moved whatever became of the object meanwhile.
    SkipHealPreconditions,
    /// Whoever looks for extents that no record names forgets that parts of uploads and objects have some.
    LeakPartsOfObjects,
    /// A scrub queues nothing of what it finds damaged.
    ScrubForgetsDamage,
    /// A disk that is being drained can be removed at once, whatever is on it.
    RemoveTooEarly,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::SkipLogSync,
        Self::SkipSegmentNameSync,
        Self::SkipExtentSync,
        Self::SkipExtentNameSync,
        Self::SkipBlockChecksum,
        Self::SkipPreconditions,
        Self::SkipRenewal,
        Self::VoidDoubts,
        Self::SkipMoves,
        Self::HealWrongShard,
        Self::SkipCopyHealing,
        Self::SkipTombstones,
        Self::SkipHealPreconditions,
        Self::LeakPartsOfObjects,
        Self::ScrubForgetsDamage,
        Self::RemoveTooEarly,
    ];
}

#[cfg(any(test, feature = "testing"))]
mod active {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Makes one mutation active in this thread, or none.
    pub fn set(mutation: Option<Mutation>) {
        ACTIVE.set(mutation);
    }

    pub(crate) fn is_active(mutation: Mutation) -> bool {
        ACTIVE.get() == Some(mutation)
    }
}

#[cfg(any(test, feature = "testing"))]
pub(crate) use active::is_active;
#[cfg(any(test, feature = "testing"))]
pub use active::set;

/// No mutation is ever active in a store that serves.
#[cfg(not(any(test, feature = "testing")))]
pub(crate) const fn is_active(_: Mutation) -> bool {
    false
}
