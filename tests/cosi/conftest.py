"""A driver beside the server that all suites share."""

import itertools
import os

import pytest
from larderlib.cosi import Driver

_numbers = itertools.count()


@pytest.fixture(scope="module")
def driver(server):
    with Driver(server, extra_args=["--log-format", "json"]) as driver:
        yield driver


@pytest.fixture
def name():
    """Of a bucket that nobody else has, as upstream makes them."""
    return f"bucket-{os.getpid():08x}-0000-4000-8000-{next(_numbers):012x}"


@pytest.fixture
def account():
    return f"ba-{os.getpid():08x}-0000-4000-8000-{next(_numbers):012x}"
