"""Disks that fill up: writes are refused in time and by name, nothing that was acknowledged is lost, and deleting makes room again."""

from contextlib import ExitStack

import pytest
from botocore.exceptions import ClientError
from larderlib.model import MIB, Model
from larderlib.mounts import tmpfs
from larderlib.server import poll

SIZES = [700, 40_000, 400_000, 2 * MIB, 9 * MIB]


class Refused(Exception):
    """A write was refused for lack of space."""


def write(model, number):
    """One write of a size that its number says; raises Refused if there is no room, and fails on every other refusal."""
    kind = number % (len(SIZES) + 1)
    try:
        if kind == len(SIZES):
            model.put_in_parts(f"parts/{number}", [5 * MIB, 3 * MIB])
        else:
            model.put(f"o/{number}", SIZES[kind])
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert (status, error.response["Error"]["Code"]) == (507, "InsufficientStorage"), error
        raise Refused from error


def fill(model, start, limit=2000):
    """Writes until one is refused; returns the number of the refused one."""
    for number in range(start, start + limit):
        try:
            write(model, number)
        except Refused:
            return number
    raise AssertionError(f"{limit} writes did not fill the disks")


def writes_again(model, number):
    try:
        write(model, number)
    except Refused:
        return False
    return True


@pytest.mark.timeout(600)
def test_full_disks_refuse_writes_lose_nothing_and_take_writes_again_after_deletes(tmp_path, larder):
    directory = tmp_path / "server"
    with ExitStack() as mounts:
        for number in range(1, 5):
            mounts.enter_context(tmpfs(directory / f"disk{number}", 224))
        server = larder(directory=directory)
        server.start()
        model = Model(server)
        refused = fill(model, 0)
        assert model.live_bytes() > 100 * MIB, "refused long before the disks are full"
        # Small and large, whole and in parts: each is written or refused, none kills the server.
        for number in range(refused, refused + 2 * len(SIZES)):
            writes_again(model, number)
        model.compare()
        server.restart()
        model.compare()
        for name in list(model.sure)[::2]:
            model.delete(name)
        number = refused + 100
        poll(lambda: writes_again(model, number), 60, "room after deletes")
        poll(lambda: writes_again(model, number + len(SIZES)), 60, "room for parts")
        model.compare()
        for name in list(model.sure):
            model.delete(name)
        poll(lambda: all(writes_again(model, number + 100 + at) for at in range(20)), 60, "room after all is deleted")
        server.restart()
        model.compare()
        server.close()


@pytest.mark.timeout(600)
def test_one_full_disk_of_four_makes_writes_degraded_and_nothing_worse(tmp_path, larder):
    directory = tmp_path / "server"
    with tmpfs(directory / "disk3", 96):
        server = larder(directory=directory)
        server.start()
        model = Model(server)
        number = 0
        while server.status()["disks"][2]["state"] != "full":
            write(model, number)
            number += 1
            assert number < 300, "the disk does not fill up"
        assert server.status()["degraded_objects"] <= 4, "hardly anything was written since"
        for more in range(number, number + 24):
            write(model, more)
        status = server.status()
        assert [disk["state"] for disk in status["disks"]] == ["ok", "ok", "full", "ok"]
        assert status["degraded_objects"] >= 24, "what lacks a shard is remembered"
        model.compare()
        server.restart()
        model.compare()
        for name in list(model.sure)[:number]:
            model.delete(name)
        poll(lambda: server.status()["disks"][2]["state"] == "ok", 60, "room on the full disk after deletes")
        write(model, number + 100)
        model.compare()
        server.close()
