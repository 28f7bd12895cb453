"""Ranged reads: every form of the header, and parts by number."""

import pytest
from larderlib.clients import random_bytes
from larderlib.expect import answered, refused, status

SMALL = random_bytes(1000, 1)
LARGE = random_bytes(9 * 1024 * 1024 + 17, 2)


@pytest.fixture(scope="module")
def ranged(s3):
    from larderlib.clients import unique_bucket

    name = unique_bucket()
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="small", Body=SMALL)
    s3.put_object(Bucket=name, Key="large", Body=LARGE)
    s3.put_object(Bucket=name, Key="empty", Body=b"")
    return name


@pytest.mark.parametrize(
    "header, start, end",
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=10-19", 10, 20),
        ("bytes=999-999", 999, 1000),
        ("bytes=990-", 990, 1000),
        ("bytes=0-", 0, 1000),
        ("bytes=0-5000", 0, 1000),
        ("bytes=500-1000", 500, 1000),
        ("bytes=-1", 999, 1000),
        ("bytes=-100", 900, 1000),
        ("bytes=-1000", 0, 1000),
        ("bytes=-2000", 0, 1000),
    ],
)
def test_ranges_of_a_small_object(s3, ranged, header, start, end):
    got = s3.get_object(Bucket=ranged, Key="small", Range=header)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {start}-{end - 1}/1000"
    assert got["ContentLength"] == end - start
    assert got["Body"].read() == SMALL[start:end]


@pytest.mark.parametrize(
    "header", ["bytes=abc", "bytes=5-2", "bytes=", "items=0-5", "bytes=0-1,5-6", "bytes=-", "bytes 0-5", "bytes=1-2-3"]
)
def test_a_range_that_says_nothing_useful_is_ignored(s3, ranged, header):
    got = s3.get_object(Bucket=ranged, Key="small", Range=header)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert got["Body"].read() == SMALL


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", "bytes=99999-100000", "bytes=-0"])
def test_ranges_beyond_the_end(s3, ranged, header):
    with refused("InvalidRange"):
        s3.get_object(Bucket=ranged, Key="small", Range=header)


def test_the_refusal_says_how_long_the_object_is(raw, ranged):
    answer = raw.request("GET", f"/{ranged}/small", headers={"Range": "bytes=2000-3000"})
    answered(answer, "InvalidRange")
    assert answer.text("ActualObjectSize") == "1000"


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0"])
def test_any_range_of_an_empty_object_is_refused(s3, ranged, header):
    with refused("InvalidRange"):
        s3.get_object(Bucket=ranged, Key="empty", Range=header)


def test_head_with_a_range(s3, ranged):
    head = s3.head_object(Bucket=ranged, Key="small", Range="bytes=10-19")
    assert head["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert head["ContentLength"] == 10
    assert head["ResponseMetadata"]["HTTPHeaders"]["content-range"] == "bytes 10-19/1000"


@pytest.mark.parametrize("start", [0, 1, 4095, 65_535, 65_536, 1_048_575, 1_048_577, 5_000_000, len(LARGE) - 70_000])
@pytest.mark.parametrize("length", [1, 4096, 65_536, 65_537, 1_500_000])
def test_ranges_of_a_large_object_at_block_and_stripe_borders(s3, ranged, start, length):
    end = min(start + length, len(LARGE))
    got = s3.get_object(Bucket=ranged, Key="large", Range=f"bytes={start}-{start + length - 1}")
    assert got["ContentRange"] == f"bytes {start}-{end - 1}/{len(LARGE)}"
    assert got["Body"].read() == LARGE[start:end]


def test_part_number_one_of_an_object_put_at_once_is_all_of_it(s3, ranged):
    got = s3.get_object(Bucket=ranged, Key="small", PartNumber=1)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["Body"].read() == SMALL
    assert "PartsCount" not in got


def test_a_part_number_that_is_not_there(s3, ranged):
    with refused("InvalidPartNumber", status=416):
        s3.get_object(Bucket=ranged, Key="small", PartNumber=2)
    with status(416):
        s3.head_object(Bucket=ranged, Key="small", PartNumber=2)


def test_part_number_and_range_together_are_refused(s3, ranged):
    with refused("InvalidRequest"):
        s3.get_object(Bucket=ranged, Key="small", PartNumber=1, Range="bytes=0-1")


def test_parts_of_a_multipart_object_by_number(s3, ranged):
    parts = [random_bytes(5 * 1024 * 1024, 3), random_bytes(5 * 1024 * 1024 + 7, 4), b"tail"]
    upload = s3.create_multipart_upload(Bucket=ranged, Key="parts")["UploadId"]
    done = []
    for number, data in enumerate(parts, 1):
        tag = s3.upload_part(Bucket=ranged, Key="parts", UploadId=upload, PartNumber=number, Body=data)["ETag"]
        done.append({"PartNumber": number, "ETag": tag})
    s3.complete_multipart_upload(Bucket=ranged, Key="parts", UploadId=upload, MultipartUpload={"Parts": done})
    start, total = 0, sum(map(len, parts))
    for number, data in enumerate(parts, 1):
        got = s3.get_object(Bucket=ranged, Key="parts", PartNumber=number)
        assert got["Body"].read() == data
        assert got["PartsCount"] == 3
        assert got["ContentRange"] == f"bytes {start}-{start + len(data) - 1}/{total}"
        head = s3.head_object(Bucket=ranged, Key="parts", PartNumber=number)
        assert head["ContentLength"] == len(data) and head["PartsCount"] == 3
        start += len(data)
    joined = b"".join(parts)
    border = len(parts[0])
    got = s3.get_object(Bucket=ranged, Key="parts", Range=f"bytes={border - 10}-{border + 9}")
    assert got["Body"].read() == joined[border - 10 : border + 10]
