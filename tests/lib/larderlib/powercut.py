"""Disks whose power can be cut: file systems of `tests/powercut` (FUSE, in memory) that forget what was not synced."""

import os
import subprocess
from pathlib import Path

from .need import REPOSITORY, missing

ANSWER_SECONDS = 60


def powercut_binary():
    path = os.environ.get("LARDER_POWERCUT_BIN") or str(REPOSITORY / "target" / "debug" / "larder-powercut")
    if not os.access(path, os.X_OK):
        missing("larder-powercut", "tests/setup.sh (cargo build --package larder-powercut)")
    return path


def need_fuse():
    if os.geteuid() != 0:
        missing("root", "run the suite as root: it mounts FUSE file systems")
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        missing("/dev/fuse", f"modprobe fuse; in a container, --device /dev/fuse --cap-add SYS_ADMIN ({error.strerror})")


class PowerCutDisks:
    """One process that serves a disk at each of `directories`. Used in a `with` statement."""

    def __init__(self, directories):
        need_fuse()
        self.binary = powercut_binary()
        self.directories = [Path(directory) for directory in directories]
        self.process = None

    def __enter__(self):
        for directory in self.directories:
            directory.mkdir(parents=True, exist_ok=True)
        command = [self.binary, *map(str, self.directories)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ok"):
            self.process.wait(ANSWER_SECONDS)
            missing("a mount of FUSE", f"a machine that allows it ({self.process.stderr.read().strip()})")
        return self

    def __exit__(self, *_):
        """Unmounts, also where a process still has files open."""
        for directory in self.directories:
            subprocess.run(["umount", "-l", str(directory)], capture_output=True, timeout=ANSWER_SECONDS)
        self.process.stdin.close()
        try:
            self.process.wait(ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        assert answer[:1] == ["ok"], f"{line}: {answer}"
        return [int(number) for number in answer[1:]]

    def cut(self):
        """Takes the power of all disks at one moment. Returns the number of unsynced changes."""
        return self._ask("cut")[0]

    def power_on(self, seed, keep_nothing=False):
        """Gives it back. Returns how many pieces of unsynced changes are still there, and how many are gone."""
        return self._ask(f"on {seed}" + (" nothing" if keep_nothing else ""))

    def empty(self, number):
        """Puts an empty disk in place of one. Only while no server runs on it."""
        self._ask(f"empty {number}")

    def lie(self, area, kind):
        """From now on syncs of files (`data`) or directories (`names`) below a directory are answered and not done."""
        self._ask(f"lie {area} {kind}")
