"""A server that does not outlive its test, however the test ends."""

import pytest
from larderlib.server import Larder


@pytest.fixture
def larder():
    """Makes servers; those that still run at the end are killed."""
    made = []

    def make(**options):
        made.append(Larder(**options))
        return made[-1]

    yield make
    for server in made:
        server.kill()
