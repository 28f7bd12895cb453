"""Bytes rot on the disks of a running server: `larder verify` names the objects, and a scrub finds what nobody reads."""

import json
import subprocess

import pytest
from larderlib.model import MIB, Model, body_of
from larderlib.server import inherited_environment, larder_binary, poll

LARGE = [f"large/{number}" for number in range(3)]
SMALL = [f"small/{number:02}" for number in range(12)]
WHOLE, NOT_FOUND_OUT, UNREADABLE, DEGRADED = 0, 1, 3, 4


@pytest.fixture
def world(tmp_path, larder):
    server = larder(directory=tmp_path / "server", extra_args=["--scrub-days", "0"])
    server.start()
    world = Model(server)
    for name in LARGE:
        world.put(name, 3 * MIB)
    for name in SMALL:
        world.put(name, 20_000)
    world.put_in_parts("parts", [5 * MIB, 5 * MIB, 1000])
    return world


def ask(server, *arguments):
    command = [larder_binary(), *arguments, "--endpoint", server.endpoint, "--region", server.region]
    environment = {**inherited_environment(), **server.environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def verify(world, prefix=""):
    """The exit status, and per outcome the keys."""
    done = ask(world.server, "verify", f"s3://{world.bucket}/{prefix}", "--json", "--now")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    keys = {outcome: sorted(line[outcome]["key"] for line in lines if outcome in line) for outcome in ("degraded", "unreadable")}
    assert "total" in lines[0] and "done" in lines[-1], done.stderr
    assert lines[-1]["done"]["objects"] == lines[0]["total"]["objects"]
    assert lines[-1]["done"]["bytes"] == lines[0]["total"]["bytes"]
    return done.returncode, keys["degraded"], keys["unreadable"]


def scrub(server, *arguments):
    done = ask(server, "scrub", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def scrub_once(server):
    """A whole pass; what it found on each disk."""
    before = scrub(server, "status")["last_started_unix_millis"] or 0
    scrub(server, "start", "--again")

    def through():
        status = scrub(server, "status")
        began = status["last_started_unix_millis"] or 0
        return status if status["state"] == "idle" and status["pass"] is None and began > before else None

    return poll(through, 60, "a pass of the scrub")


def rot_extents(server, number):
    """Flips a byte in each extent of a disk."""
    extents = [path for path in (server.disks[number - 1] / "extents").rglob("*") if path.is_file()]
    assert extents
    for path in extents:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0x40
        with path.open("r+b") as file:
            file.write(content)


def rot_in_logs(server, needle):
    """Flips a byte wherever these bytes are in a log; how often they were."""
    count = 0
    for disk in server.disks:
        for path in (disk / "log").glob("*.seg"):
            content = path.read_bytes()
            at = content.find(needle)
            while at >= 0:
                count += 1
                with path.open("r+b") as file:
                    file.seek(at + len(needle) // 2)
                    file.write(bytes([content[at + len(needle) // 2] ^ 0x40]))
                at = content.find(needle, at + 1)
    return count


@pytest.mark.timeout(300)
def test_verify_names_what_lacks_redundancy_and_what_can_not_be_read(world):
    server = world.server
    assert verify(world) == (WHOLE, [], [])
    assert ask(server, "verify", "s3://no-such-bucket").returncode == NOT_FOUND_OUT
    rot_extents(server, 1)
    rot_extents(server, 3)
    assert rot_in_logs(server, body_of(SMALL[4], 20_000)[500:600]) == 1
    assert verify(world) == (DEGRADED, sorted([*LARGE, "parts", SMALL[4]]), [])
    assert verify(world, "small/0") == (DEGRADED, [SMALL[4]], [])
    assert verify(world, "small/1") == (WHOLE, [], [])
    world.compare()
    server.close()


@pytest.mark.timeout(300)
def test_verify_fails_where_more_is_lost_than_the_profile_bears(world):
    server = world.server
    server.stop()
    for number in (1, 2, 3):
        rot_extents(server, number)
    server.allowed_errors = [r"can't be read any more", r"fewer than|good shards"]
    server.start()
    code, degraded, unreadable = verify(world)
    assert (code, unreadable) == (UNREADABLE, sorted([*LARGE, "parts"]))
    assert degraded == []
    text = ask(server, "verify", f"s3://{world.bucket}/large/")
    assert text.returncode == UNREADABLE
    assert all(name in text.stdout for name in LARGE), text.stdout
    server.close()


@pytest.mark.timeout(300)
def test_a_scrub_reads_all_disks_and_finds_what_nobody_reads(world):
    server = world.server
    status = scrub_once(server)
    assert [disk["last"]["damage"] for disk in status["disks"]] == [0, 0, 0, 0]
    stored = sum(path.stat().st_size for disk in server.disks for kind in ("log", "extents") for path in (disk / kind).rglob("*") if path.is_file())
    read = sum(disk["last"]["bytes"] for disk in status["disks"])
    assert stored * 0.99 <= read <= stored * 1.01, (read, stored)
    rot_extents(server, 2)
    hits = rot_in_logs(server, body_of(SMALL[7], 20_000)[500:600])
    assert hits == 1
    status = scrub_once(server)
    damage = [disk["last"]["damage"] for disk in status["disks"]]
    assert sum(damage) == len(LARGE) + 2 + 1 and damage[1] >= len(LARGE) + 2, damage
    assert [bucket["bucket"] for bucket in status["buckets"]] == [world.bucket]
    assert status["buckets"][0]["last"]["bytes"] == world.live_bytes()
    world.compare()
    server.close()


@pytest.mark.timeout(120)
def test_pause_and_pace_outlive_a_restart(world):
    server = world.server
    assert scrub(server, "pause")["state"] == "paused"
    pace = scrub(server, "pace", "--share", "40", "--max-rate", "1000000")["pace"]
    assert pace == {"share_percent": 40, "max_bytes_per_second": 1_000_000}
    server.kill()
    server.start()
    status = scrub(server, "status")
    assert (status["state"], status["pace"]) == ("paused", pace)
    assert scrub(server, "pace", "--max-rate", "0")["pace"] == {"share_percent": 40, "max_bytes_per_second": None}
    assert ask(server, "scrub", "pace", "--share", "101").returncode == NOT_FOUND_OUT
    server.close()
