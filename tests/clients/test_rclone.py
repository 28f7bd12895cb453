"""rclone, set up as its documentation says for an S3 provider it does not know."""

import json
import subprocess
import urllib.request

import pytest
from larderlib.clients import boto, client_environment, random_bytes, rclone_settings
from larderlib.need import tool
from larderlib.server import poll


@pytest.fixture
def rclone(run, server):
    """Without retries, so that a test sees the first answer."""
    defaults = rclone_settings(server) | {"RCLONE_RETRIES": "1", "RCLONE_LOW_LEVEL_RETRIES": "1"}
    return lambda *arguments, environment=None, **options: run(
        tool("rclone"), *arguments, environment=defaults | (environment or {}), **options
    )


def test_sync_check_and_read_back(rclone, bucket, tree, tmp_path, same):
    remote = f"larder:{bucket}/tree"
    rclone("sync", tree, remote)
    rclone("check", "--download", tree, remote)
    rclone("check", tree, remote)
    rclone("copy", remote, tmp_path / "down")
    same(tree, tmp_path / "down")


def test_modification_times_are_kept_and_a_second_sync_does_nothing(rclone, bucket, tree):
    remote = f"larder:{bucket}"
    rclone("sync", tree, remote)
    said = rclone("sync", "--use-json-log", "--log-level", "INFO", "--stats-one-line", "--dry-run", tree, remote)
    assert b"Skipped" not in said
    local = {e["Path"]: e["ModTime"][:19] for e in json.loads(rclone("lsjson", "-R", "--files-only", tree))}
    stored = {e["Path"]: e["ModTime"][:19] for e in json.loads(rclone("lsjson", "-R", "--files-only", remote))}
    assert stored == local


def test_multipart_with_small_chunks(rclone, s3, bucket, tree):
    rclone("copy", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", "--s3-upload-concurrency", "4", tree / "big.bin", f"larder:{bucket}")
    assert s3.head_object(Bucket=bucket, Key="big.bin")["ETag"].strip('"').endswith("-5")
    assert s3.get_object(Bucket=bucket, Key="big.bin")["Body"].read() == (tree / "big.bin").read_bytes()


def test_a_stream_of_unknown_length(rclone, bucket, tree):
    data = (tree / "big.bin").read_bytes()
    rclone("rcat", f"larder:{bucket}/stream", input=data)
    assert rclone("cat", f"larder:{bucket}/stream") == data


def test_move_copy_delete_and_purge(rclone, s3, bucket, tree):
    rclone("copy", tree, f"larder:{bucket}/one")
    rclone("move", f"larder:{bucket}/one/plain.txt", f"larder:{bucket}/two")
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix="two/")["Contents"]] == ["two/plain.txt"]
    rclone("copy", f"larder:{bucket}/one", f"larder:{bucket}/three")
    rclone("check", f"larder:{bucket}/one", f"larder:{bucket}/three")
    rclone("delete", f"larder:{bucket}/one")
    rclone("purge", f"larder:{bucket}/three")
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["two/plain.txt"]


def test_mkdir_lsd_and_rmdir(rclone, bucket):
    rclone("mkdir", f"larder:{bucket}-made")
    assert f"{bucket}-made" in rclone("lsd", "larder:").decode()
    rclone("rmdir", f"larder:{bucket}-made")
    assert f"{bucket}-made" not in rclone("lsd", "larder:").decode()


def test_a_presigned_link(rclone, bucket, tree):
    rclone("copy", tree / "plus+plus and  spaces.bin", f"larder:{bucket}")
    url = rclone("link", f"larder:{bucket}/plus+plus and  spaces.bin").decode().strip()
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.read() == (tree / "plus+plus and  spaces.bin").read_bytes()


def test_a_wrong_secret_is_refused(rclone, bucket):
    said = rclone("lsf", f"larder:{bucket}", fails=True, environment={"RCLONE_CONFIG_LARDER_SECRET_ACCESS_KEY": "wrong"})
    assert b"SignatureDoesNotMatch" in said


def test_versions(rclone, s3, bucket, tmp_path):
    """What was overwritten and deleted comes back by its time, and `cleanup-hidden` removes it for good."""
    rclone("backend", "versioning", f"larder:{bucket}", "Enabled")
    assert json.loads(rclone("backend", "versioning", f"larder:{bucket}")) == "Enabled"
    place = tmp_path / "tree"
    (place / "dir").mkdir(parents=True)
    for number, content in enumerate([b"first", b"second, longer"]):
        (place / "dir" / "a b+c.txt").write_bytes(content)
        (place / f"only-{number}").write_bytes(content)
        rclone("sync", place, f"larder:{bucket}")
        (place / f"only-{number}").unlink()
    rclone("sync", place, f"larder:{bucket}")
    assert rclone("lsf", "-R", "--files-only", f"larder:{bucket}") == b"dir/a b+c.txt\n"
    shown = rclone("lsf", "-R", "--files-only", "--s3-versions", f"larder:{bucket}").decode().splitlines()
    assert len(shown) == 4 and "dir/a b+c.txt" in shown, shown
    old = next(name for name in shown if name.startswith("dir/") and name != "dir/a b+c.txt")
    assert rclone("cat", "--s3-versions", f"larder:{bucket}/{old}") == b"first"

    versions = s3.list_object_versions(Bucket=bucket, Prefix="dir/")["Versions"]
    between = min(version["LastModified"] for version in versions).isoformat()
    rclone("copy", "--s3-version-at", between, f"larder:{bucket}/dir", tmp_path / "then")
    assert (tmp_path / "then" / "a b+c.txt").read_bytes() == b"first"

    rclone("backend", "cleanup-hidden", f"larder:{bucket}")
    left = s3.list_object_versions(Bucket=bucket)
    assert [(version["Key"], version["IsLatest"]) for version in left["Versions"]] == [("dir/a b+c.txt", True)]
    assert "DeleteMarkers" not in left
    assert rclone("cat", f"larder:{bucket}/dir/a b+c.txt") == b"second, longer"


def test_cleanup_of_uploads_that_nobody_ended(rclone, s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="half")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="half", UploadId=upload, PartNumber=1, Body=b"x")
    assert upload in rclone("backend", "list-multipart-uploads", f"larder:{bucket}").decode()
    rclone("backend", "cleanup", "-o", "max-age=1d", f"larder:{bucket}")
    assert "Uploads" in s3.list_multipart_uploads(Bucket=bucket)
    rclone("backend", "cleanup", "-o", "max-age=0s", f"larder:{bucket}")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_a_tree_goes_up_and_comes_down_while_the_store_dies(store, tree, tmp_path, same):
    """With rclone's own retries, and slow enough to have a middle."""
    client = boto(store, retries=3)
    client.create_bucket(Bucket="rclone")
    for number in range(4):
        (tree / f"more-{number}").write_bytes(random_bytes(3_000_000, 100 + number))

    def begin(source, target):
        command = [tool("rclone"), "copy", "--bwlimit", "12M", str(source), str(target)]
        environment = client_environment(store, tmp_path) | rclone_settings(store)
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def crash_amid(process, has_begun, losing):
        poll(lambda: has_begun() or process.poll() is not None, 30, "the first file")
        assert process.poll() is None, "it was over before the store could be killed: make it slower"
        store.crash(losing)
        assert process.wait(60) == 0

    crash_amid(begin(tree, "larder:rclone/tree"), lambda: client.list_objects_v2(Bucket="rclone")["KeyCount"] > 2, ())
    crash_amid(begin("larder:rclone/tree", tmp_path / "down"), lambda: (tmp_path / "down").exists(), (1, 4))
    same(tree, tmp_path / "down")
