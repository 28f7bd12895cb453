//! Controllers: what makes `BucketClaim`s and `BucketAccess`es of the cluster true, on one process at a time.
//!
//! Two sets, never both at once: `standalone` needs nothing of upstream's; `repair` mends what upstream's controller and sidecar get wrong. Every step may be repeated and
//! every process killed at any time: what is known is on the objects and in the store. Objects of other drivers are never written to.

mod access;
mod backoff;
mod bucket;
mod claim;
mod clock;
mod contents;
mod context;
mod events;
mod failure;
mod keys;
mod lately;
mod lease;
mod metrics;
mod orphans;
pub mod rbac;
mod repair;
mod rotation;
mod run;
mod secret;
mod settings;
mod upstream;
mod watch;

pub use self::{
    metrics::Metrics,
    rotation::ROTATE,
    run::run,
    settings::{ControllerFlags, Mode, OrphanSettings, Settings},
    upstream::Places,
};
pub(crate) use self::{
    settings::{UPSTREAM_NAMESPACE, own_namespace},
    upstream::{AtWork, CONTROLLER_DEPLOYMENT, who},
};
