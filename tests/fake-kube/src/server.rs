//! Connections: HTTP/1.1 and HTTP/2 on one port, with or without TLS.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch as channel, task::JoinSet};

use crate::{
    api::{Answer, Api},
    failure::Failure,
    request::{Query, Request},
    watching::{Watch, event},
};

/// As etcd's bound makes it with the real server.
const LARGEST_BODY_BYTES: usize = 3 << 20;
/// So often quiet watches hear how far they are.
const BOOKMARK_EVERY: Duration = Duration::from_secs(2);
/// So many connections at once.
const MOST_CONNECTIONS: usize = 1_000;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Accepts connections until it is dropped.
pub(crate) async fn serve(listener: TcpListener, api: Arc<Api>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted
                    && connections.len() < MOST_CONNECTIONS
                {
                    connections.spawn(connection(stream, Arc::clone(&api)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, api: Arc<Api>) {
    let _ignored = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request| {
        let api = Arc::clone(&api);
        async move { Ok::<_, Infallible>(answer(request, api).await) }
    });
    // Clients that go away are nobody's problem.
    let _ignored = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: http::Request<Incoming>, api: Arc<Api>) -> Response<Body> {
    let answer = match read(request).await {
        Ok(request) => api.answer(&request),
        Err(failure) => Err(failure),
    };
    match answer {
        Ok(Answer::Json(code, body)) => json(code, &body),
        Ok(Answer::Text(code, body)) => {
            whole(code, "text/plain", Bytes::from_static(body.as_bytes()))
        }
        Ok(Answer::Watch(watch, timeout)) => streamed(*watch, timeout, api),
        Err(failure) => json(failure.code, &failure.status()),
    }
}

async fn read(request: http::Request<Incoming>) -> Result<Request, Failure> {
    let (head, body) = request.into_parts();
    let too_large = |_| {
        Failure::new(
            413,
            "RequestEntityTooLarge",
            format!("limit is {LARGEST_BODY_BYTES}"),
        )
    };
    let bytes = Limited::new(body, LARGEST_BODY_BYTES)
        .collect()
        .await
        .map_err(too_large)?
        .to_bytes();
    let content_type = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if content_type.contains("protobuf") {
        return Err(Failure::unsupported_media(content_type, "application/json"));
    }
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::bad_request(format!(
                "the object provided is unrecognized (must be of type JSON): {error}"
            ))
        })?
    };
    Ok(Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: Query::parse(head.uri.query().unwrap_or_default()),
        headers: head.headers,
        body,
    })
}

fn json(code: u16, body: &Value) -> Response<Body> {
    whole(code, "application/json", Bytes::from(body.to_string()))
}

fn whole(code: u16, content_type: &'static str, bytes: Bytes) -> Response<Body> {
    response(code, content_type, Full::new(bytes).boxed_unsync())
}

fn response(code: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// A watch that is being written out.
struct Running {
    watch: Watch,
    api: Arc<Api>,
    changed: channel::Receiver<u64>,
    cuts: channel::Receiver<u64>,
    ends: Option<tokio::time::Instant>,
    over: bool,
}

fn streamed(watch: Watch, timeout: Option<Duration>, api: Arc<Api>) -> Response<Body> {
    let mut changed = api.changed.subscribe();
    changed.mark_changed();
    let ends = timeout.and_then(|timeout| tokio::time::Instant::now().checked_add(timeout));
    let running = Running {
        watch,
        changed,
        cuts: api.faults.cuts(),
        api,
        ends,
        over: false,
    };
    let frames = stream::unfold(running, |mut running| async move {
        let bytes = running.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), running))
    });
    response(
        200,
        "application/json",
        StreamBody::new(frames).boxed_unsync(),
    )
}

impl Running {
    /// The next lines; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.over {
            let events = match self.wait().await? {
                Woken::Changed => self.changes(),
                Woken::Quiet => self.watch.quiet().into_iter().collect(),
            };
            if !events.is_empty() {
                return Some(lines(&events));
            }
        }
        None
    }

    async fn wait(&mut self) -> Option<Woken> {
        let quiet = tokio::time::timeout(BOOKMARK_EVERY, self.changed.changed());
        let end = async {
            match self.ends {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.cuts.changed() => None,
            () = end => None,
            woken = quiet => match woken {
                Ok(Ok(())) => Some(Woken::Changed),
                Ok(Err(_)) => None,
                Err(_) => Some(Woken::Quiet),
            },
        }
    }

    fn changes(&mut self) -> Vec<Value> {
        match self.watch.next(&self.api.state.lock()) {
            Ok(events) => events,
            Err(failure) => {
                self.over = true;
                vec![event("ERROR", failure.status())]
            }
        }
    }
}

enum Woken {
    Changed,
    Quiet,
}

fn lines(events: &[Value]) -> Bytes {
    let mut text = String::new();
    for event in events {
        text.push_str(&event.to_string());
        text.push('\n');
    }
    Bytes::from(text)
}

/// A listener on an address, and the address that it got.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
