"""Uploads by HTML form: as boto3 presigns them, and every way in which a form can be wrong."""

import base64
import datetime
import hashlib
import hmac
import json
import secrets
import urllib.parse

import pytest
from larderlib.clients import boto, random_bytes, unique_bucket
from larderlib.expect import answered, refused

BOUNDARY = "----" + "b" * 24


def encoded(fields, file=None, boundary=BOUNDARY, file_name="name.txt"):
    """A form as a browser sends it: fields in order, the file last."""
    out = b""
    for name, value in fields:
        value = value if isinstance(value, bytes) else value.encode()
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
    if file is not None:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file_name}"\r\nContent-Type: text/plain\r\n\r\n'
        out += head.encode() + file + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


def post(raw, bucket, body, boundary=BOUNDARY, headers=None):
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return raw.send("POST", f"/{bucket}", headers=kind | (headers or {}), body=body)


class Signed:
    """Forms signed for one server, with version 4 or version 2."""

    def __init__(self, server):
        self.server = server

    def fields(self, bucket, demands=(), fields=(), minutes=10, version=4, secret=None, region=None, **document):
        """The form's fields, policy and signature included. Every field gets a condition of its own unless it has one."""
        now = datetime.datetime.now(datetime.timezone.utc)
        date = now.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{date[:8]}/{region or self.server.region}/s3/aws4_request"
        fields = [*fields]
        if version == 4:
            fields += [("x-amz-algorithm", "AWS4-HMAC-SHA256"), ("x-amz-credential", f"{self.server.access_key}/{scope}"), ("x-amz-date", date)]
        named = {str(c[1]).lstrip("$").lower() for c in demands}
        own = [{name: value} for name, value in fields if name.lower() not in named and not name.lower().startswith("x-ignore-")]
        end = (now + datetime.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        policy = {"expiration": end, "conditions": [{"bucket": bucket}, *demands, *own]} | document
        encoded = base64.b64encode(json.dumps({name: value for name, value in policy.items() if value is not None}).encode()).decode()
        secret = secret or self.server.secret_key
        if version == 2:
            digest = hmac.new(secret.encode(), encoded.encode(), hashlib.sha1).digest()
            return [*fields, ("AWSAccessKeyId", self.server.access_key), ("policy", encoded), ("signature", base64.b64encode(digest).decode())]
        key = ("AWS4" + secret).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return [*fields, ("policy", encoded), ("x-amz-signature", hmac.new(key, encoded.encode(), hashlib.sha256).hexdigest())]


@pytest.fixture
def signed(server):
    return Signed(server)


def test_a_form_that_boto3_presigned(s3, raw, bucket):
    made = s3.generate_presigned_post(bucket, "dir/${filename}", Conditions=[["content-length-range", 1, 100], ["starts-with", "$Content-Type", "text/"]])
    fields = [*made["fields"].items(), ("Content-Type", "text/csv")]
    answer = post(raw, bucket, encoded(fields, b"a,b", file_name="C:\\tables\\t.csv"))
    assert answer.status == 204 and answer.body == b""
    got = s3.get_object(Bucket=bucket, Key="dir/t.csv")
    assert got["Body"].read() == b"a,b" and got["ContentType"] == "text/csv"
    assert answer.headers["etag"] == got["ETag"]
    assert urllib.parse.urlsplit(answer.headers["location"]).path == f"/{bucket}/dir/t.csv"


@pytest.mark.parametrize("version", [4, 2])
def test_all_that_a_form_can_say(s3, raw, bucket, signed, version):
    tags = "<Tagging><TagSet><Tag><Key>team</Key><Value>db + web</Value></Tag></TagSet></Tagging>"
    fields = [
        ("key", "k"),
        ("Content-Type", "text/html"),
        ("Cache-Control", "no-cache"),
        ("Content-Disposition", "attachment"),
        ("Content-Encoding", "gzip"),
        ("x-amz-meta-Color", "blue"),
        ("tagging", tags),
        ("acl", "bucket-owner-full-control"),
        ("x-amz-storage-class", "STANDARD"),
        ("x-ignore-me", "anything"),
    ]
    answer = post(raw, bucket, encoded(signed.fields(bucket, fields=fields, version=version), b"body"))
    assert answer.status == 204, answer
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"body" and got["Metadata"] == {"color": "blue"}
    assert [got[name] for name in ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding")] == ["text/html", "no-cache", "attachment", "gzip"]
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "team", "Value": "db + web"}]


@pytest.mark.parametrize("asked, status", [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204)])
def test_the_status_that_a_form_asks_for(raw, bucket, signed, asked, status):
    answer = post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", "a b"), ("success_action_status", asked)]), b"x"))
    assert answer.status == status
    if status == 201:
        assert answer.xml.tag == "PostResponse"
        assert (answer.text("Bucket"), answer.text("Key"), answer.text("ETag")) == (bucket, "a b", answer.headers["etag"])
        assert answer.text("Location").endswith(f"/{bucket}/a%20b")


def test_a_form_that_sends_its_browser_on(raw, bucket, signed):
    for to, sign in (("https://example.com/done", "?"), ("https://example.com/done?a=b", "&")):
        answer = post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", "a/b"), ("success_action_redirect", to)]), b"x"))
        etag = urllib.parse.quote(answer.headers["etag"], safe="")
        assert answer.status == 303 and answer.headers["location"] == f"{to}{sign}bucket={bucket}&key=a/b&etag={etag}"
    answer = post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", "k"), ("success_action_redirect", "no address")]), b"x"))
    assert answer.status == 204


def test_a_large_file_and_one_that_looks_like_a_boundary(s3, raw, bucket, signed):
    for body in (random_bytes(9 << 20), f"\r\n--{BOUNDARY[:-1]}\r\n--".encode() * 1000, b"", b"\r\n"):
        key = secrets.token_hex(4)
        answer = post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", key)]), body))
        assert answer.status == 204
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body


def test_in_host_style(server, s3, raw, bucket, signed):
    body = encoded(signed.fields(bucket, fields=[("key", "k")]), b"x")
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Host": f"{bucket}.s3.localhost"}
    answer = raw.send("POST", "/", headers=headers, body=body)
    assert answer.status == 204 and answer.headers["location"] == f"http://{bucket}.s3.localhost/k"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def absent(s3, bucket, key="k"):
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"demands": [["starts-with", "$key", "user/"]]}, 'Invalid according to Policy: Policy Condition failed: ["starts-with","$key","user/"]'),
        ({"demands": [["eq", "$acl", "private"]]}, 'Invalid according to Policy: Policy Condition failed: ["eq","$acl","private"]'),
        ({"minutes": -1}, "Invalid according to Policy: Policy expired."),
    ],
)
def test_a_form_that_does_not_keep_to_its_policy(s3, raw, bucket, signed, changes, message):
    answer = post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", "k")], **changes), b"x"))
    answered(answer, "AccessDenied")
    assert answer.text("Message") == message
    absent(s3, bucket)


def test_a_field_without_a_condition_and_a_policy_of_another_bucket(s3, raw, bucket, signed):
    fields = signed.fields(bucket, fields=[("key", "k")])
    answer = post(raw, bucket, encoded([*fields, ("x-amz-meta-a", "b")], b"x"))
    answered(answer, "AccessDenied")
    assert answer.text("Message") == "Invalid according to Policy: Extra input fields: x-amz-meta-a"
    answer = post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", "k")], version=2, conditions=[{"key": "k"}]), b"x"))
    answered(answer, "AccessDenied")
    assert answer.text("Message") == "Invalid according to Policy: Extra input fields: bucket"
    other = unique_bucket()
    s3.create_bucket(Bucket=other)
    answered(post(raw, other, encoded(fields, b"x")), "AccessDenied")
    absent(s3, bucket), absent(s3, other)


def test_the_length_that_a_policy_allows(s3, raw, bucket, signed):
    for size, code in ((1, "EntityTooSmall"), (2, None), (5, None), (6, "EntityTooLarge"), (3 << 20, "EntityTooLarge")):
        fields = signed.fields(bucket, [["content-length-range", 2, 5]], [("key", f"k{size}")])
        answer = post(raw, bucket, encoded(fields, b"x" * size))
        if code is None:
            assert answer.status == 204
        else:
            assert answer.status == 400 and answer.code == code
            absent(s3, bucket, f"k{size}")


def test_who_signed(s3, raw, bucket, signed):
    for version in (4, 2):
        fields = [("key", "k")]
        answered(post(raw, bucket, encoded(signed.fields(bucket, fields=fields, version=version, secret="wrong"), b"x")), "SignatureDoesNotMatch")
        good = signed.fields(bucket, fields=fields, version=version)
        unknown = [(n, v.replace(signed.server.access_key, "NOBODY")) for n, v in good]
        answered(post(raw, bucket, encoded(unknown, b"x")), "InvalidAccessKeyId", "AccessDenied")
        tampered = [(n, base64.b64encode(base64.b64decode(v) + b" ").decode() if n == "policy" else v) for n, v in good]
        answered(post(raw, bucket, encoded(tampered, b"x")), "SignatureDoesNotMatch")
    answer = post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", "k")], region="eu-west-1"), b"x"))
    assert answer.status == 400 and answer.code == "AuthorizationQueryParametersError"
    answered(post(raw, bucket, encoded([("key", "k")], b"x")), "AccessDenied")
    absent(s3, bucket)


def test_a_signature_that_lacks_something(s3, raw, bucket, signed):
    fields = signed.fields(bucket, fields=[("key", "k")])
    for name in ("policy", "x-amz-signature", "x-amz-credential", "x-amz-date", "x-amz-algorithm"):
        answer = post(raw, bucket, encoded([f for f in fields if f[0] != name], b"x"))
        answered(answer, "InvalidArgument")
        assert answer.text("ArgumentName") == name
    absent(s3, bucket)


@pytest.mark.parametrize("document", [{"expiration": None}, {"conditions": None}, {"expiration": "tomorrow"}, {"conditions": [1]}, {"conditions": [{}]}, {"conditions": [["near", "$key", "k"]]}])
def test_what_is_no_policy(s3, raw, bucket, signed, document):
    answer = post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", "k")], **document), b"x"))
    assert answer.status == 400 and answer.code == "InvalidPolicyDocument"
    absent(s3, bucket)


def test_what_is_no_form(s3, raw, bucket, signed):
    fields = signed.fields(bucket, fields=[("key", "k")])
    answered(post(raw, bucket, encoded([f for f in fields if f[0] != "key"], b"x")), "InvalidArgument")
    answered(post(raw, bucket, encoded(fields)), "InvalidArgument")
    malformed = post(raw, bucket, b"--other\r\n" + b"x" * 10_000)
    assert malformed.status == 400 and malformed.code == "MalformedPOSTRequest"
    answer = raw.send("POST", f"/{bucket}", headers={"Content-Type": "text/plain"}, body=b"x")
    assert answer.status == 412
    large = post(raw, bucket, encoded([*fields, ("x-ignore-a", "x" * 20_000)], b"x"))
    assert large.status == 400 and large.code == "MaxPostPreDataLengthExceeded"
    cut = encoded(fields, b"x" * 100_000)[: -len(BOUNDARY) - 20]
    answer = post(raw, bucket, cut)
    answered(answer, "IncompleteBody")
    absent(s3, bucket)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_checksum_and_an_md5_are_checked(s3, raw, bucket, signed):
    right = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"y").digest()).decode()
    assert post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", "k"), ("Content-MD5", right)]), b"x")).status == 204
    answered(post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", "w"), ("Content-MD5", wrong)]), b"x")), "BadDigest")
    sha = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    answer = post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", "s"), ("x-amz-checksum-sha256", sha)]), b"x"))
    assert answer.status == 204 and answer.headers["x-amz-checksum-sha256"] == sha
    answered(post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", "w"), ("x-amz-checksum-sha256", sha)]), b"y")), "BadDigest")
    absent(s3, bucket, "w")


def test_a_form_makes_a_version(s3, raw, bucket, signed):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    ids = {post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", "k")]), b"x")).headers["x-amz-version-id"] for _ in range(2)}
    assert {v["VersionId"] for v in s3.list_object_versions(Bucket=bucket)["Versions"]} == ids and len(ids) == 2


def test_a_bucket_that_is_not_there(raw, signed):
    name = unique_bucket()
    answered(post(raw, name, encoded(signed.fields(name, fields=[("key", "k")]), b"x")), "NoSuchBucket")


def test_a_form_is_told_when_its_object_expires(s3, raw, bucket, signed):
    rule = {"ID": "soon", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    for key, expires in (("tmp/k", True), ("k", False)):
        answer = post(raw, bucket, encoded(signed.fields(bucket, fields=[("key", key)]), b"x"))
        assert answer.status == 204 and ('rule-id="soon"' in answer.headers.get("x-amz-expiration", "")) == expires
