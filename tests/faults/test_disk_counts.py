"""Servers with 1, 2 and 6 disks and the profiles that they have by default."""

import pytest
from larderlib.clients import boto
from larderlib.model import MIB, body_of

BUCKET = "counts"
SIZES = [0, 900, 40_000, 700_000, 3 * MIB]


def put_all(s3):
    bodies = {f"object/{size}": body_of(f"object/{size}", size) for size in SIZES}
    s3.create_bucket(Bucket=BUCKET)
    for name, body in bodies.items():
        s3.put_object(Bucket=BUCKET, Key=name, Body=body)
    s3.put_object(Bucket=BUCKET, Key="deleted", Body=b"x" * 800_000)
    s3.delete_object(Bucket=BUCKET, Key="deleted")
    return bodies


def compare(server, bodies):
    s3 = boto(server)
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    assert listed == sorted(bodies)
    for name, body in bodies.items():
        assert s3.get_object(Bucket=BUCKET, Key=name)["Body"].read() == body, name


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("disks", "profile", "losses"), [(1, "1+0", 0), (2, "1+1", 1), (6, "4+2", 2)])
def test_as_many_disks_as_the_profile_says_may_be_lost_again_and_again(tmp_path, larder, disks, profile, losses):
    server = larder(directory=tmp_path / "server", disks=disks, profile=None).start()
    bodies = put_all(boto(server))
    assert profile in server.log_path.read_text()
    server.restart()
    compare(server, bodies)
    server.kill()
    server.start()
    compare(server, bodies)
    for first in range(0, disks, 2) if losses else []:
        server.kill()
        for loss in range(losses):
            server.empty_disk((first + loss) % disks + 1)
        server.start()
        compare(server, bodies)
        body = body_of(f"after {first}", MIB)
        boto(server).put_object(Bucket=BUCKET, Key=f"new/{first}", Body=body)
        bodies[f"new/{first}"] = body
        assert server.until_healed()["lost"]["objects"] == 0
    server.close()
