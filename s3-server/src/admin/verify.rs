//! `POST verify`: reads and proves everything under a prefix, and tells of it line by line. Whoever asked and goes away ends it.

use std::{sync::Arc, time::Duration};

use larder_storage::{
    objects::{BucketName, StoreError},
    upkeep::{Verification, VerifyOutcome, VerifyStep},
};
use serde::{Deserialize, Serialize};

use super::{AdminCall, AdminError, AdminResult, Lines, lines};
use crate::{app::App, http::Response};

/// Below [`super::V1`].
pub const PATH: &str = "verify";
/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// What to verify.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VerifyRequest {
    /// The bucket.
    pub bucket: String,
    /// What the keys begin with.
    #[serde(default)]
    pub prefix: String,
    /// Without regard to clients.
    #[serde(default)]
    pub now: bool,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum VerifyLine {
    /// First: what there is.
    Total {
        /// Objects under the prefix.
        objects: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Now and then: how far it is.
    Progress(Tally),
    /// An object that can be read, but would survive fewer losses than it should.
    Degraded {
        /// Its key.
        key: String,
        /// Its bytes.
        size: u64,
        /// Shards that are missing, damaged, or on disks that do not answer.
        shards: u64,
    },
    /// An object that can't be read whole.
    Unreadable {
        /// Its key.
        key: String,
        /// Its bytes; 0 where its record is not understood.
        size: u64,
        /// Why.
        reason: String,
    },
    /// Last: what came of it all.
    Done(Tally),
}

/// What was verified so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "VerifyTally"))]
pub struct Tally {
    /// Objects that are through.
    pub objects: u64,
    /// Their bytes, those of the object that is being read included as far as they are read.
    pub bytes: u64,
    /// Bytes of shards that were read.
    pub read_bytes: u64,
    /// Objects that lack redundancy.
    pub degraded: u64,
    /// Objects that can't be read.
    pub unreadable: u64,
}

pub(super) async fn answer(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let request: VerifyRequest = call.body().await?;
    let bucket = BucketName::parse(&request.bucket)
        .map_err(|error| AdminError::bad_request(format!("bucket: {error}")))?;
    let begun = call
        .storage()?
        .scrub()
        .verify(&bucket, &request.prefix, request.now)
        .await;
    let (verification, total) = begun.map_err(refusal)?;
    let app = Arc::clone(call.app());
    Ok(lines(&call, |lines| async move {
        let total = VerifyLine::Total {
            objects: total.objects,
            bytes: total.bytes,
        };
        lines.send(&total).await?;
        go_through(&app, verification, &lines).await
    }))
}

async fn go_through(app: &App, mut verification: Verification, lines: &Lines) -> AdminResult<()> {
    let mut tally = Tally::default();
    let mut told = app.clock.monotonic();
    while let Some(step) = verification.next().await.map_err(refusal)? {
        if let Some(line) = tally.take(step) {
            lines.send(&line).await?;
        }
        let now = app.clock.monotonic();
        if now.saturating_sub(told) >= PROGRESS_EVERY {
            told = now;
            lines.send(&VerifyLine::Progress(tally)).await?;
        }
    }
    lines.send(&VerifyLine::Done(tally)).await?;
    Ok(())
}

impl Tally {
    /// Counts a step; the line for an object that is not whole.
    fn take(&mut self, step: VerifyStep) -> Option<VerifyLine> {
        let object = match step {
            VerifyStep::Read { bytes, data_bytes } => {
                self.read_bytes += bytes;
                self.bytes += data_bytes;
                return None;
            }
            VerifyStep::Object(object) => object,
        };
        self.objects += 1;
        let (key, size) = (object.key, object.size);
        match object.outcome {
            VerifyOutcome::Whole => None,
            VerifyOutcome::Degraded { shards } => {
                self.degraded += 1;
                Some(VerifyLine::Degraded { key, size, shards })
            }
            VerifyOutcome::Unreadable { reason } => {
                self.unreadable += 1;
                Some(VerifyLine::Unreadable { key, size, reason })
            }
        }
    }
}

fn refusal(error: StoreError) -> AdminError {
    match error {
        StoreError::NoSuchBucket => AdminError::not_found("there is no such bucket"),
        error => AdminError::unavailable(format!("the metadata does not answer: {error}")),
    }
}
