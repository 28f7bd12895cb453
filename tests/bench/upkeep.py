"""Figures of upkeep, part of `make bench`: healing, scrub, start-up after SIGKILL, rebuild of the metadata view.

Each step starts from fresh directories and prints a line; `--steps` chooses them. Figures are of this machine and this moment: what
counts are the ratios, side by side. Before each reading the page cache forgets the files.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from larderlib.need import CACHE  # noqa: E402
from larderlib.server import Larder, larder_binary, poll  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
OBJECT = "16MiB"
OBJECT_BYTES = 16 << 20
DATA_SHARDS = 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=CACHE / "bench", help="where the directories are made")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--gigabytes", type=float, default=10, help="what the disk that is healed holds; four times that on all (default: 10)")
    parser.add_argument("--scrub-gigabytes", type=float, default=1, help="the same for the scrub (default: 1)")
    parser.add_argument("--objects", type=int, default=1_000_000, help="objects of 1 KiB for start-up and rebuild")
    parser.add_argument("--seconds", type=int, default=10, help="how long clients are watched, idle and while it heals")
    arguments = parser.parse_args()
    arguments.data.mkdir(parents=True, exist_ok=True)
    for step in arguments.steps:
        with tempfile.TemporaryDirectory(dir=arguments.data, prefix="upkeep-") as directory:
            STEPS[step](Path(directory), arguments)
    return 0


def heal(directory, arguments):
    """One disk is replaced by an empty one: the p99 of clients meanwhile, then the rate with nobody to serve."""
    with Larder(directory=directory, extra_args=["--scrub-days", "0"]) as server:
        fill(server, arguments.gigabytes)
        idle = clients(server, arguments)
        server.stop()
        forget_page_cache(server)
        cat_rate = cat([path for number in (2, 3) for path in files(server.disks[number - 1])])
        server.empty_disk(1)
        forget_page_cache(server)
        server.start()
        until(server, lambda status: status["state"] == "healing")
        busy = clients(server, arguments)
        shared = ask(server, "heal", "status")
        # Alone from here on.
        began, before, cpu = time.monotonic(), shared["done"]["bytes"], server.cpu_seconds()
        healed = until(server, lambda status: status["state"] == "idle" and not status["degraded"])
        seconds, cpu = time.monotonic() - began, server.cpu_seconds() - cpu
        # Of each byte of an object 1/k is written, and the same k times read.
        read = healed["healed"]["bytes"] - before
        for load, was in idle.items():
            print(f"heal     {load}, 8 clients: p99 {was:.2f} ms idle, {busy[load]:.2f} ms while it heals at its default pace; ratio {busy[load] / was:.2f}", flush=True)
        print(f"heal     {before / 1e9:.2f} GB of objects healed beside the clients, of {shared['total']['bytes'] / 1e9:.2f}", flush=True)
        rate = read / seconds
        print(
            f"heal     alone: {rate / 1e6:,.0f} MB/s read and {rate / DATA_SHARDS / 1e6:,.0f} MB/s written, {read / cpu / 1e6:,.0f} MB read per CPU second; "
            f"cat of two disks {cat_rate / 1e6:,.0f} MB/s; ratio {rate / cat_rate:.2f}",
            flush=True,
        )


def scrub(directory, arguments):
    """MB/s of a pass with nobody to serve, beside `cat` of the same files."""
    with Larder(directory=directory, extra_args=["--scrub-days", "0"]) as server:
        fill(server, arguments.scrub_gigabytes)
        forget_page_cache(server)
        cat_rate = cat(every_file(server))
        forget_page_cache(server)
        before, began = server.cpu_seconds(), time.monotonic()
        status = scrub_once(server)
        seconds, cpu = time.monotonic() - began, server.cpu_seconds() - before
        scrubbed = sum(disk["last"]["bytes"] for disk in status["disks"])
        rate = scrubbed / seconds
        print(f"scrub    {rate / 1e6:,.0f} MB/s, {scrubbed / cpu / 1e6:,.0f} MB per CPU second; cat {cat_rate / 1e6:,.0f} MB/s; ratio {rate / cat_rate:.2f}", flush=True)


def rebuild(directory, arguments):
    """Start-up after SIGKILL, and with the view deleted."""
    command = ["cargo", "run", "--release", "--locked", "--quiet", "--package", "larder-storage", "--features", "testing", "--example", "rebuild_bench", "--"]
    command += ["--objects", str(arguments.objects), "--bytes", "1024", "--dir", str(directory / "rebuild")]
    subprocess.run(command, cwd=REPOSITORY, check=True)


STEPS = {"heal": heal, "scrub": scrub, "rebuild": rebuild}


def bench(server, *arguments):
    command = [larder_binary(), "bench", "--endpoint", server.endpoint, "--json", *map(str, arguments)]
    command += ["--access-key", server.access_key, "--secret-key", server.secret_key]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
    return [json.loads(line) for line in done.stdout.splitlines()]


def fill(server, gigabytes):
    objects = round(gigabytes * 1e9 * DATA_SHARDS / OBJECT_BYTES)
    bench(server, "--bucket", "held", "--loads", "put", "--size", OBJECT, "--clients", 4, "--warmup", "0s", "--duration", "600s", "--ops", objects, "--keep")


def clients(server, arguments):
    """p99 in milliseconds of what clients do, by load."""
    lines = bench(server, "--loads", "get,put", "--size", "4KiB", "--clients", 8, "--duration", f"{arguments.seconds}s")
    return {line["load"]: line["p99_us"] / 1000 for line in lines}


def ask(server, *arguments):
    return json.loads(server.run(*arguments, "--json"))


def until(server, condition):
    def holds():
        status = ask(server, "heal", "status")
        return status if condition(status) else None

    return poll(holds, 900, "healing")


def scrub_once(server):
    before = ask(server, "scrub", "status")["last_started_unix_millis"] or 0
    ask(server, "scrub", "start", "--again")

    def through():
        status = ask(server, "scrub", "status")
        is_new = (status["last_started_unix_millis"] or 0) > before
        return status if status["state"] == "idle" and status["pass"] is None and is_new else None

    return poll(through, 600, "a pass of the scrub")


def files(disk):
    return [path for kind in ("log", "extents") for path in (disk / kind).rglob("*") if path.is_file()]


def every_file(server):
    return [path for disk in server.disks for path in files(disk)]


def forget_page_cache(server):
    for path in every_file(server):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def cat(paths):
    """Bytes per second."""
    began = time.monotonic()
    for at in range(0, len(paths), 1000):
        subprocess.run(["cat", *map(str, paths[at : at + 1000])], stdout=subprocess.DEVNULL, check=True)
    return sum(path.stat().st_size for path in paths) / (time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
