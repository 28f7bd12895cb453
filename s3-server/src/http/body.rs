//! The body of an answer.
//!
//! Most answers are empty or one run of bytes, which go out in the same write as their head. Only
//! what does not fit in one chunk of the store is streamed, with one chunk read ahead.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use larder_storage::{
    clock::Clock,
    objects::{ObjectReader, StoreError},
};
use tokio::sync::OwnedSemaphorePermit;

use super::watched::Watched;
use crate::{admin::LineBody, audit::Pending, metrics::Metrics};

/// Why a body ends early. The connection is cut, so that the client cannot take it for whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The store failed after the head was sent.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store had fewer bytes than the head said.
    #[error("the object ended {missing_bytes} bytes early")]
    Short {
        /// How many are missing.
        missing_bytes: u64,
    },
    /// The client took too little for too long.
    #[error("the client does not take what it asked for")]
    Stalled,
}

/// The body of an answer; its exact length is known, but for lines.
#[derive(Debug, Default)]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// All bytes.
    Full(Bytes),
    /// The rest of a read.
    Stream(Box<ReadBody>),
    /// The same, given up when the client does not take it.
    Watched(Watched),
    /// Lines for an administrator, as they come.
    Lines(LineBody),
}

/// What a request holds until its answer has gone out.
#[derive(Debug)]
pub struct Passage {
    /// Its place among the requests in progress.
    pub permit: OwnedSemaphorePermit,
    /// Where the bytes are counted.
    pub metrics: Arc<Metrics>,
}

type Step = (ObjectReader, Option<Result<Bytes, StoreError>>);
type Reading = Pin<Box<dyn Future<Output = Step> + Send>>;

/// A read of the store on its way out.
pub struct ReadBody {
    first: Option<Bytes>,
    reading: Option<Reading>,
    /// The next chunk, when reading ahead had it at once.
    ahead: Option<Step>,
    remaining_bytes: u64,
    passage: Option<Passage>,
    /// The line of the audit log, which is written when this goes.
    pending: Option<Pending>,
    is_waiting: bool,
}

impl Body {
    /// `first`, already read, and what `rest` gives after it: `size` bytes in all.
    pub fn stream(first: Bytes, rest: ObjectReader, size: u64) -> Self {
        if first.len() as u64 >= size {
            return Self::Full(first);
        }
        let mut body = ReadBody {
            first: Some(first),
            reading: Some(step(rest)),
            ahead: None,
            remaining_bytes: size,
            passage: None,
            pending: None,
            is_waiting: false,
        };
        body.read_ahead();
        Self::Stream(Box::new(body))
    }

    /// Keeps `passage` until a streamed body has gone out; other bodies are as good as sent.
    pub fn hold(&mut self, passage: Passage) {
        match self {
            Self::Stream(body) => body.passage = Some(passage),
            other => passage.metrics.sent(other.len().unwrap_or_default()),
        }
    }

    /// Has a line of the audit log written once all has gone out, or nothing more can.
    pub(crate) fn log_at_end(&mut self, mut pending: Pending) {
        match self {
            Self::Stream(body) => body.pending = Some(pending),
            other => {
                pending.sent(other.len().unwrap_or_default());
                pending.complete();
            }
        }
    }

    /// Gives a streamed body up, and all that it holds, once the client takes too little for `timeout`. For HTTP/2, where a
    /// stream may stand still on a connection that does not; in HTTP/1 the socket shows it.
    pub fn watch(&mut self, clock: Arc<dyn Clock>, timeout: Duration) {
        *self = match std::mem::take(self) {
            Self::Stream(body) => Self::Watched(Watched::new(body, clock, timeout)),
            other => other,
        };
    }

    /// Bytes still to be sent, where that is known.
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::Watched(body) => Some(body.remaining_bytes()),
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Stream(body) => Some(body.remaining_bytes),
            Self::Lines(_) => None,
        }
    }

    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Full(bytes.into())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Full(text.into())
    }
}

impl ReadBody {
    /// Bytes still to be sent.
    pub(super) fn remaining_bytes(&self) -> u64 {
        self.remaining_bytes
    }

    /// Whether it is the store that the next chunk waits for.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// The next chunk, for [`http_body::Body::poll_frame`].
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let chunk = self.poll_chunk(cx);
        self.is_waiting = chunk.is_pending();
        if let Poll::Ready(Some(Err(error))) = &chunk {
            tracing::error!(%error, "a read failed after its head was sent");
        }
        chunk
    }

    /// Starts the next read; a read that needs to wait goes on while the client takes this chunk.
    fn read_ahead(&mut self) {
        let Some(reading) = &mut self.reading else {
            return;
        };
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(done) = reading.as_mut().poll(&mut cx) {
            self.reading = None;
            self.ahead = Some(done);
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Step>> {
        if let Some(done) = self.ahead.take() {
            return Poll::Ready(Some(done));
        }
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let done = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        Poll::Ready(Some(done))
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(self.count(first))));
        }
        if self.remaining_bytes == 0 {
            return Poll::Ready(None);
        }
        let (reader, chunk) = match ready!(self.poll_step(cx)) {
            Some((reader, Some(Ok(chunk)))) => (reader, chunk),
            Some((_, Some(Err(error)))) => return Poll::Ready(Some(Err(error.into()))),
            Some((_, None)) | None => {
                let missing_bytes = self.remaining_bytes;
                return Poll::Ready(Some(Err(BodyError::Short { missing_bytes })));
            }
        };
        let chunk = self.count(chunk);
        if self.remaining_bytes > 0 {
            self.reading = Some(step(reader));
            self.read_ahead();
        }
        Poll::Ready(Some(Ok(chunk)))
    }

    /// Never sends more than was announced.
    fn count(&mut self, mut chunk: Bytes) -> Bytes {
        let rest = usize::try_from(self.remaining_bytes).unwrap_or(usize::MAX);
        chunk.truncate(rest);
        let count = chunk.len() as u64;
        self.remaining_bytes -= count;
        if let Some(passage) = &self.passage {
            passage.metrics.sent(count);
        }
        if let Some(pending) = &mut self.pending {
            pending.sent(count);
            if self.remaining_bytes == 0 {
                pending.complete();
            }
        }
        chunk
    }
}

impl fmt::Debug for ReadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadBody")
            .field("remaining_bytes", &self.remaining_bytes)
            .finish_non_exhaustive()
    }
}

fn step(mut reader: ObjectReader) -> Reading {
    Box::pin(async move {
        let chunk = reader.next().await;
        (reader, chunk)
    })
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(_) => match std::mem::take(&mut *self) {
                Self::Full(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Self::Stream(body) => body.poll_next(cx).map_ok(Frame::data),
            Self::Watched(body) => body.poll_next(cx).map_ok(Frame::data),
            Self::Lines(body) => body.poll_next(cx).map(|line| line.map(Frame::data).map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.len().map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
