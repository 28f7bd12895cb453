"""Backups in a bucket with object lock and a default retention: what a machine that was taken over deletes comes back.

Such a bucket takes only what comes with Content-MD5 or a checksum, as on AWS: not every client sends one by default.
"""

import os
import subprocess

import pytest
from larderlib.clients import client_environment, random_bytes, rclone_settings, unique_bucket
from larderlib.expect import refused
from larderlib.need import library, tool
from larderlib.powercut import need_fuse

REFUSED = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"


@pytest.fixture
def locked(s3):
    name = unique_bucket("locked")
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule})
    return name


@pytest.fixture
def restic(run, server, locked):
    environment = {"RESTIC_PASSWORD": "secret", "RESTIC_REPOSITORY": f"s3:{server.endpoint}/{locked}/restic"}
    return lambda *arguments: run(tool("restic"), *arguments, environment=environment)


def all_versions(s3, bucket):
    """Versions and delete markers, each as DeleteObjects names it."""
    found = {"Versions": [], "DeleteMarkers": []}
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for kind, entries in found.items():
            entries += [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in page.get(kind, [])]
    return found["Versions"], found["DeleteMarkers"]


def test_a_backup_that_somebody_deleted_with_all_rights_comes_back(s3, locked, restic, run, server, tree, tmp_path, same):
    restic("init")
    restic("backup", tree)
    restic("check")
    # Whoever holds the credentials empties the bucket, and asks for every version, too.
    run(tool("rclone"), "delete", f"larder:{locked}", environment=rclone_settings(server))
    assert s3.list_objects_v2(Bucket=locked)["KeyCount"] == 0
    versions, _ = all_versions(s3, locked)
    answer = s3.delete_objects(Bucket=locked, Delete={"Objects": versions}, BypassGovernanceRetention=True)
    assert "Deleted" not in answer and {error["Code"] for error in answer["Errors"]} == {"AccessDenied"}
    with refused("AccessDenied"):
        s3.delete_object(Bucket=locked, **versions[0])

    # The way back: the delete markers are no versions, and nothing retains them. restic's locks of long ago come back with the rest.
    _, markers = all_versions(s3, locked)
    assert "Errors" not in s3.delete_objects(Bucket=locked, Delete={"Objects": markers})
    restic("unlock", "--remove-all")
    restic("check", "--read-data")
    restic("restore", "latest", "--target", tmp_path / "restored")
    same(tree, tmp_path / "restored" / tree.relative_to("/"))


def test_clients_that_prove_what_they_send_by_default(s3, locked, run, server, tree, tmp_path, same):
    aws = [tool("aws"), "--endpoint-url", server.endpoint, "s3"]
    stream = random_bytes(17_000_000, 1)
    run(*aws, "sync", tree, f"s3://{locked}/aws")
    run(*aws, "cp", "-", f"s3://{locked}/aws-stream", input=stream)
    run(tool("rclone"), "copy", tree, f"larder:{locked}/rclone", environment=rclone_settings(server))
    run(tool("rclone"), "rcat", f"larder:{locked}/rclone-stream", input=stream, environment=rclone_settings(server))
    files = library("pyarrow.fs")
    arrow = files.S3FileSystem(access_key=server.access_key, secret_key=server.secret_key, endpoint_override=server.endpoint, region=server.region)
    with arrow.open_output_stream(f"{locked}/arrow-stream") as out:
        out.write(stream)
    for name in ("aws", "rclone"):
        run(*aws, "sync", f"s3://{locked}/{name}", tmp_path / name)
        same(tree, tmp_path / name)
    for name in ("aws-stream", "rclone-stream", "arrow-stream"):
        assert s3.get_object(Bucket=locked, Key=name)["Body"].read() == stream
        assert s3.head_object(Bucket=locked, Key=name)["ObjectLockMode"] == "COMPLIANCE"


def test_clients_that_do_not(s3, locked, run, server, tree):
    """s3cmd has no setting for it; Rust's object_store has one."""
    here = [f"--access_key={server.access_key}", f"--secret_key={server.secret_key}", "--no-ssl", f"--host={server.address}", f"--host-bucket={server.address}"]
    assert REFUSED in run(tool("s3cmd"), *here, "put", tree / "plain.txt", f"s3://{locked}/k", fails=True).decode()
    obstore, stores = library("obstore"), library("obstore.store")
    keys = {"access_key_id": server.access_key, "secret_access_key": server.secret_key}
    options = {"endpoint": server.endpoint, "region": server.region, "client_options": {"allow_http": True}} | keys
    with pytest.raises(obstore.exceptions.BaseError, match=REFUSED):
        obstore.put(stores.S3Store(locked, **options), "k", b"x")
    large = random_bytes(12_000_000, 2)
    careful = stores.S3Store(locked, checksum_algorithm="sha256", **options)
    obstore.put(careful, "k", large, use_multipart=True, chunk_size=5 << 20)
    assert s3.get_object(Bucket=locked, Key="k")["Body"].read() == large


@pytest.mark.parametrize("option", ["", "enable_content_md5"])
def test_s3fs_with_and_without_its_setting(s3, locked, server, tmp_path, option):
    need_fuse()
    place = tmp_path / "mount"
    place.mkdir()
    options = ",".join(filter(None, [f"url={server.endpoint},use_path_request_style", option]))
    subprocess.run([tool("s3fs"), locked, place, "-o", options], env=client_environment(server, tmp_path), check=True, capture_output=True, timeout=60)
    large = random_bytes(25_000_000, 3)
    try:
        if option:
            (place / "large").write_bytes(large)
            (place / "small").write_bytes(b"small")
        else:
            with pytest.raises(OSError, match=os.strerror(5)):
                (place / "small").write_bytes(b"small")
    finally:
        subprocess.run(["umount", place], check=True, capture_output=True, timeout=60)
    stored = {entry["Key"] for entry in s3.list_objects_v2(Bucket=locked).get("Contents", [])}
    assert stored == ({"large", "small"} if option else set())
    assert not option or s3.get_object(Bucket=locked, Key="large")["Body"].read() == large
