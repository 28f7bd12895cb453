"""restic: backups of a tree through a crash of the store and the loss of two of its four disks, retention, and the tree back."""

import json
import subprocess

import pytest
from larderlib.clients import boto, client_environment, random_bytes
from larderlib.need import tool
from larderlib.server import Larder, poll

BUCKET = "restic"
MIB = 1024 * 1024


@pytest.fixture
def environment(store, tmp_path):
    return client_environment(store, tmp_path) | {"RESTIC_PASSWORD": "secret", "RESTIC_REPOSITORY": f"s3:{store.endpoint}/{BUCKET}/some/path"}


@pytest.fixture
def restic(environment, tmp_path):
    def restic(*arguments):
        command = [tool("restic"), *map(str, arguments)]
        done = subprocess.run(command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return restic


def packs(store):
    """restic's files of data; the bucket is restic's to make."""
    client = boto(store, retries=3)
    try:
        return client.list_objects_v2(Bucket=BUCKET, Prefix="some/path/data/").get("KeyCount", 0)
    except client.exceptions.NoSuchBucket:
        return 0


def back_up_while_the_store_dies(store, environment, tree):
    """A backup in whose middle the store is killed: slow enough to have a middle. restic tries again by itself."""
    command = [tool("restic"), "backup", "--quiet", "--limit-upload", "8000", str(tree)]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    poll(lambda: packs(store) or process.poll() is not None, 60, "the backup's first file")
    assert process.poll() is None, "the backup was over before the store could be killed: make it slower"
    store.crash()
    assert process.wait(100) == 0


@pytest.mark.timeout(240)
def test_a_tree_is_backed_up_lost_and_restored(store, environment, restic, tree, tmp_path, same):
    restic("init")
    for number in range(3):
        (tree / f"more-{number}").write_bytes(random_bytes(7 * MIB, 100 + number))
    back_up_while_the_store_dies(store, environment, tree)
    restic("restore", "latest", "--target", tmp_path / "first")
    same(tree, tmp_path / "first" / tree.relative_to("/"))

    (tree / "big.bin").unlink()
    (tree / "new").write_bytes(random_bytes(3 * MIB, 200))
    restic("backup", tree)
    store.crash(losing=(1, 3))
    restic("check", "--read-data")
    restic("restore", "latest", "--target", tmp_path / "second")
    same(tree, tmp_path / "second" / tree.relative_to("/"))

    restic("forget", "--keep-last", "1", "--prune")
    assert len(json.loads(restic("snapshots", "--json"))) == 1
    restic("check", "--read-data")
    if isinstance(store, Larder):
        store.until_healed()
        store.run("verify", f"s3://{BUCKET}/some/path")
