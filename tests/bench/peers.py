"""`make bench-peers`: the same load on SeaweedFS and on Larder, in turns, as ratios.

Each round starts every server on fresh directories, runs one load on it with `larder bench` and stops it, so that drifts of the
machine meet all alike; the median round counts. SeaweedFS runs as it comes (nothing synced) and with its path rule for synced writes; it keeps
one copy; Larder survives the loss of two disks of four. Ratios of throughput: above 1 Larder is better; of
latency, CPU and memory: below 1.

    make bench-peers ARGS='--rounds 1 --only put-4KiB-c32,get-4KiB-c8'
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from larderlib.need import CACHE  # noqa: E402
from larderlib.server import Larder, SeaweedFs, larder_binary  # noqa: E402

# name: what `larder bench` is told
LOADS = {
    "put-4KiB-c1": ["--loads", "put", "--size", "4KiB", "--clients", "1"],
    "put-4KiB-c32": ["--loads", "put", "--size", "4KiB", "--clients", "32"],
    "get-4KiB-c8": ["--loads", "get", "--size", "4KiB", "--clients", "8"],
    "head-c8": ["--loads", "head", "--size", "4KiB", "--clients", "8"],
    "put-16MiB-c8": ["--loads", "put", "--size", "16MiB", "--clients", "8"],
    "multipart-64MiB-c8": ["--loads", "multipart", "--clients", "8"],
    "get-16MiB-c8": ["--loads", "get", "--size", "16MiB", "--clients", "8"],
    "range-64KiB-of-64MiB-c8": ["--loads", "range", "--clients", "8"],
    "list-c8": ["--loads", "list", "--clients", "8"],
    "list-delimiter-c8": ["--loads", "list-delimiter", "--clients", "8"],
    "delete-1KiB-c8": ["--loads", "delete", "--size", "1KiB", "--clients", "8"],
}
SERVERS = {
    "larder": Larder,
    "seaweedfs": SeaweedFs,
    "seaweedfs+fsync": lambda directory: SeaweedFs(directory=directory, fsync=True),
}
COLUMNS = ("ops|keys/s", "MB/s", "p50 ms", "p99 ms", "CPU ms/op", "peak MiB")


def measure(make, load, options):
    """One load on one fresh server: its figures, in the order of COLUMNS."""
    with tempfile.TemporaryDirectory(dir=options.data, prefix="peer-") as directory, make(directory=directory) as server:
        command = [larder_binary(), "bench", "--endpoint", server.endpoint, "--json", "--duration", options.duration]
        command += ["--access-key", server.access_key, "--secret-key", server.secret_key]
        command += ["--server-pid", str(server.process.pid), *LOADS[load]]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=options.timeout, check=True)
        figures = figures_of(rows(done.stdout)[-1])
        server.kill()  # nothing of it is needed any more, and a graceful stop of the peer takes half a minute
    return figures


def rows(text):
    """Rows of `larder bench --json`: one JSON object a line."""
    return [row for row in map(json.loads, text.splitlines()) if "load" in row]


def figures_of(row):
    """A row in the units of COLUMNS. CPU is that of the measured time alone, as the load generator reads it from /proc."""
    if row.get("errors"):
        print(f"  {row['errors']} errors, first: {row.get('first_error')}", file=sys.stderr)
    seconds = row["seconds"]
    cpu, memory = row.get("server_cpu_ms_per_op") or 0, (row.get("server_peak_rss_bytes") or 0) / 2**20
    # A listing is measured in keys.
    count = row.get("keys") or row["ops"]
    return (count / seconds, row["bytes"] / seconds / 1e6, row["p50_us"] / 1e3, row["p99_us"] / 1e3, cpu, memory)


def median(samples):
    return tuple(statistics.median(column) for column in zip(*samples))


def ratio(a, b):
    return f"{a / b:.2f}" if b else "-"


def print_load(load, results):
    print(f"\n{load}")
    print(f"  {'':26}" + "".join(f"{name:>12}" for name in COLUMNS))
    for name, figures in results.items():
        print(f"  {name:26}" + "".join(f"{value:12.2f}" for value in figures))
    for name, figures in results.items():
        if name != "larder":
            print(f"  larder / {name:17}" + "".join(f"{ratio(a, b):>12}" for a, b in zip(results["larder"], figures)))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns for each load (default: %(default)s)")
    parser.add_argument("--duration", default="5s", help="time of each measurement (default: %(default)s)")
    parser.add_argument("--timeout", type=int, default=300, help="seconds after which a measurement has failed")
    parser.add_argument("--only", default=",".join(LOADS), help="some of: %(default)s")
    parser.add_argument("--data", type=Path, default=CACHE / "bench", help="where the servers keep their data")
    return parser.parse_args()


def main():
    options = parse()
    options.data.mkdir(parents=True, exist_ok=True)
    for load in options.only.split(","):
        samples = {name: [] for name in SERVERS}
        for number in range(options.rounds):
            for name, make in SERVERS.items():
                print(f"{load}: round {number + 1} of {options.rounds}, {name}", file=sys.stderr)
                samples[name].append(measure(make, load, options))
        print_load(load, {name: median(values) for name, values in samples.items()})


if __name__ == "__main__":
    main()
