"""Bucket policies: what can be set, what they let other accounts and nobody do, and what they deny everybody."""

import datetime
import json
import subprocess
import time

import pytest
from botocore.exceptions import ClientError
from larderlib.clients import boto, client_environment, unique_bucket
from larderlib.expect import answered, refused, status
from larderlib.need import tool
from larderlib.rawhttp import Raw, exchange
from larderlib.tenants import ALPHA, BETA, document, set_policy, statement, tenants

IS_BETA = {"AWS": BETA.arn}


@pytest.fixture(scope="module")
def all(tmp_path_factory):
    """Trusts this machine as a proxy, so that tests can come from anywhere."""
    with tenants(tmp_path_factory.mktemp("policy"), "--trusted-proxy", "127.0.0.0/8") as everybody:
        yield everybody


@pytest.fixture
def alpha(all):
    return all.alpha


@pytest.fixture
def beta(all):
    return all.beta


@pytest.fixture
def anyone(all):
    return all.anyone


@pytest.fixture
def name(all):
    return all.bucket()


def from_address(client, address, proto=None):
    """The client's requests come through a proxy that says they are from there."""

    def add(request, **_):
        request.headers["X-Forwarded-For"] = address
        if proto:
            request.headers["X-Forwarded-Proto"] = proto

    client.meta.events.register("before-send.s3", add)
    return client


# What can be set.


def test_a_policy_comes_back_as_it_was_put_until_it_is_deleted(alpha, name):
    with refused("NoSuchBucketPolicy", 404):
        alpha.get_bucket_policy(Bucket=name)
    text = document(statement(name, "s3:GetObject", key="*", Sid="Read"))
    put = alpha.put_bucket_policy(Bucket=name, Policy=text)
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert alpha.get_bucket_policy(Bucket=name)["Policy"] == text
    alpha.delete_bucket_policy(Bucket=name)
    alpha.delete_bucket_policy(Bucket=name)
    with refused("NoSuchBucketPolicy", 404):
        alpha.get_bucket_policy(Bucket=name)
    with refused("NoSuchBucket", 404):
        alpha.put_bucket_policy(Bucket=unique_bucket(), Policy=text)
    with refused("NoSuchBucket", 404):
        alpha.get_bucket_policy(Bucket=unique_bucket())


def bad(change, what=None, of=None):
    """A policy with something changed in it, or without `what`."""
    made = statement("BUCKET", "s3:GetObject", key="*")
    if what:
        del made[what]
    made.update(of or {})
    text = document(made)
    return change(text) if change else text


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "Policies must be valid JSON and the first byte must be '{'"),
        ("[]", "Policies must be valid JSON and the first byte must be '{'"),
        ("{", "This policy contains invalid Json"),
        (json.dumps({"Version": "2012-10-17"}), "Missing required field Statement"),
        (json.dumps({"Version": "2012-10-17", "Statement": []}), "Could not parse the policy: Statement is empty!"),
        (bad(lambda t: t.replace("2012-10-17", "2013-10-17")), "The policy must contain a valid version string"),
        (bad(None, "Principal"), "Missing required field Principal"),
        (bad(None, "Action"), "Missing required field Action"),
        (bad(None, "Resource"), "Missing required field Resource"),
        (bad(None, "Effect"), "Missing required field Effect"),
        (bad(None, of={"Effect": "hello"}), "Invalid effect: hello"),
        (bad(None, of={"Principal": {}}), "Missing required field Principal cannot be empty!"),
        (bad(None, of={"Principal": {"AWS": "nobody"}}), "Invalid principal in policy"),
        (bad(None, of={"Principal": {"AWS": "999999999999"}}), "Invalid principal in policy"),
        (bad(None, of={"Principal": {"AWS": "arn:aws:iam::111111111111:user/nobody"}}), "Invalid principal in policy"),
        (bad(None, of={"Action": "s3:NoSuchAction"}), "Policy has invalid action"),
        (bad(None, of={"Action": "s3:ListBucket"}), "Action does not apply to any resource(s) in statement"),
        (bad(None, of={"Resource": "arn:aws:s3:::another/*"}), "Policy has invalid resource"),
        (bad(None, of={"Resource": "*"}), "Policy has invalid resource"),
        (bad(None, of={"Comment": "x"}), "Unknown field Comment"),
        (bad(None, of={"Condition": {"StringEquals": {"s3:prefix": "a"}}}), "Conditions do not apply to combination of actions and resources in statement"),
        (bad(None, of={"Condition": {"StringEquals": {"s3:nothing": "a"}}}), "Policy has an invalid condition key"),
        (bad(None, of={"Condition": {"StringIs": {"aws:UserAgent": "a"}}}), "Invalid Condition type : StringIs"),
        (bad(lambda t: t.replace('"Effect": "Allow"', '"Effect": "Allow", "Effect": "Allow"')), "Invalid policy syntax."),
    ],
)
def test_what_is_no_policy_is_refused_in_the_words_of_aws(all, name, text, message):
    answer = boto(all.server, **ALPHA.pair)
    with pytest.raises(ClientError) as failed:
        answer.put_bucket_policy(Bucket=name, Policy=text.replace("BUCKET", name))
    error = failed.value.response
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("MalformedPolicy", 400)
    assert error["Error"]["Message"] == message
    with refused("NoSuchBucketPolicy"):
        answer.get_bucket_policy(Bucket=name)


def test_policies_have_at_most_20_kib(alpha, name):
    text = document(statement(name, "s3:GetObject", key="*"))
    alpha.put_bucket_policy(Bucket=name, Policy=text + " " * (20 * 1024 - len(text)))
    with refused("MalformedPolicy", 400):
        alpha.put_bucket_policy(Bucket=name, Policy=text + " " * (20 * 1024 - len(text) + 1))


def test_a_policy_outlives_a_restart(tmp_path):
    with tenants(tmp_path) as everybody:
        name = everybody.bucket()
        everybody.alpha.put_object(Bucket=name, Key="k", Body=b"x")
        set_policy(everybody.alpha, name, statement(name, "s3:GetObject", key="*"))
        everybody.server.restart()
        assert boto(everybody.server, **BETA.pair).get_object(Bucket=name, Key="k")["Body"].read() == b"x"


# Other accounts.


def test_another_account_may_do_what_the_policy_allows_and_nothing_else(alpha, beta, anyone, name):
    alpha.put_object(Bucket=name, Key="in/k", Body=b"x")
    alpha.put_object(Bucket=name, Key="out/k", Body=b"x")
    set_policy(alpha, name, statement(name, ["s3:GetObject", "s3:PutObject"], principal=IS_BETA, key="in/*"))
    assert beta.get_object(Bucket=name, Key="in/k")["Body"].read() == b"x"
    beta.put_object(Bucket=name, Key="in/new", Body=b"y")
    upload = beta.create_multipart_upload(Bucket=name, Key="in/m")["UploadId"]
    part = beta.upload_part(Bucket=name, Key="in/m", UploadId=upload, PartNumber=1, Body=b"z")
    done = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    beta.complete_multipart_upload(Bucket=name, Key="in/m", UploadId=upload, MultipartUpload=done)
    assert alpha.get_object(Bucket=name, Key="in/m")["Body"].read() == b"z"
    for attempt in (
        lambda: beta.get_object(Bucket=name, Key="out/k"),
        lambda: beta.put_object(Bucket=name, Key="out/new", Body=b"y"),
        lambda: beta.delete_object(Bucket=name, Key="in/k"),
        lambda: beta.list_objects_v2(Bucket=name),
        lambda: beta.get_bucket_policy(Bucket=name),
        lambda: beta.get_object_tagging(Bucket=name, Key="in/k"),
        lambda: beta.put_object(Bucket=name, Key="in/tagged", Body=b"y", Tagging="a=b"),
        lambda: beta.delete_bucket(Bucket=name),
        lambda: anyone.get_object(Bucket=name, Key="in/k"),
    ):
        with refused("AccessDenied", 403):
            attempt()
    alpha.delete_bucket_policy(Bucket=name)
    with refused("AccessDenied", 403):
        beta.get_object(Bucket=name, Key="in/k")


@pytest.mark.parametrize("principal", [{"AWS": BETA.id}, {"AWS": [ALPHA.arn, BETA.arn]}, {"CanonicalUser": BETA.canonical_id}, {"AWS": "*"}, "*"])
def test_all_ways_to_name_an_account(alpha, beta, name, principal):
    alpha.put_object(Bucket=name, Key="k", Body=b"x")
    set_policy(alpha, name, statement(name, "s3:GetObject", principal=principal, key="*"))
    assert beta.get_object(Bucket=name, Key="k")["Body"].read() == b"x"


def test_another_account_may_not_change_a_policy_whatever_it_says(alpha, beta, name):
    set_policy(alpha, name, statement(name, ["s3:PutBucketPolicy", "s3:GetBucketPolicy", "s3:DeleteBucketPolicy"], principal=IS_BETA))
    text = alpha.get_bucket_policy(Bucket=name)["Policy"]
    for attempt in (lambda: beta.get_bucket_policy(Bucket=name), lambda: beta.put_bucket_policy(Bucket=name, Policy=text), lambda: beta.delete_bucket_policy(Bucket=name)):
        with refused("MethodNotAllowed", 405):
            attempt()


def test_a_denial_holds_for_the_owner_too_who_can_always_take_it_back(alpha, name):
    alpha.put_object(Bucket=name, Key="k", Body=b"x")
    both = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    set_policy(alpha, name, {**statement(name, "s3:*", "Deny"), "Resource": both})
    for attempt in (
        lambda: alpha.get_object(Bucket=name, Key="k"),
        lambda: alpha.list_objects_v2(Bucket=name),
        lambda: alpha.put_object(Bucket=name, Key="k", Body=b"y"),
        lambda: alpha.get_bucket_versioning(Bucket=name),
        lambda: alpha.delete_bucket(Bucket=name),
        lambda: alpha.get_bucket_policy_status(Bucket=name),
    ):
        with refused("AccessDenied", 403):
            attempt()
    assert "Deny" in alpha.get_bucket_policy(Bucket=name)["Policy"]
    alpha.put_bucket_policy(Bucket=name, Policy=alpha.get_bucket_policy(Bucket=name)["Policy"])
    alpha.delete_bucket_policy(Bucket=name)
    assert alpha.get_object(Bucket=name, Key="k")["Body"].read() == b"x"


def test_a_denial_wins_over_what_is_allowed(alpha, beta, name):
    alpha.put_object(Bucket=name, Key="a/k", Body=b"x")
    alpha.put_object(Bucket=name, Key="secret/k", Body=b"x")
    set_policy(alpha, name, statement(name, "s3:GetObject", key="*"), statement(name, "s3:*", "Deny", IS_BETA, key="secret/*"))
    beta.get_object(Bucket=name, Key="a/k")
    with refused("AccessDenied", 403):
        beta.get_object(Bucket=name, Key="secret/k")
    alpha.get_object(Bucket=name, Key="secret/k")


def test_not_action_not_resource_and_not_principal(alpha, beta, anyone, name):
    alpha.put_object(Bucket=name, Key="a/k", Body=b"x")
    alpha.put_object(Bucket=name, Key="b/k", Body=b"x")
    objects = f"arn:aws:s3:::{name}/*"
    only_beta = {"Effect": "Deny", "NotPrincipal": {"AWS": [BETA.arn, ALPHA.arn]}, "Action": "s3:*", "Resource": objects}
    no_deletes = {"Effect": "Allow", "Principal": "*", "NotAction": "s3:Delete*", "Resource": objects}
    only_a = {"Effect": "Deny", "Principal": IS_BETA, "Action": "s3:GetObject", "NotResource": f"arn:aws:s3:::{name}/a/*"}
    set_policy(alpha, name, no_deletes, only_beta, only_a)
    beta.get_object(Bucket=name, Key="a/k")
    for attempt in (lambda: beta.delete_object(Bucket=name, Key="a/k"), lambda: beta.get_object(Bucket=name, Key="b/k"), lambda: anyone.get_object(Bucket=name, Key="a/k")):
        with refused("AccessDenied", 403):
            attempt()
    alpha.get_object(Bucket=name, Key="b/k")


# Nobody.


def test_requests_without_a_signature_may_do_what_everybody_may(all, alpha, anyone, name):
    alpha.put_object(Bucket=name, Key="k", Body=b"hello")
    set_policy(alpha, name, statement(name, ["s3:GetObject", "s3:PutObject"], key="public/*"), statement(name, "s3:GetObject", key="k"))
    plain = all.raw.send("GET", f"/{name}/k")
    assert (plain.status, plain.body) == (200, b"hello")
    assert all.raw.send("GET", f"/{name}/k", headers={"Range": "bytes=1-2"}).body == b"el"
    assert all.raw.send("HEAD", f"/{name}/k").status == 200
    assert all.raw.send("PUT", f"/{name}/public/new", body=b"from a browser").status == 200
    assert anyone.get_object(Bucket=name, Key="public/new")["Body"].read() == b"from a browser"
    anyone.put_object(Bucket=name, Key="public/boto", Body=b"x" * 100_000, ChecksumAlgorithm="CRC32")
    assert alpha.head_object(Bucket=name, Key="public/boto")["ContentLength"] == 100_000
    answered(all.raw.send("PUT", f"/{name}/k", body=b"x"), "AccessDenied")
    answered(all.raw.send("DELETE", f"/{name}/k"), "AccessDenied")
    answered(all.raw.send("GET", f"/{name}"), "AccessDenied")
    answered(all.raw.send("GET", "/"), "AccessDenied")
    assert all.raw.send("GET", "/_larder/v1/status").status == 403


def test_a_wrong_signature_is_not_taken_for_none(all, alpha, name):
    alpha.put_object(Bucket=name, Key="k", Body=b"x")
    set_policy(alpha, name, statement(name, "s3:GetObject", key="*"))
    with refused("SignatureDoesNotMatch", 403):
        boto(all.server, access_key=BETA.pair["access_key"], secret_key="wrong").get_object(Bucket=name, Key="k")
    with refused("InvalidAccessKeyId", 403):
        boto(all.server, access_key="NOBODY").get_object(Bucket=name, Key="k")


@pytest.mark.parametrize("kind", ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"])
def test_signed_chunks_without_a_signature_are_refused(all, alpha, name, kind):
    set_policy(alpha, name, statement(name, "s3:PutObject", key="*"))
    headers = {"x-amz-content-sha256": kind, "x-amz-decoded-content-length": "1"}
    answered(all.raw.send("PUT", f"/{name}/k", headers=headers, body=b"x"), "AccessDenied")


def test_unsigned_chunks_without_a_signature_are_decoded(all, alpha, name):
    set_policy(alpha, name, statement(name, "s3:PutObject", key="*"))
    headers = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-decoded-content-length": "5", "content-encoding": "aws-chunked"}
    body = b"5\r\nhello\r\n0\r\n\r\n"
    assert all.raw.send("PUT", f"/{name}/k", headers=headers, body=body).status == 200
    assert alpha.get_object(Bucket=name, Key="k")["Body"].read() == b"hello"


def test_who_may_not_list_does_not_learn_what_is_not_there(alpha, beta, anyone, name):
    set_policy(alpha, name, statement(name, ["s3:GetObject", "s3:GetObjectTagging"], key="*"))
    for client in (beta, anyone):
        with refused("AccessDenied", 403):
            client.get_object(Bucket=name, Key="none")
        with refused("AccessDenied", 403):
            client.get_object_tagging(Bucket=name, Key="none")
        with status(403):
            client.head_object(Bucket=name, Key="none")
    set_policy(alpha, name, statement(name, "s3:GetObject", key="*"), statement(name, "s3:ListBucket"))
    for client in (beta, anyone):
        with refused("NoSuchKey", 404):
            client.get_object(Bucket=name, Key="none")
        with status(404):
            client.head_object(Bucket=name, Key="none")
    with refused("NoSuchKey", 404):
        alpha.get_object(Bucket=name, Key="none")


def test_a_refusal_comes_before_the_body_is_asked_for(all, alpha, name):
    set_policy(alpha, name, statement(name, "s3:GetObject", key="*"))
    request = f"PUT /{name}/k HTTP/1.1\r\nHost: {all.server.host}\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    answer = exchange(all.server, request.encode())
    assert answer.startswith(b"HTTP/1.1 403") and b"100 Continue" not in answer


def test_forms_without_a_signature_and_their_tags(all, alpha, name):
    def post(key, tagging=None, **headers):
        fields = {"key": key} | ({"tagging": f"<Tagging><TagSet><Tag><Key>team</Key><Value>{tagging}</Value></Tag></TagSet></Tagging>"} if tagging else {})
        parts = [f'--b\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n' for field, value in fields.items()]
        parts.append('--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nhello\r\n--b--\r\n')
        headers = {"Content-Type": "multipart/form-data; boundary=b", **headers}
        return all.raw.send("POST", f"/{name}", headers=headers, body="".join(parts).encode()).status

    assert post("in/k") == 403
    set_policy(alpha, name, statement(name, "s3:PutObject", key="in/*"))
    assert post("in/k") == 204 and post("out/k") == 403 and post("in/tagged", "a") == 403
    tags = {"StringEquals": {"s3:RequestObjectTag/team": "a"}}
    set_policy(alpha, name, statement(name, ["s3:PutObject", "s3:PutObjectTagging"], key="in/*", Condition=tags))
    assert post("in/tagged", "a") == 204 and post("in/wrong", "b") == 403 and post("in/plain") == 403
    office = {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
    set_policy(alpha, name, statement(name, "s3:PutObject", key="in/*", Condition=office))
    assert post("in/office", **{"X-Forwarded-For": "203.0.113.5"}) == 204 and post("in/elsewhere") == 403
    keys = [o["Key"] for o in alpha.list_objects_v2(Bucket=name)["Contents"]]
    assert keys == ["in/k", "in/office", "in/tagged"]


# Conditions.


def test_where_a_request_comes_from(all, alpha, name):
    alpha.put_object(Bucket=name, Key="k", Body=b"x")
    office = {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]}, "NotIpAddress": {"aws:SourceIp": "203.0.113.7"}}
    set_policy(alpha, name, statement(name, "s3:GetObject", key="*", Condition=office))
    for address, expected in (
        ("203.0.113.5", 200),
        ("203.0.113.7", 403),
        ("198.51.100.1", 403),
        ("2001:db8:1::5", 200),
        ("2001:db9::5", 403),
        ("203.0.113.5, 198.51.100.1", 403),
        ("198.51.100.1, 203.0.113.5", 200),
        ("203.0.113.5, 127.0.0.9", 200),
        ("", 403),
    ):
        assert all.raw.send("GET", f"/{name}/k", headers={"X-Forwarded-For": address}).status == expected, address


def test_what_a_client_says_of_itself_counts_only_through_a_trusted_proxy(server, s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    office = {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
    secure = {"Bool": {"aws:SecureTransport": "true"}}
    set_policy(s3, bucket, statement(bucket, "s3:GetObject", key="*", Condition=office), statement(bucket, "s3:GetObject", key="*", Condition=secure))
    forged = {"X-Forwarded-For": "203.0.113.5", "X-Forwarded-Proto": "https", "X-Real-IP": "203.0.113.5", "Forwarded": "for=203.0.113.5"}
    answered(raw.send("GET", f"/{bucket}/k", headers=forged), "AccessDenied")
    here = {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}
    set_policy(s3, bucket, statement(bucket, "s3:GetObject", key="*", Condition=here))
    assert raw.send("GET", f"/{bucket}/k", headers=forged).status == 200


def test_encryption_on_the_way(all, alpha, name):
    alpha.put_object(Bucket=name, Key="k", Body=b"x")
    plain = {"Bool": {"aws:SecureTransport": "false"}}
    both = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    set_policy(alpha, name, {**statement(name, "s3:*", "Deny", Condition=plain), "Resource": both})
    with refused("AccessDenied", 403):
        alpha.get_object(Bucket=name, Key="k")
    secure = from_address(boto(all.server, **ALPHA.pair), "203.0.113.5", "https")
    assert secure.get_object(Bucket=name, Key="k")["Body"].read() == b"x"


def test_listings_by_prefix_delimiter_and_page(alpha, beta, name):
    alpha.put_object(Bucket=name, Key="home/beta/k", Body=b"x")
    own = {"StringLike": {"s3:prefix": ["", "home/", "home/beta/*"]}, "StringEqualsIfExists": {"s3:delimiter": "/"}, "NumericLessThanEquals": {"s3:max-keys": 10}}
    set_policy(alpha, name, statement(name, ["s3:ListBucket", "s3:ListBucketVersions"], principal=IS_BETA, Condition=own))
    for list in (beta.list_objects_v2, beta.list_objects, beta.list_object_versions):
        list(Bucket=name, Prefix="home/beta/", MaxKeys=10)
        list(Bucket=name, Prefix="", Delimiter="/", MaxKeys=5)
        for wrong in ({"Prefix": "home/alpha/", "MaxKeys": 10}, {"MaxKeys": 10}, {"Prefix": "home/", "MaxKeys": 11}, {"Prefix": "home/"}, {"Prefix": "home/", "Delimiter": "|", "MaxKeys": 1}):
            with refused("AccessDenied", 403):
                list(Bucket=name, **wrong)


def test_tags_that_objects_have(alpha, beta, name):
    alpha.put_object(Bucket=name, Key="open", Body=b"x", Tagging="level=open&a=b")
    alpha.put_object(Bucket=name, Key="closed", Body=b"x", Tagging="level=closed")
    alpha.put_object(Bucket=name, Key="plain", Body=b"x")
    open_only = {"StringEquals": {"s3:ExistingObjectTag/level": "open"}}
    set_policy(alpha, name, statement(name, ["s3:GetObject", "s3:PutObjectTagging"], principal=IS_BETA, key="*", Condition=open_only))
    assert beta.get_object(Bucket=name, Key="open")["Body"].read() == b"x"
    for key in ("closed", "plain", "none"):
        with refused("AccessDenied", 403):
            beta.get_object(Bucket=name, Key=key)
    beta.put_object_tagging(Bucket=name, Key="open", Tagging={"TagSet": [{"Key": "level", "Value": "closed"}]})
    with refused("AccessDenied", 403):
        beta.get_object(Bucket=name, Key="open")


def test_tags_that_requests_set(alpha, beta, name):
    tags = {
        "StringEquals": {"s3:RequestObjectTag/team": ["a", "b"]},
        "ForAllValues:StringLike": {"s3:RequestObjectTagKeys": ["team", "x-*"]},
    }
    set_policy(alpha, name, statement(name, ["s3:PutObject", "s3:PutObjectTagging"], principal=IS_BETA, key="*", Condition=tags))
    beta.put_object(Bucket=name, Key="k", Body=b"x", Tagging="team=a")
    beta.put_object(Bucket=name, Key="k", Body=b"x", Tagging="team=b&x-1=y")
    for wrong in ("team=c", "team=a&other=y", ""):
        with refused("AccessDenied", 403):
            beta.put_object(Bucket=name, Key="k", Body=b"x", Tagging=wrong)
    set = lambda **tags: beta.put_object_tagging(Bucket=name, Key="k", Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in tags.items()]})
    set(team="a")
    with refused("AccessDenied", 403):
        set(team="c")
    with refused("AccessDenied", 403):
        set(team="a", other="y")
    assert alpha.get_object_tagging(Bucket=name, Key="k")["TagSet"] == [{"Key": "team", "Value": "a"}]


def test_versions_have_actions_of_their_own(alpha, beta, name):
    alpha.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    first = alpha.put_object(Bucket=name, Key="k", Body=b"1", Tagging="a=b")["VersionId"]
    second = alpha.put_object(Bucket=name, Key="k", Body=b"2")["VersionId"]
    named = {"Bucket": name, "Key": "k", "VersionId": first}
    set_policy(alpha, name, statement(name, ["s3:GetObject", "s3:GetObjectTagging", "s3:DeleteObject"], principal=IS_BETA, key="*"))
    assert beta.get_object(Bucket=name, Key="k")["Body"].read() == b"2"
    attempts = (lambda: beta.get_object(**named), lambda: beta.get_object_tagging(**named), lambda: beta.delete_object(**named), lambda: beta.get_object_attributes(**named, ObjectAttributes=["ETag"]))
    for attempt in attempts:
        with refused("AccessDenied", 403):
            attempt()
    only = {"StringEquals": {"s3:VersionId": first}}
    set_policy(alpha, name, statement(name, ["s3:GetObjectVersion", "s3:GetObjectVersionTagging", "s3:GetObjectVersionAttributes", "s3:DeleteObjectVersion"], principal=IS_BETA, key="*", Condition=only))
    assert beta.get_object(**named)["Body"].read() == b"1"
    assert beta.get_object_tagging(**named)["TagSet"] == [{"Key": "a", "Value": "b"}]
    beta.get_object_attributes(**named, ObjectAttributes=["ETag"])
    with refused("AccessDenied", 403):
        beta.get_object(Bucket=name, Key="k", VersionId=second)
    with refused("AccessDenied", 403):
        beta.get_object(Bucket=name, Key="k")
    beta.delete_object(**named)
    with refused("NoSuchVersion"):
        alpha.get_object(**named)


def test_locks_that_requests_set(all, alpha, beta):
    name = all.bucket(ObjectLockEnabledForBucket=True)
    until = lambda days: datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days, hours=1)
    short = {"NumericLessThanEquals": {"s3:object-lock-remaining-retention-days": 2}, "StringEquals": {"s3:object-lock-mode": "GOVERNANCE"}}
    set_policy(
        alpha,
        name,
        statement(name, ["s3:PutObject", "s3:PutObjectLegalHold"], principal=IS_BETA, key="*"),
        statement(name, "s3:PutObjectRetention", principal=IS_BETA, key="*", Condition=short),
        statement(name, "s3:PutObjectLegalHold", "Deny", IS_BETA, key="*", Condition={"StringEquals": {"s3:object-lock-legal-hold": "OFF"}}),
        statement(name, "s3:DeleteObjectVersion", principal=IS_BETA, key="*"),
    )
    put = lambda mode, days: beta.put_object(Bucket=name, Key="k", Body=b"x", ObjectLockMode=mode, ObjectLockRetainUntilDate=until(days))
    version = put("GOVERNANCE", 1)["VersionId"]
    retain = lambda mode, days, **more: beta.put_object_retention(Bucket=name, Key="k", Retention={"Mode": mode, "RetainUntilDate": until(days)}, **more)
    retain("GOVERNANCE", 2)
    hold = lambda status: beta.put_object_legal_hold(Bucket=name, Key="k", LegalHold={"Status": status})
    hold("ON")
    for attempt in (
        lambda: put("GOVERNANCE", 5),
        lambda: put("COMPLIANCE", 1),
        lambda: retain("GOVERNANCE", 5),
        lambda: retain("COMPLIANCE", 2),
        lambda: retain("GOVERNANCE", 1, BypassGovernanceRetention=True),
        lambda: hold("OFF"),
        lambda: beta.delete_object(Bucket=name, Key="k", VersionId=version, BypassGovernanceRetention=True),
        lambda: beta.get_object_retention(Bucket=name, Key="k"),
    ):
        with refused("AccessDenied", 403):
            attempt()
    answer = beta.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k", "VersionId": version}]}, BypassGovernanceRetention=True)
    assert [e["Code"] for e in answer["Errors"]] == ["AccessDenied"]
    assert alpha.get_object_legal_hold(Bucket=name, Key="k")["LegalHold"]["Status"] == "ON"


def test_each_key_of_delete_objects_is_decided(alpha, beta, name):
    for key in ("in/1", "in/2", "out/1"):
        alpha.put_object(Bucket=name, Key=key, Body=b"x")
    set_policy(alpha, name, statement(name, "s3:DeleteObject", principal=IS_BETA, key="in/*"))
    keys = [{"Key": "in/1"}, {"Key": "out/1"}, {"Key": "in/2"}, {"Key": "in/2", "VersionId": "null"}]
    answer = beta.delete_objects(Bucket=name, Delete={"Objects": keys})
    assert sorted(d["Key"] for d in answer["Deleted"]) == ["in/1", "in/2"]
    failed = [(e["Key"], e.get("VersionId"), e["Code"]) for e in answer["Errors"]]
    assert failed == [("out/1", None, "AccessDenied"), ("in/2", "null", "AccessDenied")]
    assert [o["Key"] for o in alpha.list_objects_v2(Bucket=name)["Contents"]] == ["out/1"]


def test_copies_need_their_source_and_their_target(all, alpha, beta, name):
    alpha.put_object(Bucket=name, Key="in/k", Body=b"x" * 10)
    alpha.put_object(Bucket=name, Key="out/k", Body=b"x")
    own = unique_bucket()
    beta.create_bucket(Bucket=own)
    beta.put_object(Bucket=own, Key="k", Body=b"y")
    set_policy(alpha, name, statement(name, "s3:GetObject", principal=IS_BETA, key="in/*"))
    beta.copy_object(Bucket=own, Key="copy", CopySource={"Bucket": name, "Key": "in/k"})
    upload = beta.create_multipart_upload(Bucket=own, Key="m")["UploadId"]
    part = {"Bucket": own, "Key": "m", "UploadId": upload, "PartNumber": 1}
    beta.upload_part_copy(**part, CopySource={"Bucket": name, "Key": "in/k"})
    for attempt in (
        lambda: beta.copy_object(Bucket=own, Key="copy", CopySource={"Bucket": name, "Key": "out/k"}),
        lambda: beta.copy_object(Bucket=own, Key="copy", CopySource={"Bucket": name, "Key": "in/none"}),
        lambda: beta.upload_part_copy(**part, CopySource={"Bucket": name, "Key": "out/k"}),
        lambda: beta.copy_object(Bucket=name, Key="in/new", CopySource={"Bucket": own, "Key": "k"}),
    ):
        with refused("AccessDenied", 403):
            attempt()
    from_own = {"StringLike": {"s3:x-amz-copy-source": f"{own}/*"}}
    set_policy(alpha, name, statement(name, "s3:PutObject", principal=IS_BETA, key="*", Condition=from_own))
    beta.copy_object(Bucket=name, Key="new", CopySource={"Bucket": own, "Key": "k"})
    with refused("AccessDenied", 403):
        beta.put_object(Bucket=name, Key="new", Body=b"z")


@pytest.mark.parametrize(
    "condition, good, wrong",
    [
        ({"StringEquals": {"s3:x-amz-storage-class": "STANDARD"}}, {"StorageClass": "STANDARD"}, {}),
        ({"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}, {"ACL": "bucket-owner-full-control"}, {}),
        ({"Null": {"s3:if-none-match": "false"}}, {"IfNoneMatch": "*"}, {}),
        ({"StringEquals": {"s3:x-amz-website-redirect-location": "/a"}}, {"WebsiteRedirectLocation": "/a"}, {"WebsiteRedirectLocation": "/b"}),
        ({"Bool": {"s3:ObjectCreationOperation": "true"}}, {}, None),
    ],
)
def test_headers_of_a_put(alpha, beta, name, condition, good, wrong):
    set_policy(
        alpha,
        name,
        statement(name, "s3:PutObject", principal=IS_BETA, key="*", Condition=condition),
        statement(name, "s3:PutObjectAcl", principal=IS_BETA, key="*"),
    )
    beta.put_object(Bucket=name, Key="k", Body=b"x", **good)
    if wrong is not None:
        with refused("AccessDenied", 403):
            beta.put_object(Bucket=name, Key="k2", Body=b"x", **wrong)


def test_how_a_request_is_signed(all, alpha, beta, name):
    alpha.put_object(Bucket=name, Key="k", Body=b"x")
    url = lambda client, **more: client.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "k"}, **more)
    get = lambda link: all.raw.send("GET", "/" + link.split("/", 3)[3]).status
    v4 = boto(all.server, **BETA.pair, signature_version="s3v4")
    only = lambda **keys: set_policy(alpha, name, statement(name, "s3:GetObject", principal=IS_BETA, key="*", Condition={"StringEquals": keys}))
    only(**{"s3:authType": "REST-QUERY-STRING"})
    assert get(url(v4)) == 200
    with refused("AccessDenied", 403):
        beta.get_object(Bucket=name, Key="k")
    only(**{"s3:authType": "REST-HEADER"})
    beta.get_object(Bucket=name, Key="k")
    assert get(url(v4)) == 403
    only(**{"s3:signatureversion": "AWS4-HMAC-SHA256"})
    assert get(url(v4)) == 200
    assert get(url(beta)) == 403, "version 2"
    only(**{"s3:signatureversion": "AWS"})
    assert get(url(beta)) == 200
    young = {"NumericLessThan": {"s3:signatureAge": 600_000}}
    set_policy(alpha, name, statement(name, "s3:GetObject", principal=IS_BETA, key="*", Condition=young))
    assert get(url(v4)) == 200
    none = {"NumericGreaterThanEquals": {"s3:signatureAge": 600_000}}
    set_policy(alpha, name, statement(name, "s3:GetObject", principal=IS_BETA, key="*", Condition=none))
    assert get(url(v4)) == 403


def test_unsigned_content_can_be_denied(all, alpha, name):
    unsigned = {"StringEquals": {"s3:x-amz-content-sha256": "UNSIGNED-PAYLOAD"}}
    set_policy(alpha, name, statement(name, "s3:PutObject", "Deny", key="*", Condition=unsigned))
    alpha.put_object(Bucket=name, Key="k", Body=b"x")
    answer = Raw(all.server, **ALPHA.pair).request("PUT", f"/{name}/k", body=b"x", payload_hash="UNSIGNED-PAYLOAD")
    answered(answer, "AccessDenied")


def test_time_agent_and_variables(all, alpha, beta, name):
    now = datetime.datetime.now(datetime.UTC)
    stamp = lambda **delta: (now + datetime.timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")
    alpha.put_object(Bucket=name, Key=f"home/{BETA.id}/k", Body=b"x")
    alpha.put_object(Bucket=name, Key="home/other/k", Body=b"x")
    within = {"DateGreaterThan": {"aws:CurrentTime": stamp(hours=-1)}, "DateLessThan": {"aws:CurrentTime": stamp(hours=1)}, "NumericGreaterThan": {"aws:EpochTime": int(time.time()) - 3600}}
    who = {"StringLike": {"aws:UserAgent": "*Boto3*"}, "StringEquals": {"aws:PrincipalType": "Account", "aws:PrincipalAccount": BETA.id, "s3:ResourceAccount": ALPHA.id}, "ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{BETA.id}:*"}}
    home = {**statement(name, "s3:GetObject", key="home/${aws:userid}/*"), "Condition": {**within, **who}}
    set_policy(alpha, name, home)
    beta.get_object(Bucket=name, Key=f"home/{BETA.id}/k")
    with refused("AccessDenied", 403):
        beta.get_object(Bucket=name, Key="home/other/k")
    set_policy(alpha, name, {**home, "Condition": {"DateLessThan": {"aws:CurrentTime": stamp(hours=-1)}}})
    with refused("AccessDenied", 403):
        beta.get_object(Bucket=name, Key=f"home/{BETA.id}/k")
    referred = {"StringLike": {"aws:Referer": "https://example.com/*"}}
    set_policy(alpha, name, statement(name, "s3:GetObject", key="*", Condition=referred))
    assert all.raw.send("GET", f"/{name}/home/other/k", headers={"Referer": "https://example.com/page"}).status == 200
    assert all.raw.send("GET", f"/{name}/home/other/k").status == 403


def test_configurations_need_their_actions(alpha, beta, name):
    reads = {
        "s3:GetBucketVersioning": lambda: beta.get_bucket_versioning(Bucket=name),
        "s3:GetBucketLocation": lambda: beta.get_bucket_location(Bucket=name),
        "s3:GetBucketPublicAccessBlock": lambda: beta.get_public_access_block(Bucket=name),
        "s3:GetBucketOwnershipControls": lambda: beta.get_bucket_ownership_controls(Bucket=name),
        "s3:GetBucketAcl": lambda: beta.get_bucket_acl(Bucket=name),
        "s3:GetLifecycleConfiguration": lambda: beta.get_bucket_lifecycle_configuration(Bucket=name),
        "s3:ListBucketMultipartUploads": lambda: beta.list_multipart_uploads(Bucket=name),
        "s3:GetBucketPolicyStatus": lambda: beta.get_bucket_policy_status(Bucket=name),
    }
    for action, read in reads.items():
        set_policy(alpha, name, statement(name, action, principal=IS_BETA))
        for other, attempt in reads.items():
            try:
                attempt()
                allowed = True
            except ClientError as error:
                allowed = error.response["Error"]["Code"] != "AccessDenied"
            assert allowed == (other == action), f"{other} where {action} is allowed"


def test_aws_cli(all, alpha, name, tmp_path):
    environment = client_environment(all.server, tmp_path) | {"AWS_ACCESS_KEY_ID": ALPHA.pair["access_key"], "AWS_SECRET_ACCESS_KEY": ALPHA.pair["secret_key"]}
    run = lambda *arguments: subprocess.run([tool("aws"), "--endpoint-url", all.server.endpoint, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=120)
    text = document(statement(name, "s3:GetObject", key="*"))
    (tmp_path / "policy.json").write_text(text)
    assert run("s3api", "put-bucket-policy", "--bucket", name, "--policy", f"file://{tmp_path}/policy.json").returncode == 0
    assert run("s3api", "get-bucket-policy", "--bucket", name, "--query", "Policy", "--output", "text").stdout.strip() == text
    assert '"IsPublic": true' in run("s3api", "get-bucket-policy-status", "--bucket", name).stdout
    alpha.put_object(Bucket=name, Key="k", Body=b"hello")
    assert run("s3", "cp", "--no-sign-request", f"s3://{name}/k", "-").stdout == "hello"
    refusal = run("s3", "cp", "--no-sign-request", f"s3://{name}/none", "-")
    assert refusal.returncode != 0 and "403" in refusal.stderr
    assert run("s3api", "delete-bucket-policy", "--bucket", name).returncode == 0
    refusal = run("s3api", "get-bucket-policy", "--bucket", name)
    assert "NoSuchBucketPolicy" in refusal.stderr
