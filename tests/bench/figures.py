"""`make bench`: Larder's figures beside the floors of the machine, in one run.

Starts a server with four fresh directories (below --data, by default in .cache/bench: figures of a tmpfs say nothing of disks) and runs
`larder bench` on it; all further arguments go to `larder bench`.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from larderlib.need import CACHE  # noqa: E402
from larderlib.server import Larder, larder_binary  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=CACHE / "bench", help="where the four directories are made")
    arguments, further = parser.parse_known_args()
    arguments.data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.data, prefix="larder-") as directory, Larder(directory=directory) as server:
        command = [larder_binary(), "bench", "--endpoint", server.endpoint, "--server-pid", str(server.process.pid)]
        command += ["--access-key", server.access_key, "--secret-key", server.secret_key]
        floors = directory_for_floors(server)
        return subprocess.run([*command, "--disks", *map(str, floors), *further], check=False).returncode


def directory_for_floors(server):
    """Directories beside the disks: the floors must not write into what belongs to the server."""
    floors = [server.directory / f"floor{number}" for number in range(1, 5)]
    for floor in floors:
        floor.mkdir()
    return floors


if __name__ == "__main__":
    sys.exit(main())
