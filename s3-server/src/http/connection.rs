//! The socket of one connection, encrypted or not, with a deadline on a client that does not take what it asked for.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use larder_storage::clock::Clock;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{Deadlines, stall::StallGuard};

/// What tells HTTP/2 from HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket whose writes fail with [`io::ErrorKind::TimedOut`] once the client stalls. It lies below TLS, which holds bytes back: there a client
/// that takes nothing would be seen by flushes alone.
#[derive(Debug)]
pub(super) struct GuardedSocket {
    socket: TcpStream,
    writes: StallGuard,
}

/// What requests are read from: a [`GuardedSocket`], or TLS over one. Reads fail with [`io::ErrorKind::TimedOut`] until it is known which protocol the
/// client speaks: hyper waits for that without a deadline.
/// After that reading has no deadline here: idle connections and bodies have theirs where it is known which it is.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    beginning: Option<Beginning>,
}

/// A client that has not shown yet which protocol it speaks.
#[derive(Debug)]
struct Beginning {
    deadline: StallGuard,
    /// What is left of [`PREFACE`] after what the client sent.
    preface: &'static [u8],
}

impl Beginning {
    /// Whether more is needed after `read`, which is not empty, to tell the protocol.
    fn goes_on_after(&mut self, read: &[u8]) -> bool {
        match self.preface.strip_prefix(read) {
            Some(rest) => {
                self.preface = rest;
                !rest.is_empty()
            }
            None => false,
        }
    }
}

impl GuardedSocket {
    pub(super) fn new(socket: TcpStream, clock: Arc<dyn Clock>, deadlines: Deadlines) -> Self {
        Self {
            socket,
            writes: StallGuard::new(clock, deadlines.stall),
        }
    }

    fn watch(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => self.writes.moved(bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                ready!(self.writes.poll_stalled(cx));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        written
    }
}

impl AsyncRead for GuardedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for GuardedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.watch(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl<S> Connection<S> {
    pub(super) fn new(stream: S, clock: Arc<dyn Clock>, deadlines: Deadlines) -> Self {
        let beginning = Beginning {
            deadline: StallGuard::new(clock, deadlines.header),
            preface: PREFACE,
        };
        Self {
            stream,
            beginning: Some(beginning),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(beginning) = &mut self.beginning else {
            return read;
        };
        if read.is_pending() {
            ready!(beginning.deadline.poll_stalled(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if !beginning.goes_on_after(&buf.filled()[before..]) {
            self.beginning = None;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter},
        net::TcpListener,
        task::{JoinHandle, unconstrained},
    };

    use super::{super::manual_clock::ManualClock, *};

    const TIMEOUT: Duration = Duration::from_secs(30);
    const DEADLINES: Deadlines = Deadlines {
        stall: TIMEOUT,
        header: TIMEOUT,
    };

    struct Pair {
        clock: Arc<ManualClock>,
        client: TcpStream,
        server: Connection<GuardedSocket>,
    }

    async fn pair() -> Pair {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let clock = Arc::new(ManualClock::default());
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let socket = GuardedSocket::new(socket, Arc::clone(&time), DEADLINES);
        let server = Connection::new(socket, time, DEADLINES);
        Pair {
            clock,
            client,
            server,
        }
    }

    /// Writes until that fails. Unconstrained, so that it waits for the client alone.
    fn write_on(mut server: impl AsyncWrite + Unpin + Send + 'static) -> JoinHandle<io::ErrorKind> {
        tokio::spawn(unconstrained(async move {
            loop {
                if let Err(error) = server.write_all(&[7; 4 << 10]).await {
                    return error.kind();
                }
            }
        }))
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_off() {
        let Pair {
            clock,
            client,
            server,
        } = pair().await;
        let writing = write_on(server);
        clock.sleeper().await;
        clock.advance(TIMEOUT);
        assert_eq!(writing.await.unwrap(), io::ErrorKind::TimedOut);
        drop(client);
    }

    /// TLS takes what is written and keeps what the socket does not take.
    #[tokio::test]
    async fn a_client_that_takes_nothing_of_what_is_held_back_is_cut_off() {
        let Pair {
            clock,
            client,
            server,
        } = pair().await;
        let mut server = BufWriter::with_capacity(64 << 20, server);
        server.write_all(&vec![7; 32 << 20]).await.unwrap();
        let flushing = tokio::spawn(unconstrained(async move { server.flush().await }));
        clock.sleeper().await;
        clock.advance(TIMEOUT);
        let error = flushing.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test]
    async fn a_client_that_takes_its_time_is_served() {
        let Pair {
            clock,
            mut client,
            server,
        } = pair().await;
        let writing = write_on(server);
        // More than the kernel holds, so that the server has to write on.
        let mut taken = vec![0; 16 << 20];
        for _ in 0..3 {
            clock.sleeper().await;
            clock.advance(Duration::from_secs(29));
            client.read_exact(&mut taken).await.unwrap();
        }
        assert!(!writing.is_finished());
        drop(client);
        assert_ne!(writing.await.unwrap(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_must_begin_a_request_in_time() {
        for begun in ["", "PRI * HTTP/2.0"] {
            let mut pair = pair().await;
            pair.client.write_all(begun.as_bytes()).await.unwrap();
            let mut byte = [0];
            for _ in 0..begun.len() {
                pair.server.read_exact(&mut byte).await.unwrap();
            }
            let reading = tokio::spawn(async move { pair.server.read(&mut byte).await });
            pair.clock.sleeper().await;
            pair.clock.advance(TIMEOUT);
            let error = reading.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{begun}");
        }
    }

    #[tokio::test]
    async fn a_request_that_has_begun_is_the_matter_of_its_protocol() {
        for begun in ["G", "PUT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let mut pair = pair().await;
            pair.client.write_all(begun.as_bytes()).await.unwrap();
            let mut read = vec![0; begun.len()];
            pair.server.read_exact(&mut read).await.unwrap();
            let reading = tokio::spawn(async move { pair.server.read(&mut [0]).await });
            pair.clock.advance(TIMEOUT);
            pair.client.write_all(b"x").await.unwrap();
            assert_eq!(reading.await.unwrap().unwrap(), 1, "{begun}");
        }
    }
}
