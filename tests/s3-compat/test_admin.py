"""What is no S3: metrics, and what the command line asks."""

import json

import pytest
from larderlib.cli import Shell, larder, started
from larderlib.rawhttp import Raw
from larderlib.server import Larder

TOKEN = "t0ken-of-prometheus"
METRICS = "/_larder/metrics"


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A server whose metrics have a token."""
    server = Larder(directory=tmp_path_factory.mktemp("watched"), environment={"LARDER_METRICS_TOKEN": TOKEN})
    yield server.start()
    server.close()


def samples(text):
    """Every sample of a text in Prometheus' format by its name and labels, once each was announced."""
    announced, found = set(), {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            announced.add(line.split()[2])
        elif not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name.split("{")[0] in announced, line
            assert name not in found, line
            found[name] = float(value)
    return found


def metrics(server):
    answer = Raw(server).send("GET", METRICS, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return samples(answer.body.decode())


def test_metrics_count_what_is_served(watched):
    raw, data = Raw(watched), b"d" * 3_000_000
    before = metrics(watched)
    assert raw.request("PUT", "/counted").status == 200
    assert raw.request("PUT", "/counted/k", body=data).status == 200
    assert raw.request("GET", "/counted/k").body == data
    assert raw.request("GET", "/counted/none").status == 404
    assert raw.send("GET", "/counted/k").status == 403
    after = metrics(watched)
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    for operation, code in [("CreateBucket", "OK"), ("PutObject", "OK"), ("GetObject", "OK"), ("GetObject", "NoSuchKey")]:
        assert grown[f'larder_requests_total{{operation="{operation}",code="{code}"}}'] == 1
    assert grown['larder_requests_total{operation="GetObject",code="AccessDenied"}'] == 1
    assert grown["larder_received_bytes_total"] == len(data)
    assert len(data) <= grown["larder_sent_bytes_total"] <= len(data) + 2000
    assert after["larder_requests_in_progress"] == 0


def test_metrics_tell_of_the_disks(watched):
    found = metrics(watched)
    disks = [name for name in found if name.startswith("larder_disk_good{")]
    assert len(disks) == 4 and all(found[name] == 1 for name in disks)
    assert found["larder_writable"] == 1 and found["larder_degraded_objects"] == 0
    assert all(found[name.replace("good", "free_bytes")] > 0 for name in disks)


def test_metrics_are_for_root_and_the_bearer_of_the_token(watched, server):
    assert Raw(watched).request("GET", METRICS).status == 200
    for headers in [{}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Basic {TOKEN}"}]:
        answer = Raw(watched).send("GET", METRICS, headers=headers)
        assert answer.status in (400, 403) and "message" in json.loads(answer.body)["error"], (headers, answer)
    answer = Raw(server).send("GET", METRICS, headers={"Authorization": "Bearer "})
    assert answer.status in (400, 403)


def test_the_token_opens_nothing_else(watched):
    answer = Raw(watched).send("GET", "/_larder/v1/status", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status in (400, 403)


def test_errors_of_endpoints_are_json_that_says_what_to_do(raw):
    answer = raw.request("POST", "/_larder/v1/status")
    assert answer.status == 405 and "asked with GET" in json.loads(answer.body)["error"]["message"]
    answer = raw.request("GET", "/_larder/v1/nothing")
    assert answer.status == 404 and "status" in json.loads(answer.body)["error"]["message"]


def test_larder_status_shows_a_table_or_json(server):
    out = larder(server, "status").stdout
    assert "profile   2+2" in out and out.count(" ok ") == 4
    out = larder(server, "status", "--json").stdout
    assert [disk["state"] for disk in json.loads(out)["storage"]["disks"]] == ["ok"] * 4


def test_larder_status_watch_ends_when_the_server_stops(tmp_path):
    server = Larder(directory=tmp_path / "server", extra_args=("--stop-grace", "600s")).start()
    watch = started(server, "status", "--watch", "--json")
    assert json.loads(watch.stdout.readline())["storage"]["profile"] == "2+2"
    assert server.stop() == 0
    _, err = watch.communicate(timeout=30)
    assert watch.returncode != 0 and "the server is stopping" in err
    server.close()


def test_a_wrong_secret_is_told_in_one_line(server):
    wrong = Shell(server, access_key=server.access_key, secret_key="wrong-secret")
    assert "look at the secret that belongs to" in wrong.fails("status")
