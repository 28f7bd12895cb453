//! Tests of the whole of [`super`] on metadata and disks in memory.

mod accounts;
mod acl;
mod costs;
mod documents;
mod identities;
mod lifecycle;
mod lifecycle_model;
mod lock;
mod lock_model;
mod master_keys;
mod model;
mod objects;
mod outbox;
mod races;
mod sweeping;
mod uploads;
mod usage;
mod versions;
