//! Encryption at rest: what a request asks for, the data keys of objects, and what answers say.
//!
//! A new object (or upload) gets a random data key. What wraps it is the *mode*: the server's master keys (`AES256`, SSE-S3), a key that is called by name
//! (`aws:kms`, see [`crate::kms`]), or one that the client sends along and that is kept nowhere (SSE-C). The wrapped key stands in the object's record, in an [`envelope`].
//!
//! Invariant: keys are in no log line, error, `Debug` text or answer.

mod customer;
mod envelope;
#[cfg(any(test, feature = "testing"))]
mod fuzzing;
mod kms;

use aws_lc_rs::rand;
use http::{HeaderMap, HeaderName, HeaderValue};
use larder_storage::objects::{
    BodyWriter, BucketName, DATA_KEY_BYTES, DataKey, ObjectHandle, ObjectKey, PartNumber, Resealed,
    Sealing, UploadInfo,
};
use zeroize::Zeroizing;

use super::{Call, bucket_encryption, call::invalid_argument};
use crate::{
    error::{S3Code, S3Error, S3Result},
    keyring::{Keyring, KeyringError},
    kms::Kms,
    reply,
};
use customer::CustomerKey;
use envelope::{Envelope, Mode, Named};
#[cfg(any(test, feature = "testing"))]
pub(crate) use fuzzing::envelope as fuzz_envelope;
pub(super) use kms::key_of_policies;

const SSE: &str = "x-amz-server-side-encryption";
/// Headers of SSE-C begin so; those of a copy's source have another beginning.
const CUSTOMER: &str = "x-amz-server-side-encryption-customer-";
const SOURCE_CUSTOMER: &str = "x-amz-copy-source-server-side-encryption-customer-";
const CUSTOMER_ALGORITHM: &str = "x-amz-server-side-encryption-customer-algorithm";
const CUSTOMER_KEY_MD5: &str = "x-amz-server-side-encryption-customer-key-md5";
const AES256: &str = "AES256";

const NEEDED: &str = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.";
const NOT_APPLICABLE: &str = "The encryption parameters are not applicable to this object.";
const NEEDED_FOR_PART: &str = "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.";
const NOT_APPLICABLE_TO_PART: &str = "The multipart upload initiate did not request encryption. Please resend the request without sending encryption parameters.";
const OTHER_FOR_PART: &str =
    "The provided encryption parameters did not match the ones used originally.";

/// How a body is to be kept.
#[derive(Debug)]
enum Wanted {
    Plain,
    Master,
    Kms(kms::Shown),
    Customer(CustomerKey),
}

/// What is asked for.
#[derive(Debug)]
enum Asked {
    Master,
    Kms(kms::Asked),
    Customer(CustomerKey),
}

/// What an object is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Its bytes.
    Bytes,
    /// What is known of it: no named key is asked to unwrap anything.
    Facts,
}

/// How something that is written is encrypted.
#[derive(Debug)]
pub(super) struct Encryption {
    wanted: Wanted,
    key: Option<DataKey>,
    envelope: Option<Vec<u8>>,
}

/// Whether the request says how a new object is to be encrypted.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    headers.contains_key(SSE) || customer::is_sent(headers, CUSTOMER)
}

impl Encryption {
    /// That of a new object or upload: as the request asks, or else as its bucket has it, or else the server.
    ///
    /// # Errors
    /// [`S3Code::InvalidArgument`] and its like for headers that can't be; [`S3Code::NotImplemented`]; those of named keys.
    pub(super) async fn of_new(
        bucket: &BucketName,
        key: &ObjectKey,
        call: &Call<'_>,
    ) -> S3Result<Self> {
        let Some(asked) = asked_or_default(bucket, call).await? else {
            return Ok(Self::plain());
        };
        let context = envelope::context(bucket, key);
        let (wanted, data_key, envelope) = match asked {
            Asked::Master => {
                let (data_key, sealed) = sealed(call.app.keyring()?, &context)?;
                (Wanted::Master, data_key, encoded(Mode::Master, &sealed))
            }
            Asked::Customer(customer) => {
                let (data_key, sealed) = sealed(customer.ring(), &context)?;
                let envelope = encoded(Mode::Customer, &sealed);
                (Wanted::Customer(customer), data_key, envelope)
            }
            Asked::Kms(asked) => {
                // On the heap: seldom needed, and large.
                let sealed = Box::pin(kms::seal((bucket, key), asked, call)).await?;
                let (data_key, envelope, shown) = sealed;
                (Wanted::Kms(shown), data_key, envelope)
            }
        };
        Ok(Self {
            wanted,
            key: Some(data_key),
            envelope: Some(envelope),
        })
    }

    /// That of a part: its upload's, which a key of the client's must open again.
    ///
    /// # Errors
    /// [`S3Code::InvalidRequest`]; those of named keys.
    pub(super) async fn of_part(
        bucket: &BucketName,
        key: &ObjectKey,
        info: &UploadInfo,
        call: &Call<'_>,
    ) -> S3Result<Self> {
        let sent = CustomerKey::sent(call, CUSTOMER)?;
        let texts = Texts {
            needed: NEEDED_FOR_PART,
            not_applicable: NOT_APPLICABLE_TO_PART,
            other: Some(OTHER_FOR_PART),
        };
        let envelope = info.encryption.as_deref();
        let opened = open((bucket, key), envelope, sent.as_ref(), &texts, call).await?;
        let wanted = match (envelope, sent) {
            (_, Some(sent)) => Wanted::Customer(sent),
            (Some(envelope), None) => Wanted::of_own(&Envelope::parse(envelope)?, call)?,
            (None, None) => Wanted::Plain,
        };
        Ok(Self {
            wanted,
            key: opened,
            envelope: None,
        })
    }

    fn plain() -> Self {
        Self {
            wanted: Wanted::Plain,
            key: None,
            envelope: None,
        }
    }

    /// Whether an object whose record has `envelope` is kept in another way, so that a copy onto itself must write its bytes again.
    pub(super) fn differs_from(&self, envelope: Option<&[u8]>) -> bool {
        let mode = envelope.and_then(|bytes| Envelope::parse(bytes).ok());
        match (&self.wanted, mode.map(|envelope| envelope.mode)) {
            (Wanted::Plain, None) => envelope.is_some(),
            (Wanted::Master, Some(Mode::Master)) => false,
            _ => true,
        }
    }

    /// What writes an object's body so.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn writer(
        &self,
        bucket: &BucketName,
        size: Option<u64>,
        call: &Call<'_>,
    ) -> S3Result<BodyWriter> {
        let envelope = self.envelope.clone().unwrap_or_default();
        let sealing = |key: &DataKey| Sealing::of_object(key.clone(), envelope);
        let sealing = self.key.as_ref().map(sealing);
        writer(bucket, size, sealing, call).await
    }

    /// What writes a part so.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn part_writer(
        &self,
        bucket: &BucketName,
        (number, size): (PartNumber, u64),
        call: &Call<'_>,
    ) -> S3Result<BodyWriter> {
        let sealing = |key: &DataKey| Sealing::of_part(key.clone(), number);
        let sealing = self.key.as_ref().map(sealing);
        writer(bucket, Some(size), sealing, call).await
    }

    /// What the record of an upload keeps.
    pub(super) fn into_envelope(self) -> Option<Vec<u8>> {
        self.envelope
    }

    /// The entity tag of bytes with this MD5: under a named key or one of the client's it says nothing about them, as on AWS.
    pub(super) fn tag(&self, md5: [u8; 16], call: &Call<'_>) -> [u8; 16] {
        match self.wanted {
            Wanted::Plain | Wanted::Master => md5,
            Wanted::Kms(_) | Wanted::Customer(_) => {
                let (a, b) = (call.app.rng.next_u64(), call.app.rng.next_u64());
                (u128::from(a) << 64 | u128::from(b)).to_le_bytes()
            }
        }
    }

    /// Says on an answer how it was written.
    pub(super) fn show(&self, headers: &mut HeaderMap) {
        match &self.wanted {
            Wanted::Plain => {}
            Wanted::Master => set(headers, SSE, AES256),
            Wanted::Kms(shown) => shown.set(headers),
            Wanted::Customer(customer) => show_customer(customer, headers),
        }
    }
}

impl Wanted {
    /// That of an envelope under a key of the server's.
    fn of_own(envelope: &Envelope<'_>, call: &Call<'_>) -> S3Result<Self> {
        Ok(match envelope.mode {
            Mode::Kms => Self::Kms(kms::Shown::of(&Named::parse(envelope.sealed)?, call)),
            Mode::Master | Mode::Customer => Self::Master,
        })
    }
}

/// What the request asks for, or else what its bucket has, or else the server.
async fn asked_or_default(bucket: &BucketName, call: &Call<'_>) -> S3Result<Option<Asked>> {
    let asked = asked(call)?;
    if let Some(Asked::Kms(kms::Asked {
        bucket_key: Some(_),
        ..
    })) = &asked
    {
        return Ok(asked);
    }
    if let Some(Asked::Master | Asked::Customer(_)) = &asked {
        return Ok(asked);
    }
    let default = bucket_encryption::default_of(bucket, call).await?;
    Ok(match (asked, default) {
        (Some(Asked::Kms(asked)), default) => {
            let bucket_key = default.map(|default| default.bucket_key);
            Some(Asked::Kms(kms::Asked {
                bucket_key,
                ..asked
            }))
        }
        (asked, None) => asked,
        (_, Some(default)) => Some(match default.kms {
            None => Asked::Master,
            Some(key) => Asked::Kms(kms::Asked {
                key,
                context: None,
                bucket_key: Some(default.bucket_key),
            }),
        }),
    })
}

fn encoded(mode: Mode, sealed: &[u8]) -> Vec<u8> {
    Envelope { mode, sealed }.encode()
}

/// Says on an answer how an object is kept; of SSE-C only with what the request sent.
pub(super) fn describe(envelope: Option<&[u8]>, call: &Call<'_>, headers: &mut HeaderMap) {
    let envelope = envelope.and_then(|bytes| Envelope::parse(bytes).ok());
    match envelope.map(|envelope| envelope.mode) {
        None => {}
        Some(Mode::Master) => set(headers, SSE, AES256),
        Some(Mode::Kms) => {
            let named = envelope.and_then(|envelope| Named::parse(envelope.sealed).ok());
            if let Some(named) = named {
                kms::Shown::of(&named, call).set(headers);
            }
        }
        Some(Mode::Customer) => {
            if let Ok(Some(sent)) = CustomerKey::sent(call, CUSTOMER) {
                show_customer(&sent, headers);
            }
        }
    }
}

fn show_customer(customer: &CustomerKey, headers: &mut HeaderMap) {
    set(headers, CUSTOMER_ALGORITHM, AES256);
    set(headers, CUSTOMER_KEY_MD5, customer.md5());
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    reply::set(headers, HeaderName::from_static(name), value);
}

/// How an object that the server writes of its own accord is encrypted under its keys.
///
/// # Errors
/// [`KeyringError::Failed`].
pub(crate) fn seal_object(
    ring: &Keyring,
    bucket: &BucketName,
    key: &ObjectKey,
) -> Result<Sealing, KeyringError> {
    let (data_key, sealed) = sealed(ring, &envelope::context(bucket, key))?;
    Ok(Sealing::of_object(data_key, encoded(Mode::Master, &sealed)))
}

/// What is to become of an envelope, so that the keys that seal now have sealed it.
pub(crate) fn rewrapped(
    (bucket, key): (&BucketName, &ObjectKey),
    envelope: &[u8],
    ring: &Keyring,
    kms: &Kms,
) -> Resealed {
    let context = envelope::context(bucket, key);
    let rewrapped = Envelope::parse(envelope).and_then(|envelope| match envelope.mode {
        Mode::Customer => Ok(None),
        Mode::Master if ring.is_current(envelope.sealed) => Ok(None),
        Mode::Master => {
            let opened = ring.open(&context, envelope.sealed)?;
            let sealed = ring.seal(&context, &opened)?;
            Ok(Some(encoded(Mode::Master, &sealed)))
        }
        Mode::Kms => kms::rewrapped(envelope.sealed, ring, kms),
    });
    match rewrapped {
        Ok(None) => Resealed::Kept,
        Ok(Some(envelope)) => Resealed::New(envelope),
        Err(_) => Resealed::Failed,
    }
}

/// Gives an object that is read its data key, if it is encrypted.
///
/// # Errors
/// [`S3Code::InvalidRequest`] where a key must be sent, or must not; [`S3Code::AccessDenied`] for another than it was written with; those of named keys.
pub(super) async fn unlock(
    bucket: &BucketName,
    handle: &mut ObjectHandle,
    reading: Reading,
    call: &Call<'_>,
) -> S3Result<()> {
    if call.headers().contains_key(SSE) {
        let message = "x-amz-server-side-encryption header is not supported for this operation.";
        let sent = call.header(SSE).unwrap_or_default();
        return Err(invalid_argument(SSE, sent, message));
    }
    if reading == Reading::Facts && is_kms(handle.info().encryption.as_deref()) {
        return kms::check_signature(call);
    }
    unlock_with(bucket, handle, CUSTOMER, call).await
}

fn is_kms(envelope: Option<&[u8]>) -> bool {
    let envelope = envelope.and_then(|bytes| Envelope::parse(bytes).ok());
    envelope.is_some_and(|envelope| envelope.mode == Mode::Kms)
}

/// The same of the source of a copy, whose key is in headers of their own.
///
/// # Errors
/// As [`unlock`].
pub(super) async fn unlock_source(
    bucket: &BucketName,
    handle: &mut ObjectHandle,
    call: &Call<'_>,
) -> S3Result<()> {
    unlock_with(bucket, handle, SOURCE_CUSTOMER, call).await
}

async fn unlock_with(
    bucket: &BucketName,
    handle: &mut ObjectHandle,
    prefix: &'static str,
    call: &Call<'_>,
) -> S3Result<()> {
    let sent = CustomerKey::sent(call, prefix)?;
    let texts = Texts {
        needed: NEEDED,
        not_applicable: NOT_APPLICABLE,
        other: None,
    };
    let info = handle.info();
    let envelope = info.encryption.as_deref();
    let key = open((bucket, &info.key), envelope, sent.as_ref(), &texts, call).await?;
    if let Some(key) = key {
        handle.unlock(key);
    }
    Ok(())
}

/// Refuses a completion with another key than its upload was begun with; without one it is as good, since nothing is written.
///
/// # Errors
/// [`S3Code::InvalidRequest`].
pub(super) async fn check_completion(
    bucket: &BucketName,
    key: &ObjectKey,
    info: &UploadInfo,
    call: &Call<'_>,
) -> S3Result<()> {
    if !customer::is_sent(call.headers(), CUSTOMER) {
        return Ok(());
    }
    let part = Encryption::of_part(bucket, key, info, call).await;
    part.map(drop)
}

/// What is said to whom sends the wrong thing.
struct Texts {
    needed: &'static str,
    not_applicable: &'static str,
    /// `None`: access denied.
    other: Option<&'static str>,
}

async fn open(
    (bucket, key): (&BucketName, &ObjectKey),
    envelope: Option<&[u8]>,
    sent: Option<&CustomerKey>,
    texts: &Texts,
    call: &Call<'_>,
) -> S3Result<Option<DataKey>> {
    let envelope = envelope.map(Envelope::parse).transpose()?;
    let sealed = envelope
        .as_ref()
        .map_or(&[][..], |envelope| envelope.sealed);
    let ring = match (envelope.as_ref().map(|envelope| envelope.mode), sent) {
        (None, None) => return Ok(None),
        (Some(Mode::Customer), Some(sent)) => sent.ring(),
        (Some(Mode::Customer), None) => return Err(refused(texts.needed)),
        (_, Some(_)) => return Err(refused(texts.not_applicable)),
        (Some(Mode::Master), None) => call.app.keyring()?,
        (Some(Mode::Kms), None) => {
            // On the heap: seldom needed, and large.
            let opened = Box::pin(kms::open((bucket, key), sealed, call));
            return opened.await.map(Some);
        }
    };
    let opened = ring.open(&envelope::context(bucket, key), sealed);
    let opened = opened.map_err(|error| match (error, sent, texts.other) {
        (KeyringError::Refused { .. }, Some(_), Some(other)) => refused(other),
        (KeyringError::Refused { .. }, Some(_), None) => S3Error::new(S3Code::AccessDenied),
        (error, ..) => error.into(),
    })?;
    data_key(&opened).map(Some)
}

fn data_key(opened: &[u8]) -> S3Result<DataKey> {
    let bytes: &[u8; DATA_KEY_BYTES] = opened
        .try_into()
        .map_err(|_| S3Error::internal("a data key of another length"))?;
    Ok(DataKey::new(bytes))
}

fn refused(message: &'static str) -> S3Error {
    S3Error::with_message(S3Code::InvalidRequest, message)
}

/// A new data key, and what it is wrapped in.
fn sealed(ring: &Keyring, context: &[u8]) -> Result<(DataKey, Vec<u8>), KeyringError> {
    let mut bytes = Zeroizing::new([0; DATA_KEY_BYTES]);
    rand::fill(&mut *bytes).map_err(|_| KeyringError::Failed)?;
    Ok((DataKey::new(&bytes), ring.seal(context, &*bytes)?))
}

async fn writer(
    bucket: &BucketName,
    size: Option<u64>,
    sealing: Option<Sealing>,
    call: &Call<'_>,
) -> S3Result<BodyWriter> {
    Ok(match sealing {
        None => call.store.blob_writer(bucket, size).await?,
        Some(sealing) => call.store.sealed_blob_writer(bucket, size, sealing).await?,
    })
}

/// What the headers ask for.
fn asked(call: &Call<'_>) -> S3Result<Option<Asked>> {
    let headers = call.headers();
    kms::check_headers(headers)?;
    let customer = CustomerKey::sent(call, CUSTOMER)?;
    let Some(method) = headers.get(SSE).map(HeaderValue::to_str) else {
        return Ok(customer.map(Asked::Customer));
    };
    let method = method.unwrap_or_default().trim();
    if customer.is_some() {
        let message = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified";
        return Err(invalid_argument(SSE, method, message));
    }
    match method {
        AES256 => Ok(Some(Asked::Master)),
        kms::KMS => kms::Asked::sent(headers).map(|asked| Some(Asked::Kms(asked))),
        "aws:kms:dsse" | "aws:fsx" => {
            Err(S3Error::new(S3Code::NotImplemented).element("Header", SSE))
        }
        other => {
            let message = "The encryption method specified is not supported";
            Err(invalid_argument(SSE, other, message))
        }
    }
}

#[cfg(test)]
mod tests;
