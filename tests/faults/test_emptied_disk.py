"""The first disk's directory is emptied under a running server, and with it the metadata view: it is rebuilt on another disk."""

import shutil
import subprocess

import pytest
from larderlib.model import MIB, Model
from larderlib.server import larder_binary

SIZES = [0, 100, 5000, 300_000, 1_500_000, 12 * MIB]
ROUNDS = 12


@pytest.mark.timeout(300)
def test_a_directory_emptied_in_use_takes_out_its_disk_and_moves_the_view(tmp_path, larder):
    directory = tmp_path / "server"
    server = larder(directory=directory)
    server.allowed_errors = [r"disk is out.*disk1", r"metadata view", r"request failed.*rebuil", r"frame not durable", r"fjall"]
    server.start()
    world = Model(server)
    put_all(world, "before")
    shutil.rmtree(directory / "disk1")
    put_all(world, "after")
    world.compare()
    until_the_view_moved(server)
    disks = server.status()["disks"]
    assert "disk1" in disks[0]["state"] and [disk["state"] for disk in disks[1:]] == ["ok"] * 3
    assert not (directory / "disk1").exists(), "nothing may be written where a disk was"
    put_all(world, "moved")
    world.compare()
    server.kill()
    (directory / "disk1").mkdir()
    server.start()
    assert [disk["state"] for disk in server.status()["disks"]] == ["ok"] * 4
    world.compare()
    put_all(world, "replaced")
    world.compare()
    server.close()


def put_all(world, prefix):
    for size in SIZES:
        world.put(f"{prefix}/{size}", size)


def until_the_view_moved(server):
    """Small PUTs until the view's engine wants a new file where there is no directory any more."""
    for _ in range(ROUNDS):
        command = [larder_binary(), "bench", "--endpoint", server.endpoint, "--bucket", "filler", "--loads", "put", "--size", "1KiB"]
        command += ["--clients", "32", "--duration", "3s", "--access-key", server.access_key, "--secret-key", server.secret_key]
        subprocess.run(command, capture_output=True, timeout=120, check=False)
        if "the metadata view is rebuilt" in server.log_path.read_text():
            return
    raise AssertionError("the view never asked for a new file")
