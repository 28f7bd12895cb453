"""Python libraries with S3 clients of their own, as they come: minio (its own HTTP and signing), pyarrow (the AWS SDK for C++), obstore (Rust's object_store)."""

import io
import urllib.request

import pytest
from larderlib.clients import random_bytes, unique_bucket
from larderlib.need import library

ODD_KEY = "a b/ü+%25/日本.txt"
LARGE = random_bytes(12 * 1024 * 1024 + 77)


@pytest.fixture
def name(s3):
    bucket = unique_bucket()
    s3.create_bucket(Bucket=bucket)
    return bucket


def test_minio(server, name):
    minio, objects = library("minio"), library("minio.commonconfig")
    client = minio.Minio(server.address, server.access_key, server.secret_key, secure=False)
    assert client.bucket_exists(name) and not client.bucket_exists(unique_bucket())
    client.put_object(name, ODD_KEY, io.BytesIO(b"hello"), 5, metadata={"m": "v"})
    client.put_object(name, "large", io.BytesIO(LARGE), -1, part_size=5 << 20)
    assert client.stat_object(name, ODD_KEY).metadata["x-amz-meta-m"] == "v"
    assert client.get_object(name, "large").read() == LARGE
    assert client.get_object(name, "large", offset=7, length=9).read() == LARGE[7:16]
    client.copy_object(name, "copy", objects.CopySource(name, ODD_KEY))
    client.compose_object(name, "twice", [objects.ComposeSource(name, "large")] * 2)
    assert client.get_object(name, "twice").read() == LARGE * 2
    assert sorted(o.object_name for o in client.list_objects(name, recursive=True)) == sorted([ODD_KEY, "large", "copy", "twice"])
    assert [o.object_name for o in client.list_objects(name) if o.is_dir] == ["a b/"]
    assert urllib.request.urlopen(client.presigned_get_object(name, ODD_KEY)).read() == b"hello"
    doomed = [library("minio.deleteobjects").DeleteObject(o.object_name) for o in client.list_objects(name, recursive=True)]
    assert list(client.remove_objects(name, doomed)) == []
    client.remove_bucket(name)


def test_pyarrow(server, name):
    arrow, files, parquet = library("pyarrow"), library("pyarrow.fs"), library("pyarrow.parquet")
    s3 = files.S3FileSystem(access_key=server.access_key, secret_key=server.secret_key, endpoint_override=server.endpoint, region=server.region)
    with s3.open_output_stream(f"{name}/dir/{ODD_KEY}") as out:
        out.write(LARGE)
    with s3.open_input_file(f"{name}/dir/{ODD_KEY}") as back:
        assert back.read() == LARGE
        back.seek(5)
        assert back.read(10) == LARGE[5:15]
    assert s3.get_file_info(f"{name}/dir").type == files.FileType.Directory
    assert s3.get_file_info(f"{name}/none").type == files.FileType.NotFound
    parquet.write_to_dataset(arrow.Table.from_pydict({"x": list(range(100_000))}), f"{name}/set", filesystem=s3)
    assert parquet.read_table(f"{name}/set", filesystem=s3).num_rows == 100_000
    s3.copy_file(f"{name}/dir/{ODD_KEY}", f"{name}/dir/copy")
    s3.move(f"{name}/dir/copy", f"{name}/moved")
    assert s3.get_file_info(f"{name}/moved").size == len(LARGE)
    s3.delete_dir_contents(f"{name}/dir")
    assert s3.get_file_info(files.FileSelector(f"{name}/dir", allow_not_found=True)) == []


def test_object_store(server, name):
    obstore, stores = library("obstore"), library("obstore.store")
    keys = {"access_key_id": server.access_key, "secret_access_key": server.secret_key}
    store = stores.S3Store(name, endpoint=server.endpoint, region=server.region, client_options={"allow_http": True}, **keys)
    first = obstore.put(store, ODD_KEY, b"1", mode="create", use_multipart=False)
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        obstore.put(store, ODD_KEY, b"2", mode="create", use_multipart=False)
    obstore.put(store, ODD_KEY, b"3", mode={"e_tag": first["e_tag"]}, use_multipart=False)
    with pytest.raises(obstore.exceptions.PreconditionError):
        obstore.put(store, ODD_KEY, b"4", mode={"e_tag": first["e_tag"]}, use_multipart=False)
    assert bytes(obstore.get(store, ODD_KEY).bytes()) == b"3"
    obstore.put(store, "large", LARGE, use_multipart=True, chunk_size=5 << 20)
    assert bytes(obstore.get(store, "large").bytes()) == LARGE
    ranges = obstore.get_ranges(store, "large", starts=[0, 100], ends=[4, 104])
    assert [bytes(piece) for piece in ranges] == [LARGE[:4], LARGE[100:104]]
    obstore.copy(store, "large", "copy")
    obstore.rename(store, "copy", "renamed")
    listed = sorted(entry["path"] for page in obstore.list(store) for entry in page)
    assert listed == sorted([ODD_KEY, "large", "renamed"])
    obstore.delete(store, listed)
    with pytest.raises(FileNotFoundError):
        obstore.get(store, "large")
