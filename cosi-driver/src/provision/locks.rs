//! One call at a time for each name.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

type Slot = tokio::sync::Mutex<()>;

/// Names that somebody works on. Bounded by the number of calls in flight.
#[derive(Debug, Default)]
pub(super) struct Locks {
    slots: Mutex<HashMap<String, Weak<Slot>>>,
}

impl Locks {
    /// Waits until nobody else works on this name, and holds it.
    pub(super) async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        self.slot(name).lock_owned().await
    }

    fn slot(&self, name: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(name).and_then(Weak::upgrade) {
            return slot;
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::new(Slot::default());
        slots.insert(name.to_owned(), Arc::downgrade(&slot));
        slot
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn names_are_held_apart_and_forgotten() {
        let locks = Locks::default();
        let first = locks.lock("a").await;
        assert!(locks.lock("a").now_or_never().is_none());
        let second = locks.lock("b").await;
        drop(first);
        let _again = locks.lock("a").await;
        drop(second);
        let _third = locks.lock("c").await;
        assert_eq!(locks.slots.lock().len(), 2);
    }
}
