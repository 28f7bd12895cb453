"""Master keys: made up once and kept, or given; never a new one in the place of one that sealed something."""

import base64
import json
import os
import re
import stat

import pytest
from larderlib.server import Larder


@pytest.fixture
def server(tmp_path):
    server = Larder(directory=tmp_path / "server", extra_args=["--log-level", "trace"])
    yield server
    server.close()


def random_key():
    return base64.b64encode(os.urandom(32)).decode()


def give(server, *keys):
    """Has the next start use these keys, the first one to seal."""
    path = server.directory / "keys"
    path.write_text("# keys\n" + "\n".join(keys) + "\n")
    server.environment["LARDER_MASTER_KEY_FILE"] = str(path)


def keys_of(server):
    return json.loads(server.run("status", "--json"))["master_keys"]


def kept(server):
    files = [disk / "master.key" for disk in server.disks]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * len(files)
    texts = {file.read_text() for file in files}
    assert len(texts) == 1
    (line,) = [line for line in texts.pop().splitlines() if not line.startswith("#")]
    return line.split(":")


def test_without_a_key_one_is_made_up_and_kept_and_that_is_said(server):
    server.start()
    id, key = kept(server)
    assert keys_of(server) == {"source": "made-up", "ids": [id]}
    assert "protects nothing" in server.run("status")[:400].replace("encryption ", "")
    server.restart()
    assert kept(server) == [id, key]
    server.stop()
    server.empty_disk(1)
    server.start()
    assert kept(server) == [id, key], "a replaced disk gets its copy"
    log = server.log_path.read_text()
    assert "lies on the data disks" in log and key not in log


def test_a_key_that_is_lost_is_never_made_up_anew(server):
    server.start()
    id, _ = kept(server)
    server.stop()
    for disk in server.disks:
        (disk / "master.key").unlink()
    with pytest.raises(RuntimeError, match=f"master key `{id}` sealed what is stored here, and no key is given"):
        server.start()
    assert not [disk for disk in server.disks if (disk / "master.key").exists()]


def test_given_keys_rotate_and_old_ones_must_stay(server):
    old, new, other = random_key(), random_key(), random_key()
    give(server, f"old:{old}")
    server.start()
    assert keys_of(server) == {"source": "configured", "ids": ["old"]}
    assert not [disk for disk in server.disks if (disk / "master.key").exists()]
    server.stop()
    give(server, f"new:{new}", f"old:{old}")
    server.start()
    assert keys_of(server)["ids"] == ["new", "old"]
    server.stop()
    give(server, f"new:{new}")
    with pytest.raises(RuntimeError, match="master key `old` sealed what is stored here and is not among the keys given"):
        server.start()
    give(server, f"new:{new}", f"old:{other}")
    with pytest.raises(RuntimeError, match="master key `old` is not the one that sealed what is stored here"):
        server.start()
    give(server, f"new:{new}", f"old:{old}")
    server.start()
    log = server.log_path.read_text()
    assert not re.search("|".join(map(re.escape, (old, new, other))), log)


def test_a_given_key_takes_over_from_the_one_that_was_made_up(server):
    server.start()
    id, _ = kept(server)
    server.stop()
    give(server, random_key())
    server.start()
    ids = keys_of(server)["ids"]
    assert ids[0].startswith("key-") and ids[1] == id


def test_keys_that_are_none_stop_the_start_and_are_not_shown(server):
    give(server, "a:notakey")
    with pytest.raises(RuntimeError, match="line 2: a key is 32 bytes in base64") as caught:
        server.start()
    assert "notakey" not in str(caught.value)
    server.environment["LARDER_MASTER_KEY"] = random_key()
    with pytest.raises(RuntimeError, match="LARDER_MASTER_KEY and LARDER_MASTER_KEY_FILE are both set"):
        server.start()
    del server.environment["LARDER_MASTER_KEY_FILE"]
    server.start()
