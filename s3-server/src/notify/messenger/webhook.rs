//! Webhooks: an event is the body of a `POST`; a status of 2xx says that it has arrived. Redirects are not followed.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use super::{Messenger, SendError, unreachable};
use crate::{
    notify::{letter::Letter, targets::WebhookSettings},
    tls::{HttpsConnector, connector},
};

/// Of an answer, so that the connection can be used again; nobody looks at it.
const MAX_ANSWER_BYTES: usize = 64 << 10;
const AGENT: &str = concat!("Larder/", env!("CARGO_PKG_VERSION"));

/// A webhook.
pub(super) struct Webhook {
    url: Uri,
    authorization: Option<HeaderValue>,
    client: Client<HttpsConnector, Full<Bytes>>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

impl Webhook {
    /// # Errors
    /// [`SendError::Unreachable`] for its file of authorities or its token.
    pub(super) async fn open(settings: &WebhookSettings) -> Result<Self, SendError> {
        let ca_file = settings.ca_file.clone();
        let made = tokio::task::spawn_blocking(move || connector(ca_file.as_deref())).await;
        let made = made.map_err(|error| unreachable(&error))?;
        let connector = made.map_err(|error| unreachable(&error))?;
        let authorization = settings.token.as_ref().map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.text()))?;
            value.set_sensitive(true);
            Ok::<_, header::InvalidHeaderValue>(value)
        });
        let authorization = authorization.transpose().map_err(|_| {
            SendError::Unreachable("the token is nothing that a header can have".to_owned())
        })?;
        Ok(Self {
            url: settings.url.clone(),
            authorization,
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(connector),
        })
    }

    fn request(&self, letter: &Letter) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(letter.content.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        request
    }
}

#[async_trait]
impl Messenger for Webhook {
    async fn send(&self, letter: &Letter) -> Result<(), SendError> {
        let answer = self.client.request(self.request(letter)).await;
        let answer = answer.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        // An answer that is too long costs its connection, not the event.
        drop(
            Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
                .collect()
                .await,
        );
        if status.is_success() {
            return Ok(());
        }
        Err(SendError::Refused(status.to_string()))
    }
}
