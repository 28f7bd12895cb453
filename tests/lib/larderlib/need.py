"""What a suite needs from the machine: found, skipped in one line that says how to get it, or failed.

With LARDER_REQUIRE_ALL=1 (CI) nothing is skipped: what is missing is a failure.
"""

import os
import shutil
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
    """The path of a program: from the private environment first, then from PATH."""
    private = CACHE / "venv" / "bin" / name
    if private.exists():
        return str(private)
    found = shutil.which(name)
    if found is None:
        missing(name, how)
    return found
