"""The whole story: four objects are applied with kubectl, and a real PostgreSQL is backed up with nothing but the Secret; what was deleted by mistake is taken up again and restored."""

import json
import subprocess

import pytest
from larderlib.kubectl import environment_of
from larderlib.need import tool
from larderlib.postgres import Postgres

ROWS = 20_000
DIGEST = "select count(*), md5(string_agg(t::text, '|' order by id)) from kept t"


def aws(secret, home, *arguments, status=(0,)):
    done = subprocess.run([tool("aws"), *arguments], env=environment_of(secret, home), capture_output=True, text=True, timeout=60)
    assert done.returncode in status, done.stderr
    return done


def database(directory, secret):
    """A database that archives to where the Secret says."""
    directory.mkdir()
    url = f"s3://{secret['BUCKET_NAME']}/pg"
    common = f"--endpoint-url {secret['AWS_ENDPOINT_URL']}"
    archive = f"{tool('barman-cloud-wal-archive')} --gzip {common} {url} main %p"
    restore = f"{tool('barman-cloud-wal-restore')} {common} {url} main %f %p"
    return Postgres(directory / "pg", archive, restore, environment_of(secret, directory / "pg"))


def barman(instance, secret, command, *arguments):
    common = ["--endpoint-url", secret["AWS_ENDPOINT_URL"], f"s3://{secret['BUCKET_NAME']}/pg", "main"]
    options = [argument for argument in arguments if argument.startswith("--")]
    rest = [argument for argument in arguments if not argument.startswith("--")]
    return instance.run(tool(f"barman-cloud-{command}"), *options, *common, *rest)


@pytest.mark.timeout(400)
def test_four_objects_a_backup_a_mistake_and_a_restoration(kube, driver, tmp_path):
    buckets, accesses = kube.bucket_class(policy="Retain"), kube.access_class()
    namespace = kube.namespace()
    kube.claim(namespace, "backups", bucketClassName=buckets)
    kube.access(namespace, "backups", "backups", accesses, "credentials")
    bucket = kube.until_ready(namespace, "backups")
    secret = kube.until_granted(namespace, "backups")
    assert json.loads(secret["BucketInfo"])["spec"]["bucketName"] == secret["BUCKET_NAME"] == bucket

    # The AWS CLI, with nothing but the Secret as its environment.
    (tmp_path / "file").write_text("hello")
    aws(secret, tmp_path, "s3", "cp", str(tmp_path / "file"), f"s3://{bucket}/hello")
    assert "hello" in aws(secret, tmp_path, "s3", "ls", f"s3://{bucket}/").stdout

    instance = database(tmp_path / "first", secret)
    instance.create()
    instance.start()
    instance.query(f"create table kept as select id, md5(id::text) as text from generate_series(1, {ROWS}) id")
    barman(instance, secret, "backup", "--gzip", "--immediate-checkpoint", "--name=base")
    instance.query("insert into kept values (0, 'after the backup')")
    instance.archive_now()
    expected = instance.query(DIGEST)
    instance.stop("immediate")

    # The access goes: its key is worth nothing any more, at once.
    kube("-n", namespace, "delete", "bucketaccess", "backups", "--timeout=60s")
    refused = aws(secret, tmp_path, "s3api", "list-objects-v2", "--bucket", bucket, status=(254, 255))
    assert "403" in refused.stderr or "InvalidAccessKeyId" in refused.stderr, refused.stderr
    assert kube.get("-n", namespace, "secret", "credentials") is None

    # The namespace goes, by mistake; the bucket is of a class that keeps it.
    kube.delete_namespace(namespace)
    assert kube.get("-n", namespace, "bucketclaim", "backups") is None
    assert kube.get("bucket", bucket)["spec"]["deletionPolicy"] == "Retain"
    if kube.collects:
        kube("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))
    kube.claim(namespace, "backups", existingBucketName=bucket)
    kube.access(namespace, "again", "backups", accesses, "credentials")
    assert kube.until_ready(namespace, "backups") == bucket
    again = kube.until_granted(namespace, "again")
    assert again["BUCKET_NAME"] == bucket
    assert again["AWS_ACCESS_KEY_ID"] != secret["AWS_ACCESS_KEY_ID"]

    restored = database(tmp_path / "second", again)
    restored.own(restored.data)
    restored.data.chmod(0o700)
    newest = json.loads(barman(restored, again, "backup-list", "--format=json"))["backups_list"][-1]["backup_id"]
    barman(restored, again, "restore", newest, str(restored.data))
    # What the backup says of itself is the first one's: its socket, its commands with the first one's directory.
    (restored.data / "postgresql.auto.conf").write_text(restored.settings)
    (restored.data / "recovery.signal").touch()
    restored.start()
    try:
        restored.wait_until_primary()
        assert restored.query(DIGEST) == expected
    finally:
        restored.stop("immediate")
