//! Writing a body, encrypted or not.

use std::mem;

use bytes::{Bytes, BytesMut};

use super::{
    BlobKey, Salt, Sealing,
    chunk::{CHUNK_BYTES, ChunkError, Place, SEALED_CHUNK_BYTES},
};
use crate::{
    objects::{StoreError, record::Encryption},
    rng::Rng,
    stripes::{BlobWriter, FinishedBlob, StripeError},
};

/// A body being written. Dropping it removes what was written.
#[derive(Debug)]
pub struct BodyWriter {
    blob: BlobWriter,
    announced: Option<u64>,
    taken: u64,
    sealer: Option<Sealer>,
}

/// Gathers a chunk before it is encrypted: a chunk is the last one unless more comes.
#[derive(Debug)]
struct Sealer {
    key: BlobKey,
    encryption: Encryption,
    next: u64,
    /// Used again for each chunk, once the stripes have its bytes.
    chunk: BytesMut,
}

/// A body that is complete. See [`FinishedBlob`].
#[derive(Debug)]
pub struct FinishedBody {
    pub(in crate::objects) blob: FinishedBlob,
    size: u64,
    pub(in crate::objects) encryption: Option<Encryption>,
}

impl FinishedBody {
    /// Whether it is in files of its own.
    pub(in crate::objects) fn is_extents(&self) -> bool {
        matches!(self.blob, FinishedBlob::Extents(_))
    }

    /// Its plain length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl BodyWriter {
    /// A body that stays as it is.
    pub(in crate::objects) fn plain(blob: BlobWriter, announced: Option<u64>) -> Self {
        let (taken, sealer) = (0, None);
        Self {
            blob,
            announced,
            taken,
            sealer,
        }
    }

    /// A body that is encrypted; `blob` was begun for its sealed length.
    pub(in crate::objects) fn sealed(
        blob: BlobWriter,
        announced: Option<u64>,
        sealing: Sealing,
        rng: &dyn Rng,
    ) -> Result<Self, StoreError> {
        let Sealing {
            key,
            envelope,
            part,
        } = sealing;
        let salt = Salt::random(rng);
        let key = BlobKey::derive(&key, &salt, part).ok_or_else(failed)?;
        let encryption = Encryption {
            salt: Some(salt),
            envelope,
        };
        let (next, chunk) = (0, BytesMut::new());
        let sealer = Some(Sealer {
            key,
            encryption,
            next,
            chunk,
        });
        Ok(Self {
            sealer,
            ..Self::plain(blob, announced)
        })
    }

    /// Takes the next bytes. Awaits the disks when enough has come and what came before is still on its way.
    ///
    /// # Errors
    /// [`StoreError::SizeMismatch`] when more comes than was announced; [`StoreError::Unavailable`] when disks fail.
    ///
    /// # Cancel safety
    /// Not cancel safe: drop the writer.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        let Some(sealer) = &mut self.sealer else {
            self.taken += bytes.len() as u64;
            return Ok(self.blob.write(bytes).await?);
        };
        self.taken += bytes.len() as u64;
        if self.announced.is_some_and(|expected| self.taken > expected) {
            return Err(self.mismatch().into());
        }
        while !bytes.is_empty() {
            if sealer.chunk.len() == CHUNK_BYTES {
                self.blob.write(sealer.seal(false)?).await?;
            }
            sealer.fill(&mut bytes);
        }
        Ok(())
    }

    /// Ends the body. Large ones are durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::SizeMismatch`], or as [`BodyWriter::write`].
    pub async fn finish(mut self) -> Result<FinishedBody, StoreError> {
        if self
            .announced
            .is_some_and(|expected| self.taken != expected)
        {
            return Err(self.mismatch().into());
        }
        let sealer = mem::take(&mut self.sealer);
        let encryption = match sealer {
            None => None,
            Some(mut sealer) => {
                if !sealer.chunk.is_empty() {
                    self.blob.write(sealer.seal(true)?).await?;
                }
                Some(sealer.encryption)
            }
        };
        Ok(FinishedBody {
            blob: self.blob.finish().await?,
            size: self.taken,
            encryption,
        })
    }

    fn mismatch(&self) -> StripeError {
        StripeError::LengthMismatch {
            expected_bytes: self.announced.unwrap_or_default(),
            got_bytes: self.taken,
        }
    }
}

impl Sealer {
    fn fill(&mut self, bytes: &mut Bytes) {
        if self.chunk.is_empty() {
            self.chunk
                .reserve(SEALED_CHUNK_BYTES.min(bytes.len() + SEALED_CHUNK_BYTES - CHUNK_BYTES));
        }
        let count = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes.split_to(count));
    }

    fn seal(&mut self, is_last: bool) -> Result<Bytes, StoreError> {
        let place = Place {
            number: self.next,
            is_last,
        };
        self.next += 1;
        let sealed = self.key.seal(place, &mut self.chunk);
        sealed.map_err(|ChunkError| failed())?;
        Ok(self.chunk.split().freeze())
    }
}

/// The library refuses to work: a key of the wrong length, or the like.
fn failed() -> StoreError {
    StoreError::Internal("encryption failed".to_owned())
}
