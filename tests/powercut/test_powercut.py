"""What was acknowledged survives power cuts on a real kernel, byte for byte; what was not is there whole or not at all.

As `tests/crash`, on four disks that forget what was not synced (`tests/powercut/src`, a FUSE file system): sectors, names and lengths,
in any combination. All four lose power at one moment and the server is killed with them; sometimes power goes again while it starts.

    LARDER_POWERCUT_ROUNDS=200 LARDER_POWERCUT_SEED=7 pytest tests/powercut
"""

import os
import random
import subprocess
import time
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError
from larderlib.clients import boto
from larderlib.model import MIB, body_of, digest
from larderlib.powercut import PowerCutDisks
from larderlib.server import Larder, inherited_environment
from larderlib.writers import Key, compare, join_writers, new_keys, start_writers

# These take about a minute on two busy cores; what a longer run would find is for a run that has the time.
ROUNDS = int(os.environ.get("LARDER_POWERCUT_ROUNDS", "12"))
SEED = int(os.environ.get("LARDER_POWERCUT_SEED", str(random.SystemRandom().randrange(10**6))))
BUCKET = "powercut"
ROUND_SECONDS = (0.1, 1.2)
START_SECONDS = (0.0, 0.15)
EXPECTED_ERRORS = [
    # Between the cut and the kill the server meets disks that fail: it should say so.
    r"Input/output error",
    # The same, where two disks were emptied just before, and the others are off: what was read then is compared after the start.
    r"unreadable: stripe \d+ of blob \w+ has 0 good shards, 2 needed: (extent on disk \d( is gone)?(, )?){4}",
    # A view that was half made when the power went: fjall complains, and the server makes it anew from the logs.
    r"fjall::journal::writer: Failed to create journal file .*File exists",
]


class World:
    """A server on disks that lose power, its clients and what was acknowledged to them."""

    def __init__(self, server, disks, seed):
        self.server, self.disks = server, disks
        self.rng = random.Random(seed)
        self.keys = new_keys()
        self.acknowledged = self.kept = self.lost = 0
        self.what = f"LARDER_POWERCUT_SEED={seed}"

    def cut(self):
        """Everything goes off at once: disks and process."""
        self.disks.cut()
        self.server.kill()

    def power_on(self):
        kept, lost = self.disks.power_on(self.rng.randrange(2**63), keep_nothing=self.rng.random() < 0.2)
        self.kept += kept
        self.lost += lost

    def write_until_a_cut(self, what):
        writers = start_writers(self.server, BUCKET, self.keys, self.rng)
        # The moment is what is random here; nothing is waited for.
        time.sleep(self.rng.uniform(*ROUND_SECONDS))
        self.cut()
        self.acknowledged += join_writers(writers, f"{what}, {self.what}")
        self.power_on()

    def cut_while_starting(self):
        """The start after a cut adopts, voids and renews: power may go in the middle of that, too."""
        with open(self.server.log_path, "ab") as log:
            environment = {**inherited_environment(), **self.server.environment}
            self.server.process = subprocess.Popen(self.server.command(), stdout=log, stderr=log, env=environment)
        time.sleep(self.rng.uniform(*START_SECONDS))
        self.cut()
        self.power_on()

    def start_and_compare(self, what):
        self.server.start()
        try:
            compare(boto(self.server), BUCKET, self.keys)
        except (AssertionError, ClientError) as error:
            raise AssertionError(f"{what}, {self.what}: {error}") from error


@contextmanager
def world(tmp_path, seed=SEED):
    server = Larder(directory=tmp_path / "server")
    server.allowed_errors = EXPECTED_ERRORS
    with PowerCutDisks(server.disks) as disks:
        try:
            yield World(server, disks, seed)
            if server.process is not None:
                server.close()
        finally:
            server.kill()


def rounds(of, count):
    of.server.start()
    boto(of.server).create_bucket(Bucket=BUCKET)
    for number in range(1, count + 1):
        of.write_until_a_cut(f"round {number}")
        while of.rng.random() < 0.3:
            of.cut_while_starting()
        of.start_and_compare(f"round {number}")


@pytest.mark.timeout(120 + 20 * ROUNDS)
def test_acknowledged_writes_survive_power_cuts(tmp_path):
    print(f"LARDER_POWERCUT_SEED={SEED} LARDER_POWERCUT_ROUNDS={ROUNDS}")
    with world(tmp_path) as of:
        rounds(of, ROUNDS)
        print(f"{of.acknowledged} acknowledged operations; of unsynced changes {of.lost} were lost, {of.kept} kept")
        assert of.acknowledged > 10 * ROUNDS, "hardly anything was written: the test says nothing"
        assert of.lost > ROUNDS and of.kept > ROUNDS, "hardly anything was unsynced: the test says nothing"


@pytest.mark.timeout(300)
def test_acknowledged_writes_survive_a_power_cut_and_the_loss_of_two_disks(tmp_path):
    print(f"LARDER_POWERCUT_SEED={SEED}")
    with world(tmp_path) as of:
        rounds(of, 2)
        of.write_until_a_cut("before two disks are emptied")
        emptied = of.rng.sample(range(1, 5), 2)
        for number in emptied:
            of.disks.empty(number)
        of.start_and_compare(f"disks {emptied} emptied")
        # They are used again: what is written now may be lost with two others, and not with the power.
        of.write_until_a_cut("after two disks were emptied")
        of.start_and_compare("after two disks were emptied")


@pytest.mark.parametrize("area, kind", [("log", "data"), ("log", "names"), ("extents", "data"), ("extents", "names"), ("/", "names")])
@pytest.mark.timeout(120)
def test_a_sync_that_is_not_done_is_noticed(tmp_path, area, kind):
    """The suite itself can fail: disks that answer one kind of sync without doing it lose what was acknowledged, and it shows."""
    with world(tmp_path) as of:
        of.disks.lie(area, kind)
        survived = survives_a_cut(of)
        # Its log has every reason to say ERROR.
        of.server.kill()
        assert not survived, f"syncs of {kind} in {area} were not done, and nothing was missed"


@pytest.mark.timeout(120)
def test_honest_disks_keep_what_the_lying_ones_lose(tmp_path):
    with world(tmp_path) as of:
        assert survives_a_cut(of)


def survives_a_cut(of):
    """Writes a little, all of it acknowledged, takes the power and everything unsynced away, and looks."""
    of.server.start()
    client = boto(of.server)
    client.create_bucket(Bucket=BUCKET)
    of.keys = {}
    for number, size in enumerate([0, 100, 5000, 300_000, 2 * MIB, 6 * MIB]):
        data = body_of(number, size)
        client.put_object(Bucket=BUCKET, Key=str(number), Body=data)
        of.keys[str(number)] = Key(sure=digest(data))
    of.cut()
    of.disks.power_on(0, keep_nothing=True)
    try:
        of.start_and_compare("all acknowledged")
    except RuntimeError as refused:
        # A server that refuses to start on what is left has noticed as well.
        print(refused)
        return False
    except AssertionError as missed:
        print(missed)
        return False
    return True
