"""A graceful stop: what is in progress finishes, what is idle is closed, what is new is refused, and waiting has a bound."""

import signal
import socket

import pytest
from larderlib.clients import boto, random_bytes
from larderlib.connection import connected, ends, read_answer, read_head, signed_head
from larderlib.expect import refused
from larderlib.rawhttp import Raw
from larderlib.server import STOP_SECONDS, Larder, poll

BUCKET = "stopping"
HALF = b"h" * 200_000


@pytest.fixture
def started(tmp_path):
    """Starts servers on one set of disks; the last one is closed at the end."""
    servers = []

    def start(*arguments):
        server = Larder(directory=tmp_path / "server", extra_args=arguments).start()
        servers.append(server)
        return server

    yield start
    servers[-1].close()


def begin_put(server, sock, stream, key):
    """A PUT that the server has begun to read: it asked for the body."""
    headers = {"Content-Length": str(2 * len(HALF)), "Expect": "100-continue"}
    sock.sendall(signed_head(Raw(server), "PUT", f"/{BUCKET}/{key}", headers))
    assert read_head(stream)[0] == 100
    sock.sendall(HALF)


def tell(server):
    """SIGTERM; returns once the server has taken it: it takes no more connections."""
    server.process.send_signal(signal.SIGTERM)
    poll(lambda: is_refused(server), STOP_SECONDS, "refusal of new connections")


def is_refused(server):
    try:
        socket.create_connection((server.host, server.port), timeout=5).close()
    except ConnectionError:
        return True
    return False


def ended(server):
    status = server.process.wait(STOP_SECONDS)
    server.process = None
    return status


def test_requests_in_progress_finish(started):
    server = started()
    data = random_bytes(24 << 20)
    boto(server).create_bucket(Bucket=BUCKET)
    boto(server).put_object(Bucket=BUCKET, Key="large", Body=data)
    with connected(server) as put, connected(server, 1 << 16) as get, connected(server) as idle:
        begin_put(server, *put, "k")
        get[0].sendall(signed_head(Raw(server), "GET", f"/{BUCKET}/large"))
        status, headers = read_head(get[1])
        assert status == 200
        idle[0].sendall(signed_head(Raw(server), "HEAD", f"/{BUCKET}"))
        assert read_head(idle[1])[0] == 200
        tell(server)
        assert ends(idle[1]) == b""
        assert get[1].read(int(headers["content-length"])) == data
        put[0].sendall(HALF)
        status, headers, _ = read_answer(put[1])
        assert (status, headers.get("connection")) == (200, "close")
        assert ends(put[1]) == b"" and ends(get[1]) == b""
        assert ended(server) == 0
    assert boto(started()).get_object(Bucket=BUCKET, Key="k")["Body"].read() == 2 * HALF


def test_requests_that_do_not_end_are_cut(started):
    server = started("--stop-grace", "1s")
    boto(server).create_bucket(Bucket=BUCKET)
    with connected(server) as put, connected(server) as half_a_head:
        begin_put(server, *put, "k")
        half_a_head[0].sendall(b"GET / HT")
        tell(server)
        assert ended(server) == 0
        assert ends(put[1]) == b""
    assert "connections_cut" in server.log_path.read_text()
    with refused("NoSuchKey"):
        boto(started()).get_object(Bucket=BUCKET, Key="k")


def test_a_stop_while_nothing_is_in_progress(started):
    server = started("--stop-grace", "600s")
    tell(server)
    assert ended(server) == 0
    started()
