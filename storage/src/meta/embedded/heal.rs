//! What healing needs of the engine: the view's rows as they are, with where their copies lie.

use std::sync::Arc;

use bytes::Bytes;

use super::{Embedded, Stored, checkpoint::CHECKPOINT_KEY, damaged};
use crate::{
    meta::{MetaError, view::View},
    stripes::Pool,
};

/// Rows of a page, and where the next one begins.
pub(crate) type Rows = (Vec<(Bytes, Stored)>, Option<Bytes>);

impl Embedded {
    /// Up to `limit` rows from `from` (included) on that `wanted` picks, out of at most `look_at` rows. Takes microseconds a row.
    ///
    /// # Errors
    /// [`MetaError`]: the view is damaged.
    pub(crate) async fn rows(
        &self,
        from: Bytes,
        limit: usize,
        look_at: usize,
        wanted: impl Fn(&[u8], &Stored) -> bool + Send + 'static,
    ) -> Result<Rows, MetaError> {
        let work = move |view: &dyn View| Ok(rows_of(view, &from, limit, look_at, &wanted));
        self.view.off_thread(work).await?
    }

    /// The row of `key`.
    ///
    /// # Errors
    /// As [`Embedded::rows`].
    pub(crate) async fn row(&self, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        let Some(bytes) = self.view.get(key).await? else {
            return Ok(None);
        };
        let row = Stored::decode(&bytes).map(Some);
        row.ok_or_else(|| damaged(key))
    }

    /// The disks that it is on.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}

pub(super) fn rows_of(
    view: &dyn View,
    from: &[u8],
    limit: usize,
    look_at: usize,
    wanted: &dyn Fn(&[u8], &Stored) -> bool,
) -> Result<Rows, MetaError> {
    let (mut rows, mut next, mut seen, mut bad) = (Vec::new(), None, 0, None);
    view.scan(from, CHECKPOINT_KEY, &mut |key, bytes| {
        if rows.len() == limit || seen == look_at {
            next = Some(Bytes::copy_from_slice(key));
            return false;
        }
        seen += 1;
        match Stored::decode(&Bytes::copy_from_slice(bytes)) {
            Some(stored) if wanted(key, &stored) => {
                rows.push((Bytes::copy_from_slice(key), stored));
            }
            Some(_) => {}
            None => bad = Some(damaged(key)),
        }
        bad.is_none()
    })?;
    bad.map_or(Ok((rows, next)), Err)
}
