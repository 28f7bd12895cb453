//! Named keys (SSE-KMS): what requests ask for, the encryption context, and the way from a record to the data key.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use larder_storage::objects::{BucketName, DataKey, ObjectKey};

use super::{
    super::{
        Call,
        call::{invalid_argument, text},
    },
    SSE, data_key, encoded,
    envelope::{self, Envelope, Mode, Named},
    sealed, set,
};
use crate::{
    error::{S3Code, S3Error, S3Result},
    keyring::{Keyring, KeyringError, MasterKey, Source},
    kms::{Key, Kms, WrappingKey},
    sigv2,
};

pub(super) const KMS: &str = "aws:kms";
pub(super) const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
pub(super) const CONTEXT: &str = "x-amz-server-side-encryption-context";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";
/// What wrapping keys are called in sealed messages.
const NAME: &str = "kms";
/// The part of an encryption context that says what is encrypted.
const ARN: &str = "aws:s3:arn";

const NOT_JSON: &str = "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map";
const NOT_SIGNED: &str = "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.";

type Context = BTreeMap<String, String>;

/// What a request, or its bucket, wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// `None`: the default one.
    pub(super) key: Option<String>,
    pub(super) context: Option<Context>,
    /// `None`: as the bucket has it.
    pub(super) bucket_key: Option<bool>,
}

impl Asked {
    /// What the headers say, which ask for a named key.
    pub(super) fn sent(headers: &HeaderMap) -> S3Result<Self> {
        let key = text(headers, KEY_ID).filter(|id| !id.is_empty());
        let bucket_key = text(headers, BUCKET_KEY).map(|value| match value {
            value if value.eq_ignore_ascii_case("true") => Ok(true),
            value if value.eq_ignore_ascii_case("false") => Ok(false),
            other => Err(invalid_argument(
                BUCKET_KEY,
                other,
                "The value must be true or false",
            )),
        });
        Ok(Self {
            key: key.map(str::to_owned),
            context: text(headers, CONTEXT).map(parse_context).transpose()?,
            bucket_key: bucket_key.transpose()?,
        })
    }
}

fn parse_context(value: &str) -> S3Result<Context> {
    let invalid = || invalid_argument(CONTEXT, value, NOT_JSON);
    let json = STANDARD.decode(value).map_err(|_| invalid())?;
    serde_json::from_slice(&json).map_err(|_| invalid())
}

/// What answers say.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    arn: String,
    bucket_key: bool,
    /// Base64; where the request had one.
    context: Option<String>,
}

impl Shown {
    pub(super) fn of(named: &Named<'_>, call: &Call<'_>) -> Self {
        Self {
            arn: call.app.kms.arn(&named.key),
            bucket_key: named.is_shared,
            context: None,
        }
    }

    pub(super) fn set(&self, headers: &mut HeaderMap) {
        set(headers, SSE, KMS);
        set(headers, KEY_ID, &self.arn);
        if self.bucket_key {
            set(headers, BUCKET_KEY, "true");
        }
        if let Some(context) = &self.context {
            set(headers, CONTEXT, context);
        }
    }
}

/// A new data key under a named key: the key, its envelope, and what is said of it.
///
/// # Errors
/// Those of the named key.
pub(super) async fn seal(
    (bucket, key): (&BucketName, &ObjectKey),
    asked: Asked,
    call: &Call<'_>,
) -> S3Result<(DataKey, Vec<u8>, Shown)> {
    check_signature(call)?;
    let (kms, ring) = (&call.app.kms, call.app.keyring()?);
    let named = kms.key(asked.key.as_deref())?;
    let is_shared = asked.bucket_key.unwrap_or_default();
    let is_sent = asked.context.is_some();
    let mut context = asked.context.unwrap_or_default();
    context.entry(ARN.to_owned()).or_insert_with(|| {
        if is_shared {
            format!("arn:aws:s3:::{bucket}")
        } else {
            format!("arn:aws:s3:::{bucket}/{}", key.as_str())
        }
    });
    let context = serde_json::to_vec(&context).map_err(S3Error::internal)?;
    let wrapping = kms.wrap(&named, &context, is_shared, ring).await?;
    let (data_key, sealed) = sealed(&ring_of(wrapping.key)?, &envelope::context(bucket, key))?;
    let shown = Shown {
        arn: kms.arn(&named),
        bucket_key: is_shared,
        context: is_sent.then(|| STANDARD.encode(&context)),
    };
    let body = Named {
        key: named,
        is_shared,
        context: &context,
        wrapped: &wrapping.wrapped,
        sealed: &sealed,
    };
    let body = body
        .encode()
        .ok_or_else(|| invalid_argument(CONTEXT, "", "The encryption context is too long"))?;
    let envelope = Envelope {
        mode: Mode::Kms,
        sealed: &body,
    };
    Ok((data_key, envelope.encode(), shown))
}

/// The data key again.
///
/// # Errors
/// Those of the named key.
pub(super) async fn open(
    (bucket, key): (&BucketName, &ObjectKey),
    body: &[u8],
    call: &Call<'_>,
) -> S3Result<DataKey> {
    check_signature(call)?;
    let named = Named::parse(body)?;
    let wrapped = (named.wrapped, named.is_shared);
    let (kms, ring) = (&call.app.kms, call.app.keyring()?);
    let wrapping = kms.unwrap(&named.key, named.context, wrapped, ring);
    let ring = ring_of(wrapping.await?)?;
    data_key(&ring.open(&envelope::context(bucket, key), named.sealed)?)
}

/// The envelope with its wrapping key wrapped by the newest version of its key; `None` where it is.
///
/// # Errors
/// What a master key wrapped does not open.
pub(super) fn rewrapped(body: &[u8], ring: &Keyring, kms: &Kms) -> S3Result<Option<Vec<u8>>> {
    let named = Named::parse(body)?;
    let wrapped = kms.rewrap(&named.key, named.context, named.wrapped, ring)?;
    let Some(wrapped) = wrapped else {
        return Ok(None);
    };
    let body = Named {
        wrapped: &wrapped,
        ..named
    };
    let body = body.encode().ok_or(KeyringError::Failed)?;
    Ok(Some(encoded(Mode::Kms, &body)))
}

/// What seals data keys with a wrapping key.
fn ring_of(key: WrappingKey) -> S3Result<Keyring> {
    let key = MasterKey::new(NAME.parse().ok(), key)?;
    let ring = Keyring::new(vec![key], Source::Configured);
    Ok(ring.ok_or(KeyringError::Failed)?)
}

/// Named keys are for those who are known, by a signature that binds all of the request.
///
/// # Errors
/// [`S3Code::InvalidArgument`].
pub(super) fn check_signature(call: &Call<'_>) -> S3Result<()> {
    let is_version_2 = sigv2::is_presigned(&call.parts.uri, call.headers());
    if call.caller.account().is_some() && !is_version_2 {
        return Ok(());
    }
    Err(S3Error::with_message(S3Code::InvalidArgument, NOT_SIGNED))
}

/// Refuses headers that go with named keys alone.
///
/// # Errors
/// [`S3Code::InvalidArgument`].
pub(super) fn check_headers(headers: &HeaderMap) -> S3Result<()> {
    let is_kms = text(headers, SSE).is_some_and(|method| method.starts_with(KMS));
    for name in [KEY_ID, CONTEXT] {
        if let Some(value) = text(headers, name).filter(|_| !is_kms) {
            let message = "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms";
            return Err(invalid_argument(name, value, message));
        }
    }
    Ok(())
}

/// The ARN of the key that the headers name, as policies see it: whatever a key is called, it is the same to them.
pub(crate) fn key_of_policies(call: &Call<'_>) -> Option<String> {
    let sent = call.header(KEY_ID).filter(|id| !id.is_empty())?;
    let key: Option<Key> = call.app.kms.key(Some(sent)).ok();
    Some(key.map_or_else(|| sent.to_owned(), |key| call.app.kms.arn(&key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_a_map_of_texts() {
        let of = |json: &str| parse_context(&STANDARD.encode(json));
        assert_eq!(of(r#"{"a":"b"}"#).unwrap()["a"], "b");
        assert!(of("{}").unwrap().is_empty());
        for bad in ["", "[]", r#"{"a":1}"#, "\"a\"", r#"{"a":{}}"#] {
            let error = of(bad).unwrap_err();
            assert_eq!(
                (error.code(), error.message()),
                (S3Code::InvalidArgument, NOT_JSON)
            );
        }
        assert!(parse_context("{}").is_err(), "no base64");
    }

    #[test]
    fn headers_say_key_context_and_bucket_key() {
        let mut headers = HeaderMap::new();
        assert_eq!(Asked::sent(&headers).unwrap(), Asked::default());
        headers.insert(KEY_ID, " k ".parse().unwrap());
        headers.insert(BUCKET_KEY, "True".parse().unwrap());
        let asked = Asked::sent(&headers).unwrap();
        assert_eq!(
            (asked.key.as_deref(), asked.bucket_key),
            (Some("k"), Some(true))
        );
        assert!(check_headers(&headers).is_err());
        headers.insert(SSE, KMS.parse().unwrap());
        assert!(check_headers(&headers).is_ok());
        headers.insert(BUCKET_KEY, "1".parse().unwrap());
        assert!(Asked::sent(&headers).is_err());
    }
}
