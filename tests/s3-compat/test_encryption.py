"""Encryption at rest: asked for, by default of a bucket or of the server, and with the client's own key; nothing plain lies on the disks."""

import base64
import hashlib
import itertools
import json
import os
import subprocess

import pytest
from larderlib.checksums import etag, multipart_etag
from larderlib.clients import boto, client_environment, random_bytes, unique_bucket
from larderlib.expect import answered, refused, status
from larderlib.need import tool
from larderlib.rawhttp import Raw
from larderlib.server import Larder

MIB = 1024 * 1024
SIZES = [0, 1, 1000, 65535, 65536, 65537, 700_000, 3 * MIB + 17]
AES = {"ServerSideEncryption": "AES256"}
SSE = "x-amz-server-side-encryption"
CUSTOMER = SSE + "-customer-"
MARK = b"nobody may read this on a disk! "


class Customer:
    """A key of a client's, and what boto3 is told about it."""

    def __init__(self, seed):
        self.key = hashlib.sha256(seed).digest()
        self.md5 = base64.b64encode(hashlib.md5(self.key).digest()).decode()
        self.given = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": self.key}
        self.source = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": self.key}

    def headers(self, **change):
        all = {"algorithm": "AES256", "key": base64.b64encode(self.key).decode(), "key-MD5": self.md5} | change
        return {CUSTOMER + name: value for name, value in all.items() if value is not None}


OURS, OTHER = Customer(b"ours"), Customer(b"other")
# What is sent to write so, and to read it again.
MODES = {"plain": ({}, {}), "master": (AES, {}), "customer": (OURS.given, OURS.given)}


def body_of(s3, bucket, key="k", **options):
    return s3.get_object(Bucket=bucket, Key=key, **options)["Body"].read()


def says(answer, mode):
    """Whether an answer says that the object is kept so."""
    shown = (answer.get("ServerSideEncryption"), answer.get("SSECustomerAlgorithm"), answer.get("SSECustomerKeyMD5"))
    expected = {"plain": (None, None, None), "master": ("AES256", None, None), "customer": (None, "AES256", OURS.md5)}
    return shown == expected[mode]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read_whole_and_in_ranges(s3, bucket, mode, size):
    write, read = MODES[mode]
    body = random_bytes(size, size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, **write)
    assert says(put, mode)
    assert (put["ETag"] == etag(body)) == (mode != "customer")
    head = s3.head_object(Bucket=bucket, Key="k", **read)
    assert says(head, mode) and head["ContentLength"] == size and head["ETag"] == put["ETag"]
    got = s3.get_object(Bucket=bucket, Key="k", **read)
    assert says(got, mode) and got["Body"].read() == body
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Size"] == size
    for start, end in [(0, 0), (0, 65535), (65535, 65536), (65536, 65536), (size // 2, size - 1), (size - 1, size + 9)]:
        if start < size and end >= start:
            assert body_of(s3, bucket, Range=f"bytes={start}-{end}", **read) == body[start : end + 1]


@pytest.mark.parametrize("mode", MODES)
def test_uploads_in_parts(s3, bucket, mode):
    write, read = MODES[mode]
    parts = [random_bytes(5 * MIB, 1), random_bytes(5 * MIB + 4321, 2), random_bytes(99, 3)]
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", **write)
    assert says(begun, mode)
    upload = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    done = []
    for number, part in enumerate(parts, 1):
        answer = s3.upload_part(**upload, PartNumber=number, Body=part, **read)
        assert says(answer, mode)
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    assert [part["Size"] for part in s3.list_parts(**upload)["Parts"]] == [len(part) for part in parts]
    completed = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": done})
    assert completed.get("ServerSideEncryption") == ("AES256" if mode == "master" else None)
    assert (completed["ETag"] == multipart_etag(parts)) == (mode != "customer")
    whole = b"".join(parts)
    assert body_of(s3, bucket, **read) == whole
    at = 5 * MIB
    assert body_of(s3, bucket, Range=f"bytes={at - 2}-{at + 70000}", **read) == whole[at - 2 : at + 70001]
    assert body_of(s3, bucket, PartNumber=2, **read) == parts[1]
    assert s3.head_object(Bucket=bucket, Key="k", PartNumber=1, **read)["PartsCount"] == 3


@pytest.mark.parametrize("source, target", list(itertools.product(MODES, MODES)))
def test_copies_between_any_two_modes(s3, bucket, source, target):
    body = random_bytes(5 * MIB + 1, 7)
    s3.put_object(Bucket=bucket, Key="from", Body=body, **MODES[source][0])
    where = {"CopySource": {"Bucket": bucket, "Key": "from"}}
    if source == "customer":
        where |= OURS.source
    copied = s3.copy_object(Bucket=bucket, Key="k", **where, **MODES[target][0])
    assert says(copied, target)
    assert (copied["CopyObjectResult"]["ETag"] == etag(body)) == (target != "customer")
    assert body_of(s3, bucket, **MODES[target][1]) == body
    begun = s3.create_multipart_upload(Bucket=bucket, Key="p", **MODES[target][0])
    upload = {"Bucket": bucket, "Key": "p", "UploadId": begun["UploadId"]}
    first = s3.upload_part_copy(**upload, **where, PartNumber=1, **MODES[target][1])
    second = s3.upload_part_copy(**upload, **where, PartNumber=2, CopySourceRange="bytes=65530-65600", **MODES[target][1])
    assert says(first, target)
    parts = [{"PartNumber": n, "ETag": part["CopyPartResult"]["ETag"]} for n, part in enumerate((first, second), 1)]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert body_of(s3, bucket, "p", **MODES[target][1]) == body + body[65530:65601]
    itself = {"CopySource": {"Bucket": bucket, "Key": "k"}, "MetadataDirective": "REPLACE"} | (OURS.source if target == "customer" else {})
    again = s3.copy_object(Bucket=bucket, Key="k", **itself, **MODES[source][0])
    assert says(again, source), "a copy onto itself changes how it is kept"
    assert body_of(s3, bucket, **MODES[source][1]) == body


def test_a_copy_onto_itself_may_change_nothing_but_its_encryption(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "b"})
    itself = {"Bucket": bucket, "Key": "k", "CopySource": {"Bucket": bucket, "Key": "k"}}
    with refused("InvalidRequest"):
        s3.copy_object(**itself)
    s3.copy_object(**itself, **AES)
    head = s3.head_object(Bucket=bucket, Key="k")
    assert says(head, "master") and head["Metadata"] == {"a": "b"}
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert body_of(s3, bucket) == b"x"


def test_the_default_of_a_bucket(s3, raw, bucket):
    with refused("ServerSideEncryptionConfigurationNotFoundError"):
        s3.get_bucket_encryption(Bucket=bucket)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": True}
    s3.put_object(Bucket=bucket, Key="before", Body=b"x")
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"] == [rule]
    assert says(s3.put_object(Bucket=bucket, Key="k", Body=b"x"), "master")
    assert says(s3.head_object(Bucket=bucket, Key="before"), "plain")
    assert says(s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "before"}), "master")
    assert says(s3.create_multipart_upload(Bucket=bucket, Key="k"), "master")
    assert says(s3.put_object(Bucket=bucket, Key="c", Body=b"x", **OURS.given), "customer"), "a request says otherwise"
    s3.delete_bucket_encryption(Bucket=bucket)
    assert says(s3.put_object(Bucket=bucket, Key="k", Body=b"x"), "plain")
    with refused("ServerSideEncryptionConfigurationNotFoundError"):
        s3.get_bucket_encryption(Bucket=bucket)
    for method in ("GET", "PUT", "DELETE"):
        answered(raw.request(method, "/no-such-bucket-at-all", [("encryption", "")], body=encryption("AES256") if method == "PUT" else b""), "NoSuchBucket")


def encryption(algorithm, more=""):
    apply = f"<ApplyServerSideEncryptionByDefault><SSEAlgorithm>{algorithm}</SSEAlgorithm>{more}</ApplyServerSideEncryptionByDefault>"
    return f'<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule>{apply}</Rule></ServerSideEncryptionConfiguration>'.encode()


def test_what_is_no_default(raw, bucket):
    key = "<KMSMasterKeyID>k</KMSMasterKeyID>"
    for body, code in [(b"", "MalformedXML"), (b"<a/>", "MalformedXML"), (encryption("ROT13"), "MalformedXML"), (encryption("AES256", key), "MalformedXML"), (encryption("aws:kms:dsse", key), "NotImplemented")]:
        answer = raw.request("PUT", f"/{bucket}", [("encryption", "")], body=body)
        assert answer.code == code, (body, answer)


def test_what_cannot_be_asked_for(raw, s3, bucket):
    kms_key = {SSE + "-aws-kms-key-id": "k"}
    for headers, code in [
        ({SSE: "ROT13"}, "InvalidArgument"),
        ({SSE: "aws:kms:dsse"}, "NotImplemented"),
        (kms_key, "InvalidArgument"),
        ({SSE: "AES256"} | kms_key, "InvalidArgument"),
        ({SSE: "AES256"} | OURS.headers(), "InvalidArgument"),
    ]:
        answered(raw.request("PUT", f"/{bucket}/k", headers=headers, body=b"x"), code)
        answered(raw.request("POST", f"/{bucket}/k", [("uploads", "")], headers=headers), code)
    assert raw.request("GET", f"/{bucket}/k").status == 404
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **AES)
    answered(raw.request("GET", f"/{bucket}/k", headers={SSE: "AES256"}), "InvalidArgument")
    assert raw.request("HEAD", f"/{bucket}/k", headers={SSE: "AES256"}).status == 400


def test_a_clients_key_is_checked(raw, bucket):
    short = base64.b64encode(OURS.key[1:]).decode()
    for change, code in [
        ({"algorithm": None}, "InvalidArgument"),
        ({"algorithm": "AES128"}, "InvalidEncryptionAlgorithmError"),
        ({"key": None}, "InvalidArgument"),
        ({"key": "no base64"}, "InvalidArgument"),
        ({"key": short}, "InvalidArgument"),
        ({"key-MD5": None}, "InvalidArgument"),
        ({"key-MD5": OTHER.md5}, "InvalidArgument"),
    ]:
        answer = raw.request("PUT", f"/{bucket}/k", headers=OURS.headers(**change), body=b"x")
        answered(answer, code)
        assert base64.b64encode(OURS.key) not in answer.body
    assert raw.request("GET", f"/{bucket}/k").status == 404


def test_nothing_is_had_without_the_clients_key(s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret", **OURS.given)
    where = {"Bucket": bucket, "Key": "k"}
    copy = {"Bucket": bucket, "Key": "copy", "CopySource": where}
    for without in (lambda: s3.get_object(**where), lambda: s3.copy_object(**copy)):
        with refused("InvalidRequest"):
            without()
    for other in (lambda: s3.get_object(**where, **OTHER.given), lambda: s3.copy_object(**copy, **OTHER.source)):
        with refused("AccessDenied", status=403):
            other()
    with status(400):
        s3.head_object(**where)
    with status(403):
        s3.head_object(**where, **OTHER.given)
    for headers, code in [({}, "InvalidRequest"), (OTHER.headers(), "AccessDenied")]:
        answered(attributes(raw, bucket, headers), code)
    assert attributes(raw, bucket, OURS.headers()).text("ObjectSize") == "6"
    for mode in ("plain", "master"):
        s3.put_object(Bucket=bucket, Key=mode, Body=b"x", **MODES[mode][0])
        with refused("InvalidRequest"):
            body_of(s3, bucket, mode, **OURS.given)


def attributes(raw, bucket, headers):
    """boto3 makes no MD5 of the key for this operation."""
    return raw.request("GET", f"/{bucket}/k", [("attributes", "")], headers={"x-amz-object-attributes": "ObjectSize"} | headers)


def test_parts_need_the_key_of_their_upload(s3, bucket):
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", **OURS.given)
    upload = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"], "PartNumber": 1, "Body": b"x"}
    with refused("InvalidRequest", message="The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters."):
        s3.upload_part(**upload)
    with refused("InvalidRequest", message="The provided encryption parameters did not match the ones used originally."):
        s3.upload_part(**upload, **OTHER.given)
    done = {"Parts": [{"PartNumber": 1, "ETag": s3.upload_part(**upload, **OURS.given)["ETag"]}]}
    del upload["PartNumber"], upload["Body"]
    with refused("InvalidRequest"):
        s3.complete_multipart_upload(**upload, MultipartUpload=done, **OTHER.given)
    s3.complete_multipart_upload(**upload, MultipartUpload=done, **OURS.given)
    assert body_of(s3, bucket, **OURS.given) == b"x"
    for mode in ("plain", "master"):
        begun = s3.create_multipart_upload(Bucket=bucket, Key=mode, **MODES[mode][0])
        with refused("InvalidRequest"):
            s3.upload_part(Bucket=bucket, Key=mode, UploadId=begun["UploadId"], PartNumber=1, Body=b"x", **OURS.given)


def test_policies_can_demand_encryption(s3, bucket):
    everything = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    demand = everything | {"Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"}}}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [demand]}))
    with refused("AccessDenied"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert says(s3.put_object(Bucket=bucket, Key="k", Body=b"x", **AES), "master")


def test_forms_and_versions(s3, raw, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"first", **AES)["VersionId"]
    form = s3.generate_presigned_post(bucket, "k", Fields={SSE: "AES256"}, Conditions=[{SSE: "AES256"}])
    parts = [f'name="{name}"\r\n\r\n{value}' for name, value in form["fields"].items()] + ['name="file"; filename="f"\r\n\r\nfrom a form']
    body = "".join(f"--b\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--b--\r\n"
    answer = raw.send("POST", f"/{bucket}", headers={"Content-Type": "multipart/form-data; boundary=b"}, body=body.encode())
    assert answer.status == 204 and answer.headers[SSE] == "AES256"
    s3.put_object(Bucket=bucket, Key="k", Body=b"last")
    assert body_of(s3, bucket) == b"last"
    assert body_of(s3, bucket, VersionId=answer.headers["x-amz-version-id"]) == b"from a form"
    assert body_of(s3, bucket, VersionId=first) == b"first"


def test_aws_cli(server, bucket, tmp_path):
    environment = client_environment(server, tmp_path)

    def run(*arguments):
        done = subprocess.run([tool("aws"), "--endpoint-url", server.endpoint, *arguments], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "file").write_bytes(random_bytes(9 * MIB))
    (tmp_path / "key").write_bytes(OURS.key)
    run("s3", "cp", str(tmp_path / "file"), f"s3://{bucket}/k", "--sse", "AES256")
    assert json.loads(run("s3api", "head-object", "--bucket", bucket, "--key", "k"))["ServerSideEncryption"] == "AES256"
    customer = ["--sse-c", "AES256", "--sse-c-key", f"fileb://{tmp_path}/key"]
    run("s3", "cp", str(tmp_path / "file"), f"s3://{bucket}/c", *customer)
    for key, options in (("k", []), ("c", customer)):
        run("s3", "cp", f"s3://{bucket}/{key}", str(tmp_path / "back"), *options)
        assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()


def lies_plain(server):
    """Whether the mark is on any disk."""
    files = [path for disk in server.disks for path in disk.rglob("*") if path.is_file()]
    assert files
    return any(MARK[:24] in path.read_bytes() for path in files)


@pytest.fixture
def own(tmp_path):
    server = Larder(directory=tmp_path / "server", extra_args=["--log-level", "trace"])
    yield server
    server.close()


def test_nothing_plain_lies_on_the_disks_and_keys_rotate(own):
    bodies = {"small": MARK * 10, "large": MARK * 50_000}
    own.start()
    s3, name = boto(own), unique_bucket()
    s3.create_bucket(Bucket=name)
    for key, body in bodies.items():
        s3.put_object(Bucket=name, Key=key, Body=body, **AES)
        s3.put_object(Bucket=name, Key=key + "-c", Body=body, **OURS.given)
    own.stop()
    assert not lies_plain(own)
    keys = [base64.b64encode(os.urandom(32)).decode() for _ in range(2)]
    file = own.directory / "keys"
    own.environment["LARDER_MASTER_KEY_FILE"] = str(file)
    for lines in (f"a:{keys[0]}\n", f"b:{keys[1]}\na:{keys[0]}\n"):
        file.write_text(lines)
        own.start()
        s3 = boto(own)
        for key, body in bodies.items():
            assert body_of(s3, name, key) == body and body_of(s3, name, key + "-c", **OURS.given) == body
        s3.put_object(Bucket=name, Key=lines[0], Body=MARK, **AES)
        assert body_of(s3, name, "a") == MARK
        own.stop()
    log = own.log_path.read_text()
    assert base64.b64encode(OURS.key).decode() not in log and not any(key in log for key in keys)
    own.start()
    boto(own).put_object(Bucket=name, Key="plain", Body=MARK * 3)
    own.stop()
    assert lies_plain(own), "the test would find it"


def test_all_is_encrypted_where_the_server_says_so(own):
    own.extra_args.append("--encrypt-all")
    own.start()
    s3, name = boto(own), unique_bucket()
    s3.create_bucket(Bucket=name)
    rules = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert says(s3.put_object(Bucket=name, Key="k", Body=MARK), "master")
    s3.delete_bucket_encryption(Bucket=name)
    assert says(s3.put_object(Bucket=name, Key="l", Body=MARK * 50_000), "master")
    assert says(s3.put_object(Bucket=name, Key="c", Body=MARK, **OURS.given), "customer")
    own.restart()
    assert body_of(boto(own), name, "l") == MARK * 50_000
    own.stop()
    assert not lies_plain(own)


def test_a_clients_key_is_not_taken_over_an_open_network(tmp_path):
    proxies = ["--trusted-proxy", "127.0.0.0/8"]
    with Larder(directory=tmp_path, extra_args=proxies) as server:
        s3, raw, name = boto(server), Raw(server), unique_bucket()
        s3.create_bucket(Bucket=name)
        far = {"x-forwarded-for": "203.0.113.5", "x-forwarded-proto": "http"}
        answered(raw.request("PUT", f"/{name}/k", headers=far | OURS.headers(), body=b"x"), "InvalidRequest")
        assert raw.request("PUT", f"/{name}/k", headers=far | {"x-forwarded-proto": "https"} | OURS.headers(), body=b"x").status == 200
        answered(raw.request("GET", f"/{name}/k", headers=far | OURS.headers()), "InvalidRequest")
        assert raw.request("GET", f"/{name}/k", headers=OURS.headers()).body == b"x"
