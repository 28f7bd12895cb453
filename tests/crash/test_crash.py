"""What was acknowledged survives SIGKILL, byte for byte; what was not is there whole or not at all.

Several clients write, overwrite, delete and complete uploads, each on keys of its own, and write down what they asked for before
they ask and what was acknowledged after. The server is killed at a random moment, started again, and everything is compared. A kill leaves
the page cache whole: power cuts are tested below, in `storage/`, with a disk that forgets what was not synced.

    LARDER_CRASH_KILLS=100 LARDER_CRASH_SEED=7 pytest tests/crash
"""

import hashlib
import os
import random
import threading
import time
from dataclasses import dataclass, field

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from larderlib.clients import boto
from larderlib.server import server_under_test

# Twelve take under two minutes on two busy cores; what a longer run would find is for a run that has the time.
KILLS = int(os.environ.get("LARDER_CRASH_KILLS", "12"))
SEED = int(os.environ.get("LARDER_CRASH_SEED", str(random.SystemRandom().randrange(10**6))))
WRITERS = 6
KEYS_PER_WRITER = 12
BUCKET = "crash"
MIB = 1024 * 1024
SIZES = [0, 1, 100, 4096, 5000, 70_000, 300_000, 1_200_000, 3_000_000]
# More than this passes without a kill only when the server does not come up: then the test fails for a better reason.
ROUND_SECONDS = (0.1, 1.2)


def body_of(tag, size):
    """Bytes that follow from a short tag, so that the test remembers tags and not bodies."""
    return random.Random(tag).randbytes(size)


def digest(data):
    return hashlib.sha256(data).hexdigest()


@dataclass
class Key:
    """What one key may hold: `sure` is acknowledged (None: no object), `maybe` what was asked for since and not answered."""

    sure: str | None = None
    maybe: set = field(default_factory=set)

    def ask(self, value):
        self.maybe.add(value)

    def acknowledge(self, value):
        self.sure, self.maybe = value, set()

    def settle(self, found):
        assert found == self.sure or found in self.maybe, "neither what was acknowledged nor anything asked for since"
        self.acknowledge(found)


class Writer(threading.Thread):
    """One client with keys of its own, until the server is gone."""

    def __init__(self, server, number, keys, seed):
        super().__init__(daemon=True)
        self.client = boto(server)
        self.rng = random.Random(seed)
        self.names = [f"w{number}/{index}" for index in range(KEYS_PER_WRITER)]
        self.keys = keys
        self.acknowledged = 0
        self.failure = None

    def run(self):
        try:
            while True:
                self.step()
                self.acknowledged += 1
        except ClientError as error:
            # While the server dies it may refuse; it must not say anything else than that it is unavailable.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (500, 503):
                self.failure = error
        except BotoCoreError:
            pass  # the connection broke: this is the crash
        except Exception as error:  # noqa: BLE001 - reported by the test, in the main thread
            self.failure = error

    def step(self):
        name = self.rng.choice(self.names)
        action = self.rng.choices([self.put, self.delete, self.delete_many, self.multipart, self.copy], [10, 3, 1, 2, 2])[0]
        action(name)

    def change(self, names, value, request):
        for name in names:
            self.keys[name].ask(value)
        answer = request()
        for name in names:
            self.keys[name].acknowledge(value)
        return answer

    def put(self, name):
        data = body_of(self.rng.random(), self.rng.choice(SIZES))
        self.change([name], digest(data), lambda: self.client.put_object(Bucket=BUCKET, Key=name, Body=data))

    def delete(self, name):
        self.change([name], None, lambda: self.client.delete_object(Bucket=BUCKET, Key=name))

    def delete_many(self, _name):
        names = self.rng.sample(self.names, 4)
        wanted = {"Objects": [{"Key": name} for name in names]}
        answer = self.change(names, None, lambda: self.client.delete_objects(Bucket=BUCKET, Delete=wanted))
        assert "Errors" not in answer, answer["Errors"]

    def multipart(self, name):
        where = {"Bucket": BUCKET, "Key": name}
        where["UploadId"] = self.client.create_multipart_upload(**where)["UploadId"]
        bodies = [body_of(self.rng.random(), 5 * MIB), body_of(self.rng.random(), self.rng.choice(SIZES))]
        parts = []
        for number, data in enumerate(bodies, 1):
            answer = self.client.upload_part(**where, PartNumber=number, Body=data)
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        if self.rng.random() < 0.2:
            self.client.abort_multipart_upload(**where)
            return
        complete = lambda: self.client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})  # noqa: E731
        self.change([name], digest(b"".join(bodies)), complete)

    def copy(self, name):
        source = self.rng.choice(self.names)
        held = self.keys[source].sure
        if source == name or held is None:
            return
        self.change([name], held, lambda: self.client.copy_object(Bucket=BUCKET, Key=name, CopySource={"Bucket": BUCKET, "Key": source}))


def listing(client):
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 7}):
        for entry in page.get("Contents", []):
            found[entry["Key"]] = (entry["Size"], entry["ETag"])
    return found


def compare(client, keys):
    """Reads everything back and settles what was open."""
    listed = listing(client)
    assert set(listed) <= set(keys), "the listing names only what was written"
    for name, key in keys.items():
        try:
            answer = client.get_object(Bucket=BUCKET, Key=name)
            data = answer["Body"].read()
        except client.exceptions.NoSuchKey:
            found = None
            assert name not in listed, f"{name} is listed and not there"
        else:
            found = digest(data)
            assert listed.get(name) == (len(data), answer["ETag"]), f"{name} is there and listed otherwise: {listed.get(name)}"
        try:
            key.settle(found)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}; found {found}, sure {key.sure}, maybe {key.maybe}") from None


@pytest.mark.timeout(900)
def test_acknowledged_writes_survive_kills(tmp_path):
    print(f"LARDER_CRASH_SEED={SEED} LARDER_CRASH_KILLS={KILLS}")
    rng = random.Random(SEED)
    server = server_under_test(directory=tmp_path / "server")
    server.start()
    boto(server).create_bucket(Bucket=BUCKET)
    keys = {f"w{number}/{index}": Key() for number in range(WRITERS) for index in range(KEYS_PER_WRITER)}
    acknowledged = 0
    for kill in range(KILLS):
        writers = [Writer(server, number, keys, rng.random()) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        # The moment is what is random here; nothing is waited for.
        time.sleep(rng.uniform(*ROUND_SECONDS))
        server.kill()
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive(), "a request hangs though its server is gone"
            assert writer.failure is None, f"kill {kill}, seed {SEED}: {writer.failure!r}"
        acknowledged += sum(writer.acknowledged for writer in writers)
        server.start()
        compare(boto(server), keys)
    print(f"{acknowledged} acknowledged operations, {KILLS} kills")
    assert acknowledged > 10 * KILLS, "hardly anything was written: the test says nothing"
    compare_after_graceful_restart(server, keys)
    server.close()


def compare_after_graceful_restart(server, keys):
    """The same after SIGTERM; and the bucket can be emptied and removed, so nothing is left that no listing shows."""
    server.restart()
    client = boto(server)
    compare(client, keys)
    for name in listing(client):
        client.delete_object(Bucket=BUCKET, Key=name)
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    client.delete_bucket(Bucket=BUCKET)


@pytest.mark.timeout(300)
def test_a_server_that_stops_gracefully_finishes_what_it_began(tmp_path):
    """SIGTERM under load: every request gets a whole answer or a refused connection, and the status is 0."""
    server = server_under_test(directory=tmp_path / "server")
    server.start()
    boto(server).create_bucket(Bucket=BUCKET)
    keys = {f"w{number}/{index}": Key() for number in range(WRITERS) for index in range(KEYS_PER_WRITER)}
    writers = [Writer(server, number, keys, number) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    time.sleep(1)
    assert server.stop() == 0
    for writer in writers:
        writer.join(60)
        assert not writer.is_alive() and writer.failure is None, writer.failure
    server.start()
    compare(boto(server), keys)
    server.close()
