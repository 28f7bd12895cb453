//! Where a copy comes from: `x-amz-copy-source`, its conditions, and its bytes.

use std::ops::Range;

use http::{HeaderMap, HeaderValue};
use larder_storage::objects::{
    BodyWriter, BucketName, FinishedBody, ObjectHandle, ObjectKey, StoreError, VersionId,
};
use percent_encoding::percent_decode_str;

use super::{
    Call, authorize,
    call::{invalid_argument, missing_version, parse_version},
    conditions, encryption,
};
use crate::{
    checksum::{Algorithm, Checksum, Hasher},
    error::{S3Code, S3Error, S3Result},
    hash::Md5Stream,
    reply, route,
};

const HEADER: &str = "x-amz-copy-source";

/// The most bytes that one copy may make.
const MAX_COPY_BYTES: u64 = 5 << 30;
/// How often a copy starts over when its source is replaced under it.
const ATTEMPTS: usize = 8;

/// The object to copy from.
#[derive(Debug)]
pub(super) struct Source {
    /// Its bucket.
    pub(super) bucket: BucketName,
    /// Its key.
    pub(super) key: ObjectKey,
    /// Which version the request names; `None`: the latest.
    pub(super) version: Option<VersionId>,
    /// A hold on it that outlives overwrites.
    pub(super) handle: ObjectHandle,
}

/// What a copy's bytes turned out to be.
#[derive(Debug)]
pub(super) struct Copied {
    /// The bytes, stored though nothing names them yet.
    pub(super) blob: FinishedBody,
    /// Their MD5.
    pub(super) md5: [u8; 16],
    /// Their checksum.
    pub(super) checksum: Checksum,
}

impl Source {
    /// Finds the object that the request names, and checks the conditions on it.
    ///
    /// # Errors
    /// [`S3Code::InvalidArgument`], [`S3Code::NoSuchBucket`], [`S3Code::NoSuchKey`],
    /// [`S3Code::PreconditionFailed`].
    pub(super) async fn find(call: &Call<'_>) -> S3Result<Self> {
        let value = call.headers().get(HEADER).map(HeaderValue::as_bytes);
        let value = std::str::from_utf8(value.unwrap_or_default()).unwrap_or_default();
        let (bucket, key, version) = parse(value.trim())?;
        let named = value.split_once("?versionId=").map(|(_, version)| version);
        let checked = authorize::check_source(&bucket, &key, named, call).await?;
        let handle = checked.decided.object(call.store, &bucket, &key, version);
        let mut handle = handle.await.map_err(|error| {
            let error = missing(error, &key, value);
            checked.missing.hide(error)
        })?;
        encryption::unlock_source(&bucket, &mut handle, call).await?;
        conditions::check_copy(call.headers(), handle.info())?;
        Ok(Self {
            bucket,
            key,
            version,
            handle,
        })
    }

    /// Says which version was copied, where there are versions.
    pub(super) fn set_version(&self, headers: &mut HeaderMap) {
        if let Some(version) = self.handle.info().version {
            let name = reply::X_AMZ_COPY_SOURCE_VERSION_ID;
            reply::set(headers, name, &version.to_string());
        }
    }

    /// Copies `range` to `writer`; memory is bounded by one chunk and what `writer` holds.
    ///
    /// # Errors
    /// Those of the store; what was written is removed. [`StoreError::Replaced`]: there is another source by now.
    pub(super) async fn copy(
        &self,
        call: &Call<'_>,
        range: Range<u64>,
        mut writer: BodyWriter,
        algorithm: Algorithm,
    ) -> Result<Copied, StoreError> {
        let (mut md5, mut hasher) = (Md5Stream::new(&call.app.md5), Hasher::new(algorithm));
        if !range.is_empty() {
            let mut reader = self.handle.read(range).await?;
            while let Some(chunk) = reader.next().await.transpose()? {
                md5.update(chunk.clone()).await;
                hasher.update(&chunk);
                writer.write(chunk).await?;
            }
        }
        let blob = writer.finish().await?;
        Ok(Copied {
            blob,
            md5: md5.finish().await,
            checksum: hasher.finish(),
        })
    }
}

/// Runs `attempt` until its source stays what it is for as long as the copy needs it.
///
/// # Errors
/// Those of `attempt`; [`S3Code::ServiceUnavailable`] when the source never stays.
pub(super) async fn retry<T, F: Future<Output = S3Result<Option<T>>>>(
    mut attempt: impl FnMut() -> F,
) -> S3Result<T> {
    for _ in 0..ATTEMPTS {
        if let Some(done) = attempt().await? {
            return Ok(done);
        }
    }
    Err(StoreError::Replaced.into())
}

/// `None` where the source was replaced, for [`retry`].
///
/// # Errors
/// All other errors of the store.
pub(super) fn unless_replaced<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Err(StoreError::Replaced) => Ok(None),
        other => other.map(Some),
    }
}

/// Refuses to copy more at once than AWS does.
///
/// # Errors
/// [`S3Code::InvalidRequest`].
pub(super) fn check_copy_size(size: u64) -> S3Result<()> {
    if size <= MAX_COPY_BYTES {
        return Ok(());
    }
    let message = format!(
        "The specified copy source is larger than the maximum allowable size for a copy source: {MAX_COPY_BYTES}"
    );
    Err(S3Error::with_message(S3Code::InvalidRequest, message))
}

/// A source that is not there. A delete marker that is named can't be meant.
fn missing(error: StoreError, key: &ObjectKey, source: &str) -> S3Error {
    if matches!(error, StoreError::DeleteMarker { is_named: true, .. }) {
        let message = "The source of a copy request may not specifically refer to a delete marker by version id.";
        return S3Error::with_message(S3Code::InvalidRequest, message);
    }
    let version = source.split_once("?versionId=").map(|(_, version)| version);
    missing_version(error, key, version)
}

/// `[/]bucket/key[?versionId=…]`, URL-encoded.
fn parse(value: &str) -> S3Result<(BucketName, ObjectKey, Option<VersionId>)> {
    let message = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey";
    let bad = || invalid_argument(HEADER, value, message);
    let (path, query) = value.split_once('?').unwrap_or((value, ""));
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| bad())?;
    let path = decoded.strip_prefix('/').unwrap_or(&decoded);
    let (bucket, key) = path.split_once('/').ok_or_else(bad)?;
    let bucket = BucketName::parse(bucket).map_err(|error| {
        S3Error::new(S3Code::InvalidBucketName)
            .element("BucketName", bucket)
            .source_of(error)
    })?;
    if key.is_empty() {
        return Err(bad());
    }
    let version = query.strip_prefix("versionId=");
    let version = version.map(parse_version).transpose()?;
    Ok((bucket, route::parse_key(key)?, version))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[test]
    fn copies_have_a_largest_size() {
        assert!(check_copy_size(MAX_COPY_BYTES).is_ok());
        let error = check_copy_size(MAX_COPY_BYTES + 1).unwrap_err();
        assert_eq!(error.code(), S3Code::InvalidRequest);
    }

    #[tokio::test]
    async fn a_copy_starts_over_while_its_source_changes_but_not_for_ever() {
        let replaced_times = |times| {
            let mut attempts = 0;
            move || {
                attempts += 1;
                let result = if attempts > times {
                    Ok(attempts)
                } else {
                    Err(StoreError::Replaced)
                };
                ready(unless_replaced(result).map_err(S3Error::from))
            }
        };
        assert_eq!(retry(replaced_times(0)).await.unwrap(), 1);
        assert_eq!(retry(replaced_times(3)).await.unwrap(), 4);
        let error = retry(replaced_times(usize::MAX)).await.unwrap_err();
        assert_eq!(error.code(), S3Code::ServiceUnavailable);
        let other = unless_replaced::<()>(Err(StoreError::Full));
        assert!(matches!(other, Err(StoreError::Full)));
    }

    #[test]
    fn sources_are_decoded_once() {
        let of =
            |value| parse(value).map(|(b, k, _)| (b.as_str().to_owned(), k.as_str().to_owned()));
        let pair = |bucket: &str, key: &str| (bucket.to_owned(), key.to_owned());
        assert_eq!(of("bucket/key").unwrap(), pair("bucket", "key"));
        assert_eq!(
            of("/bucket/a%20b%2Bc+d").unwrap(),
            pair("bucket", "a b+c+d")
        );
        assert_eq!(of("bucket%2Fa%3Fb").unwrap(), pair("bucket", "a?b"));
        assert_eq!(of("bucket//a").unwrap(), pair("bucket", "/a"));
        assert_eq!(
            of("bucket/key?versionId=null").unwrap(),
            pair("bucket", "key")
        );
    }

    #[test]
    fn wrong_sources_are_refused() {
        for bad in [
            "",
            "bucket",
            "bucket/",
            "/",
            "bucket/%ff",
            "B!/key",
            "bucket/key?versionId=3",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
