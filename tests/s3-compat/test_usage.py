"""How much is in buckets, and quotas: exact, whoever writes at once and however the server was stopped."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

from larderlib.cli import Shell, larder
from larderlib.clients import boto, unique_bucket
from larderlib.expect import refused
from larderlib.rawhttp import Raw
from larderlib.server import Larder, larder_binary
from larderlib.tenants import ALPHA, BETA, tenants


def usage(server, bucket):
    shown = larder(server, "bucket", "usage", bucket, "--json")
    assert shown.returncode == 0, shown.stderr
    [entry] = json.loads(shown.stdout)["buckets"]
    return entry


def counted(server, bucket):
    entry = usage(server, bucket)
    return entry["objects"], entry["bytes"], entry["delete_markers"]


def quota(server, bucket, *bounds):
    done = larder(server, "bucket", "quota", bucket, *bounds)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_usage_is_what_is_there(server, s3, bucket):
    assert counted(server, bucket) == (0, 0, 0)
    s3.put_object(Bucket=bucket, Key="small", Body=b"x" * 100)
    s3.put_object(Bucket=bucket, Key="large", Body=b"x" * 3_000_000)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/large")
    assert counted(server, bucket) == (3, 6_000_100, 0)
    s3.put_object(Bucket=bucket, Key="large", Body=b"")
    s3.delete_object(Bucket=bucket, Key="copy")
    s3.delete_object(Bucket=bucket, Key="none")
    assert counted(server, bucket) == (2, 100, 0)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"p" * 6_000_000)
    assert counted(server, bucket) == (2, 100, 0), "uploads in progress don't count"
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload=parts)
    assert counted(server, bucket) == (3, 6_000_100, 0)


def test_all_versions_count(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"null")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1" * 10)["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"2" * 20)
    s3.delete_object(Bucket=bucket, Key="k")
    assert counted(server, bucket) == (3, 34, 1)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": first}, {"Key": "k", "VersionId": "null"}]})
    assert counted(server, bucket) == (1, 20, 1)
    entry = usage(server, bucket)
    assert entry["versioning"] == "enabled" and entry["max_bytes"] is None


def test_a_quota_on_bytes(server, s3, bucket):
    table = quota(server, bucket, "--bytes", "10KiB")
    assert bucket in table and "10.0 KiB" in table
    s3.put_object(Bucket=bucket, Key="a", Body=b"a" * 6000)
    answer = Raw(server).request("PUT", f"/{bucket}/b", body=b"b" * 4241)
    assert (answer.status, answer.code) == (403, "QuotaExceeded")
    assert b"<Message>The bucket would have 10241 bytes, and its quota is 10240." in answer.body
    with refused("NoSuchKey", status=404):
        s3.get_object(Bucket=bucket, Key="b")
    s3.put_object(Bucket=bucket, Key="b", Body=b"b" * 4240)
    s3.put_object(Bucket=bucket, Key="a", Body=b"c" * 6000)
    for write in (
        lambda: s3.put_object(Bucket=bucket, Key="a", Body=b"c" * 6001),
        lambda: s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/a"),
    ):
        with refused("QuotaExceeded"):
            write()
    assert counted(server, bucket) == (2, 10_240, 0)
    s3.delete_object(Bucket=bucket, Key="b")
    s3.put_object(Bucket=bucket, Key="c", Body=b"c" * 4240)
    quota(server, bucket, "--none")
    s3.put_object(Bucket=bucket, Key="d", Body=b"d" * 100_000)


def test_uploads_keep_to_the_quota(server, s3, bucket):
    quota(server, bucket, "--bytes", "8MiB")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]

    def part(number):
        sent = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=b"p" * (5 << 20))
        return {"PartNumber": number, "ETag": sent["ETag"]}

    parts = [part(1), part(2)]
    with refused("QuotaExceeded"):
        s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    quota(server, bucket, "--bytes", "10MiB")
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    assert counted(server, bucket) == (1, 10 << 20, 0)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="l")["UploadId"]
    with refused("QuotaExceeded"):
        s3.upload_part(Bucket=bucket, Key="l", UploadId=upload, PartNumber=1, Body=b"p")


def test_a_body_that_does_not_fit_is_not_asked_for(server, s3, bucket):
    quota(server, bucket, "--bytes", "1MiB")
    raw = Raw(server)
    answer = raw.request("PUT", f"/{bucket}/k", headers={"Expect": "100-continue", "Content-Length": str(1 << 30)})
    assert (answer.status, answer.code) == (403, "QuotaExceeded")


def test_a_quota_on_objects_is_used_up_and_not_passed_by_many_at_once(server, s3, bucket):
    quota(server, bucket, "--objects", "25")

    def put(number):
        try:
            boto(server).put_object(Bucket=bucket, Key=f"k{number}", Body=b"x" * 10)
            return True
        except s3.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "QuotaExceeded"
            return False

    with ThreadPoolExecutor(12) as threads:
        done = list(threads.map(put, range(60)))
    assert sum(done) == 25
    assert counted(server, bucket) == (25, 250, 0)


def test_a_quota_of_an_account_is_for_all_its_buckets_and_survives_a_kill(tmp_path):
    with tenants(tmp_path) as everybody:
        server, alpha, beta = everybody.server, everybody.alpha, everybody.beta
        first, second, foreign = everybody.bucket(), everybody.bucket(), unique_bucket()
        beta.create_bucket(Bucket=foreign)
        done = larder(server, "account", "quota", ALPHA.id, "--objects", "20", "--bytes", "1MiB", "--json")
        entry = json.loads(done.stdout)
        assert (entry["max_objects"], entry["max_bytes"], entry["buckets"], entry["objects"]) == (20, 1 << 20, 2, 0)

        def put(number):
            bucket = (first, second)[number % 2]
            try:
                alpha.put_object(Bucket=bucket, Key=f"k{number}", Body=b"x" * 10)
            except alpha.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "QuotaExceeded", error
                return 0
            return 1

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(put, range(40))) == 20
        server.kill()
        server.start()
        third = everybody.bucket()
        with refused("QuotaExceeded"):
            alpha.put_object(Bucket=third, Key="new", Body=b"")
        with refused("QuotaExceeded"):
            alpha.put_object(Bucket=first, Key="k0", Body=b"x" * (1 << 20))
        beta.put_object(Bucket=foreign, Key="k", Body=b"x" * (2 << 20))
        alpha.delete_object(Bucket=first, Key="k0")
        alpha.put_object(Bucket=third, Key="new", Body=b"")
        by_id = {entry["id"]: entry for entry in json.loads(larder(server, "account", "list", "--json").stdout)["accounts"]}
        assert (by_id[ALPHA.id]["buckets"], by_id[ALPHA.id]["objects"]) == (3, 20)
        assert (by_id[BETA.id]["objects"], by_id[BETA.id]["max_objects"]) == (1, None)
        metrics = Raw(server).request("GET", "/_larder/metrics").body.decode()
        assert f'larder_account_objects{{account="{ALPHA.id}"}} 20\n' in metrics
        assert f'larder_account_quota_bytes{{account="{ALPHA.id}"}} {1 << 20}\n' in metrics
        assert larder(server, "account", "quota", ALPHA.id, "--none").returncode == 0
        alpha.put_object(Bucket=third, Key="more", Body=b"x" * (2 << 20))
        missing = larder(server, "account", "quota", "999999999999", "--objects", "1")
        assert missing.returncode != 0 and "999999999999" in missing.stderr


def test_usage_and_quota_survive_a_kill_and_the_loss_of_the_view(tmp_path):
    with Larder(directory=tmp_path) as server:
        s3 = boto(server)
        s3.create_bucket(Bucket="kept")
        quota(server, "kept", "--objects", "40")
        for number in range(30):
            s3.put_object(Bucket="kept", Key=f"k{number % 20}", Body=b"x" * number)
        before = counted(server, "kept")
        assert before == (20, sum(range(10, 30)), 0)
        server.kill()
        server.start()
        assert counted(server, "kept") == before
        server.stop()
        rebuilt = subprocess.run(
            [larder_binary(), "rebuild", "--data", *map(str, server.disks), "--compare"], capture_output=True, text=True, timeout=120
        )
        assert rebuilt.returncode == 0, rebuilt.stderr
        server.start()
        assert counted(server, "kept") == before
        assert usage(server, "kept")["max_objects"] == 40


def test_metrics_and_the_list_show_it(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 12)
    quota(server, bucket, "--bytes", "1GB", "--objects", "7")
    text = Raw(server).request("GET", "/_larder/metrics").body.decode()
    for name, value in [("objects", 1), ("bytes", 12), ("delete_markers", 0), ("quota_bytes", 10**9), ("quota_objects", 7)]:
        assert f'larder_bucket_{name}{{bucket="{bucket}"}} {value}\n' in text
    assert bucket in larder(server, "bucket", "list").stdout


def test_what_is_no_quota(server, bucket):
    for arguments in (["--bytes", "much"], [], ["--none", "--objects", "1"], ["--objects", "-1"]):
        done = larder(server, "bucket", "quota", bucket, *arguments)
        assert done.returncode != 0 and done.stderr and not done.stdout
    missing = larder(server, "bucket", "quota", "no-such-bucket", "--objects", "1")
    assert missing.returncode != 0 and "larder bucket list" in missing.stderr
    answer = Raw(server).request("POST", "/_larder/v1/buckets/quota", body=b'{"bucket": "%s", "max_byte": 1}' % bucket.encode())
    assert answer.status == 400


def test_tenants_may_not_ask(tmp_path):
    (tmp_path / "accounts.toml").write_text(
        '[[account]]\nid = "111111111111"\nname = "a"\nemail = "a@example.com"\naccess_key = "TENANT"\nsecret_key = "secret/of+tenant"\n'
    )
    with Larder(directory=tmp_path / "server", extra_args=["--accounts", str(tmp_path / "accounts.toml")]) as server:
        tenant = Shell(server, access_key="TENANT", secret_key="secret/of+tenant")
        assert "root credentials" in tenant.fails("bucket", "list")
