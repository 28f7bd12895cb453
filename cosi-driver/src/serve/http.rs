//! `/healthz`, `/readyz` and `/metrics`, over plain HTTP: nothing secret, nothing that changes anything.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Connections at once; others wait.
const MAX_CONNECTIONS: usize = 64;
/// How long a connection may take for its headers, idle time included.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long readiness may take to find out.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// Kept away from a full table of files: the next try is later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the pages say.
#[async_trait]
pub trait Pages: Send + Sync + 'static {
    /// Whether calls can be served now, or why not; without secrets.
    async fn ready(&self) -> Result<(), String>;
    /// Prometheus' text format.
    fn metrics(&self) -> String;
}

/// Serves `pages` until `stop`.
pub async fn serve(listener: TcpListener, pages: Arc<dyn Pages>, stop: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let accepting = async {
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    drop(tokio::spawn(connection(stream, Arc::clone(&pages), place)));
                }
                Err(error) => pause(&error).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop => {}
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "HTTP: no connection taken");
    drop(timeout(ACCEPT_PAUSE, std::future::pending::<()>()).await);
}

async fn connection(stream: TcpStream, pages: Arc<dyn Pages>, _place: OwnedSemaphorePermit) {
    let service = service_fn(|request| answer(request, Arc::clone(&pages)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "HTTP: a connection ended");
    }
}

async fn answer(
    request: Request<Incoming>,
    pages: Arc<dyn Pages>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(page(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET only\n".to_owned(),
        ));
    }
    Ok(match request.uri().path() {
        "/healthz" => page(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => readiness(&*pages).await,
        "/metrics" => page(StatusCode::OK, pages.metrics()),
        _ => page(
            StatusCode::NOT_FOUND,
            "/healthz, /readyz, /metrics\n".to_owned(),
        ),
    })
}

async fn readiness(pages: &dyn Pages) -> Response<Full<Bytes>> {
    let ready = timeout(READY_TIMEOUT, pages.ready()).await;
    match ready.unwrap_or_else(|_| Err("Larder takes too long to answer".to_owned())) {
        Ok(()) => page(StatusCode::OK, "ok\n".to_owned()),
        Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

fn page(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Listens where `address` says; port 0 takes a free one.
///
/// # Errors
/// The address is taken, or not ours.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("--listen {address}: {error}")))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[derive(Debug)]
    struct Fixed(Result<(), String>);

    #[async_trait]
    impl Pages for Fixed {
        async fn ready(&self) -> Result<(), String> {
            self.0.clone()
        }

        fn metrics(&self) -> String {
            "larder_x 1\n".to_owned()
        }
    }

    /// The status line and the body that are answered.
    async fn ask(pages: Fixed, line: &str) -> (String, String) {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asking = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        };
        let text = tokio::select! {
            text = asking => text,
            () = serve(listener, Arc::new(pages), std::future::pending()) => unreachable!(),
        };
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn pages_are_answered() {
        let ok = || Fixed(Ok(()));
        let all = [
            (ask(ok(), "GET /healthz").await, "200 OK", "ok\n"),
            (ask(ok(), "GET /readyz").await, "200 OK", "ok\n"),
            (ask(ok(), "GET /metrics").await, "200 OK", "larder_x 1\n"),
            (
                ask(ok(), "GET /").await,
                "404 Not Found",
                "/healthz, /readyz, /metrics\n",
            ),
            (
                ask(ok(), "POST /metrics").await,
                "405 Method Not Allowed",
                "GET only\n",
            ),
        ];
        for ((line, body), status, expected) in all {
            assert_eq!(
                (line.as_str(), body.as_str()),
                (&*format!("HTTP/1.1 {status}"), expected)
            );
        }
    }

    #[tokio::test]
    async fn who_is_not_ready_says_why_and_is_alive() {
        let not = || Fixed(Err("no answer from http://larder:9000".to_owned()));
        let (line, body) = ask(not(), "GET /readyz").await;
        assert_eq!(line, "HTTP/1.1 503 Service Unavailable");
        assert_eq!(body, "no answer from http://larder:9000\n");
        assert_eq!(ask(not(), "GET /healthz").await.0, "HTTP/1.1 200 OK");
    }
}
