//! Reading a body, encrypted or not.

use std::{ops::Range, sync::Arc};

use bytes::{Buf as _, Bytes, BytesMut};

use super::{
    BlobKey,
    chunk::{CHUNK_BYTES, Place, SEALED_CHUNK_BYTES, chunks, sealed_bytes},
};
use crate::{
    objects::StoreError,
    stripes::{BlobPlacement, BlobReader, Pool},
};

/// What opens a blob.
#[derive(Clone, Debug)]
pub(in crate::objects) struct Unsealing {
    pub(in crate::objects) key: Arc<BlobKey>,
    /// Plain bytes of the blob.
    pub(in crate::objects) size: u64,
}

/// A run of a body's plain bytes, in order.
#[derive(Debug)]
pub(in crate::objects) struct BodyReader {
    blob: BlobReader,
    opener: Option<Opener>,
}

#[derive(Debug)]
struct Opener {
    unsealing: Unsealing,
    blob: u64,
    next: u64,
    /// Plain bytes that are still to come.
    left: Range<u64>,
    /// Sealed bytes of the next chunk, which may lie in several of the blob's blocks: it is put together here, and opened here.
    chunk: BytesMut,
    /// What comes after them in the block that was read last.
    rest: Bytes,
}

impl BodyReader {
    /// Opens what `range` of the plain bytes needs: whole chunks where they are encrypted.
    pub(in crate::objects) fn open(
        pool: &Arc<Pool>,
        placement: BlobPlacement,
        range: Range<u64>,
        unsealing: Option<Unsealing>,
    ) -> Result<Self, StoreError> {
        let Some(unsealing) = unsealing else {
            let blob = BlobReader::open(pool, placement, range)?;
            return Ok(Self { blob, opener: None });
        };
        if placement.size != sealed_bytes(unsealing.size) {
            return Err(StoreError::Unreadable(format!(
                "blob {:016x} has {} bytes, an encrypted body of {} has other",
                placement.blob.0, placement.size, unsealing.size
            )));
        }
        let left = range.start.min(unsealing.size)..range.end.min(unsealing.size);
        let first = left.start / CHUNK_BYTES as u64;
        let end = chunks(left.end).max(first);
        let sealed = SEALED_CHUNK_BYTES as u64;
        let wanted = first * sealed..(end * sealed).min(placement.size);
        let opener = Opener {
            unsealing,
            blob: placement.blob.0,
            next: first,
            left,
            chunk: BytesMut::new(),
            rest: Bytes::new(),
        };
        Ok(Self {
            blob: BlobReader::open(pool, placement, wanted)?,
            opener: Some(opener),
        })
    }

    /// See [`BlobReader::has_gone_shards`].
    pub(in crate::objects) fn has_gone_shards(&self) -> bool {
        self.blob.has_gone_shards()
    }

    /// See [`BlobReader::is_damaged`].
    pub(in crate::objects) fn is_damaged(&self) -> bool {
        self.blob.is_damaged()
    }

    /// The next bytes; `None` at the end.
    pub(in crate::objects) async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        let Some(opener) = &mut self.opener else {
            return Some(self.blob.next().await?.map_err(StoreError::from));
        };
        if opener.left.is_empty() {
            return None;
        }
        let wanted = opener.chunk_bytes();
        loop {
            opener.gather(wanted);
            if opener.chunk.len() == wanted {
                return Some(opener.open());
            }
            match self.blob.next().await {
                Some(Ok(bytes)) => opener.rest = bytes,
                Some(Err(error)) => return Some(Err(error.into())),
                None => return Some(Err(opener.broken())),
            }
        }
    }
}

impl Opener {
    /// Sealed bytes of the next chunk.
    fn chunk_bytes(&self) -> usize {
        let sealed = SEALED_CHUNK_BYTES as u64;
        let rest = sealed_bytes(self.unsealing.size).saturating_sub(self.next * sealed);
        usize::try_from(rest.min(sealed)).unwrap_or(SEALED_CHUNK_BYTES)
    }

    /// Moves what there is of the next chunk into place: each byte is copied once, and no buffer grows.
    fn gather(&mut self, wanted: usize) {
        if self.chunk.is_empty() {
            self.chunk = BytesMut::with_capacity(wanted);
        }
        let missing = wanted.saturating_sub(self.chunk.len());
        let piece = self.rest.split_to(missing.min(self.rest.len()));
        self.chunk.extend_from_slice(&piece);
    }

    /// The wanted bytes of the next chunk, which is gathered.
    fn open(&mut self) -> Result<Bytes, StoreError> {
        let mut chunk = std::mem::take(&mut self.chunk);
        let place = Place {
            number: self.next,
            is_last: self.next + 1 == chunks(self.unsealing.size),
        };
        let opened = self.unsealing.key.open(place, &mut chunk);
        opened.map_err(|_| self.broken())?;
        let start = self.next * CHUNK_BYTES as u64;
        self.next += 1;
        let mut plain = chunk.freeze();
        let within = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
        plain.truncate(within(self.left.end));
        plain.advance(within(self.left.start).min(plain.len()));
        self.left.start += plain.len() as u64;
        Ok(plain)
    }

    fn broken(&self) -> StoreError {
        let (chunk, blob) = (self.next, self.blob);
        StoreError::Unreadable(format!(
            "chunk {chunk} of blob {blob:016x} does not decrypt: it is not what was encrypted, or the key is another"
        ))
    }
}
