"""MariaDB: a backup is streamed into the store while the server works and the store dies, streamed back after the loss of two disks, and started."""

import os
import subprocess

import pytest
from larderlib.clients import boto, client_environment
from larderlib.need import tool
from larderlib.server import Larder, poll

BUCKET = "mariadb"
KEY = f"s3://{BUCKET}/full.xbstream"
HOW = "apt-get install mariadb-server-core mariadb-backup"
FILL = (
    "create database shop; use shop; create table orders (id int primary key, item varchar(100), note longblob) engine=InnoDB;"
    "insert into orders select seq, concat('item ', seq), sha2(seq, 512) from seq_1_to_150000;"
    "create table old (id int primary key, name text) engine=Aria; insert into old select seq, 'ü' from seq_1_to_1000;"
)
CHECKSUM = "checksum table shop.orders, shop.old extended"


class MariaDb:
    """A server on a directory of its own, reached over a socket only."""

    def __init__(self, directory):
        self.directory, self.data = directory, directory / "data"
        self.defaults = directory / "my.cnf"
        self.socket = directory / "socket"
        user = "user=root\n" if os.geteuid() == 0 else ""
        self.defaults.write_text(f"[mysqld]\ndatadir={self.data}\nsocket={self.socket}\n{user}skip-networking\npid-file={directory / 'pid'}\n")
        self.log = directory / "mariadb.log"
        self.process = None

    def create(self):
        command = [tool("mariadb-install-db", HOW), f"--defaults-file={self.defaults}", "--auth-root-authentication-method=normal", "--skip-test-db"]
        run(command)

    def __enter__(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([tool("mariadbd", HOW), f"--defaults-file={self.defaults}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        poll(lambda: self.socket.exists() or self.process.poll() is not None, 60, "MariaDB's start")
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)

    def query(self, statement):
        command = [tool("mariadb", HOW), "--no-defaults", f"--socket={self.socket}", "--user=root", "--batch", "--skip-column-names"]
        return run([*command, "--execute", statement]).decode()


def run(command, **options):
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, timeout=100, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout.decode()}\n{done.stderr.decode()[-3000:]}"
    return done.stdout


@pytest.fixture
def shell(store, tmp_path):
    """A pipe as an operator writes it, in a shell that fails with any of its programs."""
    environment = client_environment(store, tmp_path) | {"AWS_ENDPOINT_URL": store.endpoint}

    def shell(line):
        command = ["bash", "-o", "pipefail", "-c", line]
        return subprocess.Popen(command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    return shell


def end(process):
    said = process.communicate(timeout=100)[0].decode(errors="replace")
    return process.returncode, said[-3000:]


def uploading(store):
    return "Uploads" in boto(store, retries=3).list_multipart_uploads(Bucket=BUCKET)


@pytest.mark.timeout(180)
def test_a_backup_is_streamed_into_the_store_and_back(store, shell, tmp_path):
    boto(store).create_bucket(Bucket=BUCKET)
    program = tool("mariadb-backup", HOW)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = MariaDb(tmp_path / "one"), MariaDb(tmp_path / "two")
    one.create()
    with one:
        one.query(FILL)
        expected = one.query(CHECKSUM)
        stream = f"{program} --no-defaults --backup --stream=xbstream --user=root --socket={one.socket} --datadir={one.data} --target-dir={tmp_path / 'work'}"
        upload = f"{stream} | {tool('aws')} s3 cp - {KEY}"
        # So slow that there is a middle, however busy the machine.
        (tmp_path / "slow").write_text("[default]\ns3 =\n  max_bandwidth = 20MB/s\n")
        backup = shell(f"export AWS_CONFIG_FILE=slow; {upload}")
        poll(lambda: uploading(store) or backup.poll() is not None, 60, "the backup's first part")
        assert backup.poll() is None, f"it was over before the store could be killed: make it slower: {end(backup)}"
        store.crash()
        # aws-cli sends again what failed; if it gives up, so does an operator once.
        if end(backup)[0] != 0:
            status, said = end(shell(upload))
            assert status == 0, said

    store.crash(losing=(1, 2))
    two.data.mkdir()
    status, said = end(shell(f"{tool('aws')} s3 cp {KEY} - | mbstream --extract --directory={two.data}"))
    assert status == 0, said
    run([program, "--prepare", f"--target-dir={two.data}"])
    with two:
        assert two.query(CHECKSUM) == expected
        assert two.query("select count(*), sum(note = sha2(id, 512)) from shop.orders") == "150000\t150000\n"
    if isinstance(store, Larder):
        store.until_healed()
        store.run("verify", KEY)
