//! What readers of this process still need although its object may be gone: blobs and uploads by number.
//!
//! A reader pins first and then makes sure that the record still names what it pinned; the sweeper looks at the pins after
//! it has found a garbage task, which was committed together with the change of the record. So one of the two sees the other.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

/// All pins.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<HashMap<u64, u32>>);

impl Pins {
    /// Pins `number` until the result is dropped.
    pub(super) fn pin(self: &Arc<Self>, number: u64) -> Pin {
        *self.0.lock().entry(number).or_insert(0) += 1;
        Pin {
            pins: Arc::clone(self),
            number,
        }
    }

    /// Whether anyone needs `number`.
    pub(super) fn is_pinned(&self, number: u64) -> bool {
        self.0.lock().contains_key(&number)
    }
}

/// Keeps what has this number from being removed.
#[derive(Debug)]
pub(super) struct Pin {
    pins: Arc<Pins>,
    number: u64,
}

impl Clone for Pin {
    fn clone(&self) -> Self {
        self.pins.pin(self.number)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.pins.0.lock();
        if let Some(count) = pins.get_mut(&self.number) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_pinned_until_its_last_pin_is_dropped() {
        let pins = Arc::new(Pins::default());
        let first = pins.pin(7);
        let second = first.clone();
        drop(first);
        assert!(pins.is_pinned(7) && !pins.is_pinned(8));
        drop(second);
        assert!(!pins.is_pinned(7));
        assert!(pins.0.lock().is_empty());
    }
}
