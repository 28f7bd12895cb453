//! The model: a view in a `BTreeMap`. For tests of what stands above a view.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;
use parking_lot::RwLock;

use super::{View, ViewChange, ViewError, change};

type Map = BTreeMap<Bytes, Bytes>;

/// A view in memory that knows what a power cut would leave. Clones share their contents.
#[derive(Clone, Debug, Default)]
pub struct MemoryView(Arc<RwLock<Images>>);

/// Maps are shared, so that a scan sees one state without holding the lock; a change copies a map that is in use.
#[derive(Debug, Default)]
struct Images {
    live: Arc<Map>,
    durable: Arc<Map>,
}

impl MemoryView {
    /// What is found after a power cut now: the state as of the last [`View::persist`].
    #[must_use]
    pub fn after_power_cut(&self) -> Self {
        let durable = Arc::clone(&self.0.read().durable);
        Self(Arc::new(RwLock::new(Images {
            live: Arc::clone(&durable),
            durable,
        })))
    }

    /// What the next process finds when this one is killed and the machine runs on. What this one still does is not seen there.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let images = self.0.read();
        Self(Arc::new(RwLock::new(Images {
            live: Arc::clone(&images.live),
            durable: Arc::clone(&images.durable),
        })))
    }

    fn live(&self) -> Arc<Map> {
        Arc::clone(&self.0.read().live)
    }
}

impl View for MemoryView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        Ok(self.0.read().live.get(key).cloned())
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), ViewError> {
        if from >= to {
            return Ok(());
        }
        let live = self.live();
        let mut entries = live.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        entries.all(|(key, value)| visit(key, value));
        Ok(())
    }

    fn apply(&self, changes: &[ViewChange]) -> Result<(), ViewError> {
        change::check(changes)?;
        let mut images = self.0.write();
        let live = Arc::make_mut(&mut images.live);
        for change in changes {
            match &change.value {
                Some(value) => live.insert(change.key.clone(), value.clone()),
                None => live.remove(&change.key),
            };
        }
        Ok(())
    }

    fn persist(&self) -> Result<(), ViewError> {
        let mut images = self.0.write();
        images.durable = Arc::clone(&images.live);
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &'static [u8]) -> ViewChange {
        ViewChange {
            key: Bytes::from_static(key),
            value: Some(Bytes::from_static(b"v")),
        }
    }

    #[test]
    fn power_cut_keeps_what_was_persisted_and_no_more() {
        let view = MemoryView::default();
        view.apply(&[put(b"a")]).unwrap();
        view.persist().unwrap();
        view.apply(&[put(b"b")]).unwrap();
        let after = view.after_power_cut();
        assert!(after.get(b"a").unwrap().is_some());
        assert_eq!(after.get(b"b").unwrap(), None);
        assert!(view.get(b"b").unwrap().is_some());
    }
}
