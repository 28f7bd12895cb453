"""Another master key in place of one that sealed something: all is wrapped anew, and then the old key may go."""

import base64
import json
import os
import threading

import pytest
from larderlib.clients import boto, random_bytes, unique_bucket
from larderlib.iam import User, query, statement
from larderlib.server import Larder, poll

MIB = 1024 * 1024
AES = {"ServerSideEncryption": "AES256"}
KMS = {"ServerSideEncryption": "aws:kms"}
CUSTOMER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}


def line(name):
    return f"{name}:{base64.b64encode(os.urandom(32)).decode()}\n"


@pytest.fixture
def server(tmp_path):
    server = Larder(directory=tmp_path / "server", extra_args=["--log-level", "trace"])
    yield server
    server.close()


class Keys:
    """The file of master keys of a server."""

    def __init__(self, server):
        self.server, self.file = server, server.directory / "keys"
        self.old, self.new = line("old"), line("new")
        server.environment["LARDER_MASTER_KEY_FILE"] = str(self.file)

    def give(self, *lines):
        self.server.stop()
        self.file.write_text("".join(lines))
        self.server.start()
        return boto(self.server)


def status_of(server):
    return json.loads(server.run("encryption", "status", "--json"))


def needed(server):
    return {key["id"]: key["is_needed"] for key in status_of(server)["keys"]}


def body_of(s3, bucket, key, **options):
    return s3.get_object(Bucket=bucket, Key=key, **options)["Body"].read()


def test_all_is_wrapped_anew_and_the_old_key_may_go(server):
    keys = Keys(server)
    s3, name = keys.give(keys.old), unique_bucket()
    s3.create_bucket(Bucket=name)
    bodies = {"small": b"abc", "empty": b"", "large": random_bytes(3 * MIB, 1)}
    for (key, body), (mode, given) in ((b, m) for b in bodies.items() for m in (("aes", AES), ("kms", KMS))):
        s3.put_object(Bucket=name, Key=f"{mode}-{key}", Body=body, **given)
    s3.put_object(Bucket=name, Key="customer", Body=b"c", **CUSTOMER)
    s3.put_object(Bucket=name, Key="plain", Body=b"p")
    s3.put_object(Bucket=name, Key="versions", Body=b"null", **AES)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    versions = [s3.put_object(Bucket=name, Key="versions", Body=body, **AES)["VersionId"] for body in (b"1", b"2")]
    begun = s3.create_multipart_upload(Bucket=name, Key="upload", **AES)
    upload = {"Bucket": name, "Key": "upload", "UploadId": begun["UploadId"]}
    part = s3.upload_part(**upload, PartNumber=1, Body=b"a part")["ETag"]
    user = User(server, query("iam", server), "u", statement("s3:ListAllMyBuckets"))
    account = json.loads(server.run("account", "add", "tenant", "--json"))

    s3 = keys.give(keys.new, keys.old)
    assert needed(server) == {"new": True, "old": True}
    server.stop()
    keys.file.write_text(keys.new)
    with pytest.raises(RuntimeError, match="master key `old` sealed what is stored here"):
        server.start()
    s3 = keys.give(keys.new, keys.old)
    said = server.run("encryption", "rewrap")
    assert "old: seals nothing: it may be taken away" in said and "new: seals" in said
    done = status_of(server)
    # Six objects, three versions, and an upload.
    assert (done["state"], done["done"]["rewrapped"], done["done"]["failed"]) == ("idle", 10, 0)
    assert 0 < done["done"]["moved_bytes"] < MIB, "only small ones were written again"
    assert done["secrets"] == 2 and done["secrets_failed"] == 0, done

    s3 = keys.give(keys.new)
    assert needed(server) == {"new": True}
    for key, body in bodies.items():
        assert body_of(s3, name, "aes-" + key) == body and body_of(s3, name, "kms-" + key) == body
    assert body_of(s3, name, "customer", **CUSTOMER) == b"c" and body_of(s3, name, "plain") == b"p"
    assert [body_of(s3, name, "versions", VersionId=v) for v in ["null", *versions]] == [b"null", b"1", b"2"]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    assert body_of(s3, name, "upload") == b"a part"
    assert user.s3.list_buckets()["Buckets"]
    assert boto(server, access_key=account["account"]["access_key"], secret_key=account["secret_key"]).list_buckets()["Buckets"] == []
    again = json.loads(server.run("encryption", "rewrap", "--json"))
    assert again["done"]["rewrapped"] == 0
    log = server.log_path.read_text()
    assert not any(secret.strip().split(":")[1] in log for secret in (keys.old, keys.new))


def test_a_pass_that_is_killed_goes_on_by_itself(server):
    keys = Keys(server)
    s3, name = keys.give(keys.old), unique_bucket()
    s3.create_bucket(Bucket=name)
    bodies = {f"k{number:04}": str(number).encode() for number in range(700)}
    for key, body in bodies.items():
        s3.put_object(Bucket=name, Key=key, Body=body, **AES)
    keys.give(keys.new, keys.old)
    assert json.loads(server.run("encryption", "rewrap", "--no-wait", "--json"))["started_unix_millis"] > 0
    for _ in range(3):
        server.crash()
    poll(lambda: status_of(server)["state"] == "idle", 120, "the pass comes to its end")
    assert needed(server) == {"new": True, "old": False}
    s3 = keys.give(keys.new)
    for key, body in bodies.items():
        assert body_of(s3, name, key) == body


def test_clients_that_write_meanwhile_win(server):
    keys = Keys(server)
    s3, name = keys.give(keys.old), unique_bucket()
    s3.create_bucket(Bucket=name)
    for number in range(200):
        s3.put_object(Bucket=name, Key=f"k{number:03}", Body=b"before", **AES)
    s3 = keys.give(keys.new, keys.old)
    expected, failed, stop = {}, [], threading.Event()

    def write(first):
        client = boto(server)
        for turn in range(10**6):
            for number in range(first, 200, 4):
                if stop.is_set():
                    return
                key = f"k{number:03}"
                try:
                    if turn % 2:
                        client.put_object_tagging(Bucket=name, Key=key, Tagging={"TagSet": [{"Key": "t", "Value": str(turn)}]})
                    else:
                        body = f"{key} {turn}".encode()
                        client.put_object(Bucket=name, Key=key, Body=body, **AES)
                        expected[key] = body
                except Exception as error:
                    failed.append(error)
                    return

    writers = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    for writer in writers:
        writer.start()
    poll(lambda: len(expected) > 50 or failed, 60, "the writers write")
    for _ in range(2):
        assert json.loads(server.run("encryption", "rewrap", "--json"))["done"]["failed"] == 0
    stop.set()
    for writer in writers:
        writer.join()
    assert not failed
    s3 = keys.give(keys.new)
    for number in range(200):
        key = f"k{number:03}"
        assert body_of(s3, name, key) == expected.get(key, b"before")
