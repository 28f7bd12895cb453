//! What is in a bucket.

use super::{super::Held, ObjectVersion, Upload, is_free};

/// The most that is listed at once.
pub(super) const PAGE: usize = 1000;
const NULL: &str = "null";

#[derive(Debug, Default)]
pub(super) struct Objects {
    /// In the order in which they came.
    versions: Vec<(ObjectVersion, Held)>,
    uploads: Vec<Upload>,
    /// Identifiers that were given out.
    count: u64,
}

impl Objects {
    pub(super) fn is_empty(&self) -> bool {
        self.versions.is_empty() && self.uploads.is_empty()
    }

    pub(super) fn put(&mut self, key: &str, has_versions: bool, held: Held) {
        self.add(key, has_versions, false, held);
    }

    /// Deletes an object without naming a version.
    pub(super) fn mark(&mut self, key: &str, has_versions: bool) {
        if has_versions {
            self.add(key, true, true, Held::default());
        } else {
            self.versions.retain(|(which, _)| which.key != key);
        }
    }

    fn add(&mut self, key: &str, has_versions: bool, is_marker: bool, held: Held) {
        self.count += 1;
        let version = if has_versions {
            format!("v{}", self.count)
        } else {
            NULL.to_owned()
        };
        let is_replaced = |which: &ObjectVersion| which.key == key && which.version == version;
        self.versions.retain(|(which, _)| !is_replaced(which));
        self.versions.push((
            ObjectVersion {
                key: key.to_owned(),
                version,
                is_marker,
                is_latest: false,
            },
            held,
        ));
    }

    /// By key, the newest first.
    pub(super) fn versions(&self) -> Vec<ObjectVersion> {
        let mut all: Vec<_> = self.versions.iter().rev().collect();
        all.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
        let mut before = None;
        let listed = all.into_iter().map(|(which, _)| {
            let is_latest = before != Some(&which.key);
            before = Some(&which.key);
            ObjectVersion {
                is_latest,
                ..which.clone()
            }
        });
        listed.collect()
    }

    /// Whether it is gone; it may never have been there.
    pub(super) fn delete(&mut self, which: &ObjectVersion) -> bool {
        let is_it =
            |known: &ObjectVersion| known.key == which.key && known.version == which.version;
        let found = self.versions.iter().position(|(known, _)| is_it(known));
        let Some(at) = found else {
            return true;
        };
        let is_free = self.versions.get(at).is_some_and(|(_, held)| is_free(held));
        if is_free {
            self.versions.remove(at);
        }
        is_free
    }

    pub(super) fn held(&self, which: &ObjectVersion) -> Held {
        let mut all = self.versions.iter();
        let found = all.find(|(known, _)| known.key == which.key && known.version == which.version);
        found.map(|(_, held)| held.clone()).unwrap_or_default()
    }

    pub(super) fn hold(&mut self, key: &str, is_held: bool) {
        for (which, held) in &mut self.versions {
            if which.key == key {
                held.legal_hold = is_held;
            }
        }
    }

    pub(super) fn begin_upload(&mut self, key: &str) {
        self.count += 1;
        self.uploads.push(Upload {
            key: key.to_owned(),
            id: format!("u{}", self.count),
        });
    }

    pub(super) fn uploads(&self) -> Vec<Upload> {
        self.uploads.clone()
    }

    pub(super) fn abort(&mut self, upload: &Upload) {
        self.uploads.retain(|known| known != upload);
    }
}
