"""aws-cli: `s3 cp/sync/mv/rm/ls/presign` and `s3api`."""

import json
import urllib.request

import pytest
from larderlib.checksums import checksum, etag
from larderlib.clients import random_bytes
from larderlib.expect import refused
from larderlib.need import tool


@pytest.fixture
def aws(run, server):
    return lambda *arguments, **options: run(tool("aws"), "--endpoint-url", server.endpoint, *arguments, **options)


@pytest.fixture
def api(aws):
    def api(operation, *arguments, **options):
        said = aws("s3api", operation, "--output", "json", *arguments, **options)
        return json.loads(said) if said.strip() else {}

    return api


def test_make_list_and_remove_a_bucket(aws, bucket):
    name = f"{bucket}-made"
    aws("s3", "mb", f"s3://{name}", "--tags", "team", "db")
    assert name in aws("s3", "ls").decode()
    assert b'"team"' in aws("s3api", "get-bucket-tagging", "--bucket", name)
    aws("s3", "rb", f"s3://{name}")
    assert name not in aws("s3", "ls").decode().split()


def test_sync_up_and_down(aws, s3, bucket, tree, tmp_path, same):
    aws("s3", "sync", tree, f"s3://{bucket}/tree")
    aws("s3", "sync", f"s3://{bucket}/tree", tmp_path / "down")
    same(tree, tmp_path / "down")
    assert aws("s3", "sync", tree, f"s3://{bucket}/tree") == b"", "nothing is left to do"
    (tree / "plain.txt").unlink()
    (tree / "new").write_bytes(b"new")
    aws("s3", "sync", "--delete", tree, f"s3://{bucket}/tree")
    aws("s3", "sync", "--delete", f"s3://{bucket}/tree", tmp_path / "down")
    same(tree, tmp_path / "down")


def test_cp_mv_rm_and_ls(aws, s3, bucket, tree, tmp_path):
    big = f"s3://{bucket}/big file+1"
    aws("s3", "cp", tree / "big.bin", big)
    aws("s3", "cp", big, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tree / "big.bin").read_bytes()
    aws("s3", "cp", big, f"s3://{bucket}/copied")
    aws("s3", "mv", f"s3://{bucket}/copied", f"s3://{bucket}/moved/to")
    listed = aws("s3", "ls", "--recursive", f"s3://{bucket}/").decode()
    assert "moved/to" in listed and "big file+1" in listed and "copied" not in listed
    assert "PRE moved/" in aws("s3", "ls", f"s3://{bucket}/").decode()
    aws("s3", "rm", "--recursive", f"s3://{bucket}/")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_cp_from_and_to_a_stream(aws, bucket):
    data = random_bytes(9 * 1024 * 1024 + 1, 5)
    aws("s3", "cp", "-", f"s3://{bucket}/stream", input=data)
    assert aws("s3", "cp", f"s3://{bucket}/stream", "-") == data


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_cp_with_a_checksum_algorithm(aws, bucket, tree, tmp_path, algorithm):
    target = f"s3://{bucket}/k"
    aws("s3", "cp", "--checksum-algorithm", algorithm, tree / "big.bin", target)
    aws("s3", "cp", "--checksum-mode", "ENABLED", target, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tree / "big.bin").read_bytes()


def test_presign(aws, bucket, tree):
    aws("s3", "cp", tree / "plain.txt", f"s3://{bucket}/a b+c")
    url = aws("s3", "presign", f"s3://{bucket}/a b+c").decode().strip()
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.read() == (tree / "plain.txt").read_bytes()


def test_s3api_objects(api, bucket, tree, tmp_path):
    where = ["--bucket", bucket, "--key", "dir//k +%"]
    data = (tree / "Grüße" / "日本語.dat").read_bytes()
    put = api("put-object", *where, "--body", tree / "Grüße" / "日本語.dat", "--metadata", "a=1", "--tagging", "t=1")
    assert put["ETag"] == etag(data)
    head = api("head-object", *where)
    assert head["ContentLength"] == len(data) and head["Metadata"] == {"a": "1"}
    got = api("get-object", *where, "--range", "bytes=10-19", tmp_path / "range")
    assert got["ContentRange"] == f"bytes 10-19/{len(data)}" and (tmp_path / "range").read_bytes() == data[10:20]
    assert api("get-object-tagging", *where)["TagSet"] == [{"Key": "t", "Value": "1"}]
    attributes = api("get-object-attributes", *where, "--object-attributes", "ETag", "ObjectSize")
    assert attributes["ObjectSize"] == len(data)
    assert api("list-object-versions", "--bucket", bucket)["Versions"][0]["VersionId"] == "null"
    deleted = api("delete-objects", "--bucket", bucket, "--delete", json.dumps({"Objects": [{"Key": "dir//k +%"}]}))
    assert deleted["Deleted"] == [{"Key": "dir//k +%"}]


def test_s3api_multipart_with_unequal_parts(api, s3, bucket, tmp_path):
    where = ["--bucket", bucket, "--key", "k"]
    upload = api("create-multipart-upload", *where, "--checksum-algorithm", "SHA256")["UploadId"]
    parts, whole = [], b""
    for number, size in enumerate((5 * 1024 * 1024, 6_000_001, 77), 1):
        data = random_bytes(size, number)
        (tmp_path / "part").write_bytes(data)
        sent = api("upload-part", *where, "--upload-id", upload, "--part-number", number, "--body", tmp_path / "part", "--checksum-algorithm", "SHA256")
        assert sent["ChecksumSHA256"] == checksum("SHA256", data)
        parts.append({"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": sent["ChecksumSHA256"]})
        whole += data
    assert len(api("list-parts", *where, "--upload-id", upload)["Parts"]) == 3
    api("complete-multipart-upload", *where, "--upload-id", upload, "--multipart-upload", json.dumps({"Parts": parts}))
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == whole


def test_a_wrong_secret_is_refused(aws, bucket):
    said = aws("s3", "ls", f"s3://{bucket}", fails=True, environment={"AWS_SECRET_ACCESS_KEY": "wrong"})
    assert b"SignatureDoesNotMatch" in said


def test_what_is_not_there(aws, bucket):
    assert b"404" in aws("s3", "cp", f"s3://{bucket}/none", "-", fails=True)
    assert b"NoSuchBucket" in aws("s3", "ls", f"s3://{bucket}-none", fails=True)


def test_versions(aws, s3, bucket):
    aws("s3api", "put-bucket-versioning", "--bucket", bucket, "--versioning-configuration", "Status=Enabled")
    assert json.loads(aws("s3api", "get-bucket-versioning", "--bucket", bucket)) == {"Status": "Enabled"}
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    listed = json.loads(aws("s3api", "list-object-versions", "--bucket", bucket))
    assert [v["IsLatest"] for v in listed["Versions"]] == [True, False]
    aws("s3", "rm", f"s3://{bucket}/k")
    assert len(json.loads(aws("s3api", "list-object-versions", "--bucket", bucket))["DeleteMarkers"]) == 1
    aws("s3api", "get-object", "--bucket", bucket, "--key", "k", "--version-id", old, "/dev/null")


def test_a_versioned_bucket_keeps_what_sync_removes(aws, s3, bucket, tree):
    """`sync --delete` of a tree that was damaged leaves each key's version of before."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    aws("s3", "sync", tree, f"s3://{bucket}")
    good = {version["Key"]: version["VersionId"] for version in s3.list_object_versions(Bucket=bucket)["Versions"]}
    before = {key: (tree / key).read_bytes() for key in good}
    (tree / "plain.txt").write_bytes(b"encrypted by somebody else")
    (tree / "big.bin").unlink()
    (tree / "Grüße" / "日本語.dat").unlink()
    aws("s3", "sync", "--delete", tree, f"s3://{bucket}")
    listed = s3.list_object_versions(Bucket=bucket)
    assert {marker["Key"] for marker in listed["DeleteMarkers"]} == {"big.bin", "Grüße/日本語.dat"}
    assert len(listed["Versions"]) == len(good) + 1
    assert {key: s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read() for key, version in good.items()} == before


def test_object_lock(api, s3, bucket, tree):
    name = f"{bucket}-locked"
    api("create-bucket", "--bucket", name, "--object-lock-enabled-for-bucket")
    rule = '{"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2}}}'
    api("put-object-lock-configuration", "--bucket", name, "--object-lock-configuration", rule)
    assert api("get-object-lock-configuration", "--bucket", name)["ObjectLockConfiguration"] == json.loads(rule)
    where = ("--bucket", name, "--key", "k")
    version = api("put-object", *where, "--body", tree / "plain.txt", "--object-lock-legal-hold-status", "ON")["VersionId"]
    which = (*where, "--version-id", version)
    head = api("head-object", *which)
    assert (head["ObjectLockMode"], head["ObjectLockLegalHoldStatus"]) == ("GOVERNANCE", "ON")
    api("put-object-retention", *which, "--retention", "Mode=GOVERNANCE,RetainUntilDate=2099-01-01T00:00:00Z")
    retention = api("get-object-retention", *which)["Retention"]
    assert retention["Mode"] == "GOVERNANCE" and retention["RetainUntilDate"].startswith("2099-01-01T00:00:00")
    with refused("AccessDenied"):
        s3.delete_object(Bucket=name, Key="k", VersionId=version, BypassGovernanceRetention=True)
    api("put-object-legal-hold", *which, "--legal-hold", "Status=OFF")
    assert api("get-object-legal-hold", *which) == {"LegalHold": {"Status": "OFF"}}
    with refused("AccessDenied"):
        s3.delete_object(Bucket=name, Key="k", VersionId=version)
    api("delete-object", *which, "--bypass-governance-retention")
    api("delete-bucket", "--bucket", name)


def test_lifecycle(aws, api, bucket):
    rules = [
        {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 30}},
        {"ID": "old", "Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 7, "NewerNoncurrentVersions": 2}},
        {"ID": "uploads", "Status": "Disabled", "Filter": {"Prefix": ""}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}},
    ]
    api("put-bucket-lifecycle-configuration", "--bucket", bucket, "--lifecycle-configuration", json.dumps({"Rules": rules}))
    assert api("get-bucket-lifecycle-configuration", "--bucket", bucket)["Rules"] == rules
    api("delete-bucket-lifecycle", "--bucket", bucket)
    aws("s3api", "get-bucket-lifecycle-configuration", "--bucket", bucket, fails=True)


def test_what_a_bucket_is_configured_with(aws, api, bucket):
    rules = [{"AllowedHeaders": ["*"], "AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["https://app.example"], "MaxAgeSeconds": 60}]
    api("put-bucket-cors", "--bucket", bucket, "--cors-configuration", json.dumps({"CORSRules": rules}))
    assert api("get-bucket-cors", "--bucket", bucket)["CORSRules"] == rules
    api("delete-bucket-cors", "--bucket", bucket)
    tags = [{"Key": "team", "Value": "db + web"}]
    api("put-bucket-tagging", "--bucket", bucket, "--tagging", json.dumps({"TagSet": tags}))
    assert api("get-bucket-tagging", "--bucket", bucket)["TagSet"] == tags
    logging = {"LoggingEnabled": {"TargetBucket": bucket, "TargetPrefix": "log/"}}
    api("put-bucket-logging", "--bucket", bucket, "--bucket-logging-status", json.dumps(logging))
    assert api("get-bucket-logging", "--bucket", bucket) == logging
    api("put-bucket-logging", "--bucket", bucket, "--bucket-logging-status", "{}")
    ownership = {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    api("put-bucket-ownership-controls", "--bucket", bucket, "--ownership-controls", json.dumps(ownership))
    assert api("get-bucket-ownership-controls", "--bucket", bucket)["OwnershipControls"] == ownership
    aws("s3api", "get-bucket-cors", "--bucket", bucket, fails=True)
