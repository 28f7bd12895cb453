//! Walking a key range page by page, with cheap skips.

use std::collections::VecDeque;

use crate::meta::{Entry, Meta, MetaError};

/// Entries of the largest page.
const MAX_PAGE: usize = 1000;
/// Entries of the smallest page: the one that is wanted and one that says whether there is more.
const MIN_PAGE: usize = 2;

/// A walk over `from <= key < to`.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
    meta: &'a dyn Meta,
    from: Vec<u8>,
    to: Vec<u8>,
    page: VecDeque<Entry>,
    /// Entries to ask for next.
    limit: usize,
    is_last: bool,
}

impl<'a> Pages<'a> {
    /// A walk that is likely to want `expected` entries.
    pub(crate) fn new(meta: &'a dyn Meta, from: Vec<u8>, to: Vec<u8>, expected: usize) -> Self {
        let limit = expected.saturating_add(1).clamp(MIN_PAGE, MAX_PAGE);
        Self {
            meta,
            from,
            to,
            page: VecDeque::new(),
            limit,
            is_last: false,
        }
    }

    /// The next entry.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, MetaError> {
        if self.page.is_empty() && !self.is_last {
            self.fetch().await?;
        }
        Ok(self.page.pop_front())
    }

    /// Goes on at `key`, which lies ahead. One scan at most, none if it is in the page.
    pub(crate) fn seek(&mut self, key: Vec<u8>) {
        let skipped = self.page.partition_point(|entry| entry.key[..] < key[..]);
        self.page.drain(..skipped);
        if self.page.is_empty() && !self.is_last {
            // Much was fetched for nothing: with many such skips small pages are cheaper.
            self.limit = (self.limit / 4).max(MIN_PAGE);
            self.from = key;
        }
    }

    async fn fetch(&mut self) -> Result<(), MetaError> {
        if self.from >= self.to {
            self.is_last = true;
            return Ok(());
        }
        let entries = self.meta.scan(&self.from, &self.to, self.limit).await?;
        self.is_last = entries.len() < self.limit;
        if let Some(last) = entries.last() {
            self.from.clear();
            self.from.extend_from_slice(&last.key);
            self.from.push(0);
        }
        self.limit = (self.limit * 4).min(MAX_PAGE);
        self.page = entries.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::meta::{Change, Transaction, memory::MemoryMeta};

    async fn meta(keys: impl Iterator<Item = String>) -> Arc<dyn Meta> {
        let meta = MemoryMeta::new();
        for key in keys {
            let change = Change {
                key: key.into(),
                value: Some("v".into()),
            };
            let transaction = Transaction {
                changes: vec![change],
                ..Transaction::default()
            };
            meta.commit(transaction).await.unwrap();
        }
        Arc::new(meta)
    }

    #[tokio::test]
    async fn each_entry_comes_once_whatever_the_first_page() {
        let meta = meta((0..2500).map(|i| format!("k{i:05}"))).await;
        for expected in [0, 1, 7, 999, 2500, usize::MAX] {
            let mut pages = Pages::new(&*meta, b"k".to_vec(), b"l".to_vec(), expected);
            for i in 0..2500 {
                let entry = pages.next().await.unwrap().unwrap();
                assert_eq!(entry.key, format!("k{i:05}"));
            }
            assert_eq!(pages.next().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_seek_goes_on_at_the_key_or_after_it() {
        let meta = meta((0..100).map(|i| format!("k{i:05}"))).await;
        let mut pages = Pages::new(&*meta, b"k".to_vec(), b"l".to_vec(), 9);
        for (target, found) in [
            ("k00003", Some("k00003")),
            ("k00050x", Some("k00051")),
            ("k00099x", None),
        ] {
            pages.seek(target.as_bytes().to_vec());
            let entry = pages.next().await.unwrap();
            assert_eq!(
                entry.map(|entry| entry.key),
                found.map(|key| key.as_bytes().into())
            );
        }
        pages.seek(b"m".to_vec());
        assert_eq!(pages.next().await.unwrap(), None);
    }
}
