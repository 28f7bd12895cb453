"""Fixtures that all black-box suites share."""

import os

import pytest
from larderlib.clients import boto, unique_bucket
from larderlib.kube import NO_APISERVER
from larderlib.need import require_all
from larderlib.rawhttp import Raw
from larderlib.server import server_under_test


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One server for all tests that do not hurt it. Its log is checked when the last of them is done."""
    instance = server_under_test(directory=tmp_path_factory.mktemp("server"))
    instance.start()
    yield instance
    instance.close()


@pytest.fixture(scope="session")
def s3(server):
    return boto(server)


@pytest.fixture
def bucket(s3):
    """A bucket of the test's own. It is left behind: the whole server goes at the end."""
    name = unique_bucket()
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def raw(server):
    return Raw(server)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Where everything is required, a skip is a failure, but for what no registry has."""
    outcome = yield
    report = outcome.get_result()
    cannot_be_had = NO_APISERVER in str(report.longrepr)
    if report.skipped and require_all() and not cannot_be_had and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but LARDER_REQUIRE_ALL is set: {report.longrepr}"


def pytest_report_header():
    against = os.environ.get("LARDER_TESTS_AGAINST", "larder")
    return f"server under test: {against} ({os.environ.get('LARDER_BIN', 'target/release/larder')})"
