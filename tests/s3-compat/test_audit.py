"""The audit log: a line for each request, with who decided what, and with no secret in it."""

import base64
import concurrent.futures
import http.client
import json
import os
import re
import signal
import subprocess
import urllib.parse
import urllib.request

import pytest
from botocore.exceptions import ClientError
from larderlib.clients import boto, random_bytes, unique_bucket
from larderlib.connection import connected, read_head, signed_head
from larderlib.iam import query
from larderlib.rawhttp import STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, Raw, exchange
from larderlib.server import Larder, inherited_environment, larder_binary, poll
from larderlib.tls import Authority

ROOT = "arn:aws:iam::000000000000:root"


class Audit:
    """A server's log of requests."""

    def __init__(self, server, path):
        self.server, self.path = server, path

    def lines(self):
        """All whole lines; each must be JSON."""
        text = self.path.read_text() if self.path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def find(self, what, **fields):
        """The first line with these fields, once it is there."""
        return poll(lambda: next((line for line in self.lines() if fields.items() <= line.items()), None), 30, f"a line of {what}")

    def of(self, answer):
        """The line of an answer of boto3's, or of an error."""
        answer = answer.response if isinstance(answer, ClientError) else answer
        return self.find("an answer", id=answer["ResponseMetadata"]["RequestId"])

    def of_raw(self, answer):
        return self.find("an answer", id=answer.headers["x-amz-request-id"])


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    directory = tmp_path_factory.mktemp("audited")
    arguments = ["--audit-log", str(directory / "audit.log"), "--trusted-proxy", "127.0.0.1"]
    with Larder(directory=directory, extra_args=arguments, environment={"LARDER_METRICS_TOKEN": "a-token-of-a-test"}) as server:
        yield server


@pytest.fixture(scope="module")
def audit(audited):
    return Audit(audited, audited.directory / "audit.log")


@pytest.fixture
def bucket(audited):
    name = unique_bucket()
    boto(audited).create_bucket(Bucket=name)
    return name


def failed(call):
    with pytest.raises(ClientError) as error:
        call()
    return error.value


# --- What a line says --------------------------------------------------------------------------------------------------


def test_a_line_says_who_did_what_to_what_and_from_where(audited, audit, bucket):
    client = boto(audited)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put = client.put_object(Bucket=bucket, Key="a/Grüße", Body=b"x" * 1000)
    line = audit.of(put)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert line["who"] == {"account": "000000000000", "arn": ROOT, "access_key": audited.access_key}
    assert line["from"]["address"] == "127.0.0.1" and "Boto3" in line["from"]["user_agent"]
    assert (line["authentication"], line["method"], line["path"]) == ("header", "PUT", f"/{bucket}/a/Gr%C3%BC%C3%9Fe")
    assert (line["operation"], line["bucket"], line["key"], line["version"]) == ("PutObject", bucket, "a/Grüße", put["VersionId"])
    assert line["decisions"] == [{"effect": "Allow", "by": "owner"}]
    assert (line["status"], line["bytes_out"], line["complete"]) == (200, 0, True) and "error" not in line
    assert 1000 <= line["bytes_in"] < 1300 and 0 <= line["duration_millis"] < 60_000
    got = client.get_object(Bucket=bucket, Key="a/Grüße", VersionId=put["VersionId"], Range="bytes=0-99")
    got["Body"].read()
    line = audit.of(got)
    assert (line["operation"], line["version"], line["status"], line["bytes_out"]) == ("GetObject", put["VersionId"], 206, 100)
    line = audit.of(client.list_objects_v2(Bucket=bucket, Prefix="a/"))
    assert (line["operation"], line["prefix"]) == ("ListObjectsV2", "a/") and "key" not in line
    line = audit.of(client.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a/Grüße"}))
    assert (line["operation"], line["source"]) == ("CopyObject", f"{bucket}/a/Gr%C3%BC%C3%9Fe")
    upload = client.create_multipart_upload(Bucket=bucket, Key="c")["UploadId"]
    line = audit.of(client.upload_part(Bucket=bucket, Key="c", UploadId=upload, PartNumber=7, Body=b"x"))
    assert (line["upload_id"], line["part_number"]) == (upload, "7")


def test_who_is_behind_a_proxy_is_said_as_far_as_it_is_believed(audited, audit, bucket):
    line = audit.of_raw(Raw(audited).request("GET", f"/{bucket}", headers={"X-Forwarded-For": "203.0.113.9, 192.0.2.7"}))
    assert (line["from"]["address"], line["from"]["proxy"]) == ("192.0.2.7", "127.0.0.1")


def test_bytes_are_counted_to_the_last_one_that_went_out(audited, audit, bucket):
    data = random_bytes(48 << 20)
    client = boto(audited)
    client.put_object(Bucket=bucket, Key="large", Body=data)
    got = client.get_object(Bucket=bucket, Key="large")
    assert got["Body"].read() == data
    line = audit.of(got)
    assert (line["bytes_out"], line["complete"]) == (len(data), True)
    with connected(audited, receive_buffer_bytes=1 << 16) as (sock, stream):
        sock.sendall(signed_head(Raw(audited), "GET", f"/{bucket}/large"))
        status, headers = read_head(stream)
    assert status == 200
    line = audit.find("an answer that nobody took", id=headers["x-amz-request-id"])
    assert line["bytes_out"] < len(data) and not line["complete"]


def test_each_key_of_many_that_are_deleted_is_named(audited, audit, bucket):
    client = boto(audited)
    client.put_object(Bucket=bucket, Key="kept", Body=b"x")
    client.put_object(Bucket=bucket, Key="gone", Body=b"x")
    statement = {"Sid": "Keep", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{bucket}/kept"}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    line = audit.of(client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "kept"}, {"Key": "gone"}]}))
    assert line["deleted"] == [{"key": "kept", "error": "AccessDenied"}, {"key": "gone"}]
    assert {"action": "s3:DeleteObject", "effect": "Deny", "by": "bucket-policy", "statement": {"index": 0, "sid": "Keep"}} in line["decisions"]
    client.delete_bucket_policy(Bucket=bucket)


def test_a_form_has_its_sender_and_its_key(audited, audit, bucket):
    answer = post_form(audited, boto(audited).generate_presigned_post(bucket, "form/${filename}"))
    line = audit.find("a form", id=answer.getheader("x-amz-request-id"))
    assert (line["operation"], line["key"], line["authentication"]) == ("PostObject", "form/name.txt", "form")
    assert line["who"]["access_key"] == audited.access_key and line["status"] == 204


def test_administrators_are_in_it(audited, audit):
    audited.run("status")
    line = audit.find("an administrator", operation="Administer", path="/_larder/v1/status")
    assert line["who"]["arn"] == ROOT and line["status"] == 200


# --- Which statement decided -------------------------------------------------------------------------------------------


def test_the_statement_that_decided_is_named(audited, audit, bucket):
    client, raw = boto(audited), Raw(audited)
    client.put_object(Bucket=bucket, Key="public/k", Body=b"x")
    line = audit.of_raw(raw.send("GET", f"/{bucket}/public/k"))
    assert line["who"] is None and (line["status"], line["error"]) == (403, "AccessDenied")
    assert line["decisions"] == [{"action": "s3:GetObject", "effect": "Deny", "by": "nobody"}]
    everything = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    statements = [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/other/*"},
        {"Sid": "Read", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/public/*"},
        {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket", "Resource": everything},
    ]
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    line = audit.of_raw(raw.send("GET", f"/{bucket}/public/k"))
    assert line["decisions"] == [{"action": "s3:GetObject", "effect": "Allow", "by": "bucket-policy", "statement": {"index": 1, "sid": "Read"}}]
    line = audit.of(failed(lambda: client.delete_bucket(Bucket=bucket)))
    assert line["decisions"] == [{"action": "s3:DeleteBucket", "effect": "Deny", "by": "bucket-policy", "statement": {"index": 2}}]
    line = audit.of(client.put_object(Bucket=bucket, Key="k", Body=b"x"))
    assert line["decisions"] == [{"action": "s3:PutObject", "effect": "Allow", "by": "owner"}]
    line = audit.of(client.list_buckets())
    assert (line["decisions"], "bucket" in line) == ([{"effect": "Allow", "by": "account"}], False)


def test_a_list_that_decided_is_named(audited, audit):
    client, bucket = boto(audited), unique_bucket()
    client.create_bucket(Bucket=bucket, ObjectOwnership="ObjectWriter", ACL="public-read")
    line = audit.of_raw(Raw(audited).send("GET", f"/{bucket}"))
    assert line["decisions"] == [{"action": "s3:ListBucket", "effect": "Allow", "by": "acl"}]


def test_what_users_do_and_what_lets_them(audited, audit, bucket):
    iam = query("iam", audited)
    made = iam.create_user(UserName="auditor")
    line = audit.of(made)
    assert (line["operation"], line["who"]["arn"], line["authentication"], line["path"]) == ("CreateUser", ROOT, "header", "/")
    assert line["decisions"] == [{"action": "iam:CreateUser", "resource": made["User"]["Arn"], "effect": "Allow", "by": "owner"}]
    key = iam.create_access_key(UserName="auditor")["AccessKey"]
    statement = {"Sid": "Own", "Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="auditor", PolicyName="p", PolicyDocument=document)
    boto(audited).put_object(Bucket=bucket, Key="k", Body=b"x")
    user = boto(audited, access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
    line = audit.of(user.get_object(Bucket=bucket, Key="k"))
    assert line["who"] == {"account": "000000000000", "arn": made["User"]["Arn"], "access_key": key["AccessKeyId"]}
    assert line["decisions"] == [{"action": "s3:GetObject", "effect": "Allow", "by": "identity-policy", "statement": {"policy": f"{made['User']['Arn']}#p", "index": 0, "sid": "Own"}}]
    line = audit.of(failed(lambda: user.delete_object(Bucket=bucket, Key="k")))
    assert line["decisions"] == [{"action": "s3:DeleteObject", "effect": "Deny", "by": "nobody"}]
    line = audit.of(failed(lambda: boto(audited, access_key=key["AccessKeyId"], secret_key="wrong").list_buckets()))
    assert line["claimed_access_key"] == key["AccessKeyId"]
    assert key["SecretAccessKey"] not in audit.path.read_text()
    # What the user's own policy allows, that of the bucket denies.
    deny = {"Sid": "Stop", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    boto(audited).put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    line = audit.of(failed(lambda: user.get_object(Bucket=bucket, Key="k")))
    assert line["decisions"] == [{"action": "s3:GetObject", "effect": "Deny", "by": "bucket-policy", "statement": {"index": 0, "sid": "Stop"}}]


# --- What was refused before anybody decided ---------------------------------------------------------------------------


def test_a_wrong_signature_names_the_key_that_is_claimed_if_there_is_one(audited, audit):
    line = audit.of(failed(lambda: boto(audited, secret_key="wrong").list_buckets()))
    assert (line["error"], line["who"], line["claimed_access_key"]) == ("SignatureDoesNotMatch", None, audited.access_key)
    assert line["decisions"] == []
    # Who mixes up the two sends a secret in the place of the key.
    line = audit.of(failed(lambda: boto(audited, access_key=audited.secret_key).list_buckets()))
    assert line["error"] == "InvalidAccessKeyId" and "claimed_access_key" not in line


@pytest.mark.parametrize("method, path, code", [("GET", "/%ff", 400), ("BREW", "/", 405), ("GET", "/no-such-bucket-at-all", 404)])
def test_what_makes_no_sense_is_in_it(audited, audit, method, path, code):
    answer = Raw(audited).request(method, path)
    line = audit.of_raw(answer)
    assert (line["method"], line["path"], line["status"]) == (method, path, answer.status) and line["error"]
    assert answer.status in (400, 403, 404, 405)


def test_what_is_no_http_is_in_it(audited, audit):
    exchange(audited, b"\x01\x02\x03 nonsense\r\n\r\n")
    line = audit.find("bytes that are no HTTP", error="MalformedHttp")
    assert (line["status"], line["from"]) == (400, {"address": "127.0.0.1"})


def test_a_client_without_the_right_certificate_is_in_it(tmp_path):
    authority, stranger = Authority(tmp_path / "authority"), Authority(tmp_path / "stranger")
    arguments = ["--audit-log", str(tmp_path / "audit.log"), "--tls-client-ca", str(authority.certificate)]
    with Larder(directory=tmp_path / "server", tls=authority.issue(), authority=authority, plain=True, extra_args=arguments) as server:
        audit = Audit(server, tmp_path / "audit.log")
        for number, client in enumerate([None, stranger.issue(["client"])]):
            with pytest.raises((OSError, http.client.HTTPException)):
                urllib.request.urlopen(f"{server.endpoint}/", timeout=30, context=authority.context(client))
            line = poll(lambda: audit.lines()[number : number + 1], 30, "the refusal")[0]
            assert (line["error"], line["status"], line["from"]) == ("CertificateRefused", None, {"address": "127.0.0.1"})


def test_a_client_that_goes_away_within_its_body_is_in_it(audited, audit, bucket):
    with connected(audited) as (sock, _):
        sock.sendall(signed_head(Raw(audited), "PUT", f"/{bucket}/half", {"Content-Length": "1000000"}) + b"x" * 1000)
    line = audit.find("half a body", path=f"/{bucket}/half")
    assert line["error"] and line["who"]["arn"] == ROOT and line["status"] != 200


# --- What is never in it -----------------------------------------------------------------------------------------------


def post_form(server, form):
    boundary = "b0undary"
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in form["fields"].items()]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="name.txt"\r\n\r\nbody\r\n--{boundary}--\r\n')
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    connection.request("POST", urllib.parse.urlsplit(form["url"]).path, "".join(parts), {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_no_secret_and_no_signature_is_ever_in_it(audited, audit, bucket):
    client, raw, secrets = boto(audited), Raw(audited), {audited.secret_key}

    def keep(request, **_):
        secrets.update(re.findall(r"Signature=([0-9a-f]{64})", request.headers.get("Authorization", b"").decode()))

    client.meta.events.register("before-send.s3", keep)
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    # In the header, with a token and a key of encryption, which are refused.
    token, key = "a-session-token-of-somebody", random_bytes(32)
    encoded = base64.b64encode(key).decode()
    encryption = {"x-amz-server-side-encryption-customer-algorithm": "AES256", "x-amz-server-side-encryption-customer-key": encoded}
    secrets |= {token, encoded}
    raw.request("GET", f"/{bucket}/k", headers={"x-amz-security-token": token})
    raw.request("GET", f"/{bucket}/k", headers=encryption)
    raw.request("GET", f"/{bucket}/k", headers={"Authorization": f"Bearer {token}"}, change=lambda headers: headers.update(Authorization=f"Bearer {token}"))
    # Presigned, by both versions, right and wrong.
    urls = [client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})]
    urls.append(boto(audited, signature_version="s3v4").generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}))
    for url in urls:
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        secrets.update(query[name] for name in ("Signature", "X-Amz-Signature") if name in query)
        assert urllib.request.urlopen(url, timeout=30).read() == b"x"
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{url}&X-Amz-Security-Token={token}", timeout=30)
    # By form, which has a policy and its signature.
    for version in ("s3", "s3v4"):
        form = boto(audited, signature_version=version).generate_presigned_post(bucket, "form/${filename}")
        secrets.update(form["fields"][name] for name in ("policy", "signature", "x-amz-signature") if name in form["fields"])
        assert post_form(audited, form).status == 204
    # In chunks, each of which is signed.
    framed = []
    for mode in (STREAMING_SIGNED, STREAMING_SIGNED_TRAILER):
        answer = raw.put_streaming(f"/{bucket}/chunks", [b"a" * 8192, b"b" * 100], mode, spoil=lambda _, frame: framed.append(frame) or frame)
        assert answer.status == 200, answer
    for frame in framed:
        secrets.update(found.decode() for found in re.findall(rb"signature[=:]([0-9a-f]{64})", frame))
    last = audit.of(client.head_object(Bucket=bucket, Key="k"))
    assert len(secrets) >= 12, secrets
    for path in [audit.path, audited.log_path]:
        text = path.read_text()
        forms = {form for secret in secrets for form in (secret, urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret))}
        assert not [secret for secret in forms if secret in text], path
    assert last["status"] == 200


# --- The file ----------------------------------------------------------------------------------------------------------


def test_every_request_of_many_clients_is_in_it_once(audited, audit, bucket):
    client = boto(audited)

    def put(number):
        return client.put_object(Bucket=bucket, Key=f"{number}", Body=b"x")["ResponseMetadata"]["RequestId"]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(put, range(500)))
    for id in ids[-16:]:
        audit.find("one of many", id=id)
    found = [line["id"] for line in audit.lines() if line.get("bucket") == bucket and line["operation"] == "PutObject"]
    assert sorted(found) == sorted(ids)


def test_a_full_file_is_put_aside_and_so_many_are_kept(tmp_path):
    path = tmp_path / "audit.log"
    arguments = ["--audit-log", str(path), "--audit-log-size", "64KiB", "--audit-log-keep", "2"]
    with Larder(directory=tmp_path / "server", extra_args=arguments) as server:
        client, ids = boto(server), []
        while not (tmp_path / "audit.log.2").exists():
            ids += [client.list_buckets()["ResponseMetadata"]["RequestId"] for _ in range(20)]
        kept = poll(lambda: read_all(tmp_path, ids[-1]), 30, "the last line")
        assert kept == ids[-len(kept) :], "in order, and nothing lost between two files"
        assert all(file.stat().st_size <= 64 << 10 for file in tmp_path.glob("audit.log*"))
        while len(ids) < 2000:
            ids.append(client.list_buckets()["ResponseMetadata"]["RequestId"])
    assert sorted(file.name for file in tmp_path.glob("audit.log*")) == ["audit.log", "audit.log.1", "audit.log.2"]
    kept = read_all(tmp_path, ids[-1])
    assert kept and kept == ids[-len(kept) :], "the end of the log is written before the server stops"


def read_all(directory, last):
    files = [directory / name for name in ("audit.log.2", "audit.log.1", "audit.log")]
    found = [json.loads(line)["id"] for file in files if file.exists() for line in file.read_text().splitlines()]
    return found if last in found else None


@pytest.mark.parametrize("says_so", [True, False], ids=["SIGHUP", "silently"])
def test_a_file_that_somebody_moved_away_is_begun_anew(tmp_path, says_so):
    path, moved = tmp_path / "audit.log", tmp_path / "moved"
    with Larder(directory=tmp_path / "server", extra_args=["--audit-log", str(path)]) as server:
        audit, client = Audit(server, path), boto(server)
        before = audit.of(client.list_buckets())
        os.rename(path, moved)
        if says_so:
            server.process.send_signal(signal.SIGHUP)
        after = audit.of(client.list_buckets())
        assert before in Audit(server, moved).lines() and after not in Audit(server, moved).lines()
        assert (path.stat().st_mode & 0o777) == 0o640


def test_a_full_disk_stops_no_request(tmp_path):
    environment = {"LARDER_METRICS_TOKEN": "a-token-of-a-test"}
    with Larder(directory=tmp_path / "server", extra_args=["--audit-log", "/dev/full"], environment=environment) as server:
        client = boto(server)
        client.create_bucket(Bucket="full")
        for number in range(50):
            client.put_object(Bucket="full", Key=f"{number}", Body=b"x")

        def metric(name):
            answer = Raw(server).send("GET", "/_larder/metrics", headers={"Authorization": "Bearer a-token-of-a-test"})
            return float(re.search(rf"^larder_audit_{name} (\S+)$", answer.body.decode(), re.MULTILINE)[1])

        poll(lambda: metric("failed_writes_total") > 0, 30, "a write that failed")
        assert metric("lines_total") > 50 and metric("lost_lines_total") == 0
        assert server.log_path.read_text().count("the audit log can't be written") == 1


def test_lines_go_to_standard_output_where_that_is_wanted(tmp_path):
    with Larder(directory=tmp_path / "server", extra_args=["--audit-log", "-"]) as server:
        id = boto(server).list_buckets()["ResponseMetadata"]["RequestId"]
        line = poll(lambda: re.search(rf'^\{{"time":.*"id":"{id}".*\}}$', server.log_path.read_text(), re.MULTILINE), 30, "the line")
        assert json.loads(line[0])["operation"] == "ListBuckets"


@pytest.mark.parametrize(
    "arguments, wrong",
    [
        (["--audit-log", "{}/none/audit.log"], "none/audit.log: No such file or directory"),
        (["--audit-log", "{}/audit.log", "--audit-log-size", "1KiB"], "audit-log-size: must be at least 64KiB"),
    ],
)
def test_a_start_that_could_not_log_is_refused(tmp_path, arguments, wrong):
    (tmp_path / "disk").mkdir()
    command = [larder_binary(), "server", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "disk")]
    command += [argument.format(tmp_path) for argument in arguments]
    done = subprocess.run(command, env=inherited_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and wrong in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
