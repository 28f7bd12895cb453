"""ClickHouse (chDB, the engine in a library): files through `s3()`, BACKUP and RESTORE, and a table that lives in the store."""

import json
import subprocess
import sys

import pytest
from larderlib.clients import boto, client_environment
from larderlib.need import CACHE, REPOSITORY, missing
from larderlib.server import poll

BUCKET = "clickhouse"
PROGRAM = REPOSITORY / "tests" / "clients" / "databases" / "clickhouse.py"
ROWS = "select number as n, hex(sipHash128(number)) as s from numbers"


class ClickHouse:
    def __init__(self, store, directory):
        if not (CACHE / "databases" / "chdb").is_dir():
            missing("chdb", "tests/setup.sh")
        self.store = store
        environment = client_environment(store, directory) | {"PYTHONPATH": str(CACHE / "databases")}
        command = [sys.executable, PROGRAM, directory / "clickhouse"]
        self.process = subprocess.Popen(command, env=environment, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self, statement):
        self.process.stdin.write(json.dumps(statement) + "\n")
        self.process.stdin.flush()

    def end(self):
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["ok"].strip()

    def query(self, statement):
        self.begin(statement)
        return self.end()

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)

    def at(self, key, *more):
        """The words in the brackets of `s3()` and `S3()`."""
        words = [f"{self.store.endpoint}/{BUCKET}/{key}", self.store.access_key, self.store.secret_key, *more]
        return ", ".join(f"'{word}'" for word in words)

    def digest(self, table):
        return self.query(f"select count(), sum(cityHash64(n, s)) from {table}")


@pytest.fixture
def clickhouse(store, tmp_path):
    boto(store).create_bucket(Bucket=BUCKET)
    instance = ClickHouse(store, tmp_path)
    yield instance
    instance.close()


def keys(store, prefix):
    listed = boto(store, retries=3).list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    return [entry["Key"] for entry in listed.get("Contents", [])]


def test_files_are_written_and_read_by_pattern(store, clickhouse):
    clickhouse.query(f"insert into function s3({clickhouse.at('files/rows.parquet', 'Parquet')}) {ROWS}(200000)")
    clickhouse.query(f"insert into function s3({clickhouse.at('split/{_partition_id}.csv.gz', 'CSVWithNames')}) partition by n % 3 {ROWS}(5000)")
    # Larger than a part, and so a multipart upload.
    clickhouse.query(f"insert into function s3({clickhouse.at('files/large.tsv', 'TSV', 'n UInt64, s String')}) {ROWS}(1500000)")
    assert boto(store).head_object(Bucket=BUCKET, Key="files/large.tsv")["ETag"].strip('"')[-2] == "-"
    store.crash(losing=(1, 2))
    for rows, place in (
        (200_000, clickhouse.at("files/rows*.parquet", "Parquet")),
        (5000, clickhouse.at("split/{0..2}.csv.gz", "CSVWithNames")),
        (1_500_000, clickhouse.at("files/large.tsv", "TSV", "n UInt64, s String")),
    ):
        assert clickhouse.digest(f"s3({place})") == clickhouse.digest(f"({ROWS}({rows}))")


def test_a_backup_and_one_on_top_of_it(store, clickhouse):
    clickhouse.query("create database shop engine=Atomic")
    clickhouse.query("create table shop.t (n UInt64, s String) engine=MergeTree order by n")
    clickhouse.query(f"insert into shop.t {ROWS}(500000)")
    # So slow that there is a middle. ClickHouse tries again by itself.
    clickhouse.query("set max_backup_bandwidth = 8000000")
    clickhouse.begin(f"backup database shop to S3({clickhouse.at('full')})")
    poll(lambda: keys(store, "full/"), 30, "the backup's first file")
    store.crash()
    assert "BACKUP_CREATED" in clickhouse.end()
    clickhouse.query("set max_backup_bandwidth = 0")
    clickhouse.query("insert into shop.t select number, 'more' from numbers(1000)")
    expected = clickhouse.digest("shop.t")
    clickhouse.query(f"backup database shop to S3({clickhouse.at('more')}) settings base_backup = S3({clickhouse.at('full')})")
    clickhouse.query(f"backup table shop.t to S3({clickhouse.at('one/archive.tar.gz')})")

    store.crash(losing=(3, 4))
    clickhouse.query("drop database shop sync")
    clickhouse.query(f"restore database shop from S3({clickhouse.at('more')})")
    assert clickhouse.digest("shop.t") == expected
    clickhouse.query("drop table shop.t sync")
    clickhouse.query(f"restore table shop.t from S3({clickhouse.at('one/archive.tar.gz')})")
    assert clickhouse.digest("shop.t") == expected


def test_a_table_that_lives_in_the_store(store, clickhouse):
    clickhouse.query("create database shop engine=Atomic")
    disk = f"disk(type = s3, endpoint = '{store.endpoint}/{BUCKET}/disk/', access_key_id = '{store.access_key}', secret_access_key = '{store.secret_key}')"
    clickhouse.query(f"create table shop.t (n UInt64, s String) engine=MergeTree order by n settings disk = {disk}")
    for number in range(3):
        clickhouse.query(f"insert into shop.t {ROWS}(100000) where n % 3 = {number}")
    store.crash(losing=(1, 3))
    clickhouse.query("optimize table shop.t final")
    clickhouse.query("alter table shop.t delete where n % 10 = 0 settings mutations_sync = 1")
    assert clickhouse.digest("shop.t") == clickhouse.digest(f"({ROWS}(100000) where n % 10 != 0)")
    clickhouse.query("drop table shop.t sync")
    assert keys(store, "disk/") == [], "nothing is left behind"
