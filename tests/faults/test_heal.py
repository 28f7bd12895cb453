"""Disks are emptied while the server is down, and the two others after it has healed: nothing is lost."""

import json
import subprocess

import pytest
from larderlib.model import MIB, Model
from larderlib.server import larder_binary

SIZES = [0, 100, 5000, 300_000, 1_500_000, 12 * MIB]


@pytest.mark.timeout(400)
def test_after_healing_any_other_disks_may_be_lost(tmp_path, larder):
    server = larder(directory=tmp_path / "server").start()
    world = Model(server)
    for round_ in range(4):
        for size in SIZES:
            world.put(f"{round_}/{size}", size)
    world.put_in_parts("parts", [5 * MIB, 6 * MIB, 1000])
    for size in SIZES:
        world.put(f"deleted/{size}", size)
    for size in SIZES:
        world.delete(f"deleted/{size}")
    for emptied in [(1, 2), (3, 4), (2, 3)]:
        server.kill()
        for number in emptied:
            server.empty_disk(number)
        server.start()
        heal = server.until_healed()
        assert heal["lost"]["objects"] == 0 and heal["last_error"] is None
        world.compare()
    server.close()


def test_healing_is_paused_paced_and_started_over_a_restart(tmp_path, larder):
    server = larder(directory=tmp_path / "server").start()
    world = Model(server)
    for size in SIZES:
        world.put(f"{size}", size)
    server.until_healed()
    server.run("heal", "pause")
    assert "40 % of the time while clients are served, at most 64.0 MiB/s" in server.run(
        "heal", "pace", "--share", "40", "--max-rate-mib", "64"
    )
    server.kill()
    server.empty_disk(1)
    server.start()
    heal = json.loads(server.run("heal", "status", "--json"))
    assert heal["pace"] == {"share_percent": 40, "max_bytes_per_second": 64 * MIB}
    assert heal["healed"]["objects"] == 0
    server.run("heal", "start")
    heal = server.until_healed()
    assert heal["healed"]["objects"] >= 2, "the extents of the disk that was emptied"
    assert "no limit" in server.run("heal", "pace", "--max-rate-mib", "0")
    first = watch(server)
    assert first["state"] == "idle" and first["degraded"] == []
    server.kill()
    server.empty_disk(3)
    server.empty_disk(4)
    server.start()
    world.compare()
    server.close()


def watch(server):
    """The first line of a watch."""
    command = [larder_binary(), "heal", "status", "--watch", "--json", "--endpoint", server.endpoint, "--region", server.region]
    environment = {"LARDER_ROOT_ACCESS_KEY": server.access_key, "LARDER_ROOT_SECRET_KEY": server.secret_key}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as watching:
        line = watching.stdout.readline()
        watching.terminate()
    return json.loads(line)
