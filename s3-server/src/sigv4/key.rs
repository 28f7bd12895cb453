//! Secrets, signing keys and the cache that spares a request four HMACs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::RwLock;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// How many signing keys are kept. A key lives a day, so that this is the number of access keys in
/// use that are fast; when it overflows, the cache starts again from empty.
const MAX_CACHED_KEYS: usize = 4096;

/// A secret access key. Never shown by `Debug`.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a secret access key.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || bool::from(self.0.as_bytes().ct_eq(other.0.as_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a signature is valid for: one day, one region, one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope<'a> {
    pub(super) date: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

impl Scope<'_> {
    /// The scope as it stands in the string to sign.
    pub(super) fn text(&self) -> String {
        let Self {
            date,
            region,
            service,
        } = self;
        format!("{date}/{region}/{service}/aws4_request")
    }
}

/// An HMAC-SHA256 state that has the signing key worked in; signing starts from a copy of it.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// Derives the key by AWS's chain of four HMACs.
    pub(super) fn derive(secret: &Secret, scope: Scope<'_>) -> Self {
        let mut first = Vec::with_capacity(4 + secret.0.len());
        first.extend_from_slice(b"AWS4");
        first.extend_from_slice(secret.0.as_bytes());
        let mut key = keyed(&first);
        for part in [scope.date, scope.region, scope.service, "aws4_request"] {
            key = keyed(&mac(&key, part.as_bytes()));
        }
        Self(key)
    }

    /// The signature of a string to sign.
    pub(super) fn sign(&self, string_to_sign: &[u8]) -> [u8; 32] {
        mac(&self.0, string_to_sign)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of every length; the zero key would only make signatures mismatch.
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&[0; 64].into()))
}

fn mac(state: &Hmac<Sha256>, data: &[u8]) -> [u8; 32] {
    let mut state = state.clone();
    state.update(data);
    state.finalize().into_bytes().into()
}

struct Cached {
    date: [u8; 8],
    region: Box<str>,
    service: Box<str>,
    secret: Secret,
    key: SigningKey,
}

impl Cached {
    fn serves(&self, secret: &Secret, scope: Scope<'_>) -> bool {
        self.date == scope.date.as_bytes()
            && *self.region == *scope.region
            && *self.service == *scope.service
            && self.secret.same_as(secret)
    }
}

/// Signing keys of the access keys in use, one per access key: the last scope that was asked for.
///
/// A changed secret is noticed, because the secret is part of the entry.
#[derive(Default)]
pub(super) struct KeyCache(RwLock<HashMap<Box<str>, Cached>>);

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCache({} keys)", self.0.read().len())
    }
}

impl KeyCache {
    pub(super) fn get(&self, access_key: &str, secret: &Secret, scope: Scope<'_>) -> SigningKey {
        if let Some(cached) = self.0.read().get(access_key)
            && cached.serves(secret, scope)
        {
            return cached.key.clone();
        }
        let key = SigningKey::derive(secret, scope);
        self.insert(access_key, secret, scope, &key);
        key
    }

    fn insert(&self, access_key: &str, secret: &Secret, scope: Scope<'_>, key: &SigningKey) {
        let Ok(date) = scope.date.as_bytes().try_into() else {
            return;
        };
        let (region, service) = (scope.region.into(), scope.service.into());
        let (secret, key) = (secret.clone(), key.clone());
        let mut map = self.0.write();
        if map.len() >= MAX_CACHED_KEYS {
            map.clear();
        }
        map.insert(
            access_key.into(),
            Cached {
                date,
                region,
                service,
                secret,
                key,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: Scope<'_> = Scope {
        date: "20130524",
        region: "us-east-1",
        service: "s3",
    };

    #[test]
    fn a_changed_secret_or_scope_is_never_served_from_the_cache() {
        let cache = KeyCache::default();
        let (a, b) = (Secret::new("a"), Secret::new("b"));
        let first = cache.get("AK", &a, SCOPE).sign(b"x");
        assert_eq!(cache.get("AK", &a, SCOPE).sign(b"x"), first);
        assert_ne!(cache.get("AK", &b, SCOPE).sign(b"x"), first);
        let tomorrow = Scope {
            date: "20130525",
            ..SCOPE
        };
        assert_ne!(cache.get("AK", &a, tomorrow).sign(b"x"), first);
        let of_iam = Scope {
            service: "iam",
            ..SCOPE
        };
        assert_ne!(cache.get("AK", &a, of_iam).sign(b"x"), first);
        assert_eq!(cache.get("AK", &a, SCOPE).sign(b"x"), first);
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = KeyCache::default();
        let secret = Secret::new("s");
        for i in 0..=MAX_CACHED_KEYS {
            cache.get(&format!("AK{i}"), &secret, SCOPE);
        }
        assert!(cache.0.read().len() <= MAX_CACHED_KEYS);
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = Secret::new("hunter2");
        assert!(
            !format!("{secret:?} {:?}", SigningKey::derive(&secret, SCOPE)).contains("hunter2")
        );
    }
}
