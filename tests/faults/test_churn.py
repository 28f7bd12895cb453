"""Overwriting and deleting for long: what the disks hold levels off near what is alive."""

import os
import random
import threading

import pytest
from larderlib.model import MIB, Model
from larderlib.server import poll

WRITERS = 4
KEYS_PER_WRITER = 24
SIZES = [2000, 30_000, 200_000, 500_000, 1_500_000, 3 * MIB]
WRITTEN_BYTES = int(os.environ.get("LARDER_CHURN_MIB", "1024")) * MIB
SEED = int(os.environ.get("LARDER_CHURN_SEED", str(random.SystemRandom().randrange(10**6))))
SEGMENT_MIB = 8
# Of each of four disks: a segment that is being written, and one that is being rewritten.
SLACK_BYTES = 4 * 2 * SEGMENT_MIB * MIB


def used_bytes(directory):
    """Blocks taken below `directory`, the metadata view (a cache with a size of its own) left out."""
    total = 0
    for root, folders, files in os.walk(directory):
        if "view" in folders:
            folders.remove("view")
        for name in files:
            try:
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
            except FileNotFoundError:
                pass  # removed meanwhile
    return total


class Writer(threading.Thread):
    def __init__(self, model, number, bytes_to_write):
        super().__init__(daemon=True)
        self.model, self.left = model, bytes_to_write
        self.rng = random.Random(f"{SEED}/{number}")
        self.names = [f"w{number}/{index}" for index in range(KEYS_PER_WRITER)]
        self.failure = None

    def run(self):
        try:
            while self.left > 0:
                name = self.rng.choice(self.names)
                if self.rng.random() < 0.2 and name in self.model.sure:
                    self.model.delete(name)
                    continue
                size = self.rng.choice(SIZES)
                self.model.put(name, size, tag=self.rng.random())
                self.left -= size
        except Exception as error:  # noqa: BLE001 - reported by the test, in the main thread
            self.failure = error


@pytest.mark.timeout(600)
def test_disk_use_levels_off_under_churn(tmp_path, larder):
    print(f"LARDER_CHURN_SEED={SEED}")
    server = larder(directory=tmp_path / "server", extra_args=["--segment-mib", str(SEGMENT_MIB)])
    server.start()
    model = Model(server)
    writers = [Writer(model, number, WRITTEN_BYTES // WRITERS) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(500)
        assert not writer.is_alive() and writer.failure is None, writer.failure
    live = model.live_bytes()
    # Twice: 2+2 takes two bytes for one.
    limit = 2 * live * 3 // 2 + SLACK_BYTES
    disks = lambda: sum(used_bytes(disk) for disk in server.disks)  # noqa: E731
    print(f"{live >> 20} MiB alive, {disks() >> 20} MiB on the disks just after, limit {limit >> 20}")
    poll(lambda: disks() <= limit, 60, f"disk use below {limit >> 20} MiB")
    print(f"{disks() >> 20} MiB on the disks")
    model.compare()
    server.restart()
    model.compare()
    server.close()
