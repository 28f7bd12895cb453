"""Tables made of Parquet files: Delta Lake (delta-rs, on Rust's object_store), whose commits are conditional writes, and DuckDB with httpfs."""

import threading
from pathlib import Path

import pytest
from larderlib.clients import boto
from larderlib.need import library

BUCKET = "lake"


@pytest.fixture
def lake(store):
    boto(store).create_bucket(Bucket=BUCKET)
    return store


def in_threads(count, work):
    """Runs `work(number)` in so many threads at once; the first failure is raised."""
    failures = []

    def guarded(number):
        try:
            work(number)
        except Exception as error:  # noqa: BLE001 - raised below, in the test's thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_delta_lake(lake):
    arrow, delta = library("pyarrow"), library("deltalake")
    options = {"AWS_ENDPOINT_URL": lake.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": lake.region}
    options |= {"AWS_ACCESS_KEY_ID": lake.access_key, "AWS_SECRET_ACCESS_KEY": lake.secret_key}
    place = f"s3://{BUCKET}/some/table"

    def table():
        return delta.DeltaTable(place, storage_options=options)

    def rows():
        return sorted(table().to_pyarrow_table()["x"].to_pylist())

    def append(numbers):
        delta.write_deltalake(place, arrow.table({"x": numbers}), mode="append", storage_options=options)

    append(list(range(1000)))
    # Without a lock of its own: that each commit is there once rests on the store's If-None-Match alone.
    in_threads(6, lambda number: [append([1000 + number * 10 + turn]) for turn in range(5)])
    expected = sorted([*range(1000), *(1000 + number * 10 + turn for number in range(6) for turn in range(5))])
    assert rows() == expected and table().version() == 30
    lake.crash(losing=(1, 4))
    assert rows() == expected

    table().delete("x % 2 = 0")
    table().create_checkpoint()
    table().optimize.compact()
    assert rows() == [x for x in expected if x % 2]
    before = table()
    before.load_as_version(30)
    assert sorted(before.to_pyarrow_table()["x"].to_pylist()) == expected
    table().restore(30)
    assert rows() == expected
    assert table().vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert rows() == expected


def test_duckdb(lake):
    duckdb, extension = library("duckdb"), library("duckdb_extension_httpfs")
    connection = duckdb.connect(config={"allow_unsigned_extensions": "false"})
    (path,) = Path(extension.__file__).parent.glob("extensions/*/httpfs.duckdb_extension")
    connection.execute(f"load '{path}'")
    connection.execute(
        f"create secret (type s3, key_id '{lake.access_key}', secret '{lake.secret_key}', endpoint '{lake.address}', use_ssl false,"
        f" url_style 'path', region '{lake.region}')"
    )
    connection.execute("create table t as select i, md5(i::text) as s, i % 4 as p from range(200000) t(i)")
    connection.execute(f"copy t to 's3://{BUCKET}/one file+1.parquet'")
    connection.execute(f"copy t to 's3://{BUCKET}/parts' (format parquet, partition_by (p))")
    connection.execute(f"copy t to 's3://{BUCKET}/text.csv.gz'")
    expected = connection.execute("select count(*), sum(hash(i, s)) from t").fetchall()
    lake.crash(losing=(2, 3))
    for place in ("one file+1.parquet", "one*.parquet", "parts/*/*.parquet", "text.csv.gz"):
        assert connection.execute(f"select count(*), sum(hash(i::bigint, s)) from 's3://{BUCKET}/{place}'").fetchall() == expected, place
    assert connection.execute(f"select count(*) from 's3://{BUCKET}/parts/**/*.parquet' where p = 3").fetchall() == [(50_000,)]


def test_compare_and_swap_with_object_store(lake):
    """What SlateDB, Delta Lake and Terraform's locks rest on: of many that change a key on the same ground, one does."""
    obstore, stores = library("obstore"), library("obstore.store")
    keys = {"access_key_id": lake.access_key, "secret_access_key": lake.secret_key}
    bucket = stores.S3Store(BUCKET, endpoint=lake.endpoint, region=lake.region, client_options={"allow_http": True}, **keys)
    created = []

    def create(number):
        try:
            obstore.put(bucket, "lock", str(number).encode(), mode="create", use_multipart=False)
            created.append(number)
        except obstore.exceptions.AlreadyExistsError:
            pass

    in_threads(8, create)
    assert len(created) == 1 and bytes(obstore.get(bucket, "lock").bytes()) == str(created[0]).encode()

    def count(_number):
        for _ in range(10):
            while not add_one():
                pass

    def add_one():
        read = obstore.get(bucket, "counter")
        try:
            obstore.put(bucket, "counter", str(int(bytes(read.bytes())) + 1).encode(), mode={"e_tag": read.meta["e_tag"]}, use_multipart=False)
        except obstore.exceptions.PreconditionError:
            return False
        return True

    obstore.put(bucket, "counter", b"0", use_multipart=False)
    in_threads(4, count)
    assert bytes(obstore.get(bucket, "counter").bytes()) == b"40"
