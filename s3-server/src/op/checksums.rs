//! Checksums between the protocol, where they have a fixed length, and the store's records.

use http::{HeaderMap, HeaderName};
use larder_storage::objects::{self as stored, ObjectInfo};

use super::Call;
use crate::{
    checksum::{
        Algorithm, Checksum, ChecksumType,
        multipart::{self, ObjectChecksum},
    },
    reply,
};

/// An algorithm for the store.
pub(super) const fn stored_algorithm(algorithm: Algorithm) -> stored::ChecksumAlgorithm {
    match algorithm {
        Algorithm::Crc32 => stored::ChecksumAlgorithm::Crc32,
        Algorithm::Crc32c => stored::ChecksumAlgorithm::Crc32c,
        Algorithm::Crc64Nvme => stored::ChecksumAlgorithm::Crc64Nvme,
        Algorithm::Sha1 => stored::ChecksumAlgorithm::Sha1,
        Algorithm::Sha256 => stored::ChecksumAlgorithm::Sha256,
    }
}

/// An algorithm of the store.
pub(super) const fn algorithm(algorithm: stored::ChecksumAlgorithm) -> Algorithm {
    match algorithm {
        stored::ChecksumAlgorithm::Crc32 => Algorithm::Crc32,
        stored::ChecksumAlgorithm::Crc32c => Algorithm::Crc32c,
        stored::ChecksumAlgorithm::Crc64Nvme => Algorithm::Crc64Nvme,
        stored::ChecksumAlgorithm::Sha1 => Algorithm::Sha1,
        stored::ChecksumAlgorithm::Sha256 => Algorithm::Sha256,
    }
}

/// A kind for the store.
pub(super) const fn stored_kind(kind: ChecksumType) -> stored::ChecksumKind {
    match kind {
        ChecksumType::FullObject => stored::ChecksumKind::FullObject,
        ChecksumType::Composite => stored::ChecksumKind::Composite,
    }
}

/// A kind of the store.
pub(super) const fn kind(kind: stored::ChecksumKind) -> ChecksumType {
    match kind {
        stored::ChecksumKind::FullObject => ChecksumType::FullObject,
        stored::ChecksumKind::Composite => ChecksumType::Composite,
    }
}

/// Algorithm and kind of the store, for listings.
pub(super) fn listed(
    checksum: Option<(stored::ChecksumAlgorithm, stored::ChecksumKind)>,
) -> Option<(Algorithm, ChecksumType)> {
    checksum.map(|(a, k)| (algorithm(a), kind(k)))
}

/// The checksum of one body, for the store.
pub(super) fn to_stored(checksum: &Checksum) -> stored::Checksum {
    stored::Checksum {
        algorithm: stored_algorithm(checksum.algorithm()),
        kind: stored::ChecksumKind::FullObject,
        value: checksum.as_bytes().to_vec(),
        parts: 0,
    }
}

/// A checksum of the store; `None` if its length is not the algorithm's.
pub(super) fn from_stored(stored: &stored::Checksum) -> Option<ObjectChecksum> {
    Some(ObjectChecksum {
        value: Checksum::from_bytes(algorithm(stored.algorithm), &stored.value)?,
        kind: kind(stored.kind),
        parts: (stored.kind == stored::ChecksumKind::Composite).then_some(u32::from(stored.parts)),
    })
}

/// The checksum of an object of parts, for the store: a [`stored::CombineChecksums`].
pub(super) fn combine(checksums: &[stored::Checksum], sizes: &[u64]) -> Option<stored::Checksum> {
    let first = checksums.first()?;
    let (algorithm, kind) = (algorithm(first.algorithm), kind(first.kind));
    let part = |(checksum, &len_bytes): (&stored::Checksum, &u64)| {
        let checksum = from_stored(checksum)?.value;
        Some(multipart::Part {
            checksum,
            len_bytes,
        })
    };
    let parts = checksums
        .iter()
        .zip(sizes)
        .map(part)
        .collect::<Option<Vec<_>>>()?;
    if parts.len() != sizes.len() {
        return None;
    }
    let whole = multipart::of_parts(algorithm, kind, &parts)?;
    Some(stored::Checksum {
        algorithm: stored_algorithm(algorithm),
        kind: stored_kind(kind),
        value: whole.value.as_bytes().to_vec(),
        parts: whole.parts.and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
    })
}

/// Puts a checksum onto an answer.
pub(super) fn set(headers: &mut HeaderMap, checksum: &ObjectChecksum) {
    let name = HeaderName::from_static(checksum.value.algorithm().header());
    reply::set(headers, name, &checksum.to_text());
    reply::set(headers, reply::X_AMZ_CHECKSUM_TYPE, checksum.kind.as_str());
}

/// Puts a stored checksum, if there is one, onto an answer.
pub(super) fn set_stored(headers: &mut HeaderMap, checksum: Option<&stored::Checksum>) {
    if let Some(checksum) = checksum.and_then(from_stored) {
        set(headers, &checksum);
    }
}

/// Puts an object's checksum onto the answer to a read of the whole, where the client wants it.
pub(super) fn describe(call: &Call<'_>, info: &ObjectInfo, headers: &mut HeaderMap) {
    if is_wanted(call) {
        set_stored(headers, info.checksum.as_ref());
    }
}

/// Whether `x-amz-checksum-mode` asks for checksums.
pub(super) fn is_wanted(call: &Call<'_>) -> bool {
    call.header("x-amz-checksum-mode")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("enabled"))
}
