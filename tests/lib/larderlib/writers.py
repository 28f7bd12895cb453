"""Clients that write at random and remember what was acknowledged, and the comparison with what is there after a crash.

Each writer has keys of its own and writes down what it asks for before it asks, and what was acknowledged after.
"""

import random
import threading
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from .clients import boto
from .model import MIB, body_of, digest

WRITERS = 6
KEYS_PER_WRITER = 12
SIZES = [0, 1, 100, 4096, 5000, 70_000, 300_000, 1_200_000, 3_000_000]


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


class Refused(Exception):
    """A code in an answer of several keys."""


class Writer(threading.Thread):
    """One client with keys of its own, until the server is gone."""

    def __init__(self, server, bucket, number, keys, seed):
        super().__init__(daemon=True)
        self.client = boto(server)
        self.bucket = bucket
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
        except Refused as error:
            if str(error) not in ("InternalError", "ServiceUnavailable", "SlowDown"):
                self.failure = error
        except BotoCoreError:
            pass  # the connection broke: this is the crash
        except Exception as error:  # noqa: BLE001 - reported by the test, in the main thread
            self.failure = error

    def step(self):
        name = self.rng.choice(self.names)
        action = self.rng.choices([self.put, self.delete, self.delete_many, self.multipart, self.copy], [10, 3, 1, 2, 2])[0]
        action(name)

    def change(self, name, value, request):
        self.keys[name].ask(value)
        request()
        self.keys[name].acknowledge(value)

    def put(self, name):
        data = body_of(self.rng.random(), self.rng.choice(SIZES))
        self.change(name, digest(data), lambda: self.client.put_object(Bucket=self.bucket, Key=name, Body=data))

    def delete(self, name):
        self.change(name, None, lambda: self.client.delete_object(Bucket=self.bucket, Key=name))

    def delete_many(self, _name):
        names = self.rng.sample(self.names, 4)
        wanted = {"Objects": [{"Key": name} for name in names]}
        for name in names:
            self.keys[name].ask(None)
        answer = self.client.delete_objects(Bucket=self.bucket, Delete=wanted)
        for deleted in answer.get("Deleted", []):
            self.keys[deleted["Key"]].acknowledge(None)
        for error in answer.get("Errors", []):
            raise Refused(error["Code"])

    def multipart(self, name):
        where = {"Bucket": self.bucket, "Key": name}
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
        self.change(name, digest(b"".join(bodies)), complete)

    def copy(self, name):
        source = self.rng.choice(self.names)
        held = self.keys[source].sure
        if source == name or held is None:
            return
        self.change(name, held, lambda: self.client.copy_object(Bucket=self.bucket, Key=name, CopySource={"Bucket": self.bucket, "Key": source}))


def new_keys():
    """Every key of every writer, by name: nothing is there yet."""
    return {f"w{number}/{index}": Key() for number in range(WRITERS) for index in range(KEYS_PER_WRITER)}


def start_writers(server, bucket, keys, rng):
    writers = [Writer(server, bucket, number, keys, rng.random()) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    return writers


def join_writers(writers, when):
    """Waits for writers whose server is gone. Returns the number of operations that were acknowledged to them."""
    for writer in writers:
        writer.join(60)
        assert not writer.is_alive(), "a request hangs though its server is gone"
        assert writer.failure is None, f"{when}: {writer.failure!r}"
    return sum(writer.acknowledged for writer in writers)


def listing(client, bucket):
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7}):
        for entry in page.get("Contents", []):
            found[entry["Key"]] = (entry["Size"], entry["ETag"])
    return found


def compare(client, bucket, keys):
    """Reads everything back and settles what was open."""
    listed = listing(client, bucket)
    assert set(listed) <= set(keys), "the listing names only what was written"
    for name, key in keys.items():
        try:
            answer = client.get_object(Bucket=bucket, Key=name)
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
