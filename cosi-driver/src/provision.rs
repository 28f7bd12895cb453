//! What COSI asks for, in terms of buckets and accounts. Nothing here knows gRPC or Kubernetes.
//!
//! Every call may be repeated at any time, by another process too, with the same answer: what there is is kept by the backend alone (tags of buckets and
//! users, and access keys that are made under a name), so that a driver that is killed between two steps loses nothing and leaves nothing behind.
//! `docs/decisions/0008-cosi-state.md` has the whole of it.
//!
//! | file | what |
//! |---|---|
//! | `provisioner` | [`Provisioner`] and its settings: begin here |
//! | `buckets`, `deletion`, `trash` | what is done with buckets |
//! | `bucket_state` | what a bucket's tags say |
//! | `accounts`, `identity` | accesses and their keys; the users and roles behind them |
//! | `access` | what an account may do, and what its tags say |
//! | `fault` | what a refusal of the backend means to who asked |
//! | `locks` | one call at a time for each name |
//! | `crashes`, `real_access` | tests: killed at every point; asked of a real server |
//!
//! Invariants: nothing without the driver's tag is changed or deleted; each step is one operation of the backend that may be repeated; marks that somebody
//! else finishes come before what they announce, and marks that say "done" come last. What the file `access` and the tags keep of an access is what it may
//! do, never how its Secret looks.

mod access;
mod accounts;
mod bucket_state;
mod buckets;
mod deletion;
mod fault;
mod identity;
mod locks;
mod provisioner;
mod trash;

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod real_access;
#[cfg(test)]
pub(crate) mod testing;

use std::{collections::BTreeMap, fmt};

use time::OffsetDateTime;
use zeroize::Zeroizing;

pub(crate) use bucket_state::instant_text;
pub use provisioner::{OidcProvider, ProvisionSettings, Provisioner};

/// Parameters of a class as an administrator wrote them.
pub type Parameters = BTreeMap<String, String>;

/// Where a bucket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketInfo {
    /// Its name in S3, which is its identifier in COSI.
    pub id: String,
    /// `http(s)://host[:port]`.
    pub endpoint: String,
    /// The region that requests are signed for.
    pub region: String,
}

/// What may be done with the objects of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessMode {
    /// Reading, listing, writing, deleting.
    #[default]
    ReadWrite,
    /// Reading and listing.
    ReadOnly,
    /// Writing, without reading or listing.
    WriteOnly,
    /// Reading, listing, and writing what is not there yet.
    AppendOnly,
    /// Everything that can be done with the bucket, but for deleting it.
    Admin,
}

/// How whoever is given access proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// By an access key.
    Key,
    /// By a token of this service account of Kubernetes, through STS.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// An access that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The account's identifier: `ba-` and the `BucketAccess`'s uid.
    pub account: String,
    /// To which buckets, and how; `None`: as the class says.
    pub buckets: Vec<(String, Option<AccessMode>)>,
    /// How it is proved.
    pub authentication: Authentication,
    /// Of the `BucketAccessClass`.
    pub parameters: Parameters,
}

/// An access that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The account's identifier.
    pub account: String,
    /// In the order in which they were asked for.
    pub buckets: Vec<BucketInfo>,
    /// How it is proved.
    pub credentials: Credentials,
    /// Of the key; 1 until it is rotated, and of a role always.
    pub generation: u64,
}

/// How an access is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// An access key.
    Key(KeyPair),
    /// A role that the service account takes on.
    Role {
        /// Its ARN.
        arn: String,
        /// The audience that tokens must be for.
        audience: String,
    },
}

/// An access key with its secret, which `Debug` never shows.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The access key's identifier.
    pub access_key: String,
    /// Its secret.
    pub secret_key: Zeroizing<String>,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

/// An account that this driver made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSummary {
    /// Its identifier.
    pub account: String,
    /// To which buckets it has access, and how.
    pub buckets: Vec<(String, AccessMode)>,
    /// When it was made.
    pub created: OffsetDateTime,
    /// The generation of its access key; 1 at first.
    pub generation: u64,
    /// Since when its keys don't work, by [`Provisioner::disable`].
    pub disabled: Option<OffsetDateTime>,
}

/// A bucket that this driver made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSummary {
    /// Its name.
    pub id: String,
    /// When it was made.
    pub created: OffsetDateTime,
    /// What it was made with, in the form that is the same for all ways to write the same.
    pub parameters: Parameters,
    /// Until when it is in the trash, if it is.
    pub trashed_until: Option<OffsetDateTime>,
}

/// What became of the buckets that were in the trash long enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Those that are gone.
    pub deleted: Vec<String>,
    /// Those that are still there, and why.
    pub kept: Vec<(String, ProvisionError)>,
}

/// Why something is not done. The messages are for users, and hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionError {
    /// What was asked for can't be had: a wrong name, parameter or combination.
    #[error("{0}")]
    Invalid(String),
    /// There is one already, made with other parameters or by somebody else.
    #[error("{0}")]
    Conflict(String),
    /// There is no such bucket.
    #[error("{0}")]
    NotFound(String),
    /// It may not be done in the state in which things are, such as deleting a bucket that is not empty.
    #[error("{0}")]
    Precondition(String),
    /// The driver's own credentials are not accepted or don't suffice.
    #[error("{0}")]
    Denied(String),
    /// The server does not answer, or not now: again later.
    #[error("{0}")]
    Unavailable(String),
}
