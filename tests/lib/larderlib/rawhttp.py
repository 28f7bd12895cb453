"""Requests made by hand: SigV4 in every payload mode, so that a test can get exactly one thing wrong.

Written from AWS's documentation of Signature Version 4 and of aws-chunked, on purpose without an SDK: the SDKs are tested
elsewhere, and none of them can be made to send a wrong chunk signature.
"""

import datetime
import hashlib
import hmac
import http.client
import socket
import xml.etree.ElementTree
from dataclasses import dataclass, field
from urllib.parse import quote

from .checksums import checksum, header as checksum_header

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
TIMEOUT_SECONDS = 30


def encode(text, safe="-_.~"):
    return quote(text, safe=safe)


def object_path(bucket, key=None):
    return f"/{bucket}" + ("" if key is None else "/" + encode(key, safe="-_.~/"))


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def xml(self):
        return xml.etree.ElementTree.fromstring(self.body)

    def text(self, name):
        """The text of the first element of that name, whatever its namespace."""
        for element in self.xml.iter():
            if element.tag.rsplit("}", 1)[-1] == name:
                return element.text
        return None

    @property
    def code(self):
        """The error's code, as the body says it."""
        return self.text("Code") if self.body else None

    def __repr__(self):
        return f"Answer({self.status}, {self.headers}, {self.body[:600]!r})"


@dataclass
class Signer:
    """Signs requests for one server. `now` may be moved to test clock skew."""

    access_key: str
    secret_key: str
    region: str = "us-east-1"
    service: str = "s3"
    skew: datetime.timedelta = field(default_factory=datetime.timedelta)

    def time(self):
        return datetime.datetime.now(datetime.timezone.utc) + self.skew

    def scope(self, date):
        return f"{date[:8]}/{self.region}/{self.service}/aws4_request"

    def key(self, date):
        value = ("AWS4" + self.secret_key).encode()
        for part in (date[:8], self.region, self.service, "aws4_request"):
            value = hmac.new(value, part.encode(), hashlib.sha256).digest()
        return value

    def sign_text(self, date, text):
        return hmac.new(self.key(date), text.encode(), hashlib.sha256).hexdigest()

    def request_signature(self, method, path, query, headers, signed, payload_hash, date):
        canonical_query = "&".join(f"{n}={v}" for n, v in sorted((encode(n), encode(v)) for n, v in query))
        lower = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
        lines = [method, path, canonical_query, *(f"{name}:{lower[name]}" for name in signed), "", ";".join(signed), payload_hash]
        canonical = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        return self.sign_text(date, "\n".join(["AWS4-HMAC-SHA256", date, self.scope(date), canonical]))

    def headers(self, method, path, query, headers, payload_hash):
        """`headers` with date, payload hash and Authorization; returns them with the seed signature and the date."""
        date = self.time().strftime("%Y%m%dT%H%M%SZ")
        headers = {**headers, "x-amz-date": date, "x-amz-content-sha256": payload_hash}
        signed = sorted(name.lower() for name in headers if name.lower() not in ("expect", "connection", "transfer-encoding"))
        signature = self.request_signature(method, path, query, headers, signed, payload_hash, date)
        credential = f"{self.access_key}/{self.scope(date)}"
        headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={';'.join(signed)},Signature={signature}"
        return headers, signature, date

    def presign(self, method, host, path, query=(), expires=300, headers=None):
        """The query pairs of a presigned request."""
        date = self.time().strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": host, **(headers or {})}
        signed = sorted(name.lower() for name in headers)
        query = [*query, ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), ("X-Amz-Credential", f"{self.access_key}/{self.scope(date)}")]
        query += [("X-Amz-Date", date), ("X-Amz-Expires", str(expires)), ("X-Amz-SignedHeaders", ";".join(signed))]
        signature = self.request_signature(method, path, query, headers, signed, UNSIGNED, date)
        return [*query, ("X-Amz-Signature", signature)]


def query_text(query):
    """Pairs as they are sent; a value of "" is sent without its `=`, as the S3 subresources usually are."""
    return "&".join(encode(n) + (f"={encode(v)}" if v != "" else "") for n, v in query)


class Raw:
    """Signed requests to one server, over http.client, with nothing added that the test did not ask for."""

    def __init__(self, server, host_header=None, **signer):
        self.server = server
        self.host_header = host_header or server.address
        keys = {"access_key": server.access_key, "secret_key": server.secret_key, "region": server.region}
        self.signer = Signer(**{**keys, **signer})

    def request(self, method, path, query=(), headers=None, body=b"", payload_hash=None, change=None):
        """Signs and sends. `change(headers)` may spoil the headers after they are signed."""
        query = list(query)
        payload_hash = payload_hash or hashlib.sha256(body).hexdigest()
        headers = {"Host": self.host_header, **(headers or {})}
        headers, _, _ = self.signer.headers(method, path, query, headers, payload_hash)
        if change:
            change(headers)
        return self.send(method, path, query, headers, body)

    def send(self, method, path, query=(), headers=None, body=b""):
        """Sends as is: no signature unless the headers have one."""
        headers = dict(headers or {})
        headers.setdefault("Host", self.host_header)
        lower = {name.lower() for name in headers}
        if "content-length" not in lower and "transfer-encoding" not in lower and (body or method in ("PUT", "POST")):
            headers["Content-Length"] = str(len(body))
        target = path + (f"?{query_text(query)}" if query else "")
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value.encode() if isinstance(value, str) else value)
            connection.endheaders()
            try:
                connection.send(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before the body was read: the answer says why
            answer = connection.getresponse()
            return Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def presigned(self, method, path, query=(), expires=300, headers=None, signed_headers=None, body=b""):
        query = self.signer.presign(method, self.host_header, path, query, expires, signed_headers)
        return self.send(method, path, query, {**(signed_headers or {}), **(headers or {})}, body)

    def put_streaming(self, path, chunks, mode, algorithm=None, trailer=None, headers=None, spoil=None):
        """PUTs in aws-chunked framing. `spoil(frame_number, frame_bytes)` may damage a frame; the last one ends the body."""
        data = b"".join(chunks)
        headers = {
            "Host": self.host_header,
            "Content-Encoding": "aws-chunked",
            "x-amz-decoded-content-length": str(len(data)),
            **(headers or {}),
        }
        trailers = {}
        if mode.endswith("TRAILER"):
            name = checksum_header(algorithm or "CRC32")
            trailers = {name: trailer if trailer is not None else checksum(algorithm or "CRC32", data)}
            headers["x-amz-trailer"] = name
        framing = self._framer(mode, trailers)
        # The length of the frames does not depend on the signatures: build once for the length, once signed.
        headers["Content-Length"] = str(sum(map(len, framing(chunks, "0" * 64, "20000101T000000Z"))))
        headers, seed, date = self.signer.headers("PUT", path, [], headers, mode)
        frames = framing(chunks, seed, date)
        if spoil:
            frames = [spoil(number, frame) for number, frame in enumerate(frames)]
        return self.send("PUT", path, [], headers, b"".join(frames))

    def _framer(self, mode, trailers):
        signed = mode.startswith("STREAMING-AWS4")

        def frames(chunks, seed, date):
            previous, result = seed, []
            for chunk in [*chunks, b""]:
                extension = ""
                if signed:
                    hashes = [EMPTY_SHA256, hashlib.sha256(chunk).hexdigest()]
                    text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", date, self.signer.scope(date), previous, *hashes])
                    previous = self.signer.sign_text(date, text)
                    extension = f";chunk-signature={previous}"
                end = b"\r\n" if chunk or not trailers else b""
                result.append(f"{len(chunk):x}{extension}\r\n".encode() + chunk + end)
            if trailers:
                result.append(self._trailer_frame(trailers, signed, previous, date))
            return result

        return frames

    def _trailer_frame(self, trailers, signed, previous, date):
        text = "".join(f"{name}:{value}\r\n" for name, value in trailers.items())
        if signed:
            canonical = "".join(f"{name}:{value}\n" for name, value in trailers.items())
            digest = hashlib.sha256(canonical.encode()).hexdigest()
            parts = ["AWS4-HMAC-SHA256-TRAILER", date, self.signer.scope(date), previous, digest]
            text += f"x-amz-trailer-signature:{self.signer.sign_text(date, chr(10).join(parts))}\r\n"
        return (text + "\r\n").encode()


def exchange(server, data, until_closed=True):
    """Sends bytes as they are on a new connection; returns what comes back until the server closes or falls silent."""
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        received = b""
        try:
            connection.sendall(data)
            if until_closed:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server closed before it had all: what it said until then is still there to read
        try:
            while piece := connection.recv(65536):
                received += piece
        except OSError:
            pass
        return received
