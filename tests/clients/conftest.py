"""Command-line clients: each runs in a home of its own, with its default settings."""

import subprocess

import pytest
from larderlib.clients import client_environment, random_bytes
from larderlib.server import server_under_test

MIB = 1024 * 1024
# Names that are files of a real tree as well: what a synchronising client can carry.
TREE = {
    "plain.txt": 12,
    "empty": 0,
    "plus+plus and  spaces.bin": 4097,
    "100%25.txt": 100,
    "Grüße/日本語.dat": 70_001,
    "deep/er/and/deeper/file": 1,
    "quotes'and&amp;<tag>": 33,
    "big.bin": 20 * MIB + 12_345,
}


@pytest.fixture
def store(tmp_path):
    """A server of the test's own, which it may hurt."""
    server = server_under_test(directory=tmp_path / "store")
    server.start()
    yield server
    server.close()


@pytest.fixture
def run(server, tmp_path):
    """Runs a program with the server's credentials; returns what it printed. `fails=True`: it must not succeed."""

    def run(*command, fails=False, input=None, environment=None):
        done = subprocess.run(
            list(map(str, command)),
            env=client_environment(server, tmp_path) | (environment or {}),
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=110,
            cwd=tmp_path,
        )
        said = f"{' '.join(map(str, command))}\n{done.stdout.decode(errors='replace')}\n{done.stderr.decode(errors='replace')}"
        assert (done.returncode != 0) == fails, said
        return done.stdout + done.stderr if fails else done.stdout

    return run


@pytest.fixture
def tree(tmp_path):
    """A directory with files of odd names and many sizes."""
    root = tmp_path / "tree"
    for number, (name, size) in enumerate(TREE.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random_bytes(size, number))
    return root


@pytest.fixture
def same():
    """Compares two trees, names and bytes."""

    def same(left, right):
        assert snapshot(left) == snapshot(right)

    return same


def snapshot(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
