"""Small file systems for tests that fill or freeze them. Needs root and loop devices; where they are missing, a test is skipped."""

import os
import shutil
import subprocess
from contextlib import contextmanager

from .need import missing


def _run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def _need_root():
    if os.geteuid() != 0:
        missing("root", "run the suite as root: it mounts file systems")


@contextmanager
def tmpfs(path, mib):
    """A file system in memory of so many MiB, mounted at `path`."""
    _need_root()
    path.mkdir(parents=True, exist_ok=True)
    done = _run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "larder-test", str(path))
    if done.returncode != 0:
        missing("a mount of tmpfs", f"a machine that allows it ({done.stderr.strip()})")
    try:
        yield path
    finally:
        _run("umount", "-l", str(path))


class Freezable:
    """A mounted ext4 file system that can be frozen: whatever writes to it then waits in the kernel and cannot be killed."""

    def __init__(self, path):
        self.path = path

    def freeze(self):
        done = _run("fsfreeze", "-f", str(self.path))
        if done.returncode != 0:
            missing("fsfreeze", f"a machine that allows it ({done.stderr.strip()})")

    def thaw(self):
        _run("fsfreeze", "-u", str(self.path))


@contextmanager
def freezable(path, image, mib):
    """An ext4 file system of so many MiB in the file `image`, mounted at `path`; thawed at the end, come what may."""
    _need_root()
    for tool in ("mkfs.ext4", "fsfreeze", "losetup"):
        if shutil.which(tool) is None:
            missing(tool, "apt-get install e2fsprogs util-linux mount")
    path.mkdir(parents=True, exist_ok=True)
    with open(image, "wb") as file:
        file.truncate(mib << 20)
    made = _run("mkfs.ext4", "-q", "-F", str(image))
    mounted = _run("mount", "-o", "loop", str(image), str(path)) if made.returncode == 0 else made
    if mounted.returncode != 0:
        missing("a loop mount", f"a machine that allows it ({mounted.stderr.strip()})")
    file_system = Freezable(path)
    try:
        yield file_system
    finally:
        file_system.thaw()
        _run("umount", "-l", str(path))
