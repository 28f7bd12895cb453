"""A disk that hangs at the start, or under the metadata view: the server goes on without it, and requests never wait for ever."""

import threading

import pytest
from larderlib.clients import boto
from larderlib.model import Model
from larderlib.mounts import freezable
from larderlib.server import poll

SIZES = [0, 100, 5000, 300_000, 1_500_000]
PATIENCE = ["--disk-timeout", "2s"]


def put_all(world, prefix):
    for size in SIZES:
        world.put(f"{prefix}/{size}", size)


def end(server):
    """The process can end only when its threads have come back from the kernel."""
    server.process.terminate()
    poll(lambda: "stopped" in server.log_path.read_text(), 60, "graceful stop")


@pytest.mark.timeout(300)
def test_a_start_gives_a_frozen_disk_up_by_name_and_goes_on(tmp_path, larder):
    directory = tmp_path / "server"
    # The first disk: the view is on it as well.
    with freezable(directory / "disk1", tmp_path / "image", 512) as disk:
        server = larder(directory=directory, extra_args=PATIENCE)
        server.allowed_errors = [r"disk is out.*no answer for 2s", r"metadata view is given up"]
        server.start()
        world = Model(server)
        put_all(world, "before")
        server.stop()
        disk.freeze()
        try:
            server.start()
            found = server.status()["disks"]
            assert "no answer for 2s" in found[0]["state"], found
            assert found[0]["directory"] == str(directory / "disk1")
            assert [disk["state"] for disk in found[1:]] == ["ok"] * 3
            world.compare()
            put_all(world, "without")
            world.compare()
            end(server)
        finally:
            disk.thaw()
        assert server.process.wait(30) == 0
        server.process = None
        server.start()
        assert [disk["state"] for disk in server.status()["disks"]] == ["ok"] * 4
        world.compare()
        server.close()


@pytest.mark.timeout(300)
def test_a_view_whose_disk_freezes_moves_to_another_one(tmp_path, larder):
    directory = tmp_path / "server"
    with freezable(directory / "disk1", tmp_path / "image", 512) as disk:
        server = larder(directory=directory, extra_args=PATIENCE)
        server.allowed_errors = [r"disk is out.*no answer for 2s", r"metadata view is given up", r"metadata view failed"]
        server.start()
        world = Model(server)
        put_all(world, "before")
        load = Load(server)
        disk.freeze()
        try:
            load.start()
            poll(lambda: "the metadata view is rebuilt" in server.log_path.read_text(), 60, "the view moves")
            load.stop()
            world.compare()
            put_all(world, "after")
            world.compare()
            assert server.process.poll() is None
            end(server)
        finally:
            disk.thaw()
        assert server.process.wait(30) == 0
        server.process = None
        server.start()
        world.compare()
        server.close()


@pytest.mark.timeout(300)
def test_a_view_at_a_place_of_its_own_that_freezes_comes_back_with_it(tmp_path, larder):
    directory = tmp_path / "server"
    with freezable(directory / "fast", tmp_path / "image", 512) as disk:
        server = larder(directory=directory, extra_args=[*PATIENCE, "--view-dir", str(directory / "fast" / "view")])
        server.allowed_errors = [r"metadata view is given up", r"metadata view failed", r"view could not be rebuilt"]
        server.start()
        world = Model(server)
        put_all(world, "before")
        assert (directory / "fast" / "view").is_dir()
        assert not (directory / "disk1" / "view").exists()
        load = Load(server)
        disk.freeze()
        try:
            load.start()
            poll(lambda: "metadata view is given up" in server.log_path.read_text(), 60, "the view is given up")
            load.stop()
        finally:
            disk.thaw()
        poll(lambda: "the metadata view is rebuilt" in server.log_path.read_text(), 60, "the view comes back")
        world.compare()
        put_all(world, "after")
        world.compare()
        server.close()


class Load:
    """Clients that PUT until they are told to stop; more of them than the server has threads. Refusals are what they are there for."""

    def __init__(self, server):
        boto(server).create_bucket(Bucket="load-bucket")
        self.server = server
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.put, args=(number,)) for number in range(32)]

    def put(self, number):
        client = boto(self.server, retries=0)
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            try:
                client.put_object(Bucket="load-bucket", Key=f"{number}/{turn}", Body=b"x" * 100)
            except Exception:  # noqa: BLE001 - whatever it is: refused, or cut off
                self.stopping.wait(0.05)

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        """Every request gets an answer."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a request waits for a disk that does not answer"
