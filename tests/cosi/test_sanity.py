"""cosi-sanity against the real driver on a real server: every check, none left out."""

import json
import shlex
import subprocess

import pytest
from larderlib.cosi import Driver, Proxy, sanity_binary
from larderlib.server import inherited_environment

# What a container's supervisor does: a driver that was killed is started again once it is gone.
RESTART = """\
pid=$(cat {pid})
kill -9 "$pid"
while [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status"; do :; done
cd {directory}
{environment} setsid {command} >>{log} 2>&1 </dev/null &
echo $! >{pid}
"""


@pytest.fixture
def world(server, tmp_path):
    """A driver of both versions that commands of the shell can kill, start, and cut off from its server."""
    arguments = ["--log-level", "trace,hyper=debug", "--v1alpha2-revision", "r3"]
    with Proxy(server) as proxy, Driver(server, endpoint=proxy.endpoint, extra_args=arguments) as driver:
        pid = driver.directory / "pid"
        pid.write_text(f"{driver.process.pid}\n")
        restart = tmp_path / "restart.sh"
        environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in driver.environment.items())
        quoted = {"pid": shlex.quote(str(pid)), "log": shlex.quote(str(driver.log_path)), "directory": shlex.quote(str(driver.directory))}
        restart.write_text(RESTART.format(environment=environment, command=shlex.join(driver.command()), **quoted))
        yield driver, proxy, restart
        subprocess.run(["kill", "-9", pid.read_text().strip()], check=False)


def sanity(driver, *flags):
    command = [sanity_binary(), "--endpoint", driver.cosi_endpoint, "--json", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=inherited_environment())
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("api", ["v1alpha1", "v1alpha2"])
def test_the_driver_passes_every_check(world, server, tmp_path, api):
    driver, proxy, restart = world
    switch = tmp_path / "switch"
    # The proxy looks whether the file is there: that is how a command takes the storage away.
    proxy.__class__ = type("Switched", (Proxy,), {"down": property(lambda _: switch.exists(), lambda *_: None)})
    status, report = sanity(
        driver,
        *("--api", api),
        *("--parameters", "quotaBytes=1Gi", "--other-parameters", "quotaBytes=2Gi"),
        *("--other-access-parameters", "prefix=other/"),
        *("--crash-command", f"sh {restart}", "--crashes", "6"),
        *("--break-command", f"touch {switch}", "--mend-command", f"rm {switch}"),
        *("--log-file", str(driver.log_path), "--require-s3"),
    )
    wrong = [check for check in report["checks"] if check["result"] != "ok"]
    assert not wrong, json.dumps(wrong, indent=1)
    assert status == 0 and report["left"] == []
    assert report["ok"] == len(listed(api)) >= 40


@pytest.mark.timeout(300)
def test_a_class_that_empties_buckets_passes_too(driver):
    status, report = sanity(
        driver, *("--parameters", "onDelete=Empty", "--delete-nonempty", "empty", "--only", "delete", "--only", "order", "--only", "storage", "--require-s3")
    )
    assert (status, report["failed"], report["skipped"]) == (0, 0, 0), report


def listed(api):
    done = subprocess.run([sanity_binary(), "list", "--api", api, "--json"], capture_output=True, text=True, timeout=60)
    return json.loads(done.stdout)


def test_a_driver_that_is_wrong_fails(driver):
    """The checks look: told to expect a bucket that is not empty to go, they find it still there."""
    status, report = sanity(driver, "--delete-nonempty", "empty", "--only", "storage-delete-nonempty", "--patience", "1s")
    assert status == 1
    assert [check["name"] for check in report["checks"] if check["result"] == "FAILED"] == ["storage-delete-nonempty"]


def test_nobody_at_the_socket_is_trouble_of_its_own(tmp_path):
    command = [sanity_binary(), "--endpoint", f"unix://{tmp_path}/no.sock", "--patience", "100ms"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("cosi-sanity: no driver at unix://") and done.stderr.count("\n") == 1
    assert done.stdout == ""
