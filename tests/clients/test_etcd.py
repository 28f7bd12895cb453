"""etcd: a snapshot goes into the store and comes back after the loss of two of its four disks, to a new cluster with the same keys."""

import base64
import json
import subprocess

import pytest
from larderlib.clients import boto, client_environment, random_bytes
from larderlib.need import tool
from larderlib.server import free_port, http_ok, poll

BUCKET = "etcd"
KEYS = {f"/registry/ü/{number:04}": random_bytes(1000 + number, number) for number in range(300)}


class Etcd:
    """A cluster of one."""

    def __init__(self, directory):
        self.data = directory / "data"
        self.client, self.peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.log = directory / "etcd.log"
        directory.mkdir()

    def __enter__(self):
        command = [tool("etcd"), "--data-dir", self.data, "--listen-client-urls", self.client, "--advertise-client-urls", self.client]
        command += ["--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer, "--initial-cluster", f"default={self.peer}"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        poll(lambda: http_ok(f"{self.client}/health") or self.process.poll() is not None, 60, "etcd's start")
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    def ctl(self, *arguments, **options):
        command = [tool("etcdctl"), f"--endpoints={self.client}", *map(str, arguments)]
        done = subprocess.run(command, env={"ETCDCTL_API": "3"}, capture_output=True, timeout=60, **options)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def put_all(self, keys):
        """In transactions of a hundred, as etcd takes no more."""
        names = list(keys)
        for start in range(0, len(names), 100):
            puts = "".join(f"put {name} {keys[name].hex()}\n" for name in names[start : start + 100])
            self.ctl("txn", input=f"\n{puts}\n\n".encode())

    def all(self):
        found = json.loads(self.ctl("get", "", "--prefix", "--write-out=json"))["kvs"]
        return {base64.b64decode(kv["key"]).decode(): bytes.fromhex(base64.b64decode(kv["value"]).decode()) for kv in found}


@pytest.mark.timeout(120)
def test_a_snapshot_is_kept_and_restored(store, tmp_path):
    boto(store).create_bucket(Bucket=BUCKET)
    environment = client_environment(store, tmp_path) | {"AWS_ENDPOINT_URL": store.endpoint}

    def aws(*arguments):
        subprocess.run([tool("aws"), "s3", *map(str, arguments)], env=environment, stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=60)

    snapshot, back = tmp_path / "snapshot.db", tmp_path / "back.db"
    with Etcd(tmp_path / "one") as one:
        one.put_all(KEYS)
        one.ctl("snapshot", "save", snapshot)
        aws("cp", snapshot, f"s3://{BUCKET}/snapshots/")
        one.ctl("del", "", "--prefix")
    store.crash(losing=(2, 4))
    aws("cp", f"s3://{BUCKET}/snapshots/snapshot.db", back)
    assert back.read_bytes() == snapshot.read_bytes()

    two = Etcd(tmp_path / "two")
    two.ctl("snapshot", "restore", back, "--data-dir", two.data, "--initial-cluster", f"default={two.peer}", "--initial-advertise-peer-urls", two.peer)
    with two:
        assert two.all() == KEYS
