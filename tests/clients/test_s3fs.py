"""s3fs: a bucket as a file system, in path style and in host style, through a crash of the store and the loss of two of its four disks."""

import shutil
import subprocess
from contextlib import contextmanager

import pytest
from larderlib.clients import boto, client_environment, random_bytes
from larderlib.need import missing, tool
from larderlib.powercut import need_fuse

BUCKET = "s3fs"
MIB = 1024 * 1024


@pytest.fixture(params=["path", "host"])
def mounted(store, tmp_path, request):
    """Mounts the bucket as long as a `with` statement lasts."""
    need_fuse()
    boto(store).create_bucket(Bucket=BUCKET)
    style = f"url={store.endpoint},use_path_request_style" if request.param == "path" else f"url=http://s3.localhost:{store.port}"
    place = tmp_path / "mount"
    place.mkdir()

    @contextmanager
    def mounted():
        command = [tool("s3fs", "apt-get install s3fs"), BUCKET, str(place), "-o", f"{style},endpoint={store.region}"]
        done = subprocess.run(command, env=client_environment(store, tmp_path), capture_output=True, text=True, timeout=60)
        if "fuse: mount failed" in done.stderr:
            missing("a mount of FUSE", f"a machine that allows it ({done.stderr.strip()})")
        assert done.returncode == 0 and place.is_mount(), done.stderr
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True, capture_output=True, timeout=60)

    return mounted


def test_a_tree_in_a_mounted_bucket(store, mounted, tree, same):
    with mounted() as mount:
        shutil.copytree(tree, mount / "tree ü")
        same(tree, mount / "tree ü")
        with open(mount / "tree ü" / "plain.txt", "ab") as file:
            file.write(b"appended")
        with open(tree / "plain.txt", "ab") as file:
            file.write(b"appended")
        # The middle of a large file: s3fs copies the parts around it within the store.
        for place in (mount / "tree ü", tree):
            with open(place / "big.bin", "r+b") as file:
                file.seek(11 * MIB)
                file.write(random_bytes(MIB, 9))
        (mount / "tree ü" / "deep").rename(mount / "tree ü" / "renamed")
        (tree / "deep").rename(tree / "renamed")
        (mount / "tree ü").rename(mount / "moved")

    store.crash(losing=(2, 3))

    with mounted() as mount:
        same(tree, mount / "moved")
        assert sorted(path.name for path in mount.iterdir()) == ["moved"]
        # A store that crashes under a mount is met with s3fs's own retries.
        store.crash()
        (mount / "after").write_bytes(b"after")
        assert (mount / "after").read_bytes() == b"after"
        (mount / "after").unlink()
        shutil.rmtree(mount / "moved")
        assert list(mount.iterdir()) == []
    assert boto(store).list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
