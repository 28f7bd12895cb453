//! One request of an administrator on its way to its handler.

use std::{fmt, sync::Arc, time::Duration};

use larder_storage::open::Storage;
use serde::de::DeserializeOwned;

use super::{AdminError, AdminResult};
use crate::{app::App, op};

/// The largest body of a request.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A request whose signature is right, with all that a handler needs.
pub struct AdminCall<'a> {
    app: &'a Arc<App>,
    s3: op::Call<'a>,
    stall: Duration,
}

impl<'a> AdminCall<'a> {
    pub(super) fn new(app: &'a Arc<App>, s3: op::Call<'a>, stall: Duration) -> Self {
        Self { app, s3, stall }
    }

    /// What all requests share.
    pub fn app(&self) -> &'a Arc<App> {
        self.app
    }

    /// The open storage: disks, upkeep, store.
    ///
    /// # Errors
    /// `503` while it is not open yet.
    pub fn storage(&self) -> AdminResult<&'a Arc<Storage>> {
        Ok(self.app().storage()?)
    }

    /// A parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.s3.query.get(name)
    }

    /// How long the client may take nothing of a long answer.
    pub(super) fn stall(&self) -> Duration {
        self.stall
    }

    /// The body, which is JSON; an empty one is `{}`.
    ///
    /// # Errors
    /// `400` for a body that is too long, not what was signed, or no JSON of this shape.
    pub async fn body<T: DeserializeOwned>(&mut self) -> AdminResult<T> {
        let bytes = op::read_small_body(&mut self.s3, MAX_BODY_BYTES).await?;
        let bytes = if bytes.is_empty() { b"{}" } else { &bytes[..] };
        serde_json::from_slice(bytes).map_err(|error| {
            AdminError::bad_request(format!("the body is not as it should be: {error}"))
        })
    }
}

impl fmt::Debug for AdminCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminCall")
            .field("path", &self.s3.parts.uri.path())
            .finish_non_exhaustive()
    }
}
