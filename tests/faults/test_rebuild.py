"""`larder rebuild`: the metadata view made anew from the disks of a server that is stopped."""

import json
import shutil
import subprocess

import pytest
from larderlib.model import Model
from larderlib.server import inherited_environment, larder_binary

SIZES = [0, 1, 100, 5000, 300_000, 1_500_000]


def rebuild(server, *more):
    command = [larder_binary(), "rebuild", "--data", f"{server.directory}/disk{{1...{server.disk_count}}}", "--profile", server.profile]
    return subprocess.run([*command, *more], env=inherited_environment(), capture_output=True, text=True, timeout=120)


def summary(server, *more):
    done = rebuild(server, "--json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fill(world):
    for size in SIZES:
        for number in range(10):
            world.put(f"{size}/{number}", size)
    for size in SIZES[::2]:
        world.put(f"{size}/3", 777)
        world.delete(f"{size}/5")


@pytest.mark.timeout(300)
def test_the_rebuilt_view_equals_the_one_that_it_replaces(larder):
    server = larder()
    server.start()
    world = Model(server)
    fill(world)
    refused = rebuild(server, "--compare")
    assert refused.returncode != 0 and "in use by another process" in refused.stderr, refused.stderr
    world.compare()
    # Killed: what the view has not seen is brought into it before it is compared.
    server.kill()
    found = summary(server, "--compare")
    assert found["compared"] == "equal" and found["keys"] > len(world.sure), found
    assert found["damaged"] == [] and found["missing_disks"] == []
    again = rebuild(server, "--verify")
    assert again.returncode == 0 and "equals the view that it replaces" in again.stdout, again
    server.start()
    world.compare()
    server.close()


@pytest.mark.timeout(300)
def test_it_works_without_any_m_disks_and_names_them_and_damage(larder):
    server = larder()
    server.start()
    world = Model(server)
    fill(world)
    server.stop()
    shutil.rmtree(server.disks[0])
    shutil.rmtree(server.disks[2] / "view", ignore_errors=True)
    rot(server.disks[1] / "log")
    found = summary(server)
    assert found["compared"] is None
    assert len(found["missing_disks"]) == 1 and str(server.disks[0]) in found["missing_disks"][0], found
    assert {entry["disk"] for entry in found["damaged"]} == {str(server.disks[1])}, found
    assert sum(entry["bytes"] for entry in found["damaged"]) > 0
    nothing = summary(server, "--compare")
    assert nothing["compared"] in ("equal", "nothing to compare")
    server.disks[0].mkdir()
    server.allowed_errors = [r"disk1"]
    server.start()
    world.compare()
    server.close()


@pytest.mark.timeout(60)
def test_empty_directories_are_not_made_into_disks(larder):
    server = larder()
    for disk in server.disks:
        disk.mkdir(parents=True)
    refused = rebuild(server)
    assert refused.returncode != 0 and "nothing to rebuild from" in refused.stderr, refused
    assert all(not any(disk.iterdir()) for disk in server.disks)


def rot(log):
    """Flips bits all over the middle of a disk's log."""
    for segment in sorted(log.glob("*.seg")):
        data = bytearray(segment.read_bytes())
        for at in range(2000, max(2000, len(data) - 20_000), 997):
            data[at] ^= 0x40
        segment.write_bytes(data)
