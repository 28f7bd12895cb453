"""Objects: bytes, metadata and headers, one request at a time."""

import datetime
import hashlib

import pytest
from larderlib.checksums import etag, md5_header
from larderlib.clients import random_bytes
from larderlib.expect import answered, refused, status
from larderlib.rawhttp import object_path

SIZES = [0, 1, 2, 4095, 4096, 4097, 65_535, 65_536, 131_073, 1_048_576, 1_048_577, 5_000_011, 16 * 1024 * 1024 + 3]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_put_is_got(s3, bucket, size):
    data = random_bytes(size, size)
    answer = s3.put_object(Bucket=bucket, Key="k", Body=data)
    assert answer["ETag"] == etag(data), "the ETag of a single PUT is the MD5"
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["ContentLength"] == size and got["ETag"] == etag(data)
    assert got["Body"].read() == data
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentLength"] == size and head["ETag"] == etag(data) and head["AcceptRanges"] == "bytes"


def test_an_object_that_is_not_there(s3, bucket):
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="none")
    with status(404):
        s3.head_object(Bucket=bucket, Key="none")


def test_the_error_of_a_missing_key_names_it(raw, bucket):
    answer = raw.request("GET", f"/{bucket}/none")
    answered(answer, "NoSuchKey")
    assert answer.text("Key") == "none"


def test_delete_is_idempotent(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for _ in range(2):
        assert s3.delete_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="k")


def test_overwrite_replaces_bytes_and_metadata(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"first, and longer", Metadata={"old": "1"}, ContentType="text/old")
    s3.put_object(Bucket=bucket, Key="k", Body=b"second")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"second" and got["Metadata"] == {}
    assert got["ContentType"] == "binary/octet-stream"


def test_default_content_type(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert s3.head_object(Bucket=bucket, Key="k")["ContentType"] == "binary/octet-stream"


def test_system_metadata_comes_back(s3, bucket):
    system = {
        "ContentType": "text/plain; charset=utf-8",
        "CacheControl": "max-age=60, no-transform",
        "ContentDisposition": 'attachment; filename="f.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de-AT",
    }
    expires = datetime.datetime(2031, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Expires=expires, **system)
    for answer in (s3.head_object(Bucket=bucket, Key="k"), s3.get_object(Bucket=bucket, Key="k")):
        assert {name: answer[name] for name in system} == system
        assert answer["Expires"] == expires


def test_an_empty_header_is_none(raw, bucket):
    headers = {"Content-Type": "", "Cache-Control": "", "Content-Encoding": ""}
    assert raw.request("PUT", f"/{bucket}/k", headers=headers, body=b"x").status == 200
    answer = raw.request("GET", f"/{bucket}/k")
    assert answer.headers["content-type"] == "binary/octet-stream"
    assert "cache-control" not in answer.headers and "content-encoding" not in answer.headers


@pytest.mark.parametrize("target", ["other", "ftp://x/"])
def test_a_redirect_to_nowhere_is_refused(raw, bucket, target):
    answer = raw.request("PUT", f"/{bucket}/k", headers={"x-amz-website-redirect-location": target}, body=b"x")
    assert (answer.status, answer.code) == (400, "InvalidRedirectLocation")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_key_for_an_object_that_is_not_encrypted_is_refused(raw, bucket, method):
    raw.request("PUT", f"/{bucket}/k", body=b"x")
    answer = raw.request(method, f"/{bucket}/k", headers={"x-amz-server-side-encryption-customer-algorithm": "AES256"})
    assert answer.status == 400


VERSIONS = {"": "InvalidArgument", "bogus": "InvalidArgument", "3HL4kqtJlcpXroDTDmJ-rmSpXd3dIbrH": "NoSuchVersion"}


@pytest.mark.parametrize("version, code", VERSIONS.items())
@pytest.mark.parametrize("method, more", [("GET", []), ("DELETE", []), ("GET", [("tagging", "")])])
def test_a_version_that_is_not_there_or_cannot_be(raw, bucket, version, code, method, more):
    raw.request("PUT", f"/{bucket}/k", body=b"x")
    answer = raw.request(method, f"/{bucket}/k", [*more, ("versionId", version)])
    if (method, code) == ("DELETE", "NoSuchVersion"):
        assert answer.status == 204, "what is not there need not be deleted"
    else:
        assert (answer.status, answer.code) == ({"InvalidArgument": 400, "NoSuchVersion": 404}[code], code)
    answer = raw.request("PUT", f"/{bucket}/t", headers={"x-amz-copy-source": f"/{bucket}/k?versionId={version}"})
    assert answer.code == code
    assert raw.request("GET", f"/{bucket}/k", [("versionId", "null")]).body == b"x"


def test_user_metadata_comes_back(s3, bucket):
    metadata = {"one": "1", "with-dash": "a, b; c=d", "empty": "", "long": "v" * 1500}
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata=metadata)
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == metadata
    assert s3.get_object(Bucket=bucket, Key="k")["Metadata"] == metadata


def test_user_metadata_names_are_lower_case(raw, bucket):
    raw.request("PUT", f"/{bucket}/k", headers={"X-Amz-Meta-MixedCase": "Value"})
    assert raw.request("HEAD", f"/{bucket}/k").headers["x-amz-meta-mixedcase"] == "Value"


def test_more_than_2_kib_of_user_metadata_is_refused(s3, bucket):
    with refused("MetadataTooLarge", status=400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"big": "v" * 2100})


def test_last_modified_is_now_and_in_whole_seconds(s3, bucket):
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=5)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    head = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert before <= head <= before + datetime.timedelta(seconds=65)
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"][0]["LastModified"]
    assert abs((listed - head).total_seconds()) < 1


def test_response_overrides(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/plain")
    wanted = {
        "content-type": "application/x-other",
        "content-disposition": "attachment; filename=x",
        "content-language": "mi",
        "cache-control": "no-cache",
        "content-encoding": "identity",
        "expires": "Thu, 01 Jan 2032 00:00:00 GMT",
    }
    parameters = {"Response" + "".join(part.title() for part in name.split("-")): value for name, value in wanted.items()}
    answer = s3.get_object(Bucket=bucket, Key="k", **parameters)["ResponseMetadata"]["HTTPHeaders"]
    assert {name: answer[name] for name in wanted} == wanted
    assert s3.head_object(Bucket=bucket, Key="k")["ContentType"] == "text/plain", "only the answer was changed"


def test_aws_chunked_is_not_stored_as_content_encoding(raw, bucket):
    answer = raw.put_streaming(f"/{bucket}/k", [b"x" * 100], "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    assert answer.status == 200, answer
    assert "content-encoding" not in raw.request("HEAD", f"/{bucket}/k").headers


@pytest.mark.parametrize("sent", ["aws-chunked,gzip", "gzip,aws-chunked", "aws-chunked, gzip"])
def test_aws_chunked_is_taken_out_of_content_encoding(raw, bucket, sent):
    headers = {"Content-Encoding": sent}
    answer = raw.put_streaming(f"/{bucket}/k", [b"x" * 100], "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", headers=headers)
    assert answer.status == 200, answer
    assert raw.request("HEAD", f"/{bucket}/k").headers["content-encoding"] == "gzip"


def test_content_md5_is_checked(s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="right", Body=b"data", ContentMD5=md5_header(b"data"))
    with refused("BadDigest"):
        s3.put_object(Bucket=bucket, Key="wrong", Body=b"data", ContentMD5=md5_header(b"other"))
    with refused("InvalidDigest"):
        s3.put_object(Bucket=bucket, Key="wrong", Body=b"data", ContentMD5="not base64 of md5")
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="wrong")


def test_a_refused_overwrite_leaves_the_old_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old", Metadata={"m": "old"})
    with refused("BadDigest"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"new", ContentMD5=md5_header(b"other"))
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"old" and got["Metadata"] == {"m": "old"} and got["ETag"] == etag(b"old")


def test_a_wrong_payload_hash_is_refused(raw, s3, bucket):
    answer = raw.request("PUT", f"/{bucket}/k", body=b"sent", payload_hash=hashlib.sha256(b"signed").hexdigest())
    answered(answer, "XAmzContentSHA256Mismatch", "BadDigest")
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="k")


def test_storage_class_standard_is_accepted_and_not_shown(s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass="STANDARD")
    assert "x-amz-storage-class" not in raw.request("HEAD", f"/{bucket}/k").headers
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["StorageClass"] == "STANDARD"


def test_an_unknown_storage_class_is_refused(s3, bucket):
    with refused("InvalidStorageClass", status=400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass="NOT_A_CLASS")


def test_head_has_no_body_and_the_length_of_the_object(raw, bucket):
    raw.request("PUT", f"/{bucket}/k", body=b"12345")
    answer = raw.request("HEAD", f"/{bucket}/k")
    assert answer.status == 200 and answer.body == b"" and answer.headers["content-length"] == "5"


# --- Keys: opaque UTF-8 in one flat space ------------------------------------------------------------------------------

NEIGHBOURS = ["a", "a/", "a//b", "a/b", "a//", "a/b/", "a/../b", "./a", "../a", "/a", "//a", "a/."]
ODD_KEYS = [
    "plus+plus",
    "two  spaces",
    " leading and trailing ",
    "100%",
    "100%25",
    "%2F",
    "question?mark&and=more#hash",
    "semi;colon:at@comma,dollar$",
    "quotes'\"`<>&",
    "brackets[]{}()|\\^~",
    "star*!",
    "Grüße",
    "日本語/ファイル",
    "emoji 🗄️",
    "e\u0301 and é",
    "-_.~",
    "tab\there",
    "line\nbreak",
    "s" * 300 + "/" + "t" * 500,
    "x" * 1024,
    "ü" * 512,
]


def test_keys_that_only_differ_in_slashes_are_different_objects(s3, bucket):
    for key in NEIGHBOURS:
        s3.put_object(Bucket=bucket, Key=key, Body=b"bytes of " + key.encode())
    for key in NEIGHBOURS:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"bytes of " + key.encode()
    listed = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(NEIGHBOURS, key=str.encode)
    s3.delete_object(Bucket=bucket, Key="a")
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="a")
    assert s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"bytes of a/b"


@pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: ascii(key[:20]))
def test_odd_keys(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]] == [key]
    s3.delete_object(Bucket=bucket, Key=key)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("key", ["k" * 1025, "ü" * 513, "a/" * 513], ids=["ascii", "utf-8", "slashes"])
def test_keys_of_more_than_1024_bytes_are_refused(s3, bucket, key):
    with refused("KeyTooLongError"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    with refused("KeyTooLongError"):
        s3.create_multipart_upload(Bucket=bucket, Key=key)


def test_a_key_that_is_not_utf_8_is_refused(raw, bucket):
    answer = raw.request("PUT", f"/{bucket}/%ff%fe")
    assert answer.status == 400, answer


def test_a_plus_in_the_path_is_a_plus_and_an_escaped_space_a_space(raw, bucket):
    # What the path says literally; the signature is over the canonical form.
    assert raw.request("PUT", object_path(bucket, "a+b"), body=b"plus").status == 200
    assert raw.request("PUT", object_path(bucket, "a b"), body=b"space").status == 200
    assert raw.request("GET", f"/{bucket}/a%2Bb").body == b"plus"
    assert raw.request("GET", f"/{bucket}/a%20b").body == b"space"


def test_a_large_object_is_streamed_back_whole(s3, bucket):
    data = random_bytes(48 * 1024 * 1024 + 12_345, 48)
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    digest, length = hashlib.md5(), 0
    for piece in s3.get_object(Bucket=bucket, Key="k")["Body"].iter_chunks(1 << 20):
        digest.update(piece)
        length += len(piece)
    assert length == len(data) and digest.digest() == hashlib.md5(data).digest()
