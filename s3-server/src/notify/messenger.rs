//! Ways to tell a target of an event, a file each.

mod kafka;
mod nats;
mod webhook;

use std::{fmt::Debug, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use larder_storage::clock::Clock;

use super::{
    letter::Letter,
    targets::{Means, Target},
};
use crate::tls::client_config;

/// Why a target does not have an event. What the target says is shown, what it was sent is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    /// It can't be reached, or does not answer as it should.
    #[error("{0}")]
    Unreachable(String),
    /// It does not want the event.
    #[error("the answer is {0}")]
    Refused(String),
    /// It takes too long.
    #[error("no answer in time")]
    Late,
}

/// Something that brings events to one target.
#[async_trait]
pub(super) trait Messenger: Debug + Send + Sync {
    /// Brings an event. On `Ok` the target has it.
    ///
    /// # Errors
    /// [`SendError`]: it may or may not have it; it is sent again later.
    async fn send(&self, letter: &Letter) -> Result<(), SendError>;
}

/// Something that brings events to `target`, which is not asked for anything yet.
///
/// # Errors
/// [`SendError::Unreachable`]: what stands in the file can't be used.
pub(super) async fn open(
    target: &Target,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Messenger>, SendError> {
    Ok(match &target.means {
        Means::Webhook(settings) => Arc::new(webhook::Webhook::open(settings).await?),
        Means::Nats(settings) => Arc::new(nats::Nats::new(settings.clone())),
        Means::Kafka(settings) => Arc::new(kafka::Kafka::new(settings.clone(), clock)),
    })
}

/// Whom a client of TLS trusts.
///
/// # Errors
/// [`SendError::Unreachable`] for its file of authorities.
async fn tls(ca_file: Option<PathBuf>) -> Result<rustls::ClientConfig, SendError> {
    let made = tokio::task::spawn_blocking(move || client_config(ca_file.as_deref())).await;
    let made = made.map_err(|error| unreachable(&error))?;
    made.map_err(|error| unreachable(&error))
}

/// What went wrong, down to the reason: many clients' own words say nothing.
fn unreachable(error: &dyn std::error::Error) -> SendError {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = error.to_string();
        source = error.source();
    }
    SendError::Unreachable(words)
}
