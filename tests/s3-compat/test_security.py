"""Threats of docs/security.md that no other suite has a test for."""

import urllib.error
import urllib.request

import pytest
from larderlib.clients import boto
from larderlib.expect import answered, refused
from larderlib.iam import User, policy, query, statement
from larderlib.rawhttp import STREAMING_SIGNED
from larderlib.tenants import ALPHA, tenants


@pytest.fixture(scope="module")
def all(tmp_path_factory):
    with tenants(tmp_path_factory.mktemp("security"), "--access-log-interval", "1s") as all:
        yield all


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_session_tokens_of_ones_own_making_open_nothing(all):
    bucket, raw = all.bucket(), all.raw
    for token in ("made-up", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.", "a" * 2000):
        answered(raw.request("GET", f"/{bucket}", headers={"x-amz-security-token": token}), "InvalidToken")
        answered(raw.presigned("GET", f"/{bucket}", [("X-Amz-Security-Token", token)]), "InvalidToken")


def test_chunks_of_another_upload_are_refused(all):
    """Whoever listens to one upload can't put its chunks into another, though key, length and order are the same."""
    name, frames, chunks = "buckets-of-root", [], [b"a" * 8192, b"b" * 100]
    all.root.create_bucket(Bucket=name)
    answer = all.raw.put_streaming(f"/{name}/k", chunks, STREAMING_SIGNED, spoil=lambda _, frame: frames.append(frame) or frame)
    assert answer.status == 200
    again = iter(frames)
    headers = {"x-amz-meta-of": "another"}
    answered(all.raw.put_streaming(f"/{name}/k", chunks, STREAMING_SIGNED, headers=headers, spoil=lambda *_: next(again)), "SignatureDoesNotMatch")
    assert all.root.head_object(Bucket=name, Key="k")["Metadata"] == {}


def test_an_address_that_was_given_away_ends_with_the_key_that_signed_it(all):
    bucket = all.bucket()
    all.alpha.put_object(Bucket=bucket, Key="k", Body=b"x")
    iam = query("iam", all.server, **ALPHA.pair)
    user = User(all.server, iam, "leaky", statement("s3:GetObject", f"arn:aws:s3:::{bucket}/*"))
    urls = [boto(all.server, **user.pair, signature_version=version).generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}) for version in ("s3", "s3v4")]
    assert [status_of(url) for url in urls] == [200, 200]
    iam.put_user_policy(UserName="leaky", PolicyName="inline", PolicyDocument=policy(statement("s3:GetObject", f"arn:aws:s3:::{bucket}/other")))
    assert [status_of(url) for url in urls] == [403, 403], "it never opens more than the user may do now"
    user.allow(statement("s3:GetObject", f"arn:aws:s3:::{bucket}/*"))
    assert [status_of(url) for url in urls] == [200, 200]
    iam.update_access_key(UserName="leaky", AccessKeyId=user.key["AccessKeyId"], Status="Inactive")
    assert [status_of(url) for url in urls] == [403, 403]


def test_nobody_has_the_server_write_into_the_bucket_of_another_account(all):
    """A confused deputy: access logs are written by the server, which may write everywhere."""
    theirs = all.bucket()
    all.beta.create_bucket(Bucket="logs-of-beta")
    enabled = {"LoggingEnabled": {"TargetBucket": theirs, "TargetPrefix": "p/"}}
    with refused("InvalidTargetBucketForLogging", status=400):
        all.beta.put_bucket_logging(Bucket="logs-of-beta", BucketLoggingStatus=enabled)
    assert "Contents" not in all.alpha.list_objects_v2(Bucket=theirs)


def test_what_a_user_may_not_do_it_has_nobody_do_for_it(all):
    """A copy reads and writes for who asks; policies and lists that would open a bucket to others are the account's to set."""
    bucket = all.bucket()
    all.alpha.put_object(Bucket=bucket, Key="secret", Body=b"x")
    iam = query("iam", all.server, **ALPHA.pair)
    own = statement(["s3:PutObject", "s3:GetObject"], f"arn:aws:s3:::{bucket}/own/*")
    user = User(all.server, iam, "copier", own).s3
    user.put_object(Bucket=bucket, Key="own/k", Body=b"x")
    user.copy_object(Bucket=bucket, Key="own/copy", CopySource={"Bucket": bucket, "Key": "own/k"})
    everybody = policy({**statement("s3:GetObject", f"arn:aws:s3:::{bucket}/*"), "Principal": "*"})
    upload = {"Bucket": bucket, "Key": "own/m", "UploadId": user.create_multipart_upload(Bucket=bucket, Key="own/m")["UploadId"]}
    for attempt in (
        lambda: user.copy_object(Bucket=bucket, Key="own/stolen", CopySource={"Bucket": bucket, "Key": "secret"}),
        lambda: user.copy_object(Bucket=bucket, Key="secret", CopySource={"Bucket": bucket, "Key": "own/k"}),
        lambda: user.upload_part_copy(**upload, PartNumber=1, CopySource={"Bucket": bucket, "Key": "secret"}),
        lambda: user.put_bucket_policy(Bucket=bucket, Policy=everybody),
        lambda: query("iam", all.server, **user_pair(user)).put_user_policy(UserName="copier", PolicyName="more", PolicyDocument=policy(statement("*"))),
    ):
        with refused("AccessDenied"):
            attempt()
    assert all.alpha.get_object(Bucket=bucket, Key="secret")["Body"].read() == b"x"


def user_pair(client):
    credentials = client._request_signer._credentials
    return {"access_key": credentials.access_key, "secret_key": credentials.secret_key}
