//! An answer that comes line by line, each a JSON document: progress, or a watch that has no end.
//!
//! The handler's work goes on while the client reads, and is dropped where it awaits as soon as the client is gone, takes no line
//! for as long as clients may stall, or the server stops. An error in the middle is the last line, as [`ErrorDocument`].
//!
//! [`ErrorDocument`]: super::ErrorDocument

use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use larder_storage::clock::Clock;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{AdminCall, AdminError, AdminResult, set_type};
use crate::{
    http::{Body, Response},
    reply,
};

/// Lines that may wait for the client.
const MAX_WAITING_LINES: usize = 16;

/// Nobody reads any more. The handler ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the answer any more")]
pub struct Gone;

impl From<Gone> for AdminError {
    fn from(gone: Gone) -> Self {
        Self::internal(gone)
    }
}

/// Where a handler writes its lines.
#[derive(Clone, Debug)]
pub struct Lines {
    sender: mpsc::Sender<Bytes>,
    clock: Arc<dyn Clock>,
    stall: Duration,
}

impl Lines {
    /// Writes a line once there is room for it.
    ///
    /// # Errors
    /// [`Gone`]; the handler passes it on with `?`.
    pub async fn send(&self, value: &impl Serialize) -> Result<(), Gone> {
        let mut line = serde_json::to_vec(value).map_err(|_| Gone)?;
        line.push(b'\n');
        tokio::select! {
            sent = self.sender.send(line.into()) => sent.map_err(|_| Gone),
            () = self.clock.sleep(self.stall) => Err(Gone),
        }
    }
}

/// The body of such an answer.
#[derive(Debug)]
pub struct LineBody {
    lines: mpsc::Receiver<Bytes>,
    permit: Option<OwnedSemaphorePermit>,
}

impl LineBody {
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.lines.poll_recv(cx)
    }

    pub(crate) fn hold(&mut self, permit: OwnedSemaphorePermit) {
        self.permit = Some(permit);
    }
}

/// `200` with the lines that `work` writes, until it ends.
pub fn lines<F>(call: &AdminCall<'_>, work: impl FnOnce(Lines) -> F) -> Response
where
    F: Future<Output = AdminResult<()>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(MAX_WAITING_LINES);
    let lines = Lines {
        sender,
        clock: Arc::clone(&call.app().clock),
        stall: call.stall(),
    };
    let work = work(lines.clone());
    let stopped = call.app().stopped();
    tokio::spawn(async move {
        let ended = tokio::select! {
            () = lines.sender.closed() => return,
            () = stopped => Err(AdminError::unavailable("the server is stopping: ask again when it is back")),
            ended = work => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an answer ends early");
            // Whether anybody reads it makes no difference any more.
            let _gone = lines.send(&error.document()).await;
        }
    });
    let mut response = reply::empty();
    *response.body_mut() = Body::Lines(LineBody {
        lines: receiver,
        permit: None,
    });
    set_type(&mut response, "application/x-ndjson");
    response
}
