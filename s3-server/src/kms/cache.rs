//! Bucket keys of the transit engine, for a few minutes: in memory only, and wiped when they go.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::{Key, Wrapped, WrappingKey};

/// How long a bucket key is used, for writing and for reading, before the engine is asked again.
pub(super) const LIFETIME: Duration = Duration::from_mins(5);
/// Bucket keys remembered at most.
const MAX_ENTRIES: usize = 1024;

type Name = [u8; 32];

#[derive(Default)]
pub(super) struct Cache(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// By what the engine made of them.
    opened: HashMap<Name, Entry>,
    /// The latest, by key and context.
    latest: HashMap<Name, (Vec<u8>, Entry)>,
}

#[derive(Clone)]
struct Entry {
    key: WrappingKey,
    until: Duration,
}

impl Cache {
    /// The bucket key to seal with.
    pub(super) fn latest(&self, key: &Key, context: &[u8], now: Duration) -> Option<Wrapped> {
        let entries = self.0.lock();
        let (wrapped, entry) = entries.latest.get(&name(key, context, &[]))?;
        (now < entry.until).then(|| Wrapped {
            key: entry.key.clone(),
            wrapped: wrapped.clone(),
        })
    }

    /// The bucket key that was wrapped so.
    pub(super) fn of_wrapped(
        &self,
        key: &Key,
        context: &[u8],
        wrapped: &[u8],
        now: Duration,
    ) -> Option<WrappingKey> {
        let entries = self.0.lock();
        let entry = entries.opened.get(&name(key, context, wrapped))?;
        (now < entry.until).then(|| entry.key.clone())
    }

    /// Remembers a new bucket key.
    pub(super) fn remember(
        &self,
        key: &Key,
        context: &[u8],
        wrapped: &[u8],
        plain: &WrappingKey,
        now: Duration,
    ) {
        self.remember_opened(key, context, wrapped, plain, now);
        let mut entries = self.0.lock();
        make_room(&mut entries.latest, now, |(_, entry)| entry.until);
        let entry = (wrapped.to_vec(), Entry::new(plain, now));
        entries.latest.insert(name(key, context, &[]), entry);
    }

    /// Remembers one that was unwrapped.
    pub(super) fn remember_opened(
        &self,
        key: &Key,
        context: &[u8],
        wrapped: &[u8],
        plain: &WrappingKey,
        now: Duration,
    ) {
        let mut entries = self.0.lock();
        make_room(&mut entries.opened, now, |entry| entry.until);
        let entry = Entry::new(plain, now);
        entries.opened.insert(name(key, context, wrapped), entry);
    }
}

impl Entry {
    fn new(key: &WrappingKey, now: Duration) -> Self {
        Self {
            key: key.clone(),
            until: now.saturating_add(LIFETIME),
        }
    }
}

/// Takes out what is too old, and everything where that is not enough: it can be asked for again.
fn make_room<T>(entries: &mut HashMap<Name, T>, now: Duration, until: impl Fn(&T) -> Duration) {
    entries.retain(|_, entry| now < until(entry));
    if entries.len() >= MAX_ENTRIES {
        entries.clear();
    }
}

fn name(key: &Key, context: &[u8], wrapped: &[u8]) -> Name {
    let mut hasher = Sha256::new();
    hasher.update([key.holder as u8]);
    for part in [key.name.as_bytes(), context, wrapped] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::{super::Holder, *};

    fn key(name: &str) -> Key {
        Key {
            holder: Holder::Transit,
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_bucket_key_is_used_for_its_time_and_its_context_only() {
        let (cache, plain) = (Cache::default(), Zeroizing::new([7; 32]));
        cache.remember(&key("k"), b"c", b"w", &plain, Duration::ZERO);
        let just = Duration::from_millis(299_999);
        assert_eq!(cache.latest(&key("k"), b"c", just).unwrap().wrapped, b"w");
        assert_eq!(cache.of_wrapped(&key("k"), b"c", b"w", just), Some(plain));
        assert!(cache.latest(&key("k"), b"c", LIFETIME).is_none());
        assert!(cache.of_wrapped(&key("k"), b"c", b"w", LIFETIME).is_none());
        assert!(cache.latest(&key("l"), b"c", just).is_none());
        assert!(cache.of_wrapped(&key("k"), b"d", b"w", just).is_none());
        assert!(cache.of_wrapped(&key("k"), b"c", b"x", just).is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let (cache, plain) = (Cache::default(), Zeroizing::new([7; 32]));
        for number in 0..3 * MAX_ENTRIES {
            let context = number.to_string();
            cache.remember(&key("k"), context.as_bytes(), b"w", &plain, Duration::ZERO);
            let entries = cache.0.lock();
            assert!(entries.opened.len() <= MAX_ENTRIES && entries.latest.len() <= MAX_ENTRIES);
        }
    }
}
