"""The protocol below S3: HTTP/1.1 by hand, HTTP/2, what every answer carries, and what is not implemented."""

import re
import socket
import subprocess

import pytest
from larderlib.checksums import checksum
from larderlib.checksums import header as checksum_header
from larderlib.clients import unique_bucket
from larderlib.connection import read_answer, signed_head
from larderlib.expect import STATUS, answered
from larderlib.need import missing, tool
from larderlib.rawhttp import STREAMING_UNSIGNED_TRAILER, UNSIGNED, exchange, query_text


@pytest.fixture
def connection(server):
    with socket.create_connection((server.host, server.port), timeout=30) as sock:
        yield sock, sock.makefile("rb")


def test_one_connection_serves_many_requests(raw, bucket, connection):
    sock, stream = connection
    for number in range(20):
        body = b"x" * number
        sock.sendall(signed_head(raw, "PUT", f"/{bucket}/k{number}", {"Content-Length": str(number)}) + body)
        assert read_answer(stream)[0] == 200
        sock.sendall(signed_head(raw, "GET", f"/{bucket}/k{number}"))
        assert read_answer(stream)[2] == body
        sock.sendall(signed_head(raw, "GET", f"/{bucket}/none"))
        assert read_answer(stream)[0] == 404


def test_pipelined_requests(raw, bucket, connection):
    sock, stream = connection
    sock.sendall(signed_head(raw, "PUT", f"/{bucket}/k", {"Content-Length": "1"}) + b"x")
    assert read_answer(stream)[0] == 200
    sock.sendall(signed_head(raw, "GET", f"/{bucket}/k") * 5)
    assert [read_answer(stream)[2] for _ in range(5)] == [b"x"] * 5


def test_expect_100_continue(raw, bucket, connection):
    sock, stream = connection
    sock.sendall(signed_head(raw, "PUT", f"/{bucket}/k", {"Content-Length": "4", "Expect": "100-continue"}))
    assert read_answer(stream)[0] == 100
    sock.sendall(b"body")
    assert read_answer(stream)[0] == 200
    assert raw.request("GET", f"/{bucket}/k").body == b"body"


def test_expect_100_continue_is_not_sent_for_what_is_refused(raw, bucket, connection):
    sock, stream = connection
    sock.sendall(f"PUT /{bucket}/k HTTP/1.1\r\nHost: {raw.host_header}\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n".encode())
    assert read_answer(stream)[0] == 403


def test_expect_100_continue_with_a_bucket_that_is_not_there(raw, connection):
    sock, stream = connection
    head = signed_head(raw, "PUT", f"/{unique_bucket()}/k", {"Content-Length": "1000000", "Expect": "100-continue"})
    sock.sendall(head)
    status = read_answer(stream)[0]
    if status == 100:
        sock.sendall(b"x" * 1_000_000)
        status = read_answer(stream)[0]
    assert status == 404


def test_chunked_transfer_encoding_with_a_length_in_amz_header(raw, bucket, connection):
    sock, stream = connection
    data = [b"first ", b"second ", b"third" * 3000]
    total = str(sum(map(len, data)))
    sock.sendall(signed_head(raw, "PUT", f"/{bucket}/k", {"Transfer-Encoding": "chunked", "x-amz-decoded-content-length": total}))
    for piece in [*data, b""]:
        sock.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    status, _, body = read_answer(stream)
    assert status == 200, body
    assert raw.request("GET", f"/{bucket}/k").body == b"".join(data)


def framed(pieces):
    """Pieces in HTTP's chunked encoding."""
    return b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in [*pieces, b""])


def test_aws_chunked_within_chunked_transfer_encoding(raw, bucket, connection):
    """What the SDK for JavaScript sends for a stream: AWS documents it beside Content-Length."""
    sock, stream = connection
    data = b"third" * 3000
    frames = f"{len(data):x}\r\n".encode() + data + f"\r\n0\r\n{checksum_header('CRC32')}:{checksum('CRC32', data)}\r\n\r\n".encode()
    headers = {"Transfer-Encoding": "chunked", "Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(data))}
    headers["x-amz-trailer"] = checksum_header("CRC32")
    head = signed_head(raw, "PUT", f"/{bucket}/k", headers, payload_hash=STREAMING_UNSIGNED_TRAILER)
    sock.sendall(head + framed([frames[:7], frames[7:8000], frames[8000:]]))
    status, _, body = read_answer(stream)
    assert status == 200, body
    assert raw.request("GET", f"/{bucket}/k").body == data


def test_frames_that_the_payload_hash_denies_are_never_stored(raw, bucket, connection):
    """`aws-chunked` with UNSIGNED-PAYLOAD contradicts itself: to store the frames would corrupt the object."""
    sock, stream = connection
    frames = b"5\r\nhello\r\n0\r\n\r\n"
    headers = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "5"}
    sock.sendall(signed_head(raw, "PUT", f"/{bucket}/k", headers | {"Content-Length": str(len(frames))}) + frames)
    assert read_answer(stream)[0] == 400
    assert raw.request("GET", f"/{bucket}/k").status == 404
    answer = raw.request("PUT", f"/{bucket}/k", headers=headers | {"Transfer-Encoding": "chunked"}, body=framed([frames]), payload_hash=UNSIGNED)
    assert answer.status == 400, answer
    assert raw.request("GET", f"/{bucket}/k").status == 404


def test_a_put_without_any_length_is_refused_or_stored_whole(raw, bucket, connection):
    """AWS answers 411 MissingContentLength. A store that takes it must take all of it."""
    sock, stream = connection
    sock.sendall(signed_head(raw, "PUT", f"/{bucket}/k", {"Transfer-Encoding": "chunked"}) + b"5\r\nhello\r\n0\r\n\r\n")
    status = read_answer(stream)[0]
    assert status in (200, 411)
    if status == 200:
        assert raw.request("GET", f"/{bucket}/k").body == b"hello"


@pytest.mark.parametrize("query", [[], [("partNumber", "1"), ("uploadId", "whatever")]], ids=["object", "part"])
def test_a_put_that_says_no_length_replaces_nothing(raw, s3, bucket, connection, query):
    """As AWS has it: 411. A client that lost its body would otherwise leave an empty object."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"full")
    if query:
        query[1] = ("uploadId", s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"])
    sock, stream = connection
    head = signed_head(raw, "PUT", f"/{bucket}/k", query=query)
    target = f"/{bucket}/k" + (f"?{query_text(query)}" if query else "")
    sock.sendall(head.replace(f"/{bucket}/k".encode(), target.encode(), 1))
    status, _, body = read_answer(stream)
    assert status == 411 and b"<Code>MissingContentLength</Code>" in body
    assert raw.request("GET", f"/{bucket}/k").body == b"full"


def test_a_body_that_ends_early_stores_nothing(raw, server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    for sent in (b"", b"x" * 10, b"x" * 999_999):
        exchange(server, signed_head(raw, "PUT", f"/{bucket}/k", {"Content-Length": "1000000"}) + sent)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"


def test_a_client_that_leaves_in_the_middle_of_a_get(raw, server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 8_000_000)
    for _ in range(5):
        with socket.create_connection((server.host, server.port), timeout=30) as sock:
            sock.sendall(signed_head(raw, "GET", f"/{bucket}/k"))
            sock.recv(1000)
    assert len(s3.get_object(Bucket=bucket, Key="k")["Body"].read()) == 8_000_000


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-H: y\r\n" * 5000 + b"\r\n",
        b"GET /%zz%f HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET //../..//etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=range(18),
)
def test_malformed_requests_get_an_error_or_a_closed_connection(server, raw, request_bytes):
    answer = exchange(server, request_bytes)
    assert answer == b"" or re.match(rb"HTTP/1\.[01] [45]\d\d", answer), answer[:200]
    assert not re.match(rb"HTTP/1\.[01] 500", answer), answer[:500]
    assert raw.request("GET", "/").status == 200, "the server goes on"


def test_an_absolute_request_target(raw, server, bucket):
    """A proxy's form, which HTTP/1.1 obliges every server to take."""
    head = signed_head(raw, "GET", f"/{bucket}").replace(b"GET /", f"GET http://{raw.host_header}/".encode(), 1)
    head = head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert exchange(server, head, until_closed=False).startswith(b"HTTP/1.1 200")


# --- HTTP/2 ------------------------------------------------------------------------------------------------------------


def curl(server, *arguments):
    program = tool("curl", "apt-get install curl")
    if "HTTP2" not in subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout:
        missing("curl with HTTP/2", "apt-get install curl")
    credentials = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{server.access_key}:{server.secret_key}"]
    command = [program, "--silent", "--show-error", "--noproxy", "*", "--http2-prior-knowledge", *credentials, *arguments]
    return subprocess.run(command, capture_output=True, timeout=60, check=True).stdout


def test_http_2_with_prior_knowledge(server, bucket, tmp_path):
    data = bytes(range(256)) * 20_000
    (tmp_path / "body").write_bytes(data)
    url = f"{server.endpoint}/{bucket}/k"
    unsigned = ["--header", f"x-amz-content-sha256: {UNSIGNED}"]
    write_out = ["--output", str(tmp_path / "answer"), "--write-out", "%{http_version} %{http_code}"]
    assert curl(server, *unsigned, *write_out, "--upload-file", str(tmp_path / "body"), url) == b"2 200"
    assert curl(server, *unsigned, *write_out, url) == b"2 200"
    assert (tmp_path / "answer").read_bytes() == data


# --- Every answer ------------------------------------------------------------------------------------------------------


def test_every_answer_has_a_request_id_of_its_own(raw, bucket):
    answers = [
        raw.request("GET", "/"),
        raw.request("HEAD", f"/{bucket}"),
        raw.request("PUT", f"/{bucket}/k", body=b"x"),
        raw.request("GET", f"/{bucket}/k"),
        raw.request("GET", f"/{bucket}/none"),
        raw.request("DELETE", f"/{bucket}/k"),
        raw.send("GET", "/"),
        raw.request("GET", f"/{bucket}", [("policy", "")]),
    ]
    ids = [answer.headers["x-amz-request-id"] for answer in answers]
    assert all(ids) and len(set(ids)) == len(ids)


def test_the_shape_of_an_error(raw, bucket):
    answer = raw.request("GET", f"/{bucket}/no%20such%26key")
    answered(answer, "NoSuchKey")
    assert answer.xml.tag == "Error", "errors are in no namespace"
    assert answer.headers["content-type"] == "application/xml"
    assert answer.body.startswith(b"<?xml")
    assert answer.text("Message")
    assert answer.text("Resource") == f"/{bucket}/no such&key" or answer.text("Resource") == f"/{bucket}/no%20such%26key"
    assert answer.text("RequestId") == answer.headers["x-amz-request-id"]


def test_an_error_to_head_has_no_body(raw, bucket):
    answer = raw.request("HEAD", f"/{bucket}/none")
    assert answer.status == 404 and answer.body == b""


def test_answers_say_when_and_who(raw):
    headers = raw.request("GET", "/").headers
    assert headers["date"].endswith("GMT")


def test_unknown_query_parameters_are_ignored(raw, bucket):
    extra = [("metadata", "true"), ("x-id", "GetObject"), ("unknown", ""), ("Übung", "ü")]
    assert raw.request("PUT", f"/{bucket}/k", extra, body=b"x").status == 200
    assert raw.request("GET", f"/{bucket}/k", extra).body == b"x"
    assert raw.request("GET", f"/{bucket}", [*extra, ("list-type", "2")]).text("Key") == "k"


# What a GET answers where nothing was ever set, which is everywhere: the code, or the root of an empty document. Clients look
# (`s3cmd info`, Terraform) and take 501 for a broken server.
BUCKET_SUBRESOURCES = {
    "accelerate": "AccelerateConfiguration",
    "acl": "AccessControlPolicy",
    "analytics": "NotImplemented",
    "cors": "NoSuchCORSConfiguration",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "intelligent-tiering": "NotImplemented",
    "inventory": "NotImplemented",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "logging": "BucketLoggingStatus",
    "metrics": "NotImplemented",
    "notification": "NotificationConfiguration",
    "object-lock": "ObjectLockConfigurationNotFoundError",
    "ownershipControls": "OwnershipControlsNotFoundError",
    "policy": "NoSuchBucketPolicy",
    "policyStatus": "NoSuchBucketPolicy",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "replication": "ReplicationConfigurationNotFoundError",
    "requestPayment": "RequestPaymentConfiguration",
    "tagging": "NoSuchTagSet",
    "website": "NoSuchWebsiteConfiguration",
}
# What can be set, and is tested elsewhere.
BUILT = {"encryption", "acl", "cors", "lifecycle", "logging", "notification", "object-lock", "ownershipControls", "policy", "policyStatus", "publicAccessBlock", "tagging"}
OBJECT_SUBRESOURCES = [("GET", "torrent"), ("POST", "restore"), ("POST", "select")]
# AWS says that the bucket has no object lock; that the object has none is for buckets with.
OBJECT_CONFIGURATIONS = {"acl": "AccessControlPolicy", "retention": "InvalidRequest", "legal-hold": "InvalidRequest"}


def answers_as_unset(answer, expected):
    """AWS's answer where nothing was set: an error of that code, or a document of that root."""
    if expected in STATUS:
        answered(answer, expected)
    else:
        assert answer.status == 200 and answer.xml.tag.rsplit("}", 1)[-1] == expected, answer


@pytest.mark.parametrize("name", sorted(set(BUCKET_SUBRESOURCES) - BUILT))
def test_bucket_operations_that_are_not_implemented(raw, s3, bucket, name):
    """501, and above all never the creation or the deletion that the same request without the parameter is."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for method in ("PUT", "DELETE"):
        answer = raw.request(method, f"/{bucket}", [(name, "")], body=b"<x/>" if method == "PUT" else b"")
        answered(answer, "NotImplemented")
    assert raw.request("GET", f"/{bucket}/k").body == b"x"


@pytest.mark.parametrize("name, expected", BUCKET_SUBRESOURCES.items())
def test_bucket_configurations_that_were_never_set(raw, bucket, name, expected):
    answers_as_unset(raw.request("GET", f"/{bucket}", [(name, "")]), expected)
    answer = raw.request("GET", f"/{unique_bucket()}", [(name, "")])
    answered(answer, "NotImplemented" if expected == "NotImplemented" else "NoSuchBucket")


@pytest.mark.parametrize("method, name", OBJECT_SUBRESOURCES)
def test_object_operations_that_are_not_implemented(raw, s3, bucket, method, name):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    answered(raw.request(method, f"/{bucket}/k", [(name, "")], body=b"<x/>" if method != "GET" else b""), "NotImplemented")
    assert raw.request("GET", f"/{bucket}/k").body == b"old"


@pytest.mark.parametrize("name, expected", OBJECT_CONFIGURATIONS.items())
def test_object_configurations_that_were_never_set(raw, s3, bucket, name, expected):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    answers_as_unset(raw.request("GET", f"/{bucket}/k", [(name, "")]), expected)
    answered(raw.request("GET", f"/{bucket}/none", [(name, "")]), "NoSuchKey")


@pytest.mark.parametrize(
    "name, value",
    [
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-server-side-encryption", "aws:kms:dsse"),
        ("x-amz-object-lock-legal-hold", "ON"),
        ("x-amz-object-lock-event-hold", "ON"),
    ],
)
def test_put_with_what_is_not_implemented_is_refused_rather_than_ignored(raw, bucket, name, value):
    answer = raw.request("PUT", f"/{bucket}/k", headers={name: value}, body=b"x")
    assert answer.status in (400, 501), answer
    assert raw.request("GET", f"/{bucket}/k").status == 404


@pytest.mark.parametrize("method", ["POST", "PATCH", "TRACE"])
def test_methods_that_a_path_does_not_have(raw, bucket, method):
    answer = raw.request(method, f"/{bucket}/k")
    assert answer.status in (400, 403, 405, 501), answer


def test_health_pages_need_no_signature(raw):
    assert raw.send("GET", "/healthz").status == 200
    assert raw.send("GET", "/readyz").status == 200
