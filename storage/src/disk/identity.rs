//! Which disk is which: `disk.json`, and what is made of a row of directories at start-up.
//!
//! Each disk's `disk.json` holds its own identity and the whole membership of the cluster, under a generation. A change of
//! membership (a disk replaced or added) is a new document with the next generation on every disk that is present.
//!
//! Crash safety: each document is replaced atomically and is complete in itself; the highest generation among the disks wins, and
//! those that lag behind are brought up to it at the next start. So the documents of a change can be written in any order: a crash
//! between two of them leaves the old membership (nobody has the new one) or the new one (somebody has). A disk that the new
//! one names but that was not written yet is still empty, and is replaced once more, under yet another number. A number may be spent
//! by that, but is never given to two disks that hold anything: nothing is stored before all present disks have the document.
//!
//! A new cluster is written twice: generation 0 to every disk, then generation 1 to every disk. While nobody has generation 1,
//! formatting starts anew; once somebody has, every disk has its identity.
//!
//! Two documents of one generation that differ come from two starts that did not see each other's disks. What more disks hold wins, as
//! nothing was ever served from a membership that its disks did not all hold; an even split is refused, for people to decide.
//!
//! Invariants:
//! - A directory that is refused is not changed by a byte.
//! - A directory that has anything in it but no `disk.json` is never used.

mod assemble;
mod change;
mod document;

#[cfg(any(test, feature = "testing"))]
pub(in crate::disk) use self::document::rewrite;
use super::{DiskError, DiskNo};

pub(crate) use self::change::Write;
pub use self::{
    assemble::{Assembled, AssembledState, Assembly, assemble},
    change::{Newcomer, Place, Proposal, Roster},
    document::{DISK_FILE, IDENTITY_FORMAT, MOVING_FORMAT},
};

/// Why the disks can't be put together. Nothing was written, unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No directory was given.
    #[error("no data directory is given")]
    NoDirectories,
    /// Fewer directories than the cluster has disks.
    #[error(
        "the cluster has {expected} disks but only {got} data directories are given; not among them: {missing}. List all of them, in their \
         order; for a disk that is lost, list an empty directory in its place"
    )]
    TooFewDirectories {
        /// Disks of the cluster.
        expected: usize,
        /// Directories given.
        got: usize,
        /// The disks that are not among them.
        missing: String,
    },
    /// A directory too many, among those of the cluster's disks.
    #[error(
        "{path} stands in place {given} of the data directories (places count from 0), where disk {expected} belongs, and is no disk of the \
         cluster: if a disk was removed, take its directory out of the data directories"
    )]
    Surplus {
        /// The directory.
        path: String,
        /// Where it is given.
        given: usize,
        /// The disk that belongs there.
        expected: u16,
    },
    /// A disk that was put in elsewhere while the server ran.
    #[error(
        "{path} is empty, but disk {expected}, which belongs in place {given} of the data directories (places count from 0), was put in at \
         {joined_at} while the server ran: give that directory in this place"
    )]
    PutInElsewhere {
        /// The empty directory.
        path: String,
        /// Where it is given.
        given: usize,
        /// The disk that belongs there.
        expected: u16,
        /// Where that disk was put in.
        joined_at: String,
    },
    /// A directory that is to be a new disk holds what another one left.
    #[error(
        "{path} is not empty: it holds data of disk {found}, which is no member of the cluster any more; empty it to use it again"
    )]
    HoldsData {
        /// The directory.
        path: String,
        /// The disk's number.
        found: u16,
    },
    /// A directory that is to be a new disk is one of the cluster's already.
    #[error("{path} is disk {found} of this cluster already")]
    IsMember {
        /// The directory.
        path: String,
        /// The disk's number.
        found: u16,
    },
    /// More than half of the known disks would be replaced at once.
    #[error(
        "{empty} of the cluster's {expected} disks are empty directories: are they mounted? At most half of the disks can be replaced \
         at one start"
    )]
    MostlyEmpty {
        /// Disks of the cluster.
        expected: usize,
        /// Empty directories in their places.
        empty: usize,
    },
    /// Files but no `disk.json`.
    #[error(
        "{path} is not empty (it contains {example}) but has no disk.json: it is no disk of Larder; give an empty directory, or \
         remove what is in it"
    )]
    NotEmpty {
        /// The directory.
        path: String,
        /// One of the names in it.
        example: String,
    },
    /// Written by a later version.
    #[error(
        "{path} has format {found}, this version of Larder reads up to {supported}: run the later version"
    )]
    NewerFormat {
        /// The directory.
        path: String,
        /// Its format.
        found: u64,
        /// The highest that is understood.
        supported: u64,
    },
    /// A disk of another cluster.
    #[error(
        "{path} belongs to cluster {found}, the other directories to cluster {expected}: give the right directory, or an empty one"
    )]
    OtherCluster {
        /// The directory.
        path: String,
        /// Its cluster.
        found: String,
        /// The cluster of the others.
        expected: String,
    },
    /// A disk in another disk's place.
    #[error(
        "{path} is disk {found}, which belongs in place {belongs} of the data directories, but is given in place {given} (places count \
         from 0): put the directories back in their order"
    )]
    WrongSlot {
        /// The directory.
        path: String,
        /// The disk's number.
        found: u16,
        /// Its slot.
        belongs: usize,
        /// The slot it was given in.
        given: usize,
    },
    /// A disk that is no member any more.
    #[error(
        "{path} is disk {found}, which is no member of the cluster any more: it was removed, or another disk took its place (place {given} \
         expects {expected}); what it holds is out of date: take it out of the data directories, or empty it to use it again"
    )]
    ReplacedSince {
        /// The directory.
        path: String,
        /// The disk's number.
        found: u16,
        /// The slot it was given in.
        given: usize,
        /// What is expected there.
        expected: String,
    },
    /// A new disk whose directory can't be used.
    #[error("{path} is to be a new disk but can't be used: {reason}")]
    NewDiskUnusable {
        /// The directory.
        path: String,
        /// Why.
        reason: String,
    },
    /// Another process has it.
    #[error("{path} is in use by another process, or is given twice")]
    InUse {
        /// The directory.
        path: String,
    },
    /// None of the known disks can be read.
    #[error("no disk of the cluster can be read; first: {path}: {reason}")]
    NothingReadable {
        /// The first directory that can't be read.
        path: String,
        /// Why.
        reason: String,
    },
    /// Disks disagree, evenly.
    #[error(
        "{path} and {other} hold different memberships of the same generation {generation}: they were started apart from each other; \
         take one of the two out (give an empty directory in its place)"
    )]
    Conflict {
        /// A directory with one membership.
        path: String,
        /// A directory with the other.
        other: String,
        /// The generation of both.
        generation: u64,
    },
    /// All numbers were given.
    #[error("all disk numbers are used up")]
    NoNumberLeft,
    /// Formatting a new cluster failed half way; directories that were formatted stay so and are taken up at the next start.
    #[error("can't format {path}: {source}")]
    Format {
        /// The directory.
        path: String,
        /// What went wrong.
        source: DiskError,
    },
}

/// A disk in a cluster's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub number: DiskNo,
    /// Its id, drawn when it was formatted.
    pub disk_id: u128,
}

#[cfg(test)]
mod tests;
