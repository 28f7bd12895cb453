"""s3cmd, in path style (host_bucket without the bucket's name)."""

import urllib.error
import urllib.request

import pytest
from larderlib.need import tool


@pytest.fixture
def s3cmd(run, server, tmp_path):
    configuration = tmp_path / "s3cfg"
    configuration.write_text(
        "[default]\n"
        f"access_key = {server.access_key}\nsecret_key = {server.secret_key}\n"
        f"host_base = {server.address}\nhost_bucket = {server.address}\nuse_https = False\nbucket_location = {server.region}\n"
    )
    return lambda *arguments, **options: run(tool("s3cmd"), "--config", configuration, "--no-progress", *arguments, **options)


def test_sync_up_and_down(s3cmd, bucket, tree, tmp_path, same):
    s3cmd("sync", f"{tree}/", f"s3://{bucket}/tree/")
    (tmp_path / "down").mkdir()
    s3cmd("sync", f"s3://{bucket}/tree/", f"{tmp_path / 'down'}/")
    same(tree, tmp_path / "down")


def test_put_get_list_copy_move_delete(s3cmd, s3, bucket, tree, tmp_path):
    key = f"s3://{bucket}/a b+c%25/ü"
    s3cmd("put", tree / "plain.txt", key)
    s3cmd("get", key, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tree / "plain.txt").read_bytes()
    assert "a b+c%25/ü" in s3cmd("ls", "--recursive", f"s3://{bucket}").decode()
    s3cmd("cp", key, f"s3://{bucket}/copied")
    s3cmd("mv", f"s3://{bucket}/copied", f"s3://{bucket}/moved")
    assert "MD5 sum" in s3cmd("info", f"s3://{bucket}/moved").decode()
    s3cmd("del", "--recursive", "--force", f"s3://{bucket}")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_multipart(s3cmd, s3, bucket, tree, tmp_path):
    s3cmd("put", "--multipart-chunk-size-mb", "6", tree / "big.bin", f"s3://{bucket}/big")
    assert s3.head_object(Bucket=bucket, Key="big")["ETag"].strip('"').endswith("-4")
    s3cmd("get", f"s3://{bucket}/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tree / "big.bin").read_bytes()


def test_buckets(s3cmd, bucket):
    s3cmd("mb", f"s3://{bucket}-made")
    assert f"s3://{bucket}-made" in s3cmd("ls").decode()
    s3cmd("rb", f"s3://{bucket}-made")
    assert f"s3://{bucket}-made" not in s3cmd("ls").decode()


def test_signurl(s3cmd, bucket, tree):
    """`s3cmd signurl` signs with signature version 2."""
    s3cmd("put", tree / "plain.txt", f"s3://{bucket}/a b+ü")
    url = s3cmd("signurl", f"s3://{bucket}/a b+ü", "+600").decode().strip()
    assert "AWSAccessKeyId=" in url
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.read() == (tree / "plain.txt").read_bytes()
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(url.replace("Expires=", "Expires=1"), timeout=30)
    assert refusal.value.code == 403


def test_a_wrong_secret_is_refused(s3cmd, bucket):
    assert b"SignatureDoesNotMatch" in s3cmd("--secret_key=wrong", "ls", f"s3://{bucket}", fails=True)
