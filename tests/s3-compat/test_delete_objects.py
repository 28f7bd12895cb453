"""DeleteObjects: many keys in one request."""

import base64
import hashlib

import pytest
from larderlib.checksums import ALGORITHMS, checksum, header, md5_header
from larderlib.expect import answered, refused

BODY = b"<Delete><Object><Key>k</Key></Object></Delete>"
QUERY = [("delete", "")]


def test_deletes_what_is_there_and_what_is_not(s3, bucket):
    for number in range(10):
        s3.put_object(Bucket=bucket, Key=f"k{number}", Body=b"")
    keys = [{"Key": f"k{n}"} for n in range(5)] + [{"Key": "never-was"}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})
    assert [d["Key"] for d in answer["Deleted"]] == [k["Key"] for k in keys]
    assert "Errors" not in answer
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [f"k{n}" for n in range(5, 10)]


def test_quiet_names_only_errors(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}], "Quiet": True})
    assert "Deleted" not in answer and "Errors" not in answer
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_thousand_keys_and_no_more(s3, bucket):
    keys = [{"Key": f"k{number}"} for number in range(1001)]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys[:1000]})
    assert len(answer["Deleted"]) == 1000
    with refused("MalformedXML"):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})


def test_odd_keys(s3, bucket):
    keys = ["a b+c", "ü&<>\"'", "x//y/", "100%25", "new\nline", "cr\rhere"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert sorted(d["Key"] for d in answer["Deleted"]) == sorted(keys)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_the_same_key_twice(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}, {"Key": "k"}]})
    assert "Errors" not in answer
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_version_id_null_deletes_the_object_of_an_unversioned_bucket(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": "null"}]})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_with_content_md5(raw, bucket):
    answer = raw.request("POST", f"/{bucket}", QUERY, {"Content-MD5": md5_header(BODY)}, BODY)
    assert answer.status == 200 and answer.text("Key") == "k", answer


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_with_a_checksum_instead_of_content_md5(raw, bucket, algorithm):
    answer = raw.request("POST", f"/{bucket}", QUERY, {header(algorithm): checksum(algorithm, BODY)}, BODY)
    assert answer.status == 200 and answer.text("Key") == "k", answer


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_wrong_checksum_deletes_nothing(raw, s3, bucket, algorithm):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    answer = raw.request("POST", f"/{bucket}", QUERY, {header(algorithm): checksum(algorithm, b"other")}, BODY)
    answered(answer, "BadDigest")
    s3.head_object(Bucket=bucket, Key="k")


def test_a_wrong_content_md5_deletes_nothing(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    answered(raw.request("POST", f"/{bucket}", QUERY, {"Content-MD5": md5}, BODY), "BadDigest")
    s3.head_object(Bucket=bucket, Key="k")


def test_neither_content_md5_nor_checksum_is_refused(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    answered(raw.request("POST", f"/{bucket}", QUERY, {}, BODY), "InvalidRequest")
    s3.head_object(Bucket=bucket, Key="k")


@pytest.mark.parametrize(
    "body",
    [b"", b"not xml", b"<Delete>", b"<Delete></Delete>", b"<Other/>", b"<Delete><Object></Object></Delete>", b"<!DOCTYPE d [<!ENTITY e 'x'>]><Delete>&e;</Delete>"],
)
def test_malformed_bodies(raw, bucket, body):
    answered(raw.request("POST", f"/{bucket}", QUERY, {"Content-MD5": md5_header(body)}, body), "MalformedXML")
