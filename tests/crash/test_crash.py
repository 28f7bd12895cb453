"""What was acknowledged survives SIGKILL, byte for byte; what was not is there whole or not at all.

Several clients write, overwrite, delete and complete uploads, each on keys of its own, and write down what they asked for before
they ask and what was acknowledged after. The server is killed at a random moment, started again, and everything is compared. A kill leaves
the page cache whole: power cuts are tested in `tests/powercut`, with disks that forget what was not synced.

    LARDER_CRASH_KILLS=100 LARDER_CRASH_SEED=7 pytest tests/crash
"""

import os
import random
import time

import pytest
from larderlib.clients import boto
from larderlib.server import server_under_test
from larderlib.writers import compare, join_writers, listing, new_keys, start_writers

# Twelve take under two minutes on two busy cores; what a longer run would find is for a run that has the time.
KILLS = int(os.environ.get("LARDER_CRASH_KILLS", "12"))
SEED = int(os.environ.get("LARDER_CRASH_SEED", str(random.SystemRandom().randrange(10**6))))
BUCKET = "crash"
# More than this passes without a kill only when the server does not come up: then the test fails for a better reason.
ROUND_SECONDS = (0.1, 1.2)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", [[], ["--encrypt-all"]], ids=["plain", "encrypted"])
def test_acknowledged_writes_survive_kills(tmp_path, how):
    print(f"LARDER_CRASH_SEED={SEED} LARDER_CRASH_KILLS={KILLS}")
    rng = random.Random(SEED)
    server = server_under_test(directory=tmp_path / "server", extra_args=how)
    server.start()
    boto(server).create_bucket(Bucket=BUCKET)
    keys = new_keys()
    acknowledged = 0
    for kill in range(KILLS):
        writers = start_writers(server, BUCKET, keys, rng)
        # The moment is what is random here; nothing is waited for.
        time.sleep(rng.uniform(*ROUND_SECONDS))
        server.kill()
        acknowledged += join_writers(writers, f"kill {kill}, seed {SEED}")
        server.start()
        compare(boto(server), BUCKET, keys)
    print(f"{acknowledged} acknowledged operations, {KILLS} kills")
    assert acknowledged > 10 * KILLS, "hardly anything was written: the test says nothing"
    compare_after_graceful_restart(server, keys)
    server.close()


def compare_after_graceful_restart(server, keys):
    """The same after SIGTERM; and the bucket can be emptied and removed, so nothing is left that no listing shows."""
    server.restart()
    client = boto(server)
    compare(client, BUCKET, keys)
    for name in listing(client, BUCKET):
        client.delete_object(Bucket=BUCKET, Key=name)
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    client.delete_bucket(Bucket=BUCKET)


@pytest.mark.timeout(300)
def test_a_server_that_stops_gracefully_finishes_what_it_began(tmp_path):
    """SIGTERM under load: every request gets a whole answer or a refused connection, and the status is 0."""
    server = server_under_test(directory=tmp_path / "server")
    server.start()
    boto(server).create_bucket(Bucket=BUCKET)
    keys = new_keys()
    writers = start_writers(server, BUCKET, keys, random.Random(SEED))
    time.sleep(1)
    assert server.stop() == 0
    join_writers(writers, "graceful stop")
    server.start()
    compare(boto(server), BUCKET, keys)
    server.close()
