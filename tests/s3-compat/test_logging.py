"""Access logs of buckets: where they go, what a line says, and that no signature is in it."""

import re

import pytest
import urllib3
from larderlib.clients import boto, unique_bucket
from larderlib.expect import refused
from larderlib.rawhttp import Raw
from larderlib.server import Larder, poll

FIELD = re.compile(r'\[[^\]]*\]|"[^"]*"|\S+')
NAMES = (
    "owner bucket time ip requester id operation key request status error sent size total turnaround referer agent version host_id"
    " signature cipher authentication host tls access_point acl"
).split()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Larder(directory=tmp_path_factory.mktemp("logging"), extra_args=["--access-log-interval", "1s"]) as server:
        yield server


@pytest.fixture
def s3(server):
    return boto(server)


@pytest.fixture
def buckets(s3):
    """A bucket whose requests are logged, and the one that gets the logs."""
    source, target = unique_bucket("source"), unique_bucket("logs")
    for name in (source, target):
        s3.create_bucket(Bucket=name)
    return source, target


def log(s3, source, target, prefix="log/", **more):
    enabled = {"TargetBucket": target, "TargetPrefix": prefix, **more}
    s3.put_bucket_logging(Bucket=source, BucketLoggingStatus={"LoggingEnabled": enabled})


def entries(s3, target, prefix=""):
    found = []
    for listed in s3.list_objects_v2(Bucket=target, Prefix=prefix).get("Contents", []):
        got = s3.get_object(Bucket=target, Key=listed["Key"])
        assert got["ContentType"] == "text/plain"
        for line in got["Body"].read().decode().splitlines():
            fields = FIELD.findall(line)
            assert len(fields) == len(NAMES), line
            found.append(dict(zip(NAMES, fields)))
    return found


def logged(s3, target, operation, count=1):
    """The entries of an operation, once there are so many."""
    return poll(lambda: (of := [e for e in entries(s3, target) if e["operation"] == operation]) and len(of) >= count and of, 30, operation)


def test_logging_is_set_read_and_ended(s3, buckets):
    source, target = buckets
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=source)
    for more in ({}, {"TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}}):
        log(s3, source, target, **more)
        assert s3.get_bucket_logging(Bucket=source)["LoggingEnabled"] == {"TargetBucket": target, "TargetPrefix": "log/", **more}
    s3.put_bucket_logging(Bucket=source, BucketLoggingStatus={})
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=source)


def test_destinations_that_cannot_be(server, s3, buckets, tmp_path):
    source, target = buckets
    with refused("InvalidTargetBucketForLogging", status=400):
        log(s3, source, unique_bucket())
    with refused("InvalidTargetBucketForLogging", status=400):
        log(s3, source, "No Bucket")
    with refused("NoSuchBucket"):
        log(s3, unique_bucket(), target)
    with refused("NotImplemented"):
        log(s3, source, target, TargetGrants=[{"Grantee": {"Type": "CanonicalUser", "ID": "a" * 64}, "Permission": "READ"}])
    with refused("MalformedXML"):
        log(s3, source, target, TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": "Yesterday"}})


def test_requests_are_logged_in_s3s_format(server, s3, buckets):
    source, target = buckets
    log(s3, source, target)
    s3.put_object(Bucket=source, Key="a b", Body=b"x" * 100)
    s3.get_object(Bucket=source, Key="a b", Range="bytes=0-9")
    with refused("NoSuchKey"):
        s3.get_object(Bucket=source, Key="none")
    owner = s3.list_buckets()["Owner"]["ID"]

    (put,) = logged(s3, target, "REST.PUT.OBJECT")
    assert (put["owner"], put["bucket"], put["requester"], put["ip"]) == (owner, source, owner, "127.0.0.1")
    assert (put["key"], put["status"], put["error"], put["size"], put["sent"]) == ("a%2520b", "200", "-", "100", "-")
    assert put["request"].startswith(f'"PUT /{source}/a%20b') and put["request"].endswith(' HTTP/1.1"')
    assert (put["signature"], put["authentication"], put["host"]) == ("SigV4", "AuthHeader", server.address)
    assert "Boto3" in put["agent"] and re.fullmatch(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]", put["time"])

    got, missing = logged(s3, target, "REST.GET.OBJECT", 2)
    assert (got["status"], got["sent"], got["size"]) == ("206", "10", "100")
    assert (missing["status"], missing["error"], missing["key"]) == ("404", "NoSuchKey", "none")


def test_who_asked_and_how(server, s3, buckets):
    source, target = buckets
    log(s3, source, target)
    raw = Raw(server)
    s3.put_object(Bucket=source, Key="k", Body=b"x")
    assert raw.send("GET", f"/{source}/k").status == 403
    address = s3.generate_presigned_url("get_object", Params={"Bucket": source, "Key": "k"})
    assert raw.send("GET", address.removeprefix(server.endpoint)).status == 200
    nobody, presigned = logged(s3, target, "REST.GET.OBJECT", 2)
    assert (nobody["requester"], nobody["status"], nobody["error"], nobody["authentication"]) == ("-", "403", "AccessDenied", "-")
    assert (presigned["status"], presigned["authentication"]) == ("200", "QueryString")
    signature = re.search("Signature=([^&]+)", address).group(1)
    assert signature not in presigned["request"] and "Signature=-" in presigned["request"]


def test_a_form_is_logged_with_who_signed_it_and_its_key(server, s3, buckets):
    source, target = buckets
    log(s3, source, target)
    made = s3.generate_presigned_post(source, "from a form")
    body, content_type = urllib3.encode_multipart_formdata([*made["fields"].items(), ("file", ("f", b"x"))])
    assert Raw(server).send("POST", f"/{source}", headers={"Content-Type": content_type, "Content-Length": str(len(body))}, body=body).status == 204
    (posted,) = logged(s3, target, "REST.POST.OBJECT")
    assert (posted["requester"], posted["status"], posted["key"]) == (s3.list_buckets()["Owner"]["ID"], "204", "from%2520a%2520form")


def test_keys_by_account_and_day_and_a_stop_writes_what_is_gathered(server, s3, buckets):
    source, target = buckets
    log(s3, source, target, prefix="", TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": "DeliveryTime"}})
    s3.head_bucket(Bucket=source)
    server.restart()
    s3 = boto(server)
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=target)["Contents"]]
    expected = rf"000000000000/us-east-1/{source}/(\d{{4}})/(\d\d)/(\d\d)/\1-\2-\3-\d\d-\d\d-\d\d-[0-9A-F]{{16}}"
    assert keys and all(re.fullmatch(expected, key) for key in keys), keys
    assert any(entry["operation"] == "REST.HEAD.BUCKET" for entry in entries(s3, target))


def test_a_target_that_is_gone_hurts_nobody(server, s3, buckets):
    source, target = buckets
    log(s3, source, target)

    def is_deleted():
        for listed in s3.list_objects_v2(Bucket=target).get("Contents", []):
            s3.delete_object(Bucket=target, Key=listed["Key"])
        try:
            s3.delete_bucket(Bucket=target)
        except s3.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "BucketNotEmpty"
            return False
        return True

    poll(is_deleted, 30, "the target's deletion")
    s3.put_object(Bucket=source, Key="k", Body=b"x")
    poll(lambda: f"access log not written source={source}" in server.log_path.read_text(), 30, "a warning")
    assert s3.get_object(Bucket=source, Key="k")["Body"].read() == b"x"
