"""`larder-cosi serve` as an operator meets it: socket, pages, logs, what it says when it can't start."""

import json
import os
import signal
import socket
import stat
import subprocess
import threading

import pytest
from larderlib.clients import boto
from larderlib.cosi import Driver, Proxy, Refused, driver_binary
from larderlib.expect import refused as s3_refused
from larderlib.server import inherited_environment, poll


def run(*args, **environment):
    return subprocess.run([driver_binary(), *args], capture_output=True, text=True, timeout=60, env={**inherited_environment(), **environment})


def test_what_is_granted_is_used_and_revoked(driver, server, name, account):
    bucket = driver.create(name)
    granted = driver.grant(bucket, account)
    assert granted.endpoint == server.endpoint and granted.region == server.region
    client = boto(server, access_key=granted.access_key, secret_key=granted.secret_key)
    client.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    with pytest.raises(Refused) as refused:
        driver.delete(bucket)
    assert refused.value.code == "FAILED_PRECONDITION"
    client.delete_object(Bucket=bucket, Key="a")
    driver.revoke(bucket, granted.account)
    with s3_refused("InvalidAccessKeyId", "AccessDenied"):
        client.list_objects_v2(Bucket=bucket)
    driver.delete(bucket)


def test_the_socket_is_the_drivers_alone(server):
    with Driver(server) as driver:
        mode = os.stat(driver.socket).st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660
        assert os.listdir(driver.run) == ["cosi.sock"]
        again = run("serve", "--endpoint", server.endpoint, **driver.environment)
        assert again.returncode == 1 and "is served by another process" in again.stderr
        driver.kill()
        assert driver.socket.exists()
        driver.start()
        driver.call("DriverGetInfo")
        assert driver.stop() == 0
        assert os.listdir(driver.run) == []


def test_a_file_that_is_no_socket_stays(server):
    driver = Driver(server)
    driver.socket.write_text("precious")
    ended = run("serve", "--endpoint", server.endpoint, **driver.environment)
    assert ended.returncode == 1 and "is no socket" in ended.stderr
    assert driver.socket.read_text() == "precious"
    driver.close()


def test_a_stop_lets_calls_finish(server, name):
    """The answer of the server is held back until the driver was told to stop: the call ends well all the same."""
    with Proxy(server) as proxy, Driver(server, endpoint=proxy.endpoint) as driver:

        def held(method, path):
            if method == "PUT":
                driver.process.send_signal(signal.SIGTERM)
                poll(lambda: "stopping" in driver.log(), 30, "the signal is seen")
                proxy.after = None
            return True

        proxy.after = held
        assert driver.create(name) == name
        assert driver.process.wait(30) == 0
        driver.process = None


def test_a_call_that_takes_too_long_is_answered_and_goes_on(server, name):
    """The server's first answer is held back: the caller is told in time, the next one waits in vain, and then all is as if nothing had been."""
    go_on = threading.Event()
    with Proxy(server) as proxy, Driver(server, endpoint=proxy.endpoint, extra_args=["--call-timeout", "500ms"]) as driver:
        proxy.after = lambda *_: go_on.wait(60)
        for code in ("UNAVAILABLE", "ABORTED"):
            with pytest.raises(Refused) as refused:
                driver.create(name)
            assert refused.value.code == code and "ask again" in refused.value.message
        go_on.set()
        proxy.after = None
        assert poll(lambda: created(driver, name), 30, "the call goes on") == name


def created(driver, name):
    try:
        return driver.create(name)
    except Refused as refused:
        assert refused.code in ("UNAVAILABLE", "ABORTED"), refused
        return None


def test_readiness_is_the_servers_and_liveness_is_its_own(server):
    with Proxy(server) as proxy, Driver(server, endpoint=proxy.endpoint) as driver:
        assert driver.page("/healthz") == (200, "ok\n")
        assert driver.page("/readyz") == (200, "ok\n")
        proxy.down = True
        status, why = driver.page("/readyz")
        assert status == 503 and len(why) > 10
        assert driver.page("/healthz") == (200, "ok\n")
        with pytest.raises(Refused) as refused:
            driver.create("bucket-while-it-is-down")
        assert refused.value.code == "UNAVAILABLE"
        proxy.down = False
        assert driver.page("/readyz") == (200, "ok\n")


def test_metrics_count_calls_by_code(server, name):
    with Driver(server) as driver:
        driver.create(name)
        with pytest.raises(Refused):
            driver.create("")
        _, text = driver.page("/metrics")
        count = 'cosi_driver_operation_duration_seconds_count{method="v1alpha1/DriverCreateBucket",grpc_status_code="%s"} 1'
        assert count % "OK" in text and count % "INVALID_ARGUMENT" in text
        assert 'cosi_driver_operation_errors_total{method="v1alpha1/DriverCreateBucket",grpc_status_code="INVALID_ARGUMENT"} 1' in text
        assert name not in text


def test_logs_are_json_when_asked_for(driver, name):
    driver.create(name)
    lines = [json.loads(line) for line in driver.log().splitlines()]
    calls = [line["fields"] for line in lines if line["fields"].get("method") == "v1alpha1/DriverCreateBucket"]
    assert any(call["id"] == name and call["message"] == "done" for call in calls)


WHO = {"LARDER_COSI_ACCESS_KEY": "AK", "LARDER_COSI_SECRET_KEY": "hush-hush", "LARDER_COSI_CONTROLLERS": "off"}


@pytest.mark.parametrize(
    ("arguments", "environment", "why"),
    [
        ([], WHO, "no endpoint: say where Larder is with --endpoint or LARDER_COSI_ENDPOINT"),
        (["--endpoint", "larder:9000"], WHO, "is no endpoint: write http(s)://host[:port]"),
        (["--endpoint", "http://larder:9000"], {}, "LARDER_COSI_ACCESS_KEY is not set"),
        (["--endpoint", "http://larder:9000", "--driver-name", "Cosi.Larder"], WHO, "driver name `Cosi.Larder` is none"),
        (["--endpoint", "http://larder:9000", "--ca-file", "/no/such"], WHO, "--ca-file /no/such: No such file"),
        (["--endpoint", "http://larder:9000"], WHO | {"COSI_ENDPOINT": "tcp://0.0.0.0:1"}, "is no Unix socket: write unix:///directory/name.sock"),
        (["--endpoint", "http://larder:9000"], WHO | {"COSI_ENDPOINT": "unix:///no/such/cosi.sock"}, "/no/such/cosi.sock: No such file"),
    ],
)
def test_what_is_wrong_at_the_start_is_one_line(arguments, environment, why):
    ended = run("serve", *arguments, **environment)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("larder-cosi: ") and why in last, ended.stderr
    assert "hush-hush" not in ended.stderr + ended.stdout


def test_a_port_that_is_taken_is_named(server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        driver = Driver(server)
        ended = run("serve", "--endpoint", server.endpoint, "--listen", address, **driver.environment)
        driver.close()
        assert ended.returncode == 1 and f"--listen {address}: Address already in use" in ended.stderr


def test_help_teaches(server):
    text = run("serve", "--help").stdout
    for word in ("--driver-name", "COSI_ENDPOINT", "LARDER_COSI_SECRET_KEY", "--v1alpha2-revision", "/readyz"):
        assert word in text
    assert server.secret_key not in text


def test_a_refusal_that_comes_again_and_again_is_logged_once(server, name):
    """Whoever asks every second doesn't fill the log; another reason, another bucket, and what was well in between are news."""
    with Driver(server, extra_args=["--log-format", "json"]) as driver:

        def refused(bucket, **parameters):
            with pytest.raises(Refused):
                driver.create(bucket, **parameters)

        for _ in range(20):
            refused(name, noSuchParameter="1")
        refused(name, quotaBytes="many")
        refused(f"{name}-b", noSuchParameter="1")
        refused(name, noSuchParameter="1")
        driver.create(name)
        refused(name, noSuchParameter="1")
        refused(name, noSuchParameter="1")
        lines = [json.loads(line)["fields"] for line in driver.log().splitlines()]
    told = [(line["id"], "noSuchParameter" in line["why"]) for line in lines if line["message"] == "refused"]
    assert told == [(name, True), (name, False), (f"{name}-b", True), (name, True)]
    # All of them are counted.
    assert not [line for line in lines if "refused again" in line["message"]]
