"""Who is asking: signatures in the header and in the URL, all payload modes, and everything that must be refused."""

import datetime

import pytest
from larderlib.clients import boto, random_bytes
from larderlib.expect import answered, refused
from larderlib.rawhttp import (
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED,
    Raw,
)

CHUNKS = [random_bytes(8192, 1), random_bytes(65_536, 2), random_bytes(8192, 3), b"the rest"]
DATA = b"".join(CHUNKS)
STREAMING = [STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER]


def flip_hex(data, start):
    """Changes one hexadecimal digit at or after `start`."""
    digit = data[start : start + 1]
    return data[:start] + (b"0" if digit != b"0" else b"1") + data[start + 1 :]


def assert_not_there(s3, bucket, key="k"):
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key=key)


# --- In the header -----------------------------------------------------------------------------------------------------


def test_anonymous_requests_are_refused(raw, bucket):
    for method, path in (("GET", "/"), ("GET", f"/{bucket}"), ("GET", f"/{bucket}/k"), ("PUT", f"/{bucket}/k"), ("DELETE", f"/{bucket}")):
        answered(raw.send(method, path), "AccessDenied")
    assert raw.send("HEAD", f"/{bucket}").status == 403


def test_a_wrong_secret_is_refused(server, bucket):
    with refused("SignatureDoesNotMatch"):
        boto(server, secret_key="not-the-secret").list_objects_v2(Bucket=bucket)


def test_an_unknown_access_key_is_refused(server, bucket):
    with refused("InvalidAccessKeyId"):
        boto(server, access_key="NOSUCHKEY").list_objects_v2(Bucket=bucket)


def test_an_unknown_key_learns_nothing_of_what_is_there(server, bucket):
    stranger = Raw(server, access_key="NOSUCHKEY")
    for path in (f"/{bucket}", "/no-such-bucket-anywhere", f"/{bucket}/none"):
        answered(stranger.request("GET", path), "InvalidAccessKeyId")


@pytest.mark.parametrize("name, value", [("x-amz-meta-a", "changed"), ("x-amz-date", "20200101T000000Z"), ("x-amz-content-sha256", UNSIGNED)])
def test_a_signed_header_that_was_changed_is_refused(raw, s3, bucket, name, value):
    answer = raw.request("PUT", f"/{bucket}/k", headers={"x-amz-meta-a": "signed"}, body=b"x", change=lambda h: h.update({name: value}))
    # 400 where the date is no longer that of the credential's scope.
    assert answer.status in ((400, 403) if name == "x-amz-date" else (403,)), answer
    assert_not_there(s3, bucket)


def test_an_amz_header_that_is_not_signed_is_refused(raw, s3, bucket):
    answer = raw.request("PUT", f"/{bucket}/k", body=b"x", change=lambda h: h.update({"x-amz-meta-added": "1"}))
    answered(answer, "AccessDenied")
    assert_not_there(s3, bucket)


def test_a_body_that_was_changed_is_refused(raw, s3, bucket):
    from hashlib import sha256

    answer = raw.request("PUT", f"/{bucket}/k", body=b"changed", payload_hash=sha256(b"signed!").hexdigest())
    answered(answer, "XAmzContentSHA256Mismatch", "BadDigest")
    assert_not_there(s3, bucket)


def test_another_path_method_or_query_than_signed_is_refused(raw, bucket):
    headers, _, _ = raw.signer.headers("GET", f"/{bucket}", [], {"Host": raw.host_header}, UNSIGNED)
    assert raw.send("GET", f"/{bucket}", (), headers).status == 200
    answered(raw.send("GET", "/", (), headers), "SignatureDoesNotMatch")
    answered(raw.send("DELETE", f"/{bucket}", (), headers), "SignatureDoesNotMatch")
    answered(raw.send("GET", f"/{bucket}", [("versions", "")], headers), "SignatureDoesNotMatch")


@pytest.mark.parametrize("minutes", [-16, 16, -60 * 24, 60 * 24])
def test_a_clock_that_is_off_by_more_than_15_minutes(server, minutes):
    skewed = Raw(server, skew=datetime.timedelta(minutes=minutes))
    answered(skewed.request("GET", "/"), "RequestTimeTooSkewed")


@pytest.mark.parametrize("minutes", [-14, 14])
def test_a_clock_that_is_a_little_off(server, minutes):
    assert Raw(server, skew=datetime.timedelta(minutes=minutes)).request("GET", "/").status == 200


@pytest.mark.parametrize(
    "value",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=x",
        "AWS4-HMAC-SHA256 Credential=/////,SignedHeaders=,Signature=",
        "AWS4-HMAC-SHA256 Credential=a/20200101/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=zz",
        "AWS key:signature",
        "Bearer token",
        "Basic dXNlcjpwYXNz",
        "nonsense",
        "=" * 3000,
    ],
    ids=range(10),
)
def test_unreadable_authorization_headers(raw, value):
    answer = raw.send("GET", "/", headers={"Authorization": value, "x-amz-date": "20200101T000000Z"})
    assert answer.status in (400, 403) and answer.code, answer


def test_another_service_in_the_scope_is_refused(server):
    answer = Raw(server, service="ec2").request("GET", "/")
    assert answer.status in (400, 403), answer


def test_the_error_repeats_what_the_server_signed(server):
    """Only the public parts: never the secret nor the right signature."""
    answer = Raw(server, secret_key="wrong").request("GET", "/")
    answered(answer, "SignatureDoesNotMatch")
    assert server.secret_key.encode() not in answer.body


# --- How the body travels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4096, 1_048_577])
@pytest.mark.parametrize("payload", [None, UNSIGNED])
def test_body_signed_and_unsigned(raw, bucket, payload, size):
    data = random_bytes(size)
    assert raw.request("PUT", f"/{bucket}/k", body=data, payload_hash=payload).status == 200
    assert raw.request("GET", f"/{bucket}/k").body == data


@pytest.mark.parametrize("mode", STREAMING)
@pytest.mark.parametrize("chunks", [CHUNKS, [b"x"], [], [b"a" * 65_536] * 40], ids=["mixed", "one byte", "empty", "2.5 MiB"])
def test_body_in_signed_and_unsigned_chunks(raw, bucket, mode, chunks):
    answer = raw.put_streaming(f"/{bucket}/k", chunks, mode)
    assert answer.status == 200, answer
    got = raw.request("GET", f"/{bucket}/k")
    assert got.body == b"".join(chunks)
    assert "content-encoding" not in got.headers


@pytest.mark.parametrize("mode", STREAMING)
def test_without_content_encoding_aws_chunked(raw, bucket, mode):
    """Some clients leave the header out; the payload mode alone says that the body is framed."""
    answer = raw.put_streaming(f"/{bucket}/k", CHUNKS, mode, headers={"Content-Encoding": "identity"})
    assert answer.status == 200, answer
    assert raw.request("GET", f"/{bucket}/k").body == DATA


@pytest.mark.parametrize("frame", range(len(CHUNKS) + 1))
@pytest.mark.parametrize("mode", [STREAMING_SIGNED, STREAMING_SIGNED_TRAILER])
def test_a_wrong_chunk_signature_is_refused(raw, s3, bucket, mode, frame):
    def spoil(number, data):
        return flip_hex(data, data.index(b"chunk-signature=") + 20) if number == frame else data

    answered(raw.put_streaming(f"/{bucket}/k", CHUNKS, mode, spoil=spoil), "SignatureDoesNotMatch")
    assert_not_there(s3, bucket)


@pytest.mark.parametrize("mode", [STREAMING_SIGNED, STREAMING_SIGNED_TRAILER])
def test_a_changed_byte_in_a_signed_chunk_is_refused(raw, s3, bucket, mode):
    def spoil(number, data):
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if number == 1 else data

    answered(raw.put_streaming(f"/{bucket}/k", CHUNKS, mode, spoil=spoil), "SignatureDoesNotMatch")
    assert_not_there(s3, bucket)


def test_a_wrong_trailer_signature_is_refused(raw, s3, bucket):
    def spoil(_number, data):
        mark = b"x-amz-trailer-signature:"
        return flip_hex(data, data.index(mark) + len(mark) + 3) if mark in data else data

    answered(raw.put_streaming(f"/{bucket}/k", CHUNKS, STREAMING_SIGNED_TRAILER, spoil=spoil), "SignatureDoesNotMatch")
    assert_not_there(s3, bucket)


def test_signed_chunks_in_another_order_are_refused(raw, s3, bucket):
    frames = {}

    def spoil(number, data):
        frames[number] = data
        return data

    raw.put_streaming(f"/{bucket}/other", CHUNKS, STREAMING_SIGNED, spoil=spoil)
    order = {0: 2, 2: 0}
    answer = raw.put_streaming(f"/{bucket}/k", [CHUNKS[2], CHUNKS[1], CHUNKS[0], CHUNKS[3]], STREAMING_SIGNED, spoil=lambda n, _d: frames[order.get(n, n)])
    answered(answer, "SignatureDoesNotMatch")
    assert_not_there(s3, bucket)


@pytest.mark.parametrize("mode", STREAMING)
def test_a_decoded_length_that_is_not_true_is_refused(raw, s3, bucket, mode):
    for length in (len(DATA) - 1, len(DATA) + 1):
        answer = raw.put_streaming(f"/{bucket}/k", CHUNKS, mode, headers={"x-amz-decoded-content-length": str(length)})
        assert answer.status == 400 and answer.code in ("IncompleteBody", "InvalidRequest", "InvalidArgument"), answer
        assert_not_there(s3, bucket)


@pytest.mark.parametrize("mode", STREAMING)
@pytest.mark.parametrize("damage", [b"zz;chunk-signature=0\r\n", b"\r\n\r\n", b"ffffffffffffffffff\r\n", b"-5\r\n", b"5" * 5000])
def test_broken_framing_is_refused(raw, s3, bucket, mode, damage):
    def spoil(number, data):
        return (damage + data)[: len(data)] if number == 1 else data

    answer = raw.put_streaming(f"/{bucket}/k", CHUNKS, mode, spoil=spoil)
    assert answer.status in (400, 403), answer
    assert_not_there(s3, bucket)


def test_a_body_without_its_last_chunk_is_refused(raw, s3, bucket):
    last = len(CHUNKS)
    # The bytes of the ending are replaced, so that Content-Length still holds.
    answer = raw.put_streaming(f"/{bucket}/k", CHUNKS, STREAMING_SIGNED, spoil=lambda n, d: b"" if n == last else d + (b"x" * 86 if n == last - 1 else b""))
    assert answer.status in (400, 403), answer
    assert_not_there(s3, bucket)


def test_an_unknown_payload_mode_is_refused(raw, bucket):
    answer = raw.request("PUT", f"/{bucket}/k", body=b"x", payload_hash="STREAMING-SOMETHING-ELSE")
    assert answer.status in (400, 501), answer


# --- Presigned ---------------------------------------------------------------------------------------------------------


def fetch(url, method="GET", body=None, headers=None):
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), {n.lower(): v for n, v in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read(), {n.lower(): v for n, v in error.headers.items()}


def send_url(url, method="GET", body=None, headers=None):
    """As `fetch`, without the Content-Type that urllib adds to every body: signature version 2 covers it."""
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=30)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, {"Host": parts.netloc, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read(), {n.lower(): v for n, v in answer.getheaders()}
    finally:
        connection.close()


@pytest.fixture(params=["path", "virtual"])
def version_2(request, server):
    """boto3 presigns with version 2 for an endpoint of one's own, unless told `signature_version="s3v4"`."""
    client = boto(server, style=request.param, endpoint=f"http://s3.localhost:{server.port}")
    url = client.generate_presigned_url("list_buckets")
    assert "AWSAccessKeyId=" in url, "boto3 has changed its default: say signature_version='s3' here"
    return client


def test_version_2_get_put_head_delete(version_2, bucket):
    where = {"Bucket": bucket, "Key": "a b/ü+(1)~%"}
    url = version_2.generate_presigned_url
    assert send_url(url("put_object", where), "PUT", b"by url")[0] == 200
    overrides = {"ResponseContentDisposition": 'attachment; filename="a b+c&d"', "ResponseContentType": "text/other"}
    status, body, headers = send_url(url("get_object", where | overrides))
    assert (status, body) == (200, b"by url")
    assert headers["content-disposition"] == 'attachment; filename="a b+c&d"' and headers["content-type"] == "text/other"
    assert send_url(url("get_object", where), headers={"Range": "bytes=0-1"})[:2] == (206, b"by")
    assert send_url(url("head_object", where), "HEAD")[0] == 200
    assert send_url(url("list_objects_v2", {"Bucket": bucket, "Prefix": "a b/"}))[0] == 200
    assert send_url(url("head_bucket", {"Bucket": bucket}), "HEAD")[0] == 200
    assert send_url(url("list_buckets"))[0] == 200
    assert send_url(url("delete_object", where), "DELETE")[0] == 204
    assert send_url(url("get_object", where))[0] == 404


def test_version_2_headers_in_the_query_take_effect(version_2, s3, bucket):
    where = {"Bucket": bucket, "Key": "k", "ContentType": "text/x-mine", "Metadata": {"a": "1"}}
    url = version_2.generate_presigned_url("put_object", where)
    assert send_url(url, "PUT", b"x")[0] == 200
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentType"] == "text/x-mine" and head["Metadata"] == {"a": "1"}
    assert send_url(url, "PUT", b"x", {"Content-Type": "text/x-mine", "x-amz-meta-a": "1"})[0] == 200
    for headers in ({"Content-Type": "text/html"}, {"x-amz-meta-a": "2"}, {"x-amz-meta-b": "1"}):
        status, body, _ = send_url(url, "PUT", b"y", headers)
        assert status == 403 and b"SignatureDoesNotMatch" in body
    copy = version_2.generate_presigned_url("copy_object", {"Bucket": bucket, "Key": "copy", "CopySource": f"{bucket}/k"})
    assert send_url(copy, "PUT")[0] == 200
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"x"


def test_version_2_multipart(version_2, s3, bucket):
    where = {"Bucket": bucket, "Key": "big"}
    upload = where | {"UploadId": s3.create_multipart_upload(**where)["UploadId"]}
    url = version_2.generate_presigned_url("upload_part", upload | {"PartNumber": 1})
    status, _, headers = send_url(url, "PUT", b"part")
    assert status == 200
    assert send_url(url.replace("partNumber=1", "partNumber=2"), "PUT", b"part")[0] == 403
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": headers["etag"]}]})
    assert s3.get_object(**where)["Body"].read() == b"part"


def test_version_2_tampered_late_and_unknown(server, version_2, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    where = {"Bucket": bucket, "Key": "k"}
    url = version_2.generate_presigned_url("get_object", where)
    for tampered in (url.replace("/k?", "/l?"), f"{url}&versionId=null", f"{url}&tagging", f"{url}&%74agging"):
        status, body, _ = send_url(tampered)
        assert status == 403 and b"SignatureDoesNotMatch" in body, tampered
    assert send_url(url, "DELETE")[0] == 403
    status, body, _ = send_url(version_2.generate_presigned_url("get_object", where, ExpiresIn=-10))
    assert status == 403 and b"AccessDenied" in body and b"Request has expired" in body
    stranger = boto(server, access_key="NOSUCHKEY").generate_presigned_url("get_object", where)
    status, body, _ = send_url(stranger)
    assert status == 403 and b"InvalidAccessKeyId" in body


def test_version_2_in_the_header_is_refused_clearly(server, bucket):
    with refused("InvalidRequest"):
        boto(server, signature_version="s3").list_objects_v2(Bucket=bucket)


def test_presigned_get_of_the_sdk(server, bucket):
    s3 = boto(server, signature_version="s3v4")
    s3.put_object(Bucket=bucket, Key="a b/ü+", Body=b"x")
    parameters = {"Bucket": bucket, "Key": "a b/ü+", "ResponseContentType": "text/other", "ResponseContentDisposition": "attachment"}
    status, body, headers = fetch(s3.generate_presigned_url("get_object", parameters, ExpiresIn=60))
    assert (status, body) == (200, b"x")
    assert headers["content-type"] == "text/other" and headers["content-disposition"] == "attachment"


def test_presigned_sigv4_get_put_head_delete(server, bucket):
    client = boto(server, signature_version="s3v4")
    where = {"Bucket": bucket, "Key": "k"}
    assert fetch(client.generate_presigned_url("put_object", where), "PUT", b"by url")[0] == 200
    assert fetch(client.generate_presigned_url("get_object", where))[1] == b"by url"
    assert fetch(client.generate_presigned_url("head_object", where), "HEAD")[0] == 200
    assert fetch(client.generate_presigned_url("delete_object", where), "DELETE")[0] == 204
    assert fetch(client.generate_presigned_url("get_object", where))[0] == 404


def test_presigned_put_with_signed_headers(raw, s3, bucket):
    signed = {"x-amz-meta-a": "1"}
    assert raw.presigned("PUT", f"/{bucket}/k", signed_headers=signed, body=b"x").status == 200
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"a": "1"}
    answer = raw.presigned("PUT", f"/{bucket}/k", signed_headers=signed, headers={"x-amz-meta-a": "2"}, body=b"x")
    answered(answer, "SignatureDoesNotMatch")


def test_presigned_range(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    answer = raw.presigned("GET", f"/{bucket}/k", headers={"Range": "bytes=2-4"})
    assert answer.status == 206 and answer.body == b"234"


def test_an_expired_url_is_refused(server, bucket):
    late = Raw(server, skew=datetime.timedelta(minutes=-10))
    assert late.presigned("GET", f"/{bucket}", expires=3600).status == 200
    answered(late.presigned("GET", f"/{bucket}", expires=60), "AccessDenied")


def test_a_url_from_the_future_is_refused(server, bucket):
    early = Raw(server, skew=datetime.timedelta(minutes=30))
    answer = early.presigned("GET", f"/{bucket}", expires=3600)
    assert answer.status == 403, answer


@pytest.mark.parametrize("expires", ["0", "-1", "604801", "abc", ""])
def test_times_of_validity_that_are_not_allowed(raw, bucket, expires):
    answer = raw.presigned("GET", f"/{bucket}", expires=expires)
    assert answer.status in (400, 403), answer


def test_a_tampered_url_is_refused(raw, bucket):
    query = raw.signer.presign("GET", raw.host_header, f"/{bucket}")
    assert raw.send("GET", f"/{bucket}", query).status == 200
    answered(raw.send("GET", f"/{bucket}", [*query, ("max-keys", "1")]), "SignatureDoesNotMatch")
    answered(raw.send("DELETE", f"/{bucket}", query), "SignatureDoesNotMatch")
    longer = [(n, "3600" if n == "X-Amz-Expires" else v) for n, v in query]
    answered(raw.send("GET", f"/{bucket}", longer), "SignatureDoesNotMatch")
    broken = [(n, "0" * 64 if n == "X-Amz-Signature" else v) for n, v in query]
    answered(raw.send("GET", f"/{bucket}", broken), "SignatureDoesNotMatch")


@pytest.mark.parametrize("left_out", ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"])
def test_a_url_without_one_of_its_parameters_is_refused(raw, bucket, left_out):
    query = [(n, v) for n, v in raw.signer.presign("GET", raw.host_header, f"/{bucket}") if n != left_out]
    answer = raw.send("GET", f"/{bucket}", query)
    assert answer.status in (400, 403), answer


def test_both_a_header_and_a_query_signature_are_refused(raw, bucket):
    query = raw.signer.presign("GET", raw.host_header, f"/{bucket}")
    headers, _, _ = raw.signer.headers("GET", f"/{bucket}", query, {"Host": raw.host_header}, UNSIGNED)
    answer = raw.send("GET", f"/{bucket}", query, headers)
    assert answer.status == 400 and answer.code in ("InvalidArgument", "InvalidRequest"), answer


def test_metadata_in_the_query_of_a_presigned_url_is_stored(raw, s3, bucket):
    """Where the SDKs for JavaScript, Ruby and Go put it."""
    query = [("x-amz-meta-author", "a b"), ("X-Amz-Meta-Other", "c")]
    assert raw.presigned("PUT", f"/{bucket}/k", query, body=b"x").status == 200
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"author": "a b", "other": "c"}


def test_a_checksum_in_the_query_of_a_presigned_url_is_ignored(raw, bucket):
    """The SDK for JavaScript writes that of an empty body there, since it has none when it signs. AWS does not look at it."""
    query = [("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-sdk-checksum-algorithm", "CRC32")]
    assert raw.presigned("PUT", f"/{bucket}/k", query, body=b"data").status == 200
    assert raw.request("GET", f"/{bucket}/k").body == b"data"


def test_encryption_in_the_query_of_a_presigned_url_counts(raw, bucket):
    answered(raw.presigned("PUT", f"/{bucket}/k", [("x-amz-server-side-encryption", "aws:kms:dsse")], body=b"x"), "NotImplemented")
    assert raw.request("GET", f"/{bucket}/k").status == 404
    put = raw.presigned("PUT", f"/{bucket}/k", [("x-amz-server-side-encryption", "AES256")], body=b"x")
    assert put.headers["x-amz-server-side-encryption"] == "AES256"


def test_metadata_in_the_query_of_a_request_signed_in_its_head_is_not_stored(raw, s3, bucket):
    assert raw.request("PUT", f"/{bucket}/k", [("x-amz-meta-author", "a")], body=b"x").status == 200
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {}
