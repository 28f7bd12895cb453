//! Completing a multipart upload.
//!
//! The parts stay where they are and become the object's. What must not happen is that a part changes between being read
//! and being named. Up to [`PARTS_IN_ONE_COMMIT`] parts, the commit has a precondition on each of them. Above, a first commit marks
//! the upload as completing: every part has a precondition on the upload's record, so that none is put after it without
//! changing it back, which fails the second commit. A crash between the two leaves an upload that goes on as before.

use super::{
    BucketName, Checksum, ETag, ObjectKey, PartNumber, Store, StoreError, UploadId,
    WriteConditions, Written,
    bucket::OpenBucket,
    commit::{ATTEMPTS, Draft},
    keys,
    outbox::{Fact, Happened},
    pages::Pages,
    record::{
        Body, ChecksumAlgorithm, ChecksumKind, GarbageRecord, Manifest, ObjectRecord, PartRecord,
        RecordError, UploadRecord,
    },
    upload::FoundUpload,
    versions::Drafted,
};
use crate::meta::Revision;

/// With the other keys of the commit this stays well under [`crate::meta::MAX_COMMIT_KEYS`].
const PARTS_IN_ONE_COMMIT: usize = 40;

/// The checksum of a whole that nobody chose one for, as on AWS.
const DEFAULT_CHECKSUM: (ChecksumAlgorithm, ChecksumKind) =
    (ChecksumAlgorithm::Crc64Nvme, ChecksumKind::FullObject);

/// Computes the whole's checksum from the parts' checksums and sizes. The parts' checksums come with the kind that the
/// whole is to have, and are all of the same algorithm; `None` if there is no way.
pub type CombineChecksums<'a> = dyn Fn(&[Checksum], &[u64]) -> Option<Checksum> + Sync + 'a;

/// A part as the client believes it to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletePart {
    /// Its number.
    pub number: PartNumber,
    /// Its entity tag.
    pub etag: ETag,
    /// Its checksum, if the client says so.
    pub checksum: Option<Checksum>,
}

/// An upload to complete.
#[derive(Clone, Debug)]
pub struct CompleteUpload {
    /// Where.
    pub bucket: BucketName,
    /// Which object.
    pub key: ObjectKey,
    /// The upload.
    pub upload: UploadId,
    /// Its parts, in ascending order; those not named are thrown away.
    pub parts: Vec<CompletePart>,
    /// Size of the whole, if the client says so.
    pub expected_size: Option<u64>,
    /// Checksum of the whole, if the client says so.
    pub checksum: Option<Checksum>,
    /// What must hold of the object that is replaced.
    pub conditions: WriteConditions,
}

#[derive(Debug)]
struct FoundPart {
    number: PartNumber,
    revision: Revision,
    size: u64,
    etag: ETag,
    checksum: Option<Checksum>,
    default_checksum: Option<Checksum>,
}

impl FoundPart {
    /// Its checksum of this algorithm, whoever chose that.
    fn checksum_by(&self, algorithm: ChecksumAlgorithm) -> Option<&Checksum> {
        let all = [&self.checksum, &self.default_checksum];
        all.into_iter()
            .flatten()
            .find(|is| is.algorithm == algorithm)
    }
}

impl Store {
    /// Makes an object of an upload's parts. Atomic and durable as [`Store::put_object`]. Completing again after
    /// it has succeeded, while the object is still there, answers the same.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::NoSuchUpload`], [`StoreError::NoParts`], [`StoreError::InvalidPart`],
    /// [`StoreError::InvalidPartOrder`], [`StoreError::PartTooSmall`], [`StoreError::SizeMismatch`],
    /// [`StoreError::ChecksumMismatch`], [`StoreError::ChecksumUnknown`], [`StoreError::PreconditionFailed`], [`StoreError::NoSuchKey`]
    /// (`If-Match` without an object). The upload goes on after each of them.
    pub async fn complete_upload(
        &self,
        request: CompleteUpload,
        combine: &CombineChecksums<'_>,
    ) -> Result<Written, StoreError> {
        check_order(&request.parts)?;
        let _serving = self.inner.load.serve();
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            let bucket = self.open_bucket(&request.bucket).await?;
            let upload = self
                .find_upload(bucket.id(), &request.key, &request.upload)
                .await;
            let upload = match upload {
                Err(StoreError::NoSuchUpload) => return self.completed(&bucket, &request).await,
                other => other?,
            };
            if let Some(written) = self
                .try_complete(&bucket, upload, &request, combine)
                .await?
            {
                return Ok(written);
            }
            self.inner
                .turns
                .take(request.key.as_str().as_bytes(), &mut turn)
                .await;
        }
        Err(StoreError::Conflict)
    }

    /// One attempt; `None` if something has changed meanwhile.
    async fn try_complete(
        &self,
        bucket: &OpenBucket,
        upload: FoundUpload,
        request: &CompleteUpload,
        combine: &CombineChecksums<'_>,
    ) -> Result<Option<Written>, StoreError> {
        let in_one_commit = request.parts.len() <= PARTS_IN_ONE_COMMIT;
        let upload = if in_one_commit {
            Some(upload)
        } else {
            self.fence(upload).await?
        };
        let Some(upload) = upload else {
            return Ok(None);
        };
        let found = self.find_parts(&request.upload).await?;
        let parts = choose_parts(&request.parts, &found)?;
        let mut record = self.completed_record(&upload.record, request, &parts, combine)?;
        record.lock = self.lock_of_new(bucket, upload.record.lock).await?;
        let teller = self.teller(bucket).await?;
        let head = self.find_head(bucket, &request.key).await?;
        request.conditions.check(head.existing())?;
        let mut draft = Draft::default();
        let what = (&mut record, None);
        let drafted = self.draft_latest(&mut draft, bucket, &request.key, what, head);
        let Drafted::Ready(version) = drafted.await? else {
            return Ok(None);
        };
        draft.delete(upload.key.clone());
        draft.expect(upload.key, Some(upload.revision));
        draft.enter(bucket);
        if in_one_commit {
            for part in &parts {
                let key = keys::part(request.upload.number, part.number);
                draft.expect(key, Some(part.revision));
            }
        }
        // Without a fence a part that is not named may still be put before the commit.
        if in_one_commit || found.len() > parts.len() {
            let used = manifest(request.upload, &parts);
            self.discard(&mut draft, &GarbageRecord::UnusedParts(used));
        }
        let fact = Fact::of(Happened::Created, version, &record);
        teller.tell(&mut draft, self, bucket, &request.key, fact);
        let committed = self.try_commit(draft).await?;
        Ok(committed.map(|_| Written::of(&record, version)))
    }

    /// Marks an upload as completing; `None` if it changed meanwhile.
    async fn fence(&self, upload: FoundUpload) -> Result<Option<FoundUpload>, StoreError> {
        if upload.record.is_completing {
            return Ok(Some(upload));
        }
        let FoundUpload {
            key,
            revision,
            record,
        } = upload;
        let record = UploadRecord {
            is_completing: true,
            ..record
        };
        let mut draft = Draft::default();
        draft.put(key.clone(), record.encode());
        draft.expect(key.clone(), Some(revision));
        let revision = self.try_commit(draft).await?;
        Ok(revision.map(|revision| FoundUpload {
            key,
            revision,
            record,
        }))
    }

    async fn find_parts(&self, upload: &UploadId) -> Result<Vec<FoundPart>, StoreError> {
        let (from, to) = keys::parts(upload.number, 0);
        let mut pages = Pages::new(&*self.inner.meta, from, to, usize::MAX);
        let mut parts = Vec::new();
        while let Some(entry) = pages.next().await? {
            let number = keys::parse_part(&entry.key).ok_or(RecordError::BadKey)?;
            let PartRecord {
                size,
                etag,
                checksum,
                default_checksum,
                ..
            } = PartRecord::decode(&entry.value)?;
            parts.push(FoundPart {
                number,
                revision: entry.revision,
                size,
                etag,
                checksum,
                default_checksum,
            });
        }
        Ok(parts)
    }

    fn completed_record(
        &self,
        upload: &UploadRecord,
        request: &CompleteUpload,
        parts: &[&FoundPart],
        combine: &CombineChecksums<'_>,
    ) -> Result<ObjectRecord, StoreError> {
        self.check_sizes(request, parts)?;
        let manifest = manifest(request.upload, parts);
        let size = parts.iter().map(|part| part.size).sum();
        let record = ObjectRecord::new(size, self.now(), self.etag_of(parts));
        Ok(ObjectRecord {
            checksum: whole_checksum(upload, request, parts, combine)?,
            headers: upload.headers.clone(),
            tags: upload.tags.clone(),
            encryption: upload.encryption.clone(),
            acl: upload.acl.clone(),
            body: Body::Parts(manifest),
            ..record
        })
    }

    fn check_sizes(
        &self,
        request: &CompleteUpload,
        parts: &[&FoundPart],
    ) -> Result<(), StoreError> {
        let but_last = parts.split_last().map_or(&[][..], |(_, but_last)| but_last);
        let small = |part: &&&FoundPart| part.size < self.inner.options.min_part_bytes;
        if let Some(part) = but_last.iter().find(small) {
            return Err(StoreError::PartTooSmall {
                number: part.number.get(),
                size: part.size,
            });
        }
        let got_bytes = parts.iter().map(|part| part.size).sum();
        match request.expected_size {
            Some(expected_bytes) if expected_bytes != got_bytes => Err(StoreError::SizeMismatch {
                expected_bytes,
                got_bytes,
            }),
            _ => Ok(()),
        }
    }

    /// The MD5 of the parts' MD5s, and their number.
    fn etag_of(&self, parts: &[&FoundPart]) -> ETag {
        let digests: Vec<u8> = parts.iter().flat_map(|part| part.etag.md5).collect();
        let count = u16::try_from(parts.len()).unwrap_or(u16::MAX);
        ETag {
            md5: (self.inner.md5)(&digests),
            parts: count,
        }
    }

    /// The answer for an upload that is gone: that of its completion, if the object is still the one that it made.
    async fn completed(
        &self,
        bucket: &OpenBucket,
        request: &CompleteUpload,
    ) -> Result<Written, StoreError> {
        let found = self.find_version(bucket, &request.key, None).await;
        let is_this = |record: &ObjectRecord| match &record.body {
            Body::Parts(manifest) => manifest.upload == request.upload,
            _ => false,
        };
        match found {
            Ok(version) if is_this(&version.found.record) => {
                Ok(Written::of(&version.found.record, version.id))
            }
            _ => Err(StoreError::NoSuchUpload),
        }
    }
}

fn check_order(parts: &[CompletePart]) -> Result<(), StoreError> {
    if parts.is_empty() {
        return Err(StoreError::NoParts);
    }
    if parts.is_sorted_by(|a, b| a.number < b.number) {
        Ok(())
    } else {
        Err(StoreError::InvalidPartOrder)
    }
}

/// The found part for each wanted one.
fn choose_parts<'a>(
    wanted: &[CompletePart],
    found: &'a [FoundPart],
) -> Result<Vec<&'a FoundPart>, StoreError> {
    let choose = |part: &CompletePart| {
        let at = found
            .binary_search_by_key(&part.number, |found| found.number)
            .ok();
        at.map(|at| &found[at])
            .filter(|found| is_as_believed(part, found))
            .ok_or(StoreError::InvalidPart {
                number: part.number.get(),
            })
    };
    wanted.iter().map(choose).collect()
}

fn is_as_believed(part: &CompletePart, found: &FoundPart) -> bool {
    let checksum_agrees = part.checksum.as_ref().is_none_or(|said| {
        let is = found.checksum_by(said.algorithm);
        is.is_some_and(|is| is.value == said.value)
    });
    part.etag.md5 == found.etag.md5 && part.etag.parts == 0 && checksum_agrees
}

fn manifest(upload: UploadId, parts: &[&FoundPart]) -> Manifest {
    Manifest::new(upload, parts.iter().map(|part| (part.number, part.size)))
}

/// The whole's checksum, if the parts yield it: the one that the upload or the request asks for, else the default. What
/// the client says of the whole is compared, never taken on trust.
fn whole_checksum(
    upload: &UploadRecord,
    request: &CompleteUpload,
    parts: &[&FoundPart],
    combine: &CombineChecksums<'_>,
) -> Result<Option<Checksum>, StoreError> {
    let said = request.checksum.as_ref();
    let (algorithm, kind) = upload
        .checksum
        .or(said.map(|said| (said.algorithm, said.kind)))
        .unwrap_or(DEFAULT_CHECKSUM);
    let of_part = |part: &&FoundPart| {
        let checksum = part.checksum_by(algorithm)?.clone();
        Some(Checksum { kind, ..checksum })
    };
    let checksums = parts.iter().map(of_part).collect::<Option<Vec<_>>>();
    let sizes: Vec<u64> = parts.iter().map(|part| part.size).collect();
    let got = checksums.and_then(|checksums| combine(&checksums, &sizes));
    match (said, &got) {
        (Some(_), None) => Err(StoreError::ChecksumUnknown),
        (Some(said), Some(is)) if said.algorithm != is.algorithm || said.value != is.value => {
            Err(StoreError::ChecksumMismatch {
                expected: said.value.clone(),
                got: is.value.clone(),
            })
        }
        _ => Ok(got),
    }
}
