"""Conditional reads, and conditional writes that are atomic."""

import datetime
import itertools
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime

import pytest
from botocore.exceptions import ClientError
from larderlib.checksums import etag
from larderlib.clients import boto
from larderlib.connection import connected, read_head, signed_head
from larderlib.expect import answered, refused, status

OTHER = '"00000000000000000000000000000000"'
THREADS = 16


@pytest.fixture
def object_(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"body")
    return {"Bucket": bucket, "Key": "k"}


def moments(s3, object_):
    modified = s3.head_object(**object_)["LastModified"]
    day = datetime.timedelta(days=1)
    return modified - day, modified, modified + day


def test_if_match(s3, object_):
    for value in (etag(b"body"), etag(b"body").strip('"'), "*", f"{OTHER}, {etag(b'body')}"):
        assert s3.get_object(**object_, IfMatch=value)["Body"].read() == b"body"
    with refused("PreconditionFailed"):
        s3.get_object(**object_, IfMatch=OTHER)
    with status(412):
        s3.head_object(**object_, IfMatch=OTHER)


def test_if_none_match(s3, object_):
    s3.get_object(**object_, IfNoneMatch=OTHER)
    for value in (etag(b"body"), "*", f"{OTHER}, {etag(b'body')}"):
        with status(304):
            s3.get_object(**object_, IfNoneMatch=value)
        with status(304):
            s3.head_object(**object_, IfNoneMatch=value)


def test_a_304_has_the_etag_and_no_body(raw, object_):
    answer = raw.request("GET", f"/{object_['Bucket']}/k", headers={"If-None-Match": etag(b"body")})
    assert answer.status == 304 and answer.body == b"" and answer.headers["etag"] == etag(b"body")
    assert "last-modified" in answer.headers and "content-type" not in answer.headers


def test_if_modified_since(s3, object_):
    before, modified, _ = moments(s3, object_)
    s3.get_object(**object_, IfModifiedSince=before)
    with status(304):
        s3.get_object(**object_, IfModifiedSince=modified)


def test_if_modified_since_in_the_future_is_ignored_or_not_modified(raw, s3, object_):
    # HTTP lets a server ignore a date later than its own clock; S3 answers 304. Both keep the client right.
    _, _, after = moments(s3, object_)
    answer = raw.request("GET", f"/{object_['Bucket']}/k", headers={"If-Modified-Since": format_datetime(after.astimezone(datetime.timezone.utc), usegmt=True)})
    assert answer.status in (200, 304)


def test_if_unmodified_since(s3, object_):
    before, modified, after = moments(s3, object_)
    s3.get_object(**object_, IfUnmodifiedSince=modified)
    s3.get_object(**object_, IfUnmodifiedSince=after)
    with refused("PreconditionFailed"):
        s3.get_object(**object_, IfUnmodifiedSince=before)


def test_if_match_that_holds_wins_over_if_unmodified_since_that_does_not(s3, object_):
    before, _, _ = moments(s3, object_)
    assert s3.get_object(**object_, IfMatch=etag(b"body"), IfUnmodifiedSince=before)["Body"].read() == b"body"


def test_if_match_that_fails_wins_over_if_unmodified_since_that_holds(s3, object_):
    _, _, after = moments(s3, object_)
    with refused("PreconditionFailed"):
        s3.get_object(**object_, IfMatch=OTHER, IfUnmodifiedSince=after)


def test_if_none_match_that_fails_wins_over_if_modified_since_that_holds(s3, object_):
    before, _, _ = moments(s3, object_)
    with status(304):
        s3.get_object(**object_, IfNoneMatch=etag(b"body"), IfModifiedSince=before)


def test_if_none_match_that_holds_wins_over_if_modified_since_that_fails(s3, object_):
    _, modified, _ = moments(s3, object_)
    assert s3.get_object(**object_, IfNoneMatch=OTHER, IfModifiedSince=modified)["Body"].read() == b"body"


def test_an_unreadable_date_is_ignored(raw, object_):
    for name in ("If-Modified-Since", "If-Unmodified-Since"):
        answer = raw.request("GET", f"/{object_['Bucket']}/k", headers={name: "not a date"})
        assert answer.status == 200, answer


def test_conditions_on_a_key_that_is_not_there(s3, bucket):
    for condition in ({"IfMatch": OTHER}, {"IfNoneMatch": OTHER}):
        with refused("NoSuchKey"):
            s3.get_object(Bucket=bucket, Key="none", **condition)


# --- Writes ------------------------------------------------------------------------------------------------------------


def test_put_if_none_match_star_creates_once(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"one", IfNoneMatch="*")
    with refused("PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"one"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"three", IfNoneMatch="*")


def test_put_if_match(s3, object_):
    with refused("PreconditionFailed"):
        s3.put_object(**object_, Body=b"new", IfMatch=OTHER)
    s3.put_object(**object_, Body=b"new", IfMatch=etag(b"body"))
    assert s3.get_object(**object_)["Body"].read() == b"new"


def test_put_if_match_on_a_key_that_is_not_there(s3, bucket):
    with refused("NoSuchKey"):
        s3.put_object(Bucket=bucket, Key="none", Body=b"", IfMatch=OTHER)


def test_put_if_none_match_takes_only_a_star(s3, object_):
    with refused("NotImplemented"):
        s3.put_object(**object_, Body=b"new", IfNoneMatch=etag(b"body"))


@pytest.mark.parametrize(
    "key, condition, status",
    [("k", ("If-None-Match", "*"), 412), ("k", ("If-Match", OTHER), 412), ("none", ("If-Match", OTHER), 404)],
)
def test_a_put_that_can_only_fail_is_told_so_before_its_body(server, raw, object_, key, condition, status):
    headers = {"Content-Length": "100000000", "Expect": "100-continue", condition[0]: condition[1]}
    with connected(server) as (sock, stream):
        sock.sendall(signed_head(raw, "PUT", f"/{object_['Bucket']}/{key}", headers))
        assert read_head(stream)[0] == status, "100 would ask for the body"


def test_a_condition_is_decided_again_at_the_end_of_the_body(server, raw, s3, bucket):
    headers = {"Content-Length": "4", "Expect": "100-continue", "If-None-Match": "*"}
    with connected(server) as (sock, stream):
        sock.sendall(signed_head(raw, "PUT", f"/{bucket}/k", headers))
        assert read_head(stream)[0] == 100
        s3.put_object(Bucket=bucket, Key="k", Body=b"first")
        sock.sendall(b"late")
        assert read_head(stream)[0] == 412
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match", "If-Unmodified-Since", "x-amz-tagging", "x-amz-acl", "Content-MD5", "Range"])
def test_a_header_that_decides_is_never_ignored_for_being_no_ascii(raw, object_, name):
    """A condition that nobody can read would otherwise be none at all."""
    headers = {name: "\xe9"}
    for method in ("PUT", "DELETE", "GET"):
        answered(raw.request(method, f"/{object_['Bucket']}/k", headers=headers), "InvalidArgument")
    assert raw.request("GET", f"/{object_['Bucket']}/k").body == b"body"


def test_delete_if_match(s3, object_):
    with refused("PreconditionFailed"):
        s3.delete_object(**object_, IfMatch=OTHER)
    s3.delete_object(**object_, IfMatch=etag(b"body"))
    with refused("NoSuchKey"):
        s3.get_object(**object_)


def test_delete_with_a_condition_of_directory_buckets_deletes_nothing(s3, object_):
    """AWS has these for directory buckets only. To ignore one would delete what the client meant to keep."""
    for condition in ({"IfMatchSize": 1}, {"IfMatchLastModifiedTime": datetime.datetime(2020, 1, 1)}):
        with refused("NotImplemented"):
            s3.delete_object(**object_, **condition)
    assert s3.get_object(**object_)["Body"].read() == b"body"


def race(server, attempt):
    """Runs `attempt(client, number)` in many threads at once; returns the numbers of those that succeeded."""
    client = boto(server)

    def one(number):
        try:
            attempt(client, number)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            assert code in ("PreconditionFailed", "ConditionalRequestConflict"), error
            return None
        return number

    with ThreadPoolExecutor(THREADS) as pool:
        return [number for number in pool.map(one, range(THREADS)) if number is not None]


@pytest.mark.parametrize("size", [10, 300_000])
def test_of_many_creators_one_wins(server, s3, bucket, size):
    for trial in range(5):
        key = f"created-{trial}"
        body = lambda number: bytes([number]) * size  # noqa: E731
        winners = race(server, lambda c, n: c.put_object(Bucket=bucket, Key=key, Body=body(n), IfNoneMatch="*"))
        assert len(winners) == 1
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body(winners[0])


def test_of_many_that_swap_one_wins(server, s3, bucket):
    current = b"start"
    s3.put_object(Bucket=bucket, Key="k", Body=current)
    for trial in range(8):
        body = lambda number: f"{trial} {number}".encode()  # noqa: E731, B023
        winners = race(server, lambda c, n: c.put_object(Bucket=bucket, Key="k", Body=body(n), IfMatch=etag(current)))
        assert len(winners) == 1
        current = body(winners[0])
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == current


def test_a_counter_kept_by_swapping_loses_no_step(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="counter", Body=b"0")
    steps = 5

    def count(client, _number):
        done = 0
        for _ in itertools.repeat(None):
            got = client.get_object(Bucket=bucket, Key="counter")
            value = int(got["Body"].read())
            try:
                client.put_object(Bucket=bucket, Key="counter", Body=str(value + 1).encode(), IfMatch=got["ETag"])
            except ClientError:
                continue
            done += 1
            if done == steps:
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: count(boto(server), n), range(8)))
    assert s3.get_object(Bucket=bucket, Key="counter")["Body"].read() == str(8 * steps).encode()


def start_upload(s3, bucket, key, body):
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    tag = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=body)["ETag"]
    return {"Bucket": bucket, "Key": key, "UploadId": upload, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": tag}]}}


def test_conditional_complete(s3, bucket):
    first = start_upload(s3, bucket, "k", b"first")
    second = start_upload(s3, bucket, "k", b"second")
    s3.complete_multipart_upload(**first, IfNoneMatch="*")
    with refused("PreconditionFailed"):
        s3.complete_multipart_upload(**second, IfNoneMatch="*")
    with refused("PreconditionFailed"):
        s3.complete_multipart_upload(**second, IfMatch=OTHER)
    s3.complete_multipart_upload(**second, IfMatch=s3.head_object(Bucket=bucket, Key="k")["ETag"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"second"


def test_of_many_completing_creators_one_wins(server, s3, bucket):
    uploads = [start_upload(s3, bucket, "k", bytes([n]) * 1000) for n in range(THREADS)]
    winners = race(server, lambda c, n: c.complete_multipart_upload(**uploads[n], IfNoneMatch="*"))
    assert len(winners) == 1
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == bytes([winners[0]]) * 1000
