//! One at a time for each identifier. Those that nobody has or waits for take no memory.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

type Turns = Arc<Mutex<HashMap<String, Arc<Turn<()>>>>>;

/// Who works on what.
#[derive(Debug, Default)]
pub(super) struct Locks(Turns);

/// An identifier that nobody else works on, until this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    guard: Option<OwnedMutexGuard<()>>,
    _place: Place,
}

/// One who has or waits for an identifier: with the last of them its entry goes.
#[derive(Debug)]
struct Place {
    turns: Turns,
    id: String,
    turn: Option<Arc<Turn<()>>>,
}

impl Locks {
    /// Waits until nobody else has `id`; whoever came first is first.
    ///
    /// # Cancel safety
    /// Nothing is taken by a future that was dropped.
    pub(super) async fn take(&self, id: String) -> Taken {
        let (place, turn) = self.queue(id);
        Taken {
            guard: Some(turn.lock_owned().await),
            _place: place,
        }
    }

    fn queue(&self, id: String) -> (Place, Arc<Turn<()>>) {
        let mut turns = self.0.lock();
        let turn = Arc::clone(turns.entry(id.clone()).or_default());
        let place = Place {
            turns: Arc::clone(&self.0),
            id,
            turn: Some(Arc::clone(&turn)),
        };
        (place, turn)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl Drop for Taken {
    /// The guard goes before the place, as it counts as one who has the turn.
    fn drop(&mut self) {
        self.guard = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut turns = self.turns.lock();
        self.turn = None;
        let is_last = |turn: &Arc<Turn<()>>| Arc::strong_count(turn) == 1;
        if turns.get(&self.id).is_some_and(is_last) {
            turns.remove(&self.id);
        }
    }
}
