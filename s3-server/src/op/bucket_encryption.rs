//! `PutBucketEncryption`, `GetBucketEncryption`, `DeleteBucketEncryption`: how objects are kept whose requests don't say.

use larder_storage::objects::{BucketName, DocumentKind};

use super::{Call, small_body};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::{
        parse::{DefaultEncryption, MAX_SMALL_BYTES, bucket_encryption},
        write,
    },
};

const BUCKET_KEY: &str = "bucket-key";

pub(super) async fn put(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    call.store.bucket_owner(bucket).await?;
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let asked = bucket_encryption(&body)?;
    let asked = asked.ok_or_else(|| S3Error::new(S3Code::NotImplemented))?;
    let (kind, document) = (DocumentKind::Encryption, encode(&asked));
    call.store
        .set_document(bucket, kind, Some(document.as_bytes()))
        .await?;
    Ok(reply::empty())
}

pub(super) async fn get(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let Some(default) = default_of(bucket, &call).await? else {
        let code = S3Code::ServerSideEncryptionConfigurationNotFound;
        return Err(S3Error::new(code).element("BucketName", bucket.as_str()));
    };
    Ok(reply::xml(write::bucket_encryption(&default)))
}

pub(super) async fn delete(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let kind = DocumentKind::Encryption;
    call.store.set_document(bucket, kind, None).await?;
    Ok(reply::no_content())
}

/// How objects of this bucket are kept whose requests don't say; `None`: as they are. A document that can't be read says that they are encrypted.
///
/// # Errors
/// Those of the store.
pub(super) async fn default_of(
    bucket: &BucketName,
    call: &Call<'_>,
) -> S3Result<Option<DefaultEncryption>> {
    let found = call
        .store
        .document(bucket, DocumentKind::Encryption)
        .await?;
    Ok(match found {
        Some(document) => Some(decode(document.bytes())),
        None => call.app.encrypt_all.then(DefaultEncryption::default),
    })
}

/// Words: the algorithm, `bucket-key`, and the key as it was called.
fn encode(default: &DefaultEncryption) -> String {
    let mut words = vec![if default.kms.is_some() {
        "aws:kms"
    } else {
        "AES256"
    }];
    words.extend(default.bucket_key.then_some(BUCKET_KEY));
    let key = default.kms.iter().flatten().map(String::as_str);
    words.extend(key);
    words.join(" ")
}

fn decode(document: &[u8]) -> DefaultEncryption {
    let text = std::str::from_utf8(document).unwrap_or_default();
    let mut words = text.split(' ').peekable();
    let is_kms = words.next() == Some("aws:kms");
    let bucket_key = words.next_if_eq(&BUCKET_KEY).is_some();
    let key = words.next().map(str::to_owned);
    DefaultEncryption {
        kms: is_kms.then_some(key),
        bucket_key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_again_and_others_say_that_objects_are_encrypted() {
        let of = |kms, bucket_key| DefaultEncryption { kms, bucket_key };
        for bucket_key in [false, true] {
            for kms in [None, Some(None), Some(Some("alias/k".to_owned()))] {
                let default = of(kms, bucket_key);
                assert_eq!(decode(encode(&default).as_bytes()), default);
            }
        }
        assert_eq!(encode(&of(None, true)), "AES256 bucket-key", "as ever");
        for other in [&b""[..], b"AES256", b"aws:other x", b"\xff"] {
            assert_eq!(decode(other), DefaultEncryption::default());
        }
    }
}
