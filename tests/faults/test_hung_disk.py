"""A disk whose file system does not answer: requests go on without it, `larder status` names it, and it comes back."""

import threading

import pytest
from larderlib.model import MIB, Model
from larderlib.mounts import freezable
from larderlib.server import poll

SIZES = [0, 100, 5000, 300_000, 1_500_000, 12 * MIB]


@pytest.mark.timeout(300)
def test_a_frozen_file_system_takes_one_disk_out_and_nothing_else(tmp_path, larder):
    directory = tmp_path / "server"
    with freezable(directory / "disk3", tmp_path / "image", 512) as disk:
        server = larder(directory=directory, extra_args=["--disk-timeout", "2s"])
        # Somebody must look at such a disk: that is what the line is for.
        server.allowed_errors = [r"disk is out.*no answer for 2s"]
        server.start()
        world = Model(server)
        put_all(world, "before")
        disk.freeze()
        try:
            frozen(world, directory)
        finally:
            disk.thaw()
        assert server.process.wait(30) == 0
        server.process = None
        server.start()
        assert [disk["state"] for disk in server.status()["disks"]] == ["ok"] * 4
        world.compare()
        put_all(world, "back")
        world.compare()
        server.close()


def put_all(world, prefix):
    for size in SIZES:
        world.put(f"{prefix}/{size}", size)


def frozen(world, directory):
    """Requests under way when the disk stops answering succeed, those after it do not wait for it, and the server stops in time."""
    server = world.server
    threads = [threading.Thread(target=world.put, args=(f"during/{size}", size)) for size in SIZES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a PUT waits for a disk that does not answer"
    assert {f"during/{size}" for size in SIZES} <= set(world.sure), "a PUT failed though three disks are good"
    poll(lambda: server.status()["disks"][2]["state"] != "ok", 10, "disk out")
    found = server.status()
    assert found["disks"][2]["directory"] == str(directory / "disk3")
    assert "no answer for 2s" in found["disks"][2]["state"]
    assert [found["disks"][slot]["state"] for slot in (0, 1, 3)] == ["ok"] * 3
    assert found["degraded_objects"] > 0
    put_all(world, "after")
    world.delete("before/300000")
    world.delete(f"before/{12 * MIB}")
    world.compare()
    assert server.process.poll() is None
    # The process itself cannot end before its threads come back from the kernel; it says that it has stopped.
    server.process.terminate()
    poll(lambda: "stopped" in server.log_path.read_text(), 30, "graceful stop")
