"""Encryption under keys that are called by name (SSE-KMS): of a file, of a transit engine (a real OpenBao), and of the server itself."""

import base64
import itertools
import json
import os
import subprocess

import pytest
from larderlib.bao import ROOT, Bao
from larderlib.checksums import etag
from larderlib.clients import boto, client_environment, random_bytes, unique_bucket
from larderlib.expect import answered, refused, status
from larderlib.need import tool
from larderlib.rawhttp import Raw
from larderlib.server import Larder, poll

MIB = 1024 * 1024
SIZES = [0, 1, 65537, 3 * MIB + 17]
SSE = "x-amz-server-side-encryption"
KEY_ID = SSE + "-aws-kms-key-id"
CONTEXT = SSE + "-context"
MARK = b"nobody may read this on a disk! "
CUSTOMER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
CUSTOMER_SOURCE = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": b"k" * 32}
HOLDERS = ["aws/s3", "filed", "engine"]
AES = {"ServerSideEncryption": "AES256"}


def arn(name):
    return f"arn:aws:kms:us-east-1:000000000000:key/{name}"


def kms(name=None, context=None, bucket_key=None):
    """What boto3 is told."""
    given = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": name, "BucketKeyEnabled": bucket_key}
    if context is not None:
        given["SSEKMSEncryptionContext"] = base64.b64encode(json.dumps(context).encode()).decode()
    return {name: value for name, value in given.items() if value is not None}


def random_key():
    return base64.b64encode(os.urandom(32)).decode()


def says(answer, name, bucket_key=False):
    shown = (answer.get("ServerSideEncryption"), answer.get("SSEKMSKeyId"), answer.get("BucketKeyEnabled", False))
    assert shown == ("aws:kms", arn(name), bucket_key)
    return True


def body_of(s3, bucket, key="k", **options):
    return s3.get_object(Bucket=bucket, Key=key, **options)["Body"].read()


@pytest.fixture(scope="module")
def bao(tmp_path_factory):
    bao = Bao(tmp_path_factory.mktemp("bao"))
    bao.start()
    bao.api("transit/keys/engine", {})
    bao.api("transit/keys/derived", {"derived": True})
    bao.api("transit/keys/signs", {"type": "ed25519"})
    yield bao
    bao.close()


def vault_arguments(bao):
    return ["--kms-vault-url", bao.url, "--kms-vault-token-file", str(bao.token_file)]


@pytest.fixture(scope="module")
def server(tmp_path_factory, bao):
    """With keys of each holder."""
    directory = tmp_path_factory.mktemp("server")
    keys = directory / "keys"
    keys.write_text(f"filed:{random_key()}\nfiled:{random_key()}\nother:{random_key()}\noff:disabled\n")
    server = Larder(directory=directory, extra_args=["--kms-keys-file", str(keys), *vault_arguments(bao), "--log-level", "trace"])
    server.start()
    yield server
    server.close()
    log = server.log_path.read_text()
    secrets = [line.split(":")[1] for line in keys.read_text().splitlines()[:3]] + [ROOT, bao.token_file.read_text().strip()]
    assert not [secret for secret in secrets if secret in log]


@pytest.fixture(scope="module")
def s3(server):
    return boto(server)


@pytest.fixture(scope="module")
def raw(server):
    return Raw(server)


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_under_a_named_key_is_read_whole_and_in_ranges(s3, bucket, holder, size):
    body = random_bytes(size, size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, **kms(holder))
    assert says(put, holder) and put["ETag"] != etag(body), "as on AWS, the tag says nothing of the bytes"
    head = s3.head_object(Bucket=bucket, Key="k")
    assert says(head, holder) and (head["ContentLength"], head["ETag"]) == (size, put["ETag"])
    got = s3.get_object(Bucket=bucket, Key="k")
    assert says(got, holder) and got["Body"].read() == body
    for start, end in [(0, 0), (65535, 65536), (size // 2, size - 1)]:
        if start < size and end >= start:
            assert body_of(s3, bucket, Range=f"bytes={start}-{end}") == body[start : end + 1]
    attributes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectSize", "ETag"])
    assert attributes["ObjectSize"] == size


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("bucket_key", [False, True])
def test_uploads_in_parts_under_a_named_key(s3, bucket, holder, bucket_key):
    parts = [random_bytes(5 * MIB, 1), random_bytes(70_001, 2)]
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", **kms(holder, bucket_key=bucket_key))
    assert says(begun, holder, bucket_key)
    upload = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    done = []
    for number, part in enumerate(parts, 1):
        answer = s3.upload_part(**upload, PartNumber=number, Body=part)
        assert says(answer, holder, bucket_key)
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    assert says(s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": done}), holder, bucket_key)
    assert body_of(s3, bucket) == b"".join(parts)
    assert body_of(s3, bucket, PartNumber=2) == parts[1]
    with refused("InvalidRequest"):
        begun = s3.create_multipart_upload(Bucket=bucket, Key="k", **kms(holder))
        s3.upload_part(Bucket=bucket, Key="k", UploadId=begun["UploadId"], PartNumber=1, Body=b"x", **CUSTOMER)


MODES = {"plain": {}, "master": AES, "customer": CUSTOMER, "filed": kms("filed"), "engine": kms("engine", bucket_key=True)}


@pytest.mark.parametrize("source, target", [pair for pair in itertools.product(MODES, MODES) if {"filed", "engine"} & set(pair)])
def test_copies_between_named_keys_and_any_other_mode(s3, bucket, source, target):
    body = random_bytes(5 * MIB + 1, 7)
    s3.put_object(Bucket=bucket, Key="from", Body=body, **MODES[source])
    where = {"CopySource": {"Bucket": bucket, "Key": "from"}} | (CUSTOMER_SOURCE if source == "customer" else {})
    read = CUSTOMER if target == "customer" else {}
    copied = s3.copy_object(Bucket=bucket, Key="k", **where, **MODES[target])
    assert copied.get("ServerSideEncryption") == MODES[target].get("ServerSideEncryption")
    assert body_of(s3, bucket, **read) == body
    begun = s3.create_multipart_upload(Bucket=bucket, Key="p", **MODES[target])
    upload = {"Bucket": bucket, "Key": "p", "UploadId": begun["UploadId"]}
    part = s3.upload_part_copy(**upload, **where, PartNumber=1, CopySourceRange="bytes=65530-65600", **read)
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]})
    assert body_of(s3, bucket, "p", **read) == body[65530:65601]
    itself = {"CopySource": {"Bucket": bucket, "Key": "k"}} | (CUSTOMER_SOURCE if target == "customer" else {})
    s3.copy_object(Bucket=bucket, Key="k", **itself, MetadataDirective="REPLACE", **MODES[source])
    assert body_of(s3, bucket, **(CUSTOMER if source == "customer" else {})) == body


def test_a_copy_is_kept_as_its_own_request_says_and_not_as_its_source(s3, bucket):
    s3.put_object(Bucket=bucket, Key="from", Body=b"x", **kms("filed"))
    copied = s3.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "from"})
    assert "ServerSideEncryption" not in copied
    assert "ServerSideEncryption" not in s3.head_object(Bucket=bucket, Key="k")


def test_keys_have_a_name_an_alias_and_an_arn_of_each(s3, bucket):
    names = ["filed", "alias/filed", arn("filed"), "arn:aws:kms:us-east-1:000000000000:alias/filed"]
    for name in names:
        assert says(s3.put_object(Bucket=bucket, Key="k", Body=b"x", **kms(name)), "filed")
    for name in [None, "aws/s3", "alias/aws/s3", arn("aws/s3")]:
        assert says(s3.put_object(Bucket=bucket, Key="k", Body=b"x", **kms(name)), "aws/s3")
    assert says(s3.put_object(Bucket=bucket, Key="k", Body=b"x", **kms("derived", {"a": "b"})), "derived")
    assert body_of(s3, bucket) == b"x"


def test_the_context_is_kept_and_shown_where_one_is_sent(s3, bucket):
    for name, bucket_key in itertools.product(HOLDERS, [False, True]):
        put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", **kms(name, {"team": "db"}, bucket_key))
        resource = bucket if bucket_key else f"{bucket}/k"
        shown = json.loads(base64.b64decode(put["SSEKMSEncryptionContext"]))
        assert shown == {"team": "db", "aws:s3:arn": f"arn:aws:s3:::{resource}"}
        assert body_of(s3, bucket) == b"x"
    assert "SSEKMSEncryptionContext" not in s3.put_object(Bucket=bucket, Key="k", Body=b"x", **kms("filed"))
    given = {"aws:s3:arn": "mine"}
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", **kms("filed", given))
    assert json.loads(base64.b64decode(put["SSEKMSEncryptionContext"])) == given


def test_what_cannot_be_asked_of_named_keys(s3, raw, bucket):
    kms_header = {SSE: "aws:kms"}
    text = base64.b64encode(b"{}").decode()
    for headers, code in [
        ({CONTEXT: text}, "InvalidArgument"),
        ({SSE: "AES256", CONTEXT: text}, "InvalidArgument"),
        (kms_header | {CONTEXT: "{}"}, "InvalidArgument"),
        (kms_header | {CONTEXT: base64.b64encode(b'{"a":1}').decode()}, "InvalidArgument"),
        (kms_header | {SSE + "-bucket-key-enabled": "maybe"}, "InvalidArgument"),
        (kms_header | {KEY_ID: "none"}, "KMS.NotFoundException"),
        (kms_header | {KEY_ID: "no key"}, "KMS.NotFoundException"),
        (kms_header | {KEY_ID: "arn:aws:kms:eu-west-1:000000000000:key/filed"}, "KMS.NotFoundException"),
        (kms_header | {KEY_ID: "arn:aws:kms:us-east-1:123456789012:key/filed"}, "KMS.NotFoundException"),
        (kms_header | {KEY_ID: "off"}, "KMS.DisabledException"),
        (kms_header | {KEY_ID: "signs"}, "KMS.InvalidKeyUsageException"),
        ({SSE: "aws:kms:dsse"}, "NotImplemented"),
    ]:
        answered(raw.request("PUT", f"/{bucket}/k", headers=headers, body=b"x"), code)
        answered(raw.request("POST", f"/{bucket}/k", [("uploads", "")], headers=headers), code)
    assert raw.request("GET", f"/{bucket}/k").status == 404
    with refused("KMS.NotFoundException", message=f"Key '{arn('none')}' does not exist"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **kms("none"))
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **kms("filed"))
    answered(raw.request("GET", f"/{bucket}/k", headers=kms_header), "InvalidArgument")


def test_a_default_of_a_bucket_with_a_named_key(s3, bucket):
    def set_default(key, bucket_key):
        apply = {"SSEAlgorithm": "aws:kms"} | ({"KMSMasterKeyID": key} if key else {})
        rule = {"ApplyServerSideEncryptionByDefault": apply, "BucketKeyEnabled": bucket_key}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
        assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"] == [rule]

    put = lambda **given: s3.put_object(Bucket=bucket, Key="k", Body=b"x", **given)
    for name, bucket_key in [("filed", True), ("engine", False), (arn("engine"), True), (None, True)]:
        set_default(name, bucket_key)
        called = (name or "aws/s3").rsplit(":key/")[-1]
        assert says(put(), called, bucket_key)
        assert says(s3.head_object(Bucket=bucket, Key="k"), called, bucket_key) and body_of(s3, bucket) == b"x"
        assert says(s3.create_multipart_upload(Bucket=bucket, Key="k"), called, bucket_key)
        assert says(s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"}), called, bucket_key)
        assert put(**AES)["ServerSideEncryption"] == "AES256"
        assert put(**CUSTOMER)["SSECustomerAlgorithm"] == "AES256"
        assert says(put(**kms("other")), "other", bucket_key), "bucket keys as the bucket has it"
        assert says(put(**kms("other", bucket_key=not bucket_key)), "other", not bucket_key)
        assert says(put(**kms()), "aws/s3", bucket_key), "a request that names no key means the default one, as on AWS"
    set_default("none", False)
    with refused("KMS.NotFoundException"):
        put()


def test_policies_see_keys_by_their_arn_however_they_are_called(s3, bucket):
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    only = deny | {"Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": arn("filed")}}}
    never = deny | {"Condition": {"StringEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": arn("other")}}}
    put = lambda **given: s3.put_object(Bucket=bucket, Key="k", Body=b"x", **given)
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [only]}))
    for name in ["filed", "alias/filed", arn("filed")]:
        put(**kms(name))
    for given in [{}, AES, kms(), kms("other"), kms("none")]:
        with refused("AccessDenied"):
            put(**given)
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [never]}))
    for name in ["other", "alias/other", arn("other"), "arn:aws:kms:us-east-1:000000000000:alias/other"]:
        with refused("AccessDenied"):
            put(**kms(name))
    put(**kms("filed"))


def test_named_keys_are_for_signatures_of_version_4(server, s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **kms("filed"))
    assert raw.presigned("GET", f"/{bucket}/k").body == b"x"
    assert raw.presigned("PUT", f"/{bucket}/p", signed_headers={SSE: "aws:kms", KEY_ID: "filed"}, body=b"y").status == 200
    assert says(s3.head_object(Bucket=bucket, Key="p"), "filed")
    allow = {"Effect": "Allow", "Principal": "*", "Action": "s3:*Object", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    url = boto(server, signature_version="s3").generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    by_version_2 = raw.send("GET", url.split(server.address, 1)[1])
    for answer in [by_version_2, raw.send("GET", f"/{bucket}/k"), raw.send("PUT", f"/{bucket}/k", headers={SSE: "aws:kms"}, body=b"z")]:
        answered(answer, "InvalidArgument")
        assert b"AWS Signature Version 4" in answer.body
    assert raw.send("HEAD", f"/{bucket}/k").status == 400
    s3.put_object(Bucket=bucket, Key="a", Body=b"a", **AES)
    assert raw.send("GET", f"/{bucket}/a").body == b"a"


def test_forms_and_versions_under_named_keys(s3, raw, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"first", **kms("engine"))["VersionId"]
    fields = {SSE: "aws:kms", KEY_ID: "filed"}
    form = s3.generate_presigned_post(bucket, "k", Fields=dict(fields), Conditions=[{name: value} for name, value in fields.items()])
    parts = [f'name="{name}"\r\n\r\n{value}' for name, value in form["fields"].items()] + ['name="file"; filename="f"\r\n\r\nfrom a form']
    body = "".join(f"--b\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--b--\r\n"
    answer = raw.send("POST", f"/{bucket}", headers={"Content-Type": "multipart/form-data; boundary=b"}, body=body.encode())
    assert answer.status == 204 and (answer.headers[SSE], answer.headers[KEY_ID]) == ("aws:kms", arn("filed"))
    assert body_of(s3, bucket) == b"from a form"
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert body_of(s3, bucket) == b"from a form" and body_of(s3, bucket, VersionId=first) == b"first"


def test_aws_cli_with_a_named_key(server, bucket, tmp_path):
    environment = client_environment(server, tmp_path)

    def run(*arguments):
        done = subprocess.run([tool("aws"), "--endpoint-url", server.endpoint, *arguments], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "file").write_bytes(random_bytes(9 * MIB))
    run("s3", "cp", str(tmp_path / "file"), f"s3://{bucket}/k", "--sse", "aws:kms", "--sse-kms-key-id", "alias/filed")
    head = json.loads(run("s3api", "head-object", "--bucket", bucket, "--key", "k"))
    assert says(head, "filed")
    run("s3", "cp", f"s3://{bucket}/k", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()


def test_the_engine_makes_no_key_for_a_name_that_it_has_not(s3, bao, bucket):
    bao.give_token(ROOT)
    try:
        with refused("KMS.NotFoundException"):
            s3.put_object(Bucket=bucket, Key="k", Body=b"x", **kms("made-up"))
    finally:
        bao.give_token(bao.new_token())
    assert bao.api("transit/keys/made-up") is None


@pytest.fixture
def own_bao(tmp_path):
    bao = Bao(tmp_path / "bao")
    bao.start()
    bao.api("transit/keys/engine", {})
    yield bao
    bao.close()


@pytest.fixture
def own(tmp_path):
    server = Larder(directory=tmp_path / "server", extra_args=["--log-level", "trace"])
    yield server
    server.close()


def test_an_engine_that_does_not_answer_is_503_but_for_bucket_keys(own, own_bao):
    own.extra_args += [*vault_arguments(own_bao), "--kms-vault-timeout", "1s", "--kms-default-key", "engine"]
    own.start()
    s3, name = boto(own), unique_bucket()
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="each", Body=b"x", **kms())
    s3.put_object(Bucket=name, Key="shared", Body=b"y", **kms(bucket_key=True))
    s3.put_object(Bucket=name, Key="master", Body=b"z", **AES)
    own_bao.pause()
    try:
        for ask in (lambda: body_of(s3, name, "each"), lambda: s3.put_object(Bucket=name, Key="n", Body=b"x", **kms())):
            with refused("ServiceUnavailable", message="The key management service does not answer. Please try again."):
                ask()
        assert says(s3.head_object(Bucket=name, Key="each"), "engine"), "nothing is to be unwrapped"
        assert body_of(s3, name, "shared") == b"y" and body_of(s3, name, "master") == b"z"
        assert says(s3.put_object(Bucket=name, Key="more", Body=b"w", **kms(bucket_key=True)), "engine", True)
        own.restart()
        s3 = boto(own)
        with refused("ServiceUnavailable"):
            body_of(s3, name, "shared")
    finally:
        own_bao.resume()
    assert [body_of(s3, name, key) for key in ("each", "shared", "more")] == [b"x", b"y", b"w"]
    own_bao.close()
    with refused("ServiceUnavailable"):
        body_of(s3, name, "each")
    assert body_of(s3, name, "shared") == b"y"


def test_the_token_is_read_again_and_what_it_may_not_is_denied(own, own_bao):
    own.extra_args += vault_arguments(own_bao)
    good = own_bao.token_file.read_text().strip()
    own.start()
    s3, name = boto(own), unique_bucket()
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"x", **kms("engine"))

    def code():
        try:
            return body_of(s3, name) and "ok"
        except s3.exceptions.ClientError as error:
            return error.response["Error"]["Code"]

    own_bao.give_token("hvs.no-token-of-anybody")
    poll(lambda: code() == "AccessDenied", 30, "the bad token is used")
    own_bao.give_token(good)
    poll(lambda: code() == "ok", 30, "the good token is used")
    log = own.log_path.read_text()
    assert good not in log and "hvs.no-token" not in log and "does not let the server use a key" in log


def test_keys_of_the_engine_rotate_and_can_be_disabled(own, own_bao):
    own.extra_args += vault_arguments(own_bao)
    own.start()
    s3, name = boto(own), unique_bucket()
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="old", Body=b"x", **kms("engine"))
    own_bao.api("transit/keys/engine/rotate", {})
    s3.put_object(Bucket=name, Key="new", Body=b"y", **kms("engine"))
    assert (body_of(s3, name, "old"), body_of(s3, name, "new")) == (b"x", b"y")
    own_bao.api("transit/keys/engine/config", {"min_decryption_version": 2})
    with refused("KMS.DisabledException"):
        body_of(s3, name, "old")
    assert body_of(s3, name, "new") == b"y"


def test_the_engine_is_asked_over_tls_with_an_authority_of_its_own(own, tmp_path):
    bao = Bao(tmp_path / "bao-tls", tls=True)
    try:
        bao.start()
        bao.api("transit/keys/engine", {})
        own.extra_args += vault_arguments(bao)
        own.start()
        s3, name = boto(own), unique_bucket()
        s3.create_bucket(Bucket=name)
        with refused("ServiceUnavailable"):
            s3.put_object(Bucket=name, Key="k", Body=b"x", **kms("engine"))
        own.stop()
        own.extra_args += ["--kms-vault-ca-file", str(bao.ca_file)]
        own.start()
        s3 = boto(own)
        s3.put_object(Bucket=name, Key="k", Body=b"x", **kms("engine"))
        assert body_of(s3, name) == b"x"
    finally:
        bao.close()


def test_nothing_plain_lies_on_the_disks_and_keys_of_the_file_are_read_again(own):
    keys, file = [random_key() for _ in range(2)], own.directory / "kms-keys"
    file.write_text(f"k:{keys[0]}\n")
    own.extra_args += ["--kms-keys-file", str(file), "--kms-default-key", "k"]
    own.start()
    s3, name = boto(own), unique_bucket()
    s3.create_bucket(Bucket=name)
    bodies = {"small": MARK * 10, "large": MARK * 50_000}
    for key, body in bodies.items():
        assert says(s3.put_object(Bucket=name, Key=key, Body=body, **kms()), "k")
        assert body_of(s3, name, key) == body

    def code():
        try:
            return s3.put_object(Bucket=name, Key="probe", Body=b"x", **kms("l")) and "ok"
        except s3.exceptions.ClientError as error:
            return error.response["Error"]["Code"]

    def give(text):
        aside = file.with_suffix(".new")
        aside.write_text(text)
        aside.rename(file)

    assert code() == "KMS.NotFoundException"
    give(f"k:{keys[1]}\nk:{keys[0]}\nl:{random_key()}\n")
    poll(lambda: code() == "ok", 30, "the file is read again")
    s3.put_object(Bucket=name, Key="newer", Body=MARK, **kms())
    assert all(body_of(s3, name, key) == body for key, body in bodies.items())
    give(f"k:{keys[1]}\n")
    poll(lambda: code() == "KMS.NotFoundException", 30, "the file is read again")
    assert body_of(s3, name, "newer") == MARK
    with refused("KMS.NotFoundException"):
        body_of(s3, name, "small")
    assert says(s3.head_object(Bucket=name, Key="small"), "k")
    give(f"k:{keys[1]}\nk:{keys[0]}\nl:disabled\n")
    poll(lambda: code() == "KMS.DisabledException", 30, "the file is read again")
    own.restart()
    s3 = boto(own)
    assert all(body_of(s3, name, key) == body for key, body in bodies.items())
    own.stop()
    files = [path for disk in own.disks for path in disk.rglob("*") if path.is_file()]
    assert files and not any(MARK[:24] in path.read_bytes() for path in files)
    log = own.log_path.read_text()
    assert not any(key in log for key in keys)


def test_settings_that_do_not_go_together_stop_the_start(own, tmp_path):
    token = tmp_path / "token"
    token.write_text("hvs.secret\n")
    for arguments, why in [
        (["--kms-vault-url", "https://vault.example"], "kms-vault-token-file: is missing"),
        (["--kms-vault-token-file", str(token)], "kms-vault-token-file: needs kms-vault-url"),
        (["--kms-vault-url", "http://vault.example", "--kms-vault-token-file", str(token)], "kms-vault-url: must be https"),
        (["--kms-default-key", "k"], "there is no key `k`"),
        (["--kms-keys-file", str(token)], "line 1: a line is name:key"),
        (["--kms-keys-file", str(tmp_path / "none")], "file of named keys"),
    ]:
        own.extra_args = arguments
        with pytest.raises(RuntimeError, match=why) as caught:
            own.start()
        assert "hvs.secret" not in str(caught.value)
    own.extra_args = []
    own.start()


def test_without_any_setting_the_default_key_is_the_servers_own(own):
    own.start()
    s3, name = boto(own), unique_bucket()
    s3.create_bucket(Bucket=name)
    assert says(s3.put_object(Bucket=name, Key="k", Body=MARK, **kms()), "aws/s3")
    with refused("KMS.NotFoundException"):
        s3.put_object(Bucket=name, Key="k", Body=b"x", **kms("k"))
    own.restart()
    assert body_of(boto(own), name) == MARK
    with status(404):
        boto(own).head_object(Bucket=name, Key="none")
