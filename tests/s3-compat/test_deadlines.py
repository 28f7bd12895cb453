"""Clients that stop, are too slow, or ask for nothing: they are told where that is possible, and cut off.

The server's deadlines are settings; here they are a second. How long it takes is not measured: each test returns only because
the server acts.
"""

import select

import pytest
from botocore.exceptions import ClientError
from larderlib.clients import boto, random_bytes
from larderlib.connection import Http2, connected, ends, is_served, read_answer, read_head, signed_head
from larderlib.expect import refused
from larderlib.rawhttp import Raw
from larderlib.server import Larder, poll
from larderlib.tls import Authority

BUCKET = "hasty"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module", params=["plain", "tls"])
def hasty(tmp_path_factory, request):
    arguments, tls = ["--client-timeout", "1s", "--idle-timeout", "1s"], {}
    if request.param == "tls":
        authority = Authority(tmp_path_factory.mktemp("authority"))
        tls = {"tls": authority.issue(), "authority": authority}
    with Larder(directory=tmp_path_factory.mktemp("hasty"), extra_args=arguments, **tls) as server:
        patient(server).create_bucket(Bucket=BUCKET)
        yield server


def patient(server):
    """A client that tries again when the server closes its idle connection just as it is used."""
    return boto(server, retries=3)


def is_told(stream):
    status, headers, body = read_answer(stream)
    assert status == 400 and b"<Code>RequestTimeout</Code>" in body, body
    assert headers.get("connection", "").lower() == "close" or ends(stream) == b""


@pytest.mark.parametrize("sent", [0, 1000, 300_000])
def test_a_client_that_stops_within_its_body(hasty, sent):
    client = patient(hasty)
    client.put_object(Bucket=BUCKET, Key="k", Body=b"old")
    with connected(hasty) as (sock, stream):
        head = signed_head(Raw(hasty), "PUT", f"/{BUCKET}/k", {"Content-Length": "1000000"})
        sock.sendall(head + b"x" * sent)
        is_told(stream)
    assert client.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"old"


def test_a_client_that_stops_within_a_part_or_a_document(hasty):
    upload = patient(hasty).create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
    part = [("partNumber", "1"), ("uploadId", upload)]
    for method, path, query in [("PUT", f"/{BUCKET}/k", part), ("PUT", f"/{BUCKET}/k", [("tagging", "")])]:
        target = path + "?" + "&".join(f"{name}={value}" for name, value in query)
        with connected(hasty) as (sock, stream):
            head = signed_head(Raw(hasty), method, path, {"Content-Length": "1000"}, query)
            sock.sendall(head.replace(path.encode(), target.encode(), 1) + b"<")
            is_told(stream)


def test_a_client_that_sends_a_byte_now_and_then(hasty):
    with connected(hasty) as (sock, stream):
        sock.sendall(signed_head(Raw(hasty), "PUT", f"/{BUCKET}/trickle", {"Content-Length": "1000000"}))
        while not select.select([sock], [], [], 0.02)[0]:
            sock.sendall(b"x")
        is_told(stream)
    with refused("NoSuchKey"):
        patient(hasty).get_object(Bucket=BUCKET, Key="trickle")


def test_a_client_that_does_not_take_what_it_asked_for(hasty):
    data = random_bytes(48 << 20)
    client = patient(hasty)
    client.put_object(Bucket=BUCKET, Key="large", Body=data)
    with connected(hasty, receive_buffer_bytes=1 << 16) as (sock, stream):
        sock.sendall(signed_head(Raw(hasty), "GET", f"/{BUCKET}/large"))
        poll(lambda: not is_served(hasty, sock), 30, "cut of a client that does not read")
        status, headers = read_head(stream)
        assert (status, headers["content-length"]) == (200, str(len(data)))
        assert len(ends(stream)) < len(data)
    assert client.get_object(Bucket=BUCKET, Key="large")["Body"].read() == data


@pytest.mark.parametrize("begun", [b"", b"G", HEALTH[:-4], b"PRI * HTTP/2.0\r\n"], ids=["nothing", "a letter", "half a head", "half a preface"])
def test_a_connection_without_a_request(hasty, begun):
    with connected(hasty) as (sock, stream):
        sock.sendall(begun)
        ends(stream)


def test_an_idle_connection(hasty):
    with connected(hasty) as (sock, stream):
        for _ in range(2):
            sock.sendall(HEALTH)
            assert read_answer(stream)[0] == 200
        assert ends(stream) == b""


HTTP2_WINDOW = 65_535


def test_an_http_2_stream_that_stands_still(tmp_path):
    """The client makes no room for the rest of its stream: neither the socket nor a ping shows that it is gone."""
    arguments = ["--client-timeout", "1s", "--max-requests", "1"]
    with Larder(directory=tmp_path / "server", extra_args=arguments) as server:
        client, data = boto(server), random_bytes(8 << 20)
        client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="large", Body=data)
        with connected(server) as (sock, stream):
            http2 = Http2(sock, stream)
            http2.get(Raw(server), f"/{BUCKET}/large")
            assert http2.read_data(HTTP2_WINDOW) == data[:HTTP2_WINDOW]
            poll(lambda: is_admitted(client), 30, "the place that the stream held")
            http2.make_room(1 << 20)
            while (kind := http2.next()[0]) != Http2.RESET:
                assert kind in (Http2.DATA, Http2.SETTINGS)


def test_an_http_2_stream_that_goes_on(hasty):
    data = random_bytes(3 << 20)
    patient(hasty).put_object(Bucket=BUCKET, Key="taken", Body=data)
    with connected(hasty) as (sock, stream):
        http2 = Http2(sock, stream)
        http2.get(Raw(hasty), f"/{BUCKET}/taken")
        http2.make_room(len(data))
        assert http2.read_data(len(data)) == data


def is_admitted(client):
    try:
        client.head_bucket(Bucket=BUCKET)
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503, error
        return False
    return True
