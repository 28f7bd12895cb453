"""Root credentials that nobody gave: made up at the first start, kept on the disks, never shown."""

import json
import re
import stat

import pytest
from larderlib.clients import boto
from larderlib.expect import refused
from larderlib.server import Larder


@pytest.fixture
def server(tmp_path):
    """A server that is told everything it may log, but no credentials."""
    server = Larder(directory=tmp_path / "server", extra_args=["--log-level", "trace"])
    server.environment = {}
    yield server
    server.close()


def kept(server):
    """The pair, which each disk has the same copy of, for the owner's eyes alone."""
    files = [disk / "credentials.json" for disk in server.disks]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * len(files)
    texts = {file.read_text() for file in files}
    assert len(texts) == 1
    pair = json.loads(texts.pop())
    return {"access_key": pair["access_key"], "secret_key": pair["secret_key"]}


def test_made_up_credentials_are_kept_and_never_logged(server):
    server.start()
    pair = kept(server)
    assert re.fullmatch("[A-Z2-7]{20}", pair["access_key"]) and re.fullmatch("[A-Za-z0-9_-]{40}", pair["secret_key"])
    boto(server, **pair).create_bucket(Bucket="first")
    with refused("InvalidAccessKeyId"):
        boto(server).list_buckets()
    with refused("SignatureDoesNotMatch"):
        boto(server, access_key=pair["access_key"], secret_key="x" * 40).list_buckets()
    server.restart()
    assert kept(server) == pair
    server.stop()
    server.empty_disk(1)
    server.start()
    assert kept(server) == pair, "a replaced disk gets its copy"
    assert boto(server, **pair).list_buckets()["Buckets"][0]["Name"] == "first"
    log = server.log_path.read_text()
    assert "credentials.json" in log and pair["secret_key"] not in log


def test_given_credentials_count_and_are_not_kept(server):
    server.environment = {"LARDER_ROOT_ACCESS_KEY": server.access_key, "LARDER_ROOT_SECRET_KEY": server.secret_key}
    server.start()
    boto(server).create_bucket(Bucket="first")
    assert not [disk for disk in server.disks if (disk / "credentials.json").exists()]
    assert server.secret_key not in server.log_path.read_text()


def test_a_pair_is_a_pair(server):
    server.environment = {"LARDER_ROOT_ACCESS_KEY": server.access_key}
    with pytest.raises(RuntimeError, match="LARDER_ROOT_SECRET_KEY"):
        server.start()
