"""pgBackRest, in path style and in host style: a working PostgreSQL loses its disk and comes back, while the store crashes and loses two of four.

pgBackRest speaks TLS only: here with the server itself, whose certificate a private authority has signed.
"""

import json
import os

import pytest
from larderlib.clients import boto, client_environment
from larderlib.need import tool
from larderlib.postgres import Postgres
from larderlib.server import DOMAINS, Larder, poll
from larderlib.tls import NAMES, Authority

BUCKET = "pgbackrest"
# As most people have it, and with what large installations add: bundles of small files, zstd, encryption, an asynchronous archive.
COMMON = """
[global]
repo1-type = s3
repo1-path = /repo
repo1-s3-bucket = {bucket}
repo1-s3-endpoint = {endpoint}
repo1-s3-region = {region}
repo1-s3-uri-style = {style}
repo1-s3-key = {key}
repo1-s3-key-secret = {secret}
repo1-storage-host = 127.0.0.1
repo1-storage-port = {port}
repo1-storage-ca-file = {ca}
repo1-retention-full = 1
start-fast = y
log-level-console = info
log-level-file = off
lock-path = {directory}/lock
spool-path = {directory}/spool
{more}
[main]
pg1-path = {directory}/data
pg1-socket-path = {directory}
pg1-user = postgres
"""
STYLES = {
    "path": "",
    "host": "repo1-bundle = y\ncompress-type = zst\narchive-async = y\nprocess-max = 2\nrepo1-cipher-type = aes-256-cbc\nrepo1-cipher-pass = secret\n",
}
DIGEST = "select md5(string_agg(t::text, '|' order by n)) from numbers t; select string_agg(name, '|' order by name) from marks;"


@pytest.fixture
def store(tmp_path):
    authority = Authority(tmp_path / "authority")
    pair = authority.issue([DOMAINS[0], f"*.{DOMAINS[0]}", *NAMES])
    with Larder(directory=tmp_path / "store", tls=pair, authority=authority) as server:
        # With object lock: what pgBackRest expires is hidden, and what it writes it must prove.
        client = boto(server)
        client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
        client.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule})
        yield server


@pytest.fixture(params=STYLES)
def database(store, tmp_path, request):
    directory = tmp_path / "pg"
    configuration = tmp_path / "pgbackrest.conf"
    settings = {"bucket": BUCKET, "endpoint": DOMAINS[0], "region": store.region, "key": store.access_key, "secret": store.secret_key}
    settings |= {"style": request.param, "more": STYLES[request.param], "port": store.port, "ca": store.ca_file, "directory": directory}
    configuration.write_text(COMMON.format(**settings))
    program = f"{tool('pgbackrest')} --config={configuration} --stanza=main"
    instance = Postgres(directory, f"{program} archive-push %p", f'{program} archive-get %f "%p"', client_environment(store, directory))
    instance.pgbackrest = program.split()
    instance.create()
    instance.start()
    yield instance
    instance.stop("immediate")


def pgbackrest(database, *arguments, **options):
    return database.run(*database.pgbackrest, *arguments, **options)


def backups(database):
    return json.loads(pgbackrest(database, "info", "--output=json"))[0]["backup"]


def archived(store):
    pages = boto(store, retries=3).get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="repo/")
    return {entry["Key"] for page in pages for entry in page.get("Contents", []) if "/backup.history/" not in entry["Key"]}


def back_up_while_the_store_dies(database, store):
    """A full backup in whose middle the store is killed. pgBackRest tries again by itself; if it gives up, so does an operator once."""
    before = archived(store)
    process = database.popen(*database.pgbackrest, "backup", "--type=full", stdout=open(os.devnull, "w"))
    poll(lambda: any("/backup/" in key for key in archived(store) - before) or process.poll() is not None, 60, "the backup's first file")
    store.crash()
    if process.wait(120) != 0:
        pgbackrest(database, "backup", "--type=full")


@pytest.mark.timeout(300)
def test_a_database_is_archived_loses_its_disk_and_comes_back(store, database):
    pgbackrest(database, "stanza-create")
    pgbackrest(database, "check")
    database.query("create table marks (name text); create table numbers as select n, md5(n::text) from generate_series(1, 200000) n")
    back_up_while_the_store_dies(database, store)
    database.query("update numbers set md5 = 'changed' where n % 7 = 0; insert into marks values ('before the backup')")
    pgbackrest(database, "backup", "--type=incr")
    database.query("insert into marks values ('after the backup'); delete from numbers where n % 5 = 0")
    database.archive_now()

    expected = database.query(DIGEST)
    moment = database.query("select clock_timestamp()")
    database.query("insert into marks values ('after the point'); truncate numbers")
    database.archive_now()
    database.lose_the_disk()
    store.crash(losing=(2, 4))

    database.own(database.data)
    database.data.chmod(0o700)
    pgbackrest(database, "restore", "--type=time", f"--target={moment}", "--target-action=promote")
    database.start()
    database.wait_until_primary()
    assert database.query(DIGEST) == expected

    # Life goes on: a full backup on the new timeline, with which the old ones and their log expire.
    old = {backup["label"] for backup in backups(database)}
    before = archived(store)
    pgbackrest(database, "backup", "--type=full")
    labels = [backup["label"] for backup in backups(database)]
    assert len(labels) == 1 and not old & set(labels)
    after = archived(store)
    assert not any(label in key for key in after for label in old), "nothing of the expired backups is left"
    assert any("/archive/" in key for key in before - after), "their log went with them"
    pgbackrest(database, "verify")
