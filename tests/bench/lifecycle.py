"""Clients beside lifecycle rules that delete a lot: p99 without and with it, in turns. Part of `make bench`.

    .cache/venv/bin/python tests/bench/lifecycle.py --objects 1000000

Figures are of this machine and this moment: what counts is the ratio. The promise is that p99 at most doubles.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from larderlib.clients import boto  # noqa: E402
from larderlib.need import CACHE  # noqa: E402
from larderlib.rawhttp import Raw  # noqa: E402
from larderlib.server import Larder, poll  # noqa: E402
from upkeep import bench  # noqa: E402

BUCKET = "expiring"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=CACHE / "bench", help="where the directories are made")
    parser.add_argument("--objects", type=int, default=1_000_000, help="objects of 1 KiB that expire")
    parser.add_argument("--seconds", type=int, default=10, help="how long clients are watched at a time")
    parser.add_argument("--rounds", type=int, default=3, help="how often, with and without in turn; the median counts")
    arguments = parser.parse_args()
    arguments.data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.data, prefix="lifecycle-") as directory, Larder(
        directory=Path(directory) / "server", extra_args=["--scrub-days", "0"]
    ) as server:
        run(server, arguments)


def run(server, arguments):
    bench(server, "--bucket", BUCKET, "--loads", "put", "--size", "1KiB", "--clients", 16, "--warmup", "0s", "--duration", "3600s", "--ops", arguments.objects, "--keep")
    held = counter(server, "looked_at_objects_total")
    idle, busy = [], []
    for round in range(arguments.rounds):
        set_rules(server, False)
        without = clients(server, arguments)
        set_rules(server, True)
        poll(lambda: counter(server, "looked_at_objects_total") > held, 60, "the pass")
        before = counter(server, "expired_objects_total")
        beside = clients(server, arguments)
        if gauge(server, "larder_lifecycle_running") == 0:
            print(f"lifecycle round {round}: nothing was left to expire; --objects says how many there are", flush=True)
            break
        idle.append(without)
        busy.append(beside)
        gone = counter(server, "expired_objects_total") - before
        print(f"lifecycle round {round}: {gone:,.0f} objects expired beside the clients", flush=True)
    if not idle:
        sys.exit("no round counts")
    for load in idle[0]:
        was, now = median(idle, load), median(busy, load)
        print(f"lifecycle {load}, 8 clients: p99 {was:.2f} ms without, {now:.2f} ms while objects expire; ratio {now / was:.2f}", flush=True)
    before, start = counter(server, "expired_objects_total"), time.monotonic()
    poll(lambda: gauge(server, "larder_lifecycle_running") == 0, 3600, "the end of the pass")
    alone = counter(server, "expired_objects_total") - before
    if alone:
        print(f"lifecycle alone: {alone / (time.monotonic() - start):,.0f} objects per second", flush=True)


def set_rules(server, on):
    s3 = boto(server)
    if not on:
        s3.delete_bucket_lifecycle(Bucket=BUCKET)
        poll(lambda: gauge(server, "larder_lifecycle_running") == 0, 60, "the pass to notice")
        return
    rule = {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Date": "2020-01-01T00:00:00Z"}}
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule]})


def clients(server, arguments):
    """p99 in milliseconds of what clients do, by load."""
    lines = bench(server, "--loads", "get,put", "--size", "4KiB", "--clients", 8, "--duration", f"{arguments.seconds}s")
    return {line["load"]: line["p99_us"] / 1000 for line in lines}


def median(readings, load):
    values = sorted(reading[load] for reading in readings)
    return values[len(values) // 2]


def counter(server, name):
    return gauge(server, f"larder_lifecycle_{name}")


def gauge(server, name):
    text = Raw(server).request("GET", "/_larder/metrics").body.decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))


if __name__ == "__main__":
    sys.exit(main())
