"""What a suite needs from the machine: found, skipped in one line that says how to get it, or failed.

With LARDER_REQUIRE_ALL=1 (CI) nothing is skipped: what is missing is a failure.
"""

import importlib
import os
import shutil
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
CACHE = REPOSITORY / ".cache"


def require_all():
    return os.environ.get("LARDER_REQUIRE_ALL", "") not in ("", "0")


def missing(what, how):
    """Skip the calling test (or fail it, where everything is required)."""
    message = f"{what} is missing; get it with: {how}"
    if require_all():
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def tool(name, how="tests/setup.sh"):
    """The path of a program: from what tests/setup.sh keeps in .cache first, then from PATH."""
    for place in ("venv/bin", "databases/bin", "brokers/bin", "kube/bin", "debian/usr/bin"):
        if os.access(private := CACHE / place / name, os.X_OK):
            return str(private)
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        missing(name, how)
    return found


LIBRARIES = [str(CACHE / place) for place in ("python-clients", "databases", "brokers", "kube/python")]


def library(name):
    """A module of tests/clients/*/requirements.txt, which tests/setup.sh puts where nothing else looks."""
    sys.path += [place for place in LIBRARIES if place not in sys.path]
    try:
        return importlib.import_module(name)
    except ImportError:
        missing(name, "tests/setup.sh")
