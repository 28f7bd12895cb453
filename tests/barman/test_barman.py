"""The job that Larder is for: barman archives a working PostgreSQL to it, everything that may fail does, and the database returns."""

import json

import pytest
from larderlib.clients import boto, client_environment
from larderlib.need import tool
from larderlib.postgres import Postgres
from larderlib.server import Larder, poll, server_under_test

URL = "s3://barman/backups"
NAME = "main"
SCALE = 4
DIGEST = (
    "select md5(string_agg(t::text, '|' order by t.aid)) from pgbench_accounts t;"
    "select md5(string_agg(t::text, '|' order by t::text)) from pgbench_history t;"
    "select string_agg(t::text, '|' order by tid) from pgbench_tellers t;"
    "select string_agg(t::text, '|' order by bid) from pgbench_branches t;"
    "select string_agg(name, '|' order by name) from marks;"
    "select md5(string_agg(bytes, '' order by bytes)) from noise;"
)
# 24 MiB that don't shrink: compressed or not, the backup has several parts, and so a middle.
NOISE = (
    "create table noise as select (select string_agg(decode(md5((r * 512 + n)::text), 'hex'), '') from generate_series(1, 512) n) as bytes"
    " from generate_series(1, 3072) r"
)
BALANCED = (
    "select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)"
    " and (select sum(tbalance) from pgbench_tellers) = (select sum(bbalance) from pgbench_branches)"
    " and (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history)"
)


@pytest.fixture
def store(tmp_path):
    server = server_under_test(directory=tmp_path / "store")
    server.start()
    boto(server).create_bucket(Bucket="barman")
    yield server
    server.close()


@pytest.fixture(params=["gzip", "none"])
def database(store, tmp_path, request):
    """A database whose log goes to the store, compressed or not, as its base backups do."""
    compression = ["--gzip"] if request.param == "gzip" else []
    common = f"--endpoint-url {store.endpoint}"
    archive = f"{tool('barman-cloud-wal-archive')} {' '.join(compression)} {common} {URL} {NAME} %p"
    restore = f"{tool('barman-cloud-wal-restore')} {common} {URL} {NAME} %f %p"
    instance = Postgres(tmp_path / "pg", archive, restore, client_environment(store, tmp_path / "pg"))
    instance.compression = compression
    instance.create()
    instance.start()
    yield instance
    instance.stop("immediate")


def barman(database, store, command, *arguments, **options):
    """Runs `barman-cloud-COMMAND` on the archive."""
    return database.run(tool(f"barman-cloud-{command}"), "--endpoint-url", store.endpoint, URL, NAME, *arguments, **options)


def backup_command(database, store, name):
    options = [*database.compression, "--immediate-checkpoint", "--name", name]
    return [tool("barman-cloud-backup"), *options, "--endpoint-url", store.endpoint, URL, NAME]


def backups(database, store):
    listed = json.loads(database.run(tool("barman-cloud-backup-list"), "--format", "json", "--endpoint-url", store.endpoint, URL, NAME))
    return [b for b in listed["backups_list"] if b["status"] == "DONE"]


def archived_keys(store):
    pages = boto(store, retries=3).get_paginator("list_objects_v2").paginate(Bucket="barman")
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def uploading(store):
    return "Uploads" in boto(store, retries=3).list_multipart_uploads(Bucket="barman")


def back_up_while_the_store_dies(database, store):
    """A base backup in whose middle the store is killed. barman may try again by itself; if it gives up, so does an operator once."""
    # barman rests between parts to keep to a bandwidth, and makes parts of 5 MB of a backup that it expects to be small.
    slowly = ["--max-archive-size", "20GB", "--max-bandwidth", "2MB" if database.compression else "10MB"]
    command, *options = backup_command(database, store, "base-1")
    process = database.popen(command, *slowly, *options)
    poll(lambda: uploading(store) or process.poll() is not None, 60, "the backup's first upload")
    assert process.poll() is None, "the backup was over before the store could be killed: make it slower"
    store.kill()
    store.start()
    if process.wait(180) != 0:
        database.run(*backup_command(database, store, "base-2"))


def mark(database, name):
    database.query(f"insert into marks values ('{name}')")


def stop_load(load):
    load.terminate()
    load.wait(30)


@pytest.mark.timeout(600)
def test_a_database_is_archived_loses_its_disk_and_comes_back(store, database):
    barman(database, store, "check-wal-archive")
    assert database.pgbench("--initialize", "--quiet", "--scale", str(SCALE)).wait(120) == 0
    database.query("create table marks (name text)")
    database.query(NOISE)
    load = database.pgbench("--client", "2", "--time", "600", "--rate", "150")

    back_up_while_the_store_dies(database, store)
    assert len(backups(database, store)) == 1
    for number in range(3):
        mark(database, f"before-{number}")
        database.archive_now()

    # The point to return to: no load, so that what the database must hold there is known exactly.
    stop_load(load)
    expected = database.query(DIGEST)
    moment = database.query("select clock_timestamp()")
    mark(database, "after the point")
    database.query("delete from pgbench_accounts where aid % 3 = 0")
    load = database.pgbench("--client", "2", "--time", "600", "--rate", "150")
    database.archive_now()
    stop_load(load)
    database.lose_the_disk()

    store.kill()
    if isinstance(store, Larder):
        store.empty_disk(2)
        store.empty_disk(4)
    store.start()

    newest = backups(database, store)[-1]["backup_id"]
    database.own(database.data)
    database.data.chmod(0o700)
    barman(database, store, "restore", newest, database.data)
    database.recover_to(moment)
    database.start()
    database.wait_until_primary()
    assert database.query(DIGEST) == expected
    assert database.query(BALANCED) == "t"
    assert "after the point" not in database.query("select name from marks")
    if isinstance(store, Larder):
        # What two emptied disks had is made anew; then every byte of the backup and its log is proven to be there in full.
        store.until_healed()
        store.run("verify", URL)

    # Life goes on: another backup on the new timeline, and retention removes the old one with its log.
    barman(database, store, "check-wal-archive", status=(1,))
    mark(database, "second life")
    database.run(*backup_command(database, store, "base-3"))
    database.archive_now()
    two = backups(database, store)
    assert len(two) == 2
    before = archived_keys(store)
    database.run(tool("barman-cloud-backup-delete"), "--retention-policy", "REDUNDANCY 1", "--endpoint-url", store.endpoint, URL, NAME)
    assert [b["backup_id"] for b in backups(database, store)] == [two[-1]["backup_id"]]
    after = archived_keys(store)
    assert set(after) < set(before)
    assert not any(newest in key for key in after), "nothing of the deleted backup is left"
    gone = [key for key in before if "/wals/" in key and key not in after]
    assert gone, "the log before the remaining backup went with it"


@pytest.mark.timeout(300)
def test_a_history_file_that_is_not_there_is_told_at_once(store, database):
    """Restores probe for timelines that do not exist: barman answers 1 for "not there", 2 and more for trouble."""
    target = database.directory / "probe"
    for name in ("00000002.history", "0000000100000000000000FF"):
        barman(database, store, "wal-restore", name, target, status=(1,))
    assert not target.exists()
