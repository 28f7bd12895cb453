"""The description of the admin API: valid, and what a server really does."""

import json
import re

import pytest
from jsonschema import Draft202012Validator
from larderlib.need import REPOSITORY
from larderlib.rawhttp import Raw
from larderlib.server import Larder
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

DOCUMENT = json.loads((REPOSITORY / "docs" / "admin-api.json").read_text())
V1 = "/_larder/v1/"


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """A server of its own: disks come and go, healing is paused."""
    with Larder(directory=tmp_path_factory.mktemp("api"), disks=5) as server:
        yield Api(server)


class Api:
    def __init__(self, server):
        self.server, self.raw = server, Raw(server)
        self.asked = set()

    def ask(self, method, path, body=None, query=()):
        """The answer of an endpoint, once it has the shape that is described."""
        self.asked.add((V1 + path, method))
        operation = DOCUMENT["paths"][V1 + path][method.lower()]
        if body is not None:
            check(operation["requestBody"]["content"]["application/json"]["schema"], body)
        sent = b"" if body is None else json.dumps(body).encode()
        answer = self.raw.request(method, V1 + path, query=list(query), body=sent)
        assert answer.status == 200, answer.body
        [(kind, content)] = operation["responses"]["200"]["content"].items()
        assert answer.headers["content-type"] == kind
        documents = [json.loads(line) for line in answer.body.splitlines()]
        for document in documents:
            check(content["schema"], document)
        return documents if kind == "application/x-ndjson" else documents[0]


def closed(schema):
    """The schema with nothing allowed that it does not name: what is answered and not described is found."""
    if isinstance(schema, list):
        return [closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if found.get("type") == "object" and "properties" in found:
        found["additionalProperties"] = False
    return found


CLOSED = closed(DOCUMENT["components"])


def check(schema, value):
    Draft202012Validator({**closed(schema), "components": CLOSED}).validate(value)


def test_the_description_is_valid():
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)
    ids = [operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids)) > 20
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema.get("description"), f"{name} does not say what it is"
        for field, of in schema.get("properties", {}).items():
            assert of.get("description"), f"{name}.{field} does not say what it is"
    broken = json.loads(json.dumps(DOCUMENT))
    broken["paths"][V1 + "status"]["get"]["parameters"] = [{"name": "x"}]
    with pytest.raises(Exception, match="'in' is a required property"):
        validate(broken, cls=OpenAPIV31SpecValidator)


def test_answers_are_as_described(api):
    raw = api.raw
    assert raw.request("PUT", "/described").status == 200
    assert raw.request("PUT", "/described/k", body=b"x" * 100_000).status == 200
    made = api.ask("POST", "accounts/add", {"name": "tenant", "email": "t@example.com"})["account"]["id"]
    assert made in [account["id"] for account in api.ask("GET", "accounts")["accounts"]]
    assert api.ask("POST", "accounts/rotate", {"id": made})["secret_key"]
    assert api.ask("POST", "accounts/quota", {"id": made, "max_objects": 7})["max_objects"] == 7
    assert api.ask("POST", "accounts/remove", {"id": made})["id"] == made
    assert api.ask("POST", "buckets/quota", {"bucket": "described", "max_bytes": 10**6})["max_bytes"] == 10**6
    assert api.ask("POST", "buckets/profile", {"bucket": "described", "profile": "1+1"})["profile_used"] == "1+1"
    assert api.ask("POST", "buckets/profile", {"bucket": "described", "profile": None})["profile"] is None
    assert api.ask("GET", "buckets", query=[("bucket", "described")])["buckets"][0]["objects"] == 1
    assert api.ask("GET", "encryption")["keys"][0]["seals"]
    api.ask("POST", "encryption/rewrap")
    last = api.ask("GET", "disks")["disks"][-1]["number"]
    api.ask("POST", "disks/drain", {"disk": last})
    api.ask("POST", "disks/cancel-drain", {"disk": last})
    spare = api.server.directory / "spare"
    spare.mkdir()
    added = api.ask("POST", "disks/add", {"directory": str(spare)})["number"]
    api.ask("POST", "disks/remove", {"disk": added, "force": True})
    api.ask("POST", "heal/pause")
    api.ask("POST", "heal/start")
    assert api.ask("POST", "heal/pace", {"share_percent": 50})["pace"]["share_percent"] == 50
    api.ask("GET", "heal")
    api.ask("POST", "scrub/start", {"again": True})
    assert api.ask("POST", "scrub/pace", {"max_bytes_per_second": 10**9})["pace"]["max_bytes_per_second"] == 10**9
    api.ask("POST", "scrub/pause")
    api.ask("GET", "scrub")
    assert api.ask("GET", "status")["storage"]["profile"] == "2+2"
    lines = api.ask("POST", "verify", {"bucket": "described", "prefix": "", "now": True})
    assert "total" in lines[0] and lines[-1]["done"]["objects"] == 1
    # Those that never end are asked by `larder status --watch` and `larder heal status --watch`; replacing takes a disk that failed.
    left = {(path, method.upper()) for path, item in DOCUMENT["paths"].items() for method in item} - api.asked
    assert left == {(V1 + "encryption/watch", "GET"), (V1 + "heal/watch", "GET"), (V1 + "status/watch", "GET"), (V1 + "disks/replace", "POST"), ("/_larder/metrics", "GET")}


def test_refusals_are_as_described(api):
    refusal = DOCUMENT["components"]["responses"]["Refused"]["content"]["application/json"]["schema"]
    for method, path, body, status in [
        ("GET", "nothing", b"", 404),
        ("POST", "status", b"", 405),
        ("POST", "disks/drain", b'{"disk": 999}', 404),
        ("POST", "disks/replace", b'{"disk": 0}', 409),
        ("POST", "accounts/remove", b'{"id": "x"}', 400),
        ("GET", "status/watch?interval=never", b"", 400),
    ]:
        path, _, query = path.partition("?")
        answer = api.raw.request(method, V1 + path, query=[tuple(query.split("="))] if query else [], body=body)
        assert answer.status == status, (path, answer)
        check(refusal, json.loads(answer.body))
    answer = api.raw.send("GET", V1 + "status")
    assert answer.status == 403
    check(refusal, json.loads(answer.body))


def test_bodies_that_are_not_as_described_are_refused(api):
    """For every request that has a body: a field of another type, and where none is left out a field less."""
    for path, item in DOCUMENT["paths"].items():
        described = item.get("post", {}).get("requestBody")
        if not described:
            continue
        name = re.search(r"(\w+)$", described["content"]["application/json"]["schema"]["$ref"]).group()
        schema = DOCUMENT["components"]["schemas"][name]
        wrong = [{field: [[]]} for field in schema["properties"]] + ([{}] if schema.get("required") else [])
        for body in wrong:
            answer = api.raw.request("POST", path, body=json.dumps(body).encode())
            assert answer.status == 400, (path, body, answer)
