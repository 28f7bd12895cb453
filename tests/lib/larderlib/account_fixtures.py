"""Fixtures of suites about accounts and those who belong to them. A module imports those that it uses; each module has a server of its own.

`SERVER_ARGUMENTS` of the module, if it has any, are the server's.
"""

import pytest

from .iam import query
from .tenants import ALPHA, BETA, tenants


@pytest.fixture(scope="module")
def everybody(request, tmp_path_factory):
    """A server with the accounts alpha and beta, and clients of theirs."""
    arguments = getattr(request.module, "SERVER_ARGUMENTS", ())
    with tenants(tmp_path_factory.mktemp("accounts"), *arguments) as everybody:
        yield everybody


@pytest.fixture(scope="module")
def server(everybody):
    return everybody.server


@pytest.fixture(scope="module")
def iam(server):
    """IAM as alpha's root asks it."""
    return query("iam", server, **ALPHA.pair)


@pytest.fixture(scope="module")
def beta(server):
    """IAM as beta's root asks it."""
    return query("iam", server, **BETA.pair)


@pytest.fixture
def bucket(everybody):
    """A bucket of alpha's."""
    return everybody.bucket()
