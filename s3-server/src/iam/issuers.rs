//! Identity providers that speak `OpenID` Connect: where their keys are, and the keys, which are fetched when they are needed and then kept for a
//! while.
//!
//! Nothing is fetched but over `https`, or where the settings say so from this machine itself; no redirect is followed; what comes is bounded in size and time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use larder_storage::clock::Clock;
use parking_lot::Mutex;
use serde::Deserialize;

use super::error::{IamCode, IamError, IamResult};
use crate::{
    config::Oidc,
    tls::{HttpsConnector, TlsError, connector},
};

const PATIENCE: Duration = Duration::from_secs(10);
const MAX_BYTES: usize = 256 << 10;
/// How long keys are good without being fetched again.
const FRESH: Duration = Duration::from_mins(10);
/// A key that is not known is looked for again, but not more often than this.
const LEAST_AGE: Duration = Duration::from_secs(15);
const MAX_ISSUERS: usize = 256;

type Slot = Arc<tokio::sync::Mutex<Option<Fetched>>>;

/// Keys of issuers.
pub(crate) struct Issuers {
    settings: Oidc,
    slots: Mutex<HashMap<String, Slot>>,
    client: Mutex<Option<HttpClient>>,
}

type HttpClient = Client<HttpsConnector, Empty<Bytes>>;

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuers").finish_non_exhaustive()
    }
}

struct Fetched {
    keys: JwkSet,
    /// On the clock that never jumps.
    at: Duration,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Issuers {
    /// Nothing is fetched yet.
    pub(crate) fn new(settings: Oidc) -> Self {
        Self {
            settings,
            slots: Mutex::default(),
            client: Mutex::default(),
        }
    }

    /// Whether keys may be fetched from there: over `https`, or where the settings say so, over `http` from this machine.
    pub(super) fn may_ask(&self, uri: &Uri) -> bool {
        match uri.scheme_str() {
            Some("https") => uri.host().is_some(),
            Some("http") => {
                self.settings.http
                    && matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"))
            }
            _ => false,
        }
    }

    /// The key of `issuer` that is called `id`, or its only one. Fetched where it is not known, or was known for long.
    ///
    /// # Errors
    /// [`IamCode::IDPCommunicationError`], [`IamCode::InvalidIdentityToken`] for a key that there is not.
    pub(super) async fn key(
        &self,
        issuer: &str,
        id: Option<&str>,
        clock: &dyn Clock,
    ) -> IamResult<Jwk> {
        let slot = self.slot(issuer);
        let mut known = slot.lock().await;
        let now = clock.monotonic();
        let age = known.as_ref().map(|known| now.saturating_sub(known.at));
        if let (Some(fetched), Some(age)) = (&*known, age)
            && age < FRESH
        {
            match pick(&fetched.keys, id) {
                Some(key) => return Ok(key),
                None if age < LEAST_AGE => return Err(unknown_key()),
                None => {}
            }
        }
        match self.fetch(issuer, clock).await {
            Ok(keys) => *known = Some(Fetched { keys, at: now }),
            // Keys of a provider that does not answer are good for longer.
            Err(error) if known.is_none() => return Err(error),
            Err(error) => {
                tracing::warn!(issuer, %error, "an identity provider does not answer: its keys of before count");
            }
        }
        let found = known.as_ref().and_then(|fetched| pick(&fetched.keys, id));
        found.ok_or_else(unknown_key)
    }

    fn slot(&self, issuer: &str) -> Slot {
        let mut slots = self.slots.lock();
        if slots.len() >= MAX_ISSUERS {
            slots.clear();
        }
        Arc::clone(slots.entry(issuer.to_owned()).or_default())
    }

    async fn fetch(&self, issuer: &str, clock: &dyn Clock) -> IamResult<JwkSet> {
        let well_known = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let found: Discovery = self.get(&well_known, clock).await?;
        if found.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
            return Err(unreachable(&format!("it calls itself {}", found.issuer)));
        }
        self.get(&found.jwks_uri, clock).await
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        url: &str,
        clock: &dyn Clock,
    ) -> IamResult<T> {
        let uri: Uri = url
            .parse()
            .map_err(|_| unreachable(&format!("{url} is no address")))?;
        if !self.may_ask(&uri) {
            return Err(unreachable(&format!("{url} is not https")));
        }
        let client = self.client().await?;
        let asked = async {
            let answer = client
                .get(uri)
                .await
                .map_err(|error| unreachable(&error.to_string()))?;
            if !answer.status().is_success() {
                return Err(unreachable(&format!("{url} answers {}", answer.status())));
            }
            let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
            Ok(body
                .map_err(|error| unreachable(&error.to_string()))?
                .to_bytes())
        };
        let bytes = tokio::select! {
            bytes = asked => bytes?,
            () = clock.sleep(PATIENCE) => return Err(unreachable(&format!("{url} does not answer"))),
        };
        serde_json::from_slice(&bytes).map_err(|error| unreachable(&format!("{url}: {error}")))
    }

    /// Made when it is first needed: reading the system's authorities takes a while.
    async fn client(&self) -> IamResult<HttpClient> {
        if let Some(client) = &*self.client.lock() {
            return Ok(client.clone());
        }
        let ca_file = self.settings.ca_file.clone();
        let made = tokio::task::spawn_blocking(move || connector(ca_file.as_deref()));
        let connector: Result<_, TlsError> = made.await.map_err(IamError::internal)?;
        let connector = connector.map_err(IamError::internal)?;
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(self.client.lock().insert(client).clone())
    }
}

fn pick(keys: &JwkSet, id: Option<&str>) -> Option<Jwk> {
    match id {
        Some(id) => keys.find(id).cloned(),
        None if keys.keys.len() == 1 => keys.keys.first().cloned(),
        None => None,
    }
}

fn unknown_key() -> IamError {
    let message = "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements";
    IamError::new(IamCode::InvalidIdentityToken, message)
}

fn unreachable(reason: &str) -> IamError {
    tracing::debug!(reason, "an identity provider is of no use");
    let message = format!("The identity provider can't be used: {reason}");
    IamError::new(IamCode::IDPCommunicationError, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_encrypted_or_here_is_fetched() {
        let issuers = |http| {
            Issuers::new(Oidc {
                http,
                ca_file: None,
            })
        };
        for (url, is_good) in [
            ("https://oidc.example/a", true),
            ("http://127.0.0.1:99/a", true),
            ("http://[::1]:99/a", true),
            ("http://oidc.example/a", false),
            ("http://127.0.0.1.evil.example/", false),
            ("ftp://127.0.0.1/", false),
            ("/path", false),
        ] {
            let url: Uri = url.parse().unwrap();
            assert_eq!(issuers(true).may_ask(&url), is_good, "{url}");
            let is_https = url.scheme_str() == Some("https");
            assert_eq!(issuers(false).may_ask(&url), is_https, "{url}");
        }
    }
}
