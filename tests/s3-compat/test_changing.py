"""Reads of a key that others overwrite and delete: whole old bytes, whole new bytes, or an answer that ends early. Never a mixture, never zeros."""

import hashlib
import http.client
import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from larderlib.clients import boto, random_bytes

MIB = 1 << 20
# Small ones are in the log, large ones in extents, whose space comes back in other ways.
SIZES = {"small": 3000, "log": 400_000, "extents": 9 * MIB}
VERSIONS = 6
READS = 60


def body(size, number):
    """The body of a version: as long as no other, every block of it unlike any block of the others."""
    return random_bytes(size + number * 777, 1000 + number)


class Changes:
    """How often the key was changed, for those who wait for the next time."""

    def __init__(self):
        self.count, self.changed = 0, threading.Condition()

    def tell(self):
        with self.changed:
            self.count += 1
            self.changed.notify_all()

    def wait(self):
        with self.changed:
            before = self.count
            assert self.changed.wait_for(lambda: self.count > before, 60), "nobody writes any more"

    def wait_above(self, count, seconds):
        """Waits until there were more than `count`, or for `seconds`."""
        with self.changed:
            self.changed.wait_for(lambda: self.count > count, seconds)


def read_across_a_change(response, changes):
    """Takes a little, waits until the key is another's, then takes the rest."""
    first = response.read(1000)
    changes.wait()
    return first + response.read()


def read_once(url, changes, opened):
    """What came, with the ETag that was promised; `None` for a key that was away, or an answer that ended early."""
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            etag = response.headers["ETag"].strip('"')
            opened.tell()
            return etag, read_across_a_change(response, changes)
    except urllib.error.HTTPError as error:
        assert error.code == 404, error
        changes.wait()
    except (http.client.IncompleteRead, ConnectionError, socket.timeout):
        pass
    return None


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("deletes", [False, True], ids=["overwrites", "deletes"])
def test_a_read_is_of_one_version(server, s3, bucket, kind, deletes):
    bodies = {hashlib.md5(data).hexdigest(): data for data in (body(SIZES[kind], n) for n in range(VERSIONS))}
    where = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**where, Body=next(iter(bodies.values())))
    url = s3.generate_presigned_url("get_object", Params=where)
    changes, opened, done = Changes(), Changes(), threading.Event()

    def change(client):
        while not done.is_set():
            for data in bodies.values():
                if deletes:
                    client.delete_object(**where)
                before = opened.count
                client.put_object(**where, Body=data)
                changes.tell()
                if deletes:
                    # Else the key is away whenever somebody reads: a deletion follows at once.
                    opened.wait_above(before, 2)

    def read(_):
        return [found for _ in range(READS // 3) if (found := read_once(url, changes, opened))]

    with ThreadPoolExecutor(4) as pool:
        changing = pool.submit(change, boto(server))
        try:
            found = [one for many in pool.map(read, range(3)) for one in many]
        finally:
            done.set()
        changing.result()
    assert found, "not one read came through"
    for etag, data in found:
        assert data == bodies[etag], f"{len(data)} bytes that are not those of {etag}"
