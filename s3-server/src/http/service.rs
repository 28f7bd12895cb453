//! One request in, one answer out: limits, health, authentication, dispatch, and what every answer carries.

use std::{borrow::Cow, convert::Infallible, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use larder_storage::{
    clock::Clock,
    objects::{AccountId, BucketName, ObjectKey},
};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;

use super::{Body, Deadlines, Incoming, MAX_HEADER_BYTES, Passage, Peer, RequestId, Response};
use crate::{
    access_log::{AccessLog, Entry, Stopwatch},
    accounts::Caller,
    admin::{self, AdminError, AdminResult},
    app::App,
    audit::{Observer, Refusal, Trail},
    error::{S3Code, S3Error, S3Result},
    iam::{self, Answered, IamError},
    metrics::Answer,
    op::{self, Call},
    reply,
    route::{self, Operation, Query, Target, counts_in_version_4},
    sigv2,
    sigv4::Carrier,
    xml::parse::LogDestination,
};

/// What is read of a body that nobody wants, so that the client gets to see why.
const DRAIN_MAX_BYTES: usize = 8 << 20;
/// How long that may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How metrics call what went well.
const OK: &str = "OK";

/// What is found out about a request while it is answered, for metrics and access logs.
#[derive(Debug)]
pub(crate) struct Trace {
    operation: &'static str,
    target: Option<Target>,
    caller: Option<Caller>,
    carrier: Option<Carrier>,
}

impl Trace {
    /// What a request is about, and who sent it, where only its body says so.
    pub(crate) fn is_of(&mut self, target: &Target, caller: &Caller) {
        self.target = Some(target.clone());
        self.caller = Some(caller.clone()).filter(|caller| caller.account().is_some());
    }

    /// The bucket that the request is about, and the key if it is about an object.
    fn about(&self) -> Option<(&BucketName, Option<&ObjectKey>)> {
        match self.target.as_ref()? {
            Target::Service => None,
            Target::Bucket(bucket) => Some((bucket, None)),
            Target::Object(bucket, key) => Some((bucket, Some(key))),
        }
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            operation: "unknown",
            target: None,
            caller: None,
            carrier: None,
        }
    }
}

/// Answers requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Service {
    app: Arc<App>,
    deadlines: Deadlines,
    peer: Peer,
}

impl Service {
    /// A service of `app` for clients that keep `deadlines`.
    pub fn new(app: Arc<App>, deadlines: Deadlines) -> Self {
        Self {
            app,
            deadlines,
            peer: Peer::UNKNOWN,
        }
    }

    /// The service for a connection that comes from `peer`.
    #[must_use]
    pub(super) fn of(&self, peer: Peer) -> Self {
        Self {
            peer,
            ..self.clone()
        }
    }

    pub(super) fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// Notes a connection that brought no request.
    pub(super) fn refused(&self, refusal: Refusal) {
        if let Some(audit) = &self.app.audit {
            audit.refused(&self.peer, refusal);
        }
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.app.clock
    }

    /// Answers one request; errors are answers too.
    ///
    /// # Errors
    /// None.
    pub async fn call(
        self,
        request: http::Request<hyper::body::Incoming>,
    ) -> Result<Response, Infallible> {
        let (parts, body) = request.into_parts();
        if let Some(answer) = admin::health(&self.app, &parts) {
            return Ok(answer);
        }
        let id = self.app.request_ids.next();
        let mut body = Incoming::new(body, Arc::clone(&self.app.clock), self.deadlines.stall);
        let span =
            tracing::debug_span!("request", %id, method = %parts.method, path = parts.uri.path());
        let answer = if span.is_disabled() {
            self.answer(&parts, &mut body, id).await
        } else {
            self.answer(&parts, &mut body, id).instrument(span).await
        };
        Ok(answer)
    }

    async fn answer(&self, parts: &Parts, body: &mut Incoming, id: RequestId) -> Response {
        let trail = Trail::new(self.app.audit.is_some());
        let observer = Observer::new(&self.app, parts, &trail, self.peer, id);
        let mut response = if admin::is_admin(&self.app, parts) {
            self.answer_admin(parts, body, id, &trail).await
        } else if iam::is_query(&self.app, parts) {
            self.answer_query(parts, body, id, &trail).await
        } else {
            self.answer_s3(parts, body, id, &trail).await
        };
        let (status, received) = (response.status(), body.received_bytes());
        let pending = observer.answered(status, response.headers(), received);
        if let Some(pending) = pending {
            response.body_mut().log_at_end(pending);
        }
        if parts.version == http::Version::HTTP_2 {
            let clock = Arc::clone(&self.app.clock);
            response.body_mut().watch(clock, self.deadlines.stall);
        }
        let head = response.headers_mut();
        if parts.version < http::Version::HTTP_2
            && expects_continue(&parts.headers)
            && !body.has_continued()
        {
            // The client can't know whether its body is still wanted, and botocore takes the next answer on this
            // connection for a part of this one. A new connection leaves nothing to guess.
            head.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        head.insert(reply::X_AMZ_REQUEST_ID, id.header());
        head.insert(reply::X_AMZ_ID_2, id.header());
        head.insert(header::SERVER, HeaderValue::from_static("Larder"));
        tracing::debug!(status = response.status().as_u16(), "answered");
        response
    }

    async fn answer_s3(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        id: RequestId,
        trail: &Trail,
    ) -> Response {
        let stopwatch = Stopwatch::start(&*self.app.clock);
        let mut trace = Trace::default();
        let (code, mut response) = match self.admitted(parts, body, (&mut trace, id), trail).await {
            Ok(response) => (OK, response),
            Err(error) => {
                log(&error, id);
                trail.failed(error.code().as_str());
                self.drain_unless_expecting(parts, body).await;
                (error.code().as_str(), self.refusal(parts, &error, id))
            }
        };
        let metrics = &self.app.metrics;
        if !op::is_preflight(parts) {
            op::expose(&self.app, parts, &mut response).await;
        }
        metrics.received(body.received_bytes());
        let operation = trace.operation;
        trail.calls(operation);
        metrics.answered(Answer { operation, code }, response.status());
        let error = (code != OK).then_some(code);
        if let Some(to) = self.logged(&trace).await {
            let when = (stopwatch, id);
            self.log_access(parts, &trace, when, error, &response, &to);
        }
        response
    }

    /// Where a request is logged, and whose the bucket is; `None` where it is not.
    async fn logged(&self, trace: &Trace) -> Option<(Arc<LogDestination>, AccountId)> {
        let (bucket, _) = trace.about()?;
        let store = self.app.store().ok()?;
        let destination = AccessLog::destination(store, bucket).await?;
        Some((destination, store.bucket_owner(bucket).await.ok()?))
    }

    /// Gathers a line for the access log of the bucket.
    fn log_access(
        &self,
        parts: &Parts,
        trace: &Trace,
        (stopwatch, id): (Stopwatch, RequestId),
        error: Option<&'static str>,
        response: &Response,
        (destination, account): &(Arc<LogDestination>, AccountId),
    ) {
        let app = &*self.app;
        let Some((bucket, key)) = trace.about() else {
            return;
        };
        let entry = Entry {
            bucket,
            key,
            account: *account,
            owner: &app.accounts.owner(*account).id,
            received_unix_millis: stopwatch.unix_millis(),
            millis: stopwatch.millis(&*app.clock),
            client: app
                .trusted_proxies
                .client(&self.peer, &parts.headers)
                .address,
            tls: self.peer.tls,
            requester: trace.caller.as_ref().and_then(Caller::logged),
            carrier: trace.carrier,
            request_id: &id.to_string(),
            operation: trace.operation,
            request: parts,
            status: response.status(),
            error,
            sent_bytes: response.body().len(),
            answer: response.headers(),
        };
        app.access_log.add(destination, &entry);
    }

    async fn answer_admin(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        id: RequestId,
        trail: &Trail,
    ) -> Response {
        trail.calls("Administer");
        let mut response = match self.admitted_admin(parts, body, trail).await {
            Ok(response) => response,
            Err(error) => {
                log_admin(&error, id);
                trail.failed(error.status().canonical_reason().unwrap_or("Failed"));
                self.drain_unless_expecting(parts, body).await;
                error.answer()
            }
        };
        if parts.method == Method::HEAD {
            *response.body_mut() = Body::Empty;
        }
        response
    }

    /// IAM and STS.
    async fn answer_query(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        id: RequestId,
        trail: &Trail,
    ) -> Response {
        let request_id = id.to_string();
        let (permit, answered) = match self.permit().and_then(|permit| {
            check_header_size(parts)?;
            Ok(permit)
        }) {
            Ok(permit) => {
                let answering =
                    iam::answer(&self.app, parts, (&self.peer, trail), body, &request_id);
                (Some(permit), Box::pin(answering).await)
            }
            Err(error) => (None, iam::refusal(error.into(), &request_id)),
        };
        let Answered {
            operation,
            error,
            mut response,
        } = answered;
        trail.calls(operation);
        if let Some(error) = &error {
            log_query(error, id);
            trail.failed(error.code().as_str());
            self.drain_unless_expecting(parts, body).await;
        }
        let metrics = &self.app.metrics;
        metrics.received(body.received_bytes());
        let code = error.map_or(OK, |error| error.code().as_str());
        metrics.answered(Answer { operation, code }, response.status());
        if let Some(permit) = permit {
            let metrics = Arc::clone(metrics);
            response.body_mut().hold(Passage { permit, metrics });
        }
        response
    }

    async fn admitted(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        trace: (&mut Trace, RequestId),
        trail: &Trail,
    ) -> S3Result<Response> {
        let permit = self.permit()?;
        let mut response = self.dispatch(parts, body, trace, trail).await?;
        let metrics = Arc::clone(&self.app.metrics);
        response.body_mut().hold(Passage { permit, metrics });
        Ok(response)
    }

    async fn admitted_admin(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        trail: &Trail,
    ) -> AdminResult<Response> {
        check_header_size(parts)?;
        let permit = Arc::clone(&self.app.admin_requests).try_acquire_owned();
        let permit = permit.map_err(|_| {
            AdminError::unavailable("too many administrators at a time: end a watch, or try again")
        })?;
        let mut response =
            admin::answer(&self.app, parts, body, self.deadlines.stall, trail).await?;
        if let Body::Lines(lines) = response.body_mut() {
            lines.hold(permit);
        }
        Ok(response)
    }

    fn permit(&self) -> S3Result<OwnedSemaphorePermit> {
        Arc::clone(&self.app.requests)
            .try_acquire_owned()
            .map_err(|_| {
                self.app.metrics.slowed_down();
                S3Error::new(S3Code::SlowDown)
            })
    }

    async fn dispatch(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        (trace, id): (&mut Trace, RequestId),
        trail: &Trail,
    ) -> S3Result<Response> {
        let app = &*self.app;
        check_header_size(parts)?;
        if op::is_preflight(parts) {
            trace.operation = "Preflight";
            return op::preflight(app, parts).await;
        }
        let query = Query::parse(parts.uri.query())?;
        let target = route::target(&parts.uri, &parts.headers, &app.domains);
        trace.target = target.as_ref().ok().cloned();
        if let Ok(target) = &target {
            trail.about(target);
        }
        if let Ok(target @ Target::Bucket(bucket)) = &target
            && op::is_form(parts, target, &query)
        {
            trace.operation = Operation::PostObject.name();
            return Box::pin(op::post_object(
                app,
                parts,
                bucket,
                query,
                (self.peer, trail, id, trace),
                body,
            ))
            .await;
        }
        let parts = &*if sigv2::is_presigned(&parts.uri, &parts.headers) {
            route::with_hoisted_headers(parts, &query, sigv2::is_signed)
        } else {
            Cow::Borrowed(parts)
        };
        let (caller, verified) = app.authenticate(parts)?;
        trace.caller = Some(caller.clone()).filter(|caller| caller.account().is_some());
        trace.carrier = trace.caller.as_ref().map(|_| verified.carrier);
        trail.asked_by(&caller, &verified.access_key, verified.carrier.as_str());
        let target = target?;
        let parts = &*match verified.carrier {
            Carrier::Query => route::with_hoisted_headers(parts, &query, counts_in_version_4),
            Carrier::Header => Cow::Borrowed(parts),
        };
        let operation = route::operation(&parts.method, &target, &query, &parts.headers)?;
        trace.operation = operation.name();
        tracing::debug!(operation = trace.operation, "dispatched");
        let store = app.store()?;
        op::run(
            operation,
            &target,
            Call {
                decided: op::Decided::default(),
                must_be_new: false,
                id,
                app,
                store,
                parts,
                query,
                caller,
                peer: self.peer,
                trail,
                verified,
                body,
            },
        )
        .await
    }

    async fn drain_unless_expecting(&self, parts: &Parts, body: &mut Incoming) {
        if !expects_continue(&parts.headers) {
            self.drain(body).await;
        }
    }

    /// Reads on for a little, since a client that is still sending would lose the answer otherwise.
    async fn drain(&self, body: &mut Incoming) {
        if body.is_end() {
            return;
        }
        let read = async {
            let mut left = DRAIN_MAX_BYTES;
            while let Some(Ok(bytes)) = body.next().await {
                left = left.saturating_sub(bytes.len());
                if left == 0 {
                    break;
                }
            }
        };
        let clock = Arc::clone(&self.app.clock);
        tokio::select! {
            () = read => {}
            () = clock.sleep(DRAIN_TIMEOUT) => {}
        }
    }

    fn refusal(&self, parts: &Parts, error: &S3Error, id: RequestId) -> Response {
        let mut response = reply::error(error, parts.uri.path(), &id.to_string());
        let region = HeaderValue::from_str(&self.app.region);
        if let (true, Ok(region)) = (self.is_head_bucket(parts), region) {
            response
                .headers_mut()
                .insert(reply::X_AMZ_BUCKET_REGION, region);
        }
        let is_unchanged = response.status() == StatusCode::NOT_MODIFIED;
        if parts.method == Method::HEAD || is_unchanged {
            *response.body_mut() = Body::Empty;
        }
        if is_unchanged {
            // It would speak of the client's copy, which is no XML.
            response.headers_mut().remove(header::CONTENT_TYPE);
        }
        response
    }

    fn is_head_bucket(&self, parts: &Parts) -> bool {
        let target = || route::target(&parts.uri, &parts.headers, &self.app.domains);
        parts.method == Method::HEAD && matches!(target(), Ok(Target::Bucket(_)))
    }
}

fn expects_continue(headers: &HeaderMap) -> bool {
    let value = headers.get(header::EXPECT).map(HeaderValue::as_bytes);
    value.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
}

fn check_header_size(parts: &Parts) -> S3Result<()> {
    let of_headers: usize = parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    let of_uri = parts.uri.path_and_query().map_or(0, |pq| pq.as_str().len());
    if of_headers + of_uri <= MAX_HEADER_BYTES {
        return Ok(());
    }
    Err(S3Error::new(S3Code::RequestHeaderSectionTooLarge)
        .element("MaxSizeAllowed", MAX_HEADER_BYTES.to_string()))
}

fn log_admin(error: &AdminError, id: RequestId) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    if error.status() == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(%id, %error, source, "an administrator's request failed");
    } else {
        tracing::debug!(%id, %error, source, "an administrator's request is refused");
    }
}

fn log_query(error: &IamError, id: RequestId) {
    let source = error.cause();
    if error.code().status() == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(%id, %error, source, "a request to IAM failed");
    } else {
        tracing::debug!(%id, %error, source, "a request to IAM is refused");
    }
}

/// Faults of the server are for the operator, those of clients only for whoever looks closely.
fn log(error: &S3Error, id: RequestId) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    match error.code() {
        S3Code::InternalError => tracing::error!(%id, %error, source, "request failed"),
        S3Code::ServiceUnavailable | S3Code::InsufficientStorage => {
            tracing::warn!(%id, %error, source, "request refused");
        }
        _ => tracing::debug!(%id, %error, source, "request refused"),
    }
}
