//! NATS: an event is a message on a subject.
//!
//! With `JetStream`, which is the default, a stream that has the subject keeps the message and says so; each message has an id, so that what is sent again within
//! the stream's window is kept once. Without it a message has arrived once the server has read it: who is not subscribed then never gets it.

use async_nats::{Client, ConnectOptions, HeaderMap, connection::State, jetstream};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::{Messenger, SendError, tls, unreachable};
use crate::notify::{
    letter::Letter,
    targets::{Login, NatsSettings},
};

/// The header by which a stream knows a message that it has.
const MESSAGE_ID: &str = "Nats-Msg-Id";
/// Of the digest of an event, so that the events of any number of servers differ.
const ID_BYTES: usize = 16;

/// A subject of NATS.
#[derive(Debug)]
pub(super) struct Nats {
    settings: NatsSettings,
    connected: Mutex<Option<Connected>>,
}

#[derive(Clone)]
struct Connected {
    client: Client,
    stream: Option<jetstream::Context>,
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connected").finish_non_exhaustive()
    }
}

impl Nats {
    /// Nothing is connected yet.
    pub(super) fn new(settings: NatsSettings) -> Self {
        Self {
            settings,
            connected: Mutex::default(),
        }
    }

    /// The connection, which is made when it is first needed, and then keeps itself up.
    async fn connected(&self) -> Result<Connected, SendError> {
        let mut connected = self.connected.lock().await;
        if let Some(connected) = &*connected {
            return match connected.client.connection_state() {
                State::Connected => Ok(connected.clone()),
                // What is sent now would lie in the client for as long as the server is away.
                _ => Err(SendError::Unreachable("not connected".to_owned())),
            };
        }
        let client = self.connect().await?;
        let stream = self
            .settings
            .jetstream
            .then(|| jetstream::new(client.clone()));
        Ok(connected.insert(Connected { client, stream }).clone())
    }

    async fn connect(&self) -> Result<Client, SendError> {
        let NatsSettings {
            servers,
            login,
            ca_file,
            ..
        } = &self.settings;
        let options = ConnectOptions::new()
            .name("larder")
            .require_tls(servers.iter().any(|server| server.starts_with("tls:")))
            .tls_client_config(tls(ca_file.clone()).await?);
        let options = match login.clone() {
            None => options,
            Some(Login::Token(token)) => options.token(token.text().to_owned()),
            Some(Login::User(user, password)) => {
                options.user_and_password(user, password.text().to_owned())
            }
        };
        let connected = options.connect(servers.as_slice()).await;
        connected.map_err(|error| unreachable(&error))
    }

    async fn keep(&self, stream: &jetstream::Context, content: Bytes) -> Result<(), SendError> {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, message_id(&content));
        let subject = self.settings.subject.clone();
        let sent = stream.publish_with_headers(subject, headers, content).await;
        let kept = sent.map_err(|error| unreachable(&error))?.await;
        kept.map(drop).map_err(|error| unreachable(&error))
    }

    /// Sends the event and then something to this client itself: once that is back, the server has read both.
    async fn say(&self, client: &Client, content: Bytes) -> Result<(), SendError> {
        let inbox = client.new_inbox();
        let mut echo = client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| unreachable(&error))?;
        for (subject, content) in [
            (self.settings.subject.clone(), content),
            (inbox, Bytes::new()),
        ] {
            let sent = client.publish(subject, content).await;
            sent.map_err(|error| unreachable(&error))?;
        }
        match echo.next().await {
            Some(_) => Ok(()),
            None => Err(SendError::Unreachable(
                "the connection has ended".to_owned(),
            )),
        }
    }
}

fn message_id(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let (start, _) = digest.split_at(ID_BYTES);
    hex::encode(start)
}

#[async_trait]
impl Messenger for Nats {
    async fn send(&self, letter: &Letter) -> Result<(), SendError> {
        let Connected { client, stream } = self.connected().await?;
        match &stream {
            Some(stream) => self.keep(stream, letter.content.clone()).await,
            None => self.say(&client, letter.content.clone()).await,
        }
    }
}
