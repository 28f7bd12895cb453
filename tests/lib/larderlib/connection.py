"""One HTTP/1.1 connection by hand, for what no client library lets a test do: stop half way, be slow, say nothing."""

import socket
import ssl
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
    """A socket to the server, and what it sends as a stream; encrypted where the server speaks TLS."""
    with socket.socket() as sock:
        if receive_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        sock.settimeout(30)
        sock.connect((server.host, server.port))
        with encrypted(server, sock) as sock, sock.makefile("rb") as stream:
            yield sock, stream


def encrypted(server, sock):
    """TLS over the socket, where the server speaks it."""
    if server.ca_file is None:
        return sock
    return server.authority.context().wrap_socket(sock, server_hostname=server.host)


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
    except (ConnectionResetError, ssl.SSLEOFError):
        return b""


class Http2:
    """As much of HTTP/2 as it takes to ask for an object and then not to take it."""

    HEADERS, RESET, SETTINGS, WINDOW_UPDATE, DATA = 1, 3, 4, 8, 0
    END_OF_REQUEST = 5

    def __init__(self, sock, stream):
        self.sock, self.stream = sock, stream
        self.sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(self.SETTINGS))

    @staticmethod
    def frame(kind, payload=b"", flags=0, number=0):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + number.to_bytes(4, "big") + payload

    @staticmethod
    def _text(text):
        data, size = text.encode(), b""
        left = len(data)
        if left >= 127:
            size, left = b"\x7f", left - 127
            while left >= 128:
                size, left = size + bytes([left % 128 + 128]), left // 128
        return size + bytes([left]) + data

    def get(self, raw, path):
        """Sends a signed GET as stream 1."""
        headers, _, _ = raw.signer.headers("GET", path, [], {"Host": raw.host_header}, UNSIGNED)
        authority = headers.pop("Host")
        pseudo = {":method": "GET", ":scheme": "http", ":authority": authority, ":path": path}
        pairs = [*pseudo.items(), *((name.lower(), value) for name, value in headers.items())]
        block = b"".join(b"\0" + self._text(name) + self._text(value) for name, value in pairs)
        self.sock.sendall(self.frame(self.HEADERS, block, self.END_OF_REQUEST, 1))

    def make_room(self, size):
        """Lets the server send `size` bytes more of stream 1."""
        self.sock.sendall(self.frame(self.WINDOW_UPDATE, size.to_bytes(4, "big")) + self.frame(self.WINDOW_UPDATE, size.to_bytes(4, "big"), 0, 1))

    def next(self):
        """Kind and payload of the next frame."""
        head = self.stream.read(9)
        return head[3], self.stream.read(int.from_bytes(head[:3], "big"))

    def read_data(self, size):
        """Reads frames until there were `size` bytes of data."""
        data = b""
        while len(data) < size:
            kind, payload = self.next()
            assert kind != self.RESET, "the stream was reset"
            data += payload if kind == self.DATA else b""
        return data
