//! Accepts connections, within bounds, until told to stop.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::future::join_all;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use super::{
    MAX_HEADER_BYTES, Peer, Service,
    connection::{Connection, GuardedSocket},
};
use crate::{
    audit::Refusal,
    tls::{self, Session, Tls},
};

/// What hyper may hold of one connection in either direction.
const CONNECTION_BUFFER_BYTES: usize = 128 << 10;
/// Requests in progress on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// HTTP/2 windows: of a stream and of its connection.
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// How often an idle HTTP/2 connection is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long to wait after a failed accept (out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    server: Larder\r\nconnection: close\r\ncontent-type: application/xml\r\nretry-after: 1\r\n\
    content-length: 132\r\n\r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>      ";

/// Bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections.
    pub connections: usize,
    /// How long requests in progress may take to finish after the stop.
    pub grace: Duration,
}

/// Tells listeners to stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Stops accepting; requests in progress go on.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// A stopper and what a listener watches.
pub fn stopper() -> (Stopper, watch::Receiver<bool>) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), receiver)
}

/// Where to listen.
#[derive(Debug)]
pub struct Socket {
    /// The address.
    pub address: SocketAddr,
    /// What connections are encrypted with, if they are.
    pub tls: Option<Arc<Tls>>,
}

/// Bound sockets that serve a [`Service`].
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<(TcpListener, Option<Arc<Tls>>)>,
    service: Service,
    limits: Limits,
    permits: Arc<Semaphore>,
    http: auto::Builder<TokioExecutor>,
}

/// A connection's way from the handshake to its end.
#[derive(Debug)]
struct Accepted {
    http: auto::Builder<TokioExecutor>,
    service: Service,
    stop: watch::Receiver<bool>,
    permit: OwnedSemaphorePermit,
}

impl Listener {
    /// Binds `sockets`, which share their limits.
    ///
    /// # Errors
    /// The address that is in use or not this machine's, and why.
    pub async fn bind(
        sockets: Vec<Socket>,
        service: Service,
        limits: Limits,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let mut bound = Vec::with_capacity(sockets.len());
        for Socket { address, tls } in sockets {
            let socket = TcpListener::bind(address).await;
            bound.push((socket.map_err(|error| (address, error))?, tls));
        }
        let permits = Arc::new(Semaphore::new(limits.connections));
        let http = http_builder(service.deadlines().header);
        Ok(Self {
            sockets: bound,
            service,
            limits,
            permits,
            http,
        })
    }

    /// The addresses that are listened on, in the order of the sockets; their ports are never 0.
    ///
    /// # Errors
    /// A socket is gone.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let sockets = self.sockets.iter();
        sockets.map(|(socket, _)| socket.local_addr()).collect()
    }

    /// Serves until `stop`, then lets requests in progress finish within the grace period.
    /// Answers how many connections had to be cut.
    pub async fn serve(mut self, stop: watch::Receiver<bool>) -> usize {
        let sockets = std::mem::take(&mut self.sockets);
        let accepting = sockets
            .into_iter()
            .map(|(socket, tls)| self.accept(socket, tls, stop.clone()));
        join_all(accepting).await;
        self.drain().await
    }

    async fn accept(
        &self,
        socket: TcpListener,
        tls: Option<Arc<Tls>>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = told(&mut stop) => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.take(socket, tls.clone(), peer, &stop),
                Err(error) => self.pause(&error).await,
            }
        }
    }

    fn take(
        &self,
        socket: TcpStream,
        tls: Option<Arc<Tls>>,
        peer: SocketAddr,
        stop: &watch::Receiver<bool>,
    ) {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => {
                let accepted = Accepted {
                    http: self.http.clone(),
                    service: self.service.clone(),
                    stop: stop.clone(),
                    permit,
                };
                tokio::spawn(accepted.begin(socket, tls, peer));
            }
            // A client that expects TLS could not read the refusal.
            Err(_) if tls.is_some() => drop(socket),
            Err(_) => {
                tokio::spawn(refuse(socket));
            }
        }
    }

    async fn pause(&self, error: &io::Error) {
        tracing::warn!(%error, "cannot accept a connection");
        self.service.clock().sleep(ACCEPT_PAUSE).await;
    }

    async fn drain(self) -> usize {
        let Self {
            permits,
            limits,
            service,
            ..
        } = self;
        let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
        let finished = pin!(permits.acquire_many(all));
        tokio::select! {
            _ = finished => 0,
            () = service.clock().sleep(limits.grace) => limits.connections - permits.available_permits(),
        }
    }
}

/// Resolves once the listener is to stop, also when nobody is left to say so.
async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|&stop| stop).await);
}

fn http_builder(header_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(CONNECTION_BUFFER_BYTES)
        .keep_alive(true)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(CONNECTION_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}

impl Accepted {
    async fn begin(mut self, socket: TcpStream, tls: Option<Arc<Tls>>, peer: SocketAddr) {
        let address = peer.ip();
        let (clock, deadlines) = (Arc::clone(self.service.clock()), self.service.deadlines());
        let socket = GuardedSocket::new(socket, Arc::clone(&clock), deadlines);
        let Some(acceptor) = tls else {
            return self.serve(socket, Peer { address, tls: None }).await;
        };
        let shaken = tokio::select! {
            shaken = acceptor.accept(socket) => shaken,
            () = clock.sleep(deadlines.header) => Err(io::ErrorKind::TimedOut.into()),
            () = told(&mut self.stop) => return,
        };
        match shaken {
            Ok(stream) => {
                let session = Some(Session::of(stream.get_ref().1));
                let peer = Peer {
                    address,
                    tls: session,
                };
                self.serve(stream, peer).await;
            }
            Err(error) => {
                tracing::debug!(%error, %address, "no TLS handshake");
                if tls::is_about_client_certificate(&error) {
                    let peer = Peer { address, tls: None };
                    self.service.of(peer).refused(Refusal::Certificate);
                }
            }
        }
    }

    async fn serve<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            http,
            service,
            mut stop,
            permit,
        } = self;
        let (clock, deadlines) = (Arc::clone(service.clock()), service.deadlines());
        let io = Connection::new(stream, clock, deadlines);
        let service = service.of(peer);
        // HTTP/2 runs its requests as tasks of their own, so that each needs a handle of its own.
        let to_note = service.clone();
        let answer = service_fn(move |request| service.clone().call(request));
        let mut connection = pin!(http.serve_connection(TokioIo::new(io), answer));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = told(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended early");
            if is_malformed(&*error) {
                to_note.refused(Refusal::Malformed);
            }
        }
        drop(permit);
    }
}

/// Whether a connection ended because what came was no HTTP. hyper has answered `400` then.
fn is_malformed(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<hyper::Error>();
    error.is_some_and(|error| error.is_parse() || error.is_parse_too_large())
}

/// One connection too many: says so in as few bytes as possible.
async fn refuse(mut socket: TcpStream) {
    if socket.write_all(TOO_MANY_CONNECTIONS).await.is_ok() {
        drop(socket.shutdown().await);
    }
}

#[cfg(test)]
mod tests {
    use super::TOO_MANY_CONNECTIONS;

    #[test]
    fn the_refusal_has_the_length_that_it_says() {
        let text = std::str::from_utf8(TOO_MANY_CONNECTIONS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
    }
}
