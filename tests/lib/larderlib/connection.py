"""One HTTP/1.1 connection by hand, for what no client library lets a test do: stop half way, be slow, say nothing."""

import socket
from contextlib import contextmanager
from pathlib import Path

from .rawhttp import UNSIGNED

ESTABLISHED = "01"


def signed_head(raw, method, path, headers=None, query=(), payload_hash=UNSIGNED):
    """The head of a signed HTTP/1.1 request, as bytes; its body is unsigned unless told otherwise."""
    headers = {"Host": raw.host_header, **(headers or {})}
    headers, _, _ = raw.signer.headers(method, path, list(query), headers, payload_hash)
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def read_head(stream):
    """Status and headers of the next answer."""
    status = int(stream.readline().split()[1])
    headers = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    return status, headers


def read_answer(stream):
    """One answer from a connection: status, headers, body. Only for bodies with a Content-Length."""
    status, headers = read_head(stream)
    length = 0 if status in (100, 204, 304) else int(headers.get("content-length", 0))
    return status, headers, stream.read(length)


@contextmanager
def connected(server, receive_buffer_bytes=None):
    """A socket to the server, and what it sends as a stream."""
    with socket.socket() as sock:
        if receive_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        sock.settimeout(30)
        sock.connect((server.host, server.port))
        with sock.makefile("rb") as stream:
            yield sock, stream


def is_served(server, sock):
    """Whether the server still holds its end of the connection open, found out without reading from it."""
    ours, port = f":{sock.getsockname()[1]:04X}", f":{server.port:04X}"
    for line in Path(f"/proc/{server.process.pid}/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state = line.split()[:4]
        if local.endswith(port) and remote.endswith(ours):
            return state == ESTABLISHED
    return False


def ends(stream):
    """Reads what is left; the server has to close."""
    try:
        return stream.read()
    except ConnectionResetError:
        return b""
