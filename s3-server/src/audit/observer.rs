//! One request, from its head to the last byte of its answer.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header, request::Parts};
use larder_storage::clock::Clock;

use super::{
    AuditLog, Trail,
    line::{Line, Origin, Parameters, Who, clipped, timestamp},
};
use crate::{
    access_log::Stopwatch,
    app::App,
    http::{Peer, RequestId},
    reply,
    route::Query,
    sigv4,
};

/// Sees a request through. A client that goes away before there is an answer leaves a line as well.
#[derive(Debug)]
pub(crate) struct Observer<'a> {
    app: &'a App,
    parts: &'a Parts,
    trail: &'a Trail,
    peer: Peer,
    id: RequestId,
    stopwatch: Stopwatch,
    is_answered: bool,
}

impl<'a> Observer<'a> {
    /// For a request that has just come.
    pub(crate) fn new(
        app: &'a App,
        parts: &'a Parts,
        trail: &'a Trail,
        peer: Peer,
        id: RequestId,
    ) -> Self {
        Self {
            app,
            parts,
            trail,
            peer,
            id,
            stopwatch: Stopwatch::start(&*app.clock),
            is_answered: false,
        }
    }

    /// The head of the answer is ready: what is left of the line is known when its body has gone out.
    pub(crate) fn answered(
        mut self,
        status: StatusCode,
        headers: &HeaderMap,
        bytes_in: u64,
    ) -> Option<Pending> {
        self.is_answered = true;
        let mut line = self.line()?;
        line.status = Some(status.as_u16());
        line.bytes_in = Some(bytes_in);
        let of_answer = headers.get(reply::X_AMZ_VERSION_ID);
        let of_answer = of_answer.and_then(|value| value.to_str().ok());
        if let Some(of_answer) = of_answer {
            line.parameters.version = Some(clipped(of_answer));
        }
        Some(self.pending(line))
    }

    fn pending(&self, line: Line) -> Pending {
        Pending {
            log: self.app.audit.clone(),
            clock: Arc::clone(&self.app.clock),
            stopwatch: self.stopwatch,
            line: Some(Box::new(line)),
        }
    }

    fn line(&self) -> Option<Line> {
        let finished = self.trail.finish()?;
        let signed = finished.signed.as_ref();
        let who = signed.and_then(|signed| Who::of(&signed.caller, &signed.access_key));
        let claimed = || sigv4::claimed_access_key(self.parts);
        let claimed = claimed().map(|(key, _)| key);
        let claimed = claimed.filter(|key| who.is_none() && self.app.knows_access_key(key));
        Some(Line {
            time: timestamp(self.stopwatch.unix_millis()),
            id: self.id.to_string(),
            from: self.from(),
            authentication: signed.map(|signed| signed.how).filter(|_| who.is_some()),
            who,
            claimed_access_key: claimed,
            method: clipped(self.parts.method.as_str()),
            path: clipped(self.parts.uri.path()),
            found: finished.found,
            parameters: parameters(self.parts),
            status: None,
            bytes_in: None,
            bytes_out: 0,
            duration_millis: 0,
            complete: false,
        })
    }

    fn from(&self) -> Origin {
        let headers = &self.parts.headers;
        let client = self.app.trusted_proxies.client(&self.peer, headers);
        let is_proxy = client.address != self.peer.address;
        Origin {
            address: client.address.to_string(),
            proxy: is_proxy.then(|| self.peer.address.to_string()),
            tls: self.peer.tls.map(|tls| tls.protocol),
            user_agent: text(headers, header::USER_AGENT),
        }
    }
}

impl Drop for Observer<'_> {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        self.trail.failed("ClientGone");
        if let Some(line) = self.line() {
            drop(self.pending(line));
        }
    }
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(clipped)
}

fn parameters(parts: &Parts) -> Parameters {
    let query = Query::parse(parts.uri.query()).unwrap_or_default();
    let of = |name: &str| query.get(name).map(clipped);
    Parameters {
        version: of("versionId"),
        source: text(&parts.headers, "x-amz-copy-source"),
        prefix: of("prefix"),
        upload_id: of("uploadId"),
        part_number: of("partNumber"),
    }
}

/// A line that is written when the answer has gone out, or can't any more.
pub(crate) struct Pending {
    log: Option<Arc<AuditLog>>,
    clock: Arc<dyn Clock>,
    stopwatch: Stopwatch,
    line: Option<Box<Line>>,
}

impl Pending {
    /// So many bytes more went out.
    pub(crate) fn sent(&mut self, bytes: u64) {
        if let Some(line) = &mut self.line {
            line.bytes_out += bytes;
        }
    }

    /// Everything did.
    pub(crate) fn complete(&mut self) {
        if let Some(line) = &mut self.line {
            line.complete = true;
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let (Some(mut line), Some(log)) = (self.line.take(), &self.log) else {
            return;
        };
        let millis = self.stopwatch.millis(&*self.clock);
        line.duration_millis = u64::try_from(millis).unwrap_or(u64::MAX);
        log.add(&*line);
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}
