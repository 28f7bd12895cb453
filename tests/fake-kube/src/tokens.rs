//! Tokens of service accounts: signed here, and checkable by anybody through the discovery of OIDC.

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    json::{text, texts, unix_now, uuid},
    rbac::User,
    state::State,
};

/// What signs and checks tokens.
#[derive(Clone)]
pub(crate) struct Signer {
    issuer: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    /// The public key's coordinates.
    x: String,
    y: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl Signer {
    pub(crate) fn new(issuer: String) -> Result<Self, String> {
        let document = EcdsaKeyPair::generate_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &aws_lc_rs::rand::SystemRandom::new(),
        )
        .map_err(|error| error.to_string())?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref())
            .map_err(|error| error.to_string())?;
        // An uncompressed point: a byte 4, then both coordinates.
        let (x, y) = pair
            .public_key()
            .as_ref()
            .get(1..)
            .unwrap_or_default()
            .split_at_checked(32)
            .ok_or("not a point of P-256")?;
        let (x, y) = (
            BASE64_URL_SAFE_NO_PAD.encode(x),
            BASE64_URL_SAFE_NO_PAD.encode(y),
        );
        let decoding =
            DecodingKey::from_ec_components(&x, &y).map_err(|error| error.to_string())?;
        Ok(Self {
            issuer,
            encoding: EncodingKey::from_ec_der(document.as_ref()),
            decoding,
            x,
            y,
        })
    }

    /// The answer to a `TokenRequest`.
    pub(crate) fn issue(&self, account: &Value, request: &Value) -> Result<Value, Failure> {
        let audiences = Some(texts(request, "/spec/audiences"))
            .filter(|all| !all.is_empty())
            .unwrap_or_else(|| vec![self.issuer.as_str()]);
        let seconds = request
            .pointer("/spec/expirationSeconds")
            .and_then(Value::as_i64)
            .unwrap_or(3600);
        if seconds < 600 {
            return Err(Failure::new(
                422,
                "Invalid",
                "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: may not specify a duration less than 10 minutes",
            ));
        }
        let (namespace, name, uid) = (
            text(account, "/metadata/namespace"),
            text(account, "/metadata/name"),
            text(account, "/metadata/uid"),
        );
        let at = unix_now();
        let claims = json!({
            "iss": self.issuer, "sub": format!("system:serviceaccount:{namespace}:{name}"), "aud": audiences,
            "iat": at, "nbf": at, "exp": at.saturating_add(seconds), "jti": uuid(),
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
        });
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("fake-kube".to_owned());
        let token = jsonwebtoken::encode(&header, &claims, &self.encoding)
            .map_err(|error| Failure::new(500, "InternalError", error.to_string()))?;
        Ok(json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {"name": name, "namespace": namespace},
            "spec": {"audiences": audiences, "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": timestamp(at.saturating_add(seconds))},
        }))
    }

    /// Whose token it is.
    pub(crate) fn check(
        &self,
        state: &State,
        token: &str,
        audience: Option<&str>,
    ) -> Result<User, Failure> {
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&[audience.unwrap_or(&self.issuer)]);
        rules.set_issuer(&[&self.issuer]);
        let claims = jsonwebtoken::decode::<Value>(token, &self.decoding, &rules)
            .map_err(|_| Failure::unauthorized())?
            .claims;
        let account = claims.get("kubernetes.io").cloned().unwrap_or_default();
        let (namespace, name, uid) = (
            text(&account, "/namespace"),
            text(&account, "/serviceaccount/name"),
            text(&account, "/serviceaccount/uid"),
        );
        let kept: Option<&Arc<Value>> = state
            .objects("serviceaccounts")
            .find(|(key, _)| key.0 == namespace && key.1 == name)
            .map(|(_, account)| account);
        // A token dies with its account.
        if kept.is_some_and(|account| text(account, "/metadata/uid") == uid) {
            Ok(User::service_account(namespace, name))
        } else {
            Err(Failure::unauthorized())
        }
    }

    pub(crate) fn discovery(&self) -> Value {
        json!({
            "issuer": self.issuer, "jwks_uri": format!("{}/openid/v1/jwks", self.issuer), "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    pub(crate) fn keys(&self) -> Value {
        json!({"keys": [{"use": "sig", "kty": "EC", "kid": "fake-kube", "crv": "P-256", "alg": "ES256", "x": self.x, "y": self.y}]})
    }
}

fn timestamp(seconds: i64) -> String {
    let format =
        time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    time::OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|at| at.format(&format).ok())
        .unwrap_or_default()
}
