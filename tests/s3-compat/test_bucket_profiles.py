"""Buckets whose objects are coded otherwise than the cluster's: what they cost, and how many disks may be lost."""

import json
import shutil

import pytest
from larderlib.cli import Shell, larder
from larderlib.clients import boto, unique_bucket
from larderlib.expect import refused
from larderlib.rawhttp import Raw
from larderlib.server import Larder
from larderlib.tenants import ALPHA, tenants

HEADER = "x-larder-profile"
BODY = bytes(range(256)) * (4 << 12)


def make(server, bucket, profile):
    return Raw(server).request("PUT", f"/{bucket}", headers={HEADER: profile})


def profile_of(server, bucket):
    """What HeadBucket says, what was asked for and what is used."""
    head = Raw(server).request("HEAD", f"/{bucket}")
    assert head.status == 200
    shown = larder(server, "bucket", "profile", bucket, "--json")
    assert shown.returncode == 0, shown.stderr
    entry = json.loads(shown.stdout)
    return head.headers.get(HEADER), entry["profile"], entry["profile_used"]


def extents(server):
    """Bytes in files of shards, and how many files."""
    files = [file for disk in server.disks for file in (disk / "extents").rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files), len(files)


def test_a_bucket_has_the_profile_that_it_was_made_with():
    with Larder() as server:
        s3 = boto(server)
        for profile, shards in ((None, 4), ("3+1", 4), ("1+1", 2), ("2+0", 2), ("1+2", 3)):
            bucket = unique_bucket()
            if profile:
                assert make(server, bucket, profile).status == 200
            else:
                s3.create_bucket(Bucket=bucket)
            assert profile_of(server, bucket) == (profile, profile, profile or "2+2")
            before = extents(server)
            s3.put_object(Bucket=bucket, Key="k", Body=BODY)
            s3.put_object(Bucket=bucket, Key="small", Body=BODY[:1000])
            after = extents(server)
            assert after[1] - before[1] == shards
            data = int((profile or "2+2")[0])
            assert 1 <= (after[0] - before[0]) / (len(BODY) * shards / data) < 1.01
            assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == BODY
            assert s3.get_object(Bucket=bucket, Key="small")["Body"].read() == BODY[:1000]


@pytest.mark.parametrize(
    ("profile", "why"),
    [
        ("4+1", "profile 4+1 needs 5 disks, and there are 4"),
        ("1+3", "with profile 1+3 any 3 disks may be lost, but only 2 of this cluster's, whose profile is 2+2"),
        ("0+2", "`0+2` is no profile: write data+parity shards, such as 2+2"),
        ("200+100", "`200+100` is no profile: write data+parity shards, such as 2+2"),
        ("two", "`two` is no profile: write data+parity shards, such as 2+2"),
    ],
)
def test_what_can_not_be_had_is_refused_and_no_bucket_made(server, s3, bucket, profile, why):
    other = unique_bucket()
    answer = make(server, other, profile)
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert (answer.text("Message"), answer.text("ArgumentName"), answer.text("ArgumentValue")) == (why, HEADER, profile)
    with refused("404", status=404):
        s3.head_bucket(Bucket=other)
    said = Shell(server).fails("bucket", "profile", bucket, profile, code=2 if "no profile" in why else 1)
    assert why in said
    assert profile_of(server, bucket) == (None, None, "2+2")


def test_it_is_changed_for_what_is_written_later():
    with Larder() as server:
        s3, shell, bucket = boto(server), Shell(server), unique_bucket()
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="before", Body=BODY)
        assert extents(server)[1] == 4
        upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]

        def part(number):
            sent = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=number, Body=BODY * 2)
            return {"PartNumber": number, "ETag": sent["ETag"]}

        parts = [part(1)]
        assert extents(server)[1] == 8
        assert "1+1, its own" in shell("bucket", "profile", bucket, "1+1")
        parts.append(part(2))
        assert extents(server)[1] == 10
        s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/before")
        assert extents(server)[1] == 12
        assert "2+2, the cluster's" in shell("bucket", "profile", bucket, "--none")
        s3.put_object(Bucket=bucket, Key="after", Body=BODY)
        assert extents(server)[1] == 16
        for key, body in (("before", BODY), ("parts", BODY * 4), ("copy", BODY), ("after", BODY)):
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
        assert "there is no bucket none-of-these" in shell.fails("bucket", "profile", "none-of-these", "1+1")


def test_tenants_ask_for_it_when_they_make_a_bucket_and_the_operator_changes_it(tmp_path):
    with tenants(tmp_path) as everybody:
        server, bucket = everybody.server, unique_bucket()
        alpha = Shell(server, **ALPHA.pair)
        alpha("bucket", "add", bucket, "--profile", "1+1")
        assert profile_of_listed(server, bucket) == "1+1"
        assert "root" in alpha.fails("bucket", "profile", bucket, "3+1")
        assert profile_of_listed(server, bucket) == "1+1"


def profile_of_listed(server, bucket):
    table = Shell(server)("bucket", "list")
    assert "PROFILE" in table.splitlines()[0]
    [row] = [line.split() for line in table.splitlines() if line.startswith(f"{bucket} ")]
    return row[-1]


def test_it_outlives_a_kill_the_view_and_as_many_disks_as_it_spares():
    bodies = {"inline": BODY[:9000], "extent": BODY, "empty": b""}
    with Larder() as server:
        s3 = boto(server)
        buckets = {"3+1": unique_bucket(), "1+2": unique_bucket()}
        for profile, bucket in buckets.items():
            assert make(server, bucket, profile).status == 200
            for key, body in bodies.items():
                s3.put_object(Bucket=bucket, Key=key, Body=body)
        server.kill()
        shutil.rmtree(server.disks[0])
        server.start()
        for profile, bucket in buckets.items():
            assert profile_of(server, bucket) == (profile, profile, profile)
            for key, body in bodies.items():
                assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
        # The disks that are left have both buckets' records, and of one of them the data.
        server.kill()
        shutil.rmtree(server.disks[0])
        shutil.rmtree(server.disks[1])
        server.start()
        for key, body in bodies.items():
            assert s3.get_object(Bucket=buckets["1+2"], Key=key)["Body"].read() == body
        listed = s3.list_objects_v2(Bucket=buckets["3+1"])["Contents"]
        assert {entry["Key"] for entry in listed} == set(bodies)
