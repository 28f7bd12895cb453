//! A key that the client sends along (SSE-C): it is kept nowhere, and wraps the data key of its object.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::super::{
    Call,
    call::{invalid_argument, text},
};
use crate::{
    error::{S3Code, S3Error, S3Result},
    hash::Md5,
    keyring::{Keyring, KeyringError, MasterKey, Source},
};

/// What the key is called in sealed messages.
const NAME: &str = "customer";
const INSECURE: &str = "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection.";

/// Whether any of its headers is there.
pub(super) fn is_sent(headers: &HeaderMap, prefix: &str) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(prefix))
}

/// A client's key.
pub(super) struct CustomerKey {
    ring: Keyring,
    md5: String,
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomerKey").finish_non_exhaustive()
    }
}

impl CustomerKey {
    /// The key in the headers that begin with `prefix`, if there is one.
    ///
    /// # Errors
    /// [`S3Code::InvalidArgument`], [`S3Code::InvalidEncryptionAlgorithmError`], [`S3Code::InvalidRequest`] where others could have read it on its way.
    pub(super) fn sent(call: &Call<'_>, prefix: &'static str) -> S3Result<Option<Self>> {
        if !is_sent(call.headers(), prefix) {
            return Ok(None);
        }
        let client = call.client();
        if !client.is_secure && !client.address.is_loopback() {
            return Err(S3Error::with_message(S3Code::InvalidRequest, INSECURE));
        }
        Self::parse(call.headers(), prefix).map(Some)
    }

    fn parse(headers: &HeaderMap, prefix: &'static str) -> S3Result<Self> {
        let header = |part: &str| text(headers, format!("{prefix}{part}"));
        let invalid =
            |part: &str, message| invalid_argument(&format!("{prefix}{part}"), "null", message);
        match header("algorithm") {
            None => return Err(invalid("algorithm", NO_ALGORITHM)),
            Some("AES256") => {}
            Some(other) => {
                let message =
                    "The Encryption request you specified is not valid. Supported value: AES256.";
                let code = S3Code::InvalidEncryptionAlgorithmError;
                return Err(S3Error::with_message(code, message)
                    .element("ArgumentName", format!("{prefix}algorithm"))
                    .element("ArgumentValue", other));
            }
        }
        let key = header("key").ok_or_else(|| invalid("key", NO_KEY))?;
        let md5 = header("key-md5").ok_or_else(|| invalid("key-MD5", NO_MD5))?;
        let bytes = decoded(key).ok_or_else(|| invalid("key", BAD_KEY))?;
        let is = STANDARD.encode(Md5::digest(&*bytes));
        if !bool::from(is.as_bytes().ct_eq(md5.as_bytes())) {
            return Err(invalid("key-MD5", OTHER_MD5));
        }
        let ring = ring(bytes)?;
        Ok(Self { ring, md5: is })
    }

    /// What seals with it.
    pub(super) fn ring(&self) -> &Keyring {
        &self.ring
    }

    /// Its MD5 as answers have it.
    pub(super) fn md5(&self) -> &str {
        &self.md5
    }
}

const NO_ALGORITHM: &str = "Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption algorithm.";
const NO_KEY: &str = "Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret key.";
const NO_MD5: &str = "Requests specifying Server Side Encryption with Customer provided keys must provide the client calculated MD5 of the secret key.";
const BAD_KEY: &str = "The secret key was invalid for the specified algorithm.";
const OTHER_MD5: &str =
    "The calculated MD5 hash of the key did not match the hash that was provided.";

fn decoded(key: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(STANDARD.decode(key).ok()?);
    let mut key = Zeroizing::new([0; 32]);
    (bytes.len() == key.len()).then(|| key.copy_from_slice(&bytes))?;
    Some(key)
}

fn ring(bytes: Zeroizing<[u8; 32]>) -> S3Result<Keyring> {
    let key = MasterKey::new(NAME.parse().ok(), bytes)?;
    let ring = Keyring::new(vec![key], Source::Configured);
    Ok(ring.ok_or(KeyringError::Failed)?)
}

#[cfg(test)]
mod tests {
    use super::{super::CUSTOMER, *};

    const KEY: [u8; 32] = *b"0123456789abcdef0123456789ABCDEF";

    fn headers(algorithm: Option<&str>, key: Option<&str>, md5: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let parts = [("algorithm", algorithm), ("key", key), ("key-md5", md5)];
        for (part, value) in parts {
            if let Some(value) = value {
                let name = format!("{CUSTOMER}{part}")
                    .parse::<http::HeaderName>()
                    .unwrap();
                headers.insert(name, value.parse().unwrap());
            }
        }
        headers
    }

    #[test]
    fn each_thing_that_is_wrong_has_its_message() {
        let key = STANDARD.encode(KEY);
        let md5 = STANDARD.encode(Md5::digest(&KEY));
        let (key, md5) = (Some(&*key), Some(&*md5));
        let aes = Some("AES256");
        let good = CustomerKey::parse(&headers(aes, key, md5), CUSTOMER).unwrap();
        assert_eq!(Some(good.md5()), md5);
        assert!(!format!("{good:?}").contains("0123"));
        let short = STANDARD.encode(&KEY[1..]);
        for (sent, message) in [
            (headers(None, key, md5), NO_ALGORITHM),
            (headers(aes, None, md5), NO_KEY),
            (headers(aes, key, None), NO_MD5),
            (headers(aes, Some("?"), md5), BAD_KEY),
            (headers(aes, Some(&short), md5), BAD_KEY),
            (headers(aes, key, Some("AAAA")), OTHER_MD5),
        ] {
            let error = CustomerKey::parse(&sent, CUSTOMER).unwrap_err();
            assert_eq!(
                (error.code(), error.message()),
                (S3Code::InvalidArgument, message)
            );
        }
        let error = CustomerKey::parse(&headers(Some("AES128"), key, md5), CUSTOMER).unwrap_err();
        assert_eq!(error.code(), S3Code::InvalidEncryptionAlgorithmError);
    }
}
