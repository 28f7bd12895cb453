"""Every disk of a running server is swapped out while clients write, read and delete: by add, drain and remove, and by replacing one that died."""

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import threading

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from larderlib.clients import boto
from larderlib.model import MIB, Model, body_of, digest
from larderlib.server import Larder, larder_binary, poll

CLIENTS = 4
KEYS_PER_CLIENT = 30
SIZES = [0, 700, 20_000, 300_000, 1_200_000, 3 * MIB]
SEED = int(os.environ.get("LARDER_DISKS_SEED", str(random.SystemRandom().randrange(10**6))))
# While the metadata view leaves a disk that is removed or dead, requests get 503 and are tried again.
ALLOWED = [r"disk is out", r"metadata view", r"request failed.*rebuil", r"frame not durable", r"fjall"]


class Moving(Larder):
    """A server whose data directories are a list that changes."""

    def __init__(self, directory, names):
        super().__init__(directory=directory)
        self.names = list(names)
        self.allowed_errors = ALLOWED

    @property
    def disks(self):
        return [self.directory / name for name in self.names]

    def command(self):
        command = super().command()
        data = command.index("--data") + 1
        command[data] = ",".join(str(disk) for disk in self.disks)
        return command

    def disk(self, *arguments, fails=False):
        """`larder disk`: what it prints, or its complaint. While the view moves, the server says "try again": done so."""
        command = [larder_binary(), "disk", *map(str, arguments), "--endpoint", self.endpoint]
        environment = {"LARDER_ROOT_ACCESS_KEY": self.access_key, "LARDER_ROOT_SECRET_KEY": self.secret_key}

        def attempt():
            done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
            is_later = re.search("metadata view.*try again", done.stderr)
            return None if is_later else done

        done = poll(attempt, 60, "an answer that is not 'try again'")
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    def list(self):
        disks = json.loads(self.disk("list", "--json"))["disks"]
        assert [disk["slot"] for disk in disks] == list(range(len(disks)))
        return {disk["number"]: disk for disk in disks}

    def new_directory(self, name):
        path = self.directory / name
        path.mkdir()
        return path


class Client(threading.Thread):
    """Writes, reads and deletes keys of its own; what it was told is what it expects."""

    def __init__(self, model, number):
        super().__init__(daemon=True)
        self.model, self.number = model, number
        self.s3 = boto(model.server)
        self.rng = random.Random(f"{SEED}/{number}")
        self.stopping = threading.Event()
        self.failure, self.done, self.retried = None, 0, 0

    def run(self):
        try:
            while not self.stopping.is_set():
                self.step(f"c{self.number}/{self.rng.randrange(KEYS_PER_CLIENT)}")
                self.done += 1
        except Exception as error:  # noqa: BLE001 - reported by the test, in the main thread
            self.failure = error

    def step(self, name):
        where = {"Bucket": self.model.bucket, "Key": name}
        choice = self.rng.random()
        if name in self.model.sure and choice < 0.4:
            body = self.insist(lambda: self.s3.get_object(**where)["Body"].read())
            assert digest(body) == self.model.sure[name], f"{name} is not what was acknowledged"
        elif name in self.model.sure and choice < 0.55:
            self.insist(lambda: self.s3.delete_object(**where))
            del self.model.sure[name], self.model.sizes[name]
        else:
            body = body_of(f"{name}/{self.rng.random()}", self.rng.choice(SIZES))
            self.insist(lambda: self.s3.put_object(**where, Body=body))
            self.model.sure[name], self.model.sizes[name] = digest(body), len(body)

    def insist(self, request):
        """Asks until the answer is none of those that say "later"."""
        outcome = []

        def attempt():
            try:
                outcome.append(request())
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 503:
                    raise
            except BotoCoreError:
                pass  # the connection broke in the middle of a body: nothing was promised
            self.retried += not outcome
            return outcome

        poll(attempt, 60, "an answer")
        return outcome[0]


@pytest.fixture
def world(tmp_path):
    print(f"LARDER_DISKS_SEED={SEED}")
    server = Moving(tmp_path / "server", [f"disk{number}" for number in range(4)])
    server.start()
    model = Model(server)
    clients = [Client(model, number) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    yield server, model, clients
    for client in clients:
        client.stopping.set()
    server.kill()


def wipe(directory):
    """Removes a directory in which a server may be making files."""

    def is_gone():
        shutil.rmtree(directory, ignore_errors=True)
        return not directory.exists()

    poll(is_gone, 30, f"{directory} is gone")


def stop(clients):
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join(120)
        assert not client.is_alive() and client.failure is None, client.failure
    print("requests", [client.done for client in clients], "retried", [client.retried for client in clients])


def busy(clients):
    """Waits until each client has done something more."""
    before = [client.done for client in clients]

    def all_moved():
        for client in clients:
            assert client.failure is None, client.failure
        return all(client.done > done + 3 for client, done in zip(clients, before, strict=True))

    poll(all_moved, 120, "requests")


def check_end(server, model, clients):
    """Every acknowledged object is right, after a restart as well, and without any two of the disks."""
    stop(clients)
    model.compare()
    server.restart()
    model.compare()
    server.kill()
    for disk in server.disks[1:3]:
        shutil.rmtree(disk)
        disk.mkdir()
    server.start()
    model.compare()
    server.close()


@pytest.mark.timeout(600)
def test_all_disks_are_swapped_out_one_by_one_by_add_drain_and_remove(world):
    server, model, clients = world
    for number in range(4):
        new = server.new_directory(f"new{number}")
        server.disk("add", new)
        refusal = server.disk("remove", number, fails=True)
        assert "not drained" in refusal and "Drain it first" in refusal, refusal
        server.disk("drain", number)
        assert server.list()[number]["role"] in ("draining", "drained")
        poll(lambda: server.list()[number]["role"] == "drained", 120, f"disk {number} drained")  # noqa: B023
        assert f"disk {number}: drained: can be removed" in server.disk("list")
        said = server.disk("remove", number)
        gone = server.directory / server.names.pop(0)
        assert f"take {gone} out of --data" in said, said
        server.names.append(new.name)
        wipe(gone)
        busy(clients)
    assert list(server.list()) == [4, 5, 6, 7]
    refusal = server.disk("drain", 5, fails=True)
    assert "3 disks would be left" in refusal and "add a disk first" in refusal, refusal
    check_end(server, model, clients)


@pytest.mark.timeout(600)
def test_all_disks_die_one_by_one_and_are_replaced_without_a_restart(world):
    server, model, clients = world
    for place in range(4):
        number = list(server.list())[place]
        directory = server.disks[place]
        assert "works" in server.disk("replace", number, fails=True)
        busy(clients)
        wipe(directory)
        poll(lambda: server.list()[number]["state"] == "failed", 60, "the disk is missed")  # noqa: B023
        busy(clients)
        if place % 2:
            directory = server.new_directory(f"other{place}")
            server.names[place] = directory.name
            said = server.disk("replace", number, directory)
            assert "in --data before the next start" in said, said
        else:
            directory.mkdir()
            server.disk("replace", number)
        assert list(server.list())[place] == 4 + place
        # On four disks each object has a shard on each of them, once all is healed.
        poll(lambda: len({disk["shards"] for disk in server.list().values()}) == 1, 120, "healed")
        busy(clients)
    check_end(server, model, clients)


@pytest.mark.timeout(300)
def test_a_drain_outlives_a_kill_and_can_be_taken_back(world):
    server, model, clients = world
    busy(clients)
    new = server.new_directory("new")
    server.disk("add", new)
    server.names.append(new.name)
    server.disk("drain", 2)
    stop(clients)
    server.kill()
    server.start()
    assert server.list()[2]["role"] in ("draining", "drained")
    model.compare()
    server.disk("drain", 2, "--cancel")
    assert server.list()[2]["role"] == "member"
    server.disk("drain", 2)
    poll(lambda: server.list()[2]["role"] == "drained", 120, "drained")
    server.disk("remove", 2)
    server.kill()
    log = server.log_path.stat().st_size
    with pytest.raises(RuntimeError, match="take it out of the data directories"):
        server.start()
    assert log < server.log_path.stat().st_size
    server.names.remove("disk2")
    server.log_path.unlink()
    server.start()
    model.compare()
    server.close()


def heal_status(server):
    return json.loads(server.run("heal", "status", "--json"))


def look_and_wait(server):
    """Has the disks looked at, and waits until that is over."""
    surveys = heal_status(server)["surveys"]
    server.run("heal", "start")

    def is_over():
        heal = heal_status(server)
        return heal["surveys"] > surveys and heal["state"] == "idle"

    poll(is_over, 120, "a survey")


def files_below(directory):
    """Bytes of the extents of a disk, as they are now."""
    sizes = []
    for path in (directory / "extents").rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size if path.is_file() else 0)
    return sum(sizes)


@pytest.mark.timeout(600)
def test_what_the_old_disks_hold_moves_to_one_that_is_added_under_load(world):
    server, model, clients = world
    fill = [f"fill/{number}" for number in range(60)]
    for name in fill:
        model.put(name, 3 * MIB)
    busy(clients)
    before = [files_below(disk) for disk in server.disks]
    new = server.new_directory("new")
    server.disk("add", new)
    server.names.append(new.name)

    def is_level():
        held = [disk["shard_bytes"] for disk in server.list().values()]
        due = sum(held) / len(held)
        return all(abs(share - due) < 8 * MIB for share in held)

    poll(is_level, 240, "level disks")
    busy(clients)
    poll(
        lambda: all(files_below(disk) < size * 0.95 for disk, size in zip(server.disks, before, strict=False)),
        60,
        "the files of the old disks shrink",
    )
    assert files_below(new) > 30 * MIB
    s3 = boto(server)
    for name in fill:
        assert digest(s3.get_object(Bucket=model.bucket, Key=name)["Body"].read()) == model.sure[name], name
    stop(clients)
    look_and_wait(server)
    assert is_level(), server.list()
    # Nothing moves any more.
    held = {number: disk["shards"] for number, disk in server.list().items()}
    look_and_wait(server)
    assert {number: disk["shards"] for number, disk in server.list().items()} == held
    assert heal_status(server)["moved"]["bytes"] > 0
    check_end(server, model, clients)
