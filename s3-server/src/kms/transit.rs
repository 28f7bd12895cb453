//! The transit engine of a Vault or `OpenBao`: it wraps and unwraps, and no key of its leaves it.
//!
//! The encryption context goes along as associated data, and as the context of keys that are derived, so the engine itself refuses what was moved; its
//! audit log has both. No redirect is followed: the token goes to the server that is set, and nowhere else.

use std::{collections::HashMap, fmt, fs, path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use larder_storage::clock::Clock;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{KmsError, KmsSetupError, TransitSettings, cache::LIFETIME};
use crate::tls::{HttpsConnector, connector};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const WHAT: &str = "file of the transit engine's token";
const MAX_TOKEN_BYTES: usize = 16 << 10;
const MAX_ANSWER_BYTES: usize = 256 << 10;
/// Names of keys remembered at most.
const MAX_NAMES: usize = 1024;

type HttpClient = Client<HttpsConnector, Full<Bytes>>;

/// The engine.
pub(super) struct Transit {
    settings: TransitSettings,
    token: RwLock<HeaderValue>,
    client: Mutex<Option<HttpClient>>,
    /// Keys that are there, and until when that is believed.
    known: Mutex<HashMap<String, Duration>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Transit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transit")
            .field("url", &self.settings.url)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Asked<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext: Option<&'a str>,
    associated_data: &'a str,
    context: &'a str,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: String,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    errors: Vec<String>,
}

impl Transit {
    /// Reads the token. Blocks.
    pub(super) fn open(
        settings: TransitSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KmsSetupError> {
        let transit = Self {
            token: RwLock::new(HeaderValue::from_static("")),
            client: Mutex::default(),
            known: Mutex::default(),
            settings,
            clock,
        };
        transit.read_token()?;
        Ok(transit)
    }

    /// Reads the token again. Blocks.
    pub(super) fn read_token(&self) -> Result<(), KmsSetupError> {
        let token = token_in(&self.settings.token_file)?;
        *self.token.write() = token;
        Ok(())
    }

    /// What the key `name` makes of `plain`.
    pub(super) async fn encrypt(
        &self,
        name: &str,
        context: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, KmsError> {
        let plain = Zeroizing::new(STANDARD.encode(plain));
        let context = STANDARD.encode(context);
        let asked = Asked {
            plaintext: Some(&plain),
            ciphertext: None,
            associated_data: &context,
            context: &context,
        };
        // A key that is not there would be made by asking for it, where the token lets it.
        self.check_is_there(name).await?;
        let answer: Result<Encrypted, _> = self.post("encrypt", name, &asked).await;
        let answer = answer.map_err(|error| match error {
            KmsError::Refused(name) => KmsError::Unusable(name),
            other => other,
        })?;
        Ok(answer.ciphertext.into_bytes())
    }

    /// Refuses a key that the engine says it has not. A token that may not look is none the worse for it.
    async fn check_is_there(&self, name: &str) -> Result<(), KmsError> {
        let now = self.clock.monotonic();
        if self
            .known
            .lock()
            .get(name)
            .is_some_and(|until| now < *until)
        {
            return Ok(());
        }
        let (status, answer) = self.send(Method::GET, "keys", name, Bytes::new()).await?;
        match status {
            StatusCode::FORBIDDEN => return Ok(()),
            status if status.is_success() => {}
            status => return Err(refusal(name, status, &answer)),
        }
        let mut known = self.known.lock();
        known.retain(|_, until| now < *until);
        if known.len() < MAX_NAMES {
            known.insert(name.to_owned(), now.saturating_add(LIFETIME));
        }
        Ok(())
    }

    /// The plain text again.
    pub(super) async fn decrypt(
        &self,
        name: &str,
        context: &[u8],
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let context = STANDARD.encode(context);
        let refused = || KmsError::Refused(name.to_owned());
        let asked = Asked {
            plaintext: None,
            ciphertext: Some(std::str::from_utf8(wrapped).map_err(|_| refused())?),
            associated_data: &context,
            context: &context,
        };
        let answer: Decrypted = self.post("decrypt", name, &asked).await?;
        let plain = Zeroizing::new(answer.plaintext);
        let plain = STANDARD.decode(plain.as_bytes());
        Ok(Zeroizing::new(plain.map_err(|_| refused())?))
    }

    async fn post<T: for<'de> Deserialize<'de>>(
        &self,
        what: &str,
        name: &str,
        asked: &Asked<'_>,
    ) -> Result<T, KmsError> {
        let body = serde_json::to_vec(asked).map_err(|_| KmsError::failed())?;
        let body = Bytes::from_owner(Zeroizing::new(body));
        let (status, answer) = self.send(Method::POST, what, name, body).await?;
        if !status.is_success() {
            return Err(refusal(name, status, &answer));
        }
        let parsed: Result<Answer<T>, _> = serde_json::from_slice(&answer);
        let parsed = parsed.map_err(|_| unavailable("its answer has another form"))?;
        Ok(parsed.data)
    }

    async fn send(
        &self,
        method: Method,
        what: &str,
        name: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>), KmsError> {
        let request = self.request(method, what, name, body)?;
        let client = self.client().await?;
        let asked = async {
            let answer = client.request(request).await;
            let answer = answer.map_err(|error| unavailable(&last_cause(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
                .collect()
                .await;
            let body = body.map_err(|error| unavailable(&error.to_string()))?;
            Ok((status, Zeroizing::new(body.to_bytes().to_vec())))
        };
        tokio::select! {
            answered = asked => answered,
            () = self.clock.sleep(self.settings.timeout) => Err(unavailable("it took too long")),
        }
    }

    fn request(
        &self,
        method: Method,
        what: &str,
        name: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, KmsError> {
        let TransitSettings { url, mount, .. } = &self.settings;
        let (base, mount) = (url.to_string(), mount.trim_matches('/'));
        let address = format!("{}/v1/{mount}/{what}/{name}", base.trim_end_matches('/'));
        let mut request = Request::builder()
            .method(method)
            .uri(address)
            .header(header::CONTENT_TYPE, "application/json")
            .header(TOKEN, self.token.read().clone());
        if let Some(namespace) = &self.settings.namespace {
            request = request.header(NAMESPACE, namespace);
        }
        request
            .body(Full::new(body))
            .map_err(|error| unavailable(&error.to_string()))
    }

    /// Made when it is first needed: reading the system's authorities takes a while.
    async fn client(&self) -> Result<HttpClient, KmsError> {
        if let Some(client) = &*self.client.lock() {
            return Ok(client.clone());
        }
        let ca_file = self.settings.ca_file.clone();
        let made = tokio::task::spawn_blocking(move || connector(ca_file.as_deref()));
        let connector = made.await.map_err(|_| KmsError::failed())??;
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .build(connector);
        Ok(self.client.lock().insert(client).clone())
    }
}

/// What a refusal means.
fn refusal(name: &str, status: StatusCode, answer: &[u8]) -> KmsError {
    let refusal: Refusal = serde_json::from_slice(answer).unwrap_or_default();
    let reason = refusal.errors.join("; ").to_ascii_lowercase();
    let says = |text: &str| reason.contains(text);
    let name = name.to_owned();
    match status {
        StatusCode::FORBIDDEN => {
            tracing::warn!(
                key = name,
                "the transit engine does not let the server use a key: is the token good?"
            );
            KmsError::Denied(name)
        }
        StatusCode::BAD_REQUEST if says("key not found") => KmsError::NotFound(name),
        StatusCode::BAD_REQUEST if says("deleted") || says("disallowed by policy") => {
            KmsError::Disabled(name)
        }
        StatusCode::BAD_REQUEST => KmsError::Refused(name),
        StatusCode::NOT_FOUND if reason.is_empty() => KmsError::NotFound(name),
        status => unavailable(&format!("it answers {status}")),
    }
}

fn unavailable(reason: &str) -> KmsError {
    KmsError::Unavailable(reason.to_owned())
}

fn last_cause(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), last_cause)
}

fn token_in(path: &PathBuf) -> Result<HeaderValue, KmsSetupError> {
    let malformed = |reason: &str| KmsSetupError::Malformed {
        what: WHAT,
        path: path.clone(),
        reason: reason.to_owned(),
    };
    let bytes = fs::read(path).map_err(|source| KmsSetupError::Unreadable {
        what: WHAT,
        path: path.clone(),
        source,
    })?;
    let bytes = Zeroizing::new(bytes);
    let token = bytes.trim_ascii();
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return Err(malformed("it holds no token"));
    }
    let token = HeaderValue::from_bytes(token).ok();
    let mut token = token.ok_or_else(|| malformed("it holds no token"))?;
    token.set_sensitive(true);
    Ok(token)
}
