"""docker-registry with its S3 driver: an image is pushed and pulled over the registry's API, through crashes of the store and the loss of two disks."""

import hashlib
import json
import subprocess
import urllib.error
import urllib.request

import pytest
from larderlib.clients import boto, client_environment, random_bytes
from larderlib.need import tool
from larderlib.server import free_port, http_ok, poll

BUCKET = "registry"
MIB = 1024 * 1024
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = """
version: 0.1
storage:
  s3: {{region: {region}, regionendpoint: "{endpoint}", bucket: {bucket}, secure: false}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
"""


class Registry:
    """A registry process, and as much of a client as `docker push` and `docker pull` are."""

    def __init__(self, store, directory):
        self.port = free_port()
        self.config = directory / "registry.yml"
        self.config.write_text(CONFIG.format(region=store.region, endpoint=store.endpoint, bucket=BUCKET, port=self.port))
        self.environment = client_environment(store, directory)
        self.log = directory / "registry.log"
        self.program = tool("docker-registry")

    def __enter__(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program, "serve", self.config], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        poll(lambda: http_ok(self.url("/v2/")) or self.process.poll() is not None, 30, "the registry's start")
        assert self.process.poll() is None, self.log.read_text()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def ask(self, method, url, data=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(url if "://" in url else self.url(url), data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.headers, answer.read()

    def push_blob(self, data, piece=11 * MIB, between=lambda: None):
        """Sends a blob in pieces, and calls `between` after each."""
        headers, _ = self.ask("POST", "/v2/app/blobs/uploads/", b"")
        for start in range(0, len(data), piece):
            part = data[start : start + piece]
            headers, _ = self.ask("PATCH", headers["Location"], part, Content_Type="application/octet-stream", Content_Range=f"{start}-{start + len(part) - 1}")
            between()
        self.ask("PUT", f"{headers['Location']}&digest={digest(data)}", b"")
        return {"digest": digest(data), "size": len(data)}

    def push(self, tag, layers):
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}}).encode()
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST}
        manifest["config"] = {"mediaType": "application/vnd.oci.image.config.v1+json"} | self.push_blob(config)
        manifest["layers"] = [{"mediaType": "application/vnd.oci.image.layer.v1.tar"} | self.push_blob(layer) for layer in layers]
        headers, _ = self.ask("PUT", f"/v2/app/manifests/{tag}", json.dumps(manifest).encode(), Content_Type=MANIFEST)
        return headers["Docker-Content-Digest"]

    def pull(self, tag):
        _, manifest = self.ask("GET", f"/v2/app/manifests/{tag}", Accept=MANIFEST)
        return [self.ask("GET", f"/v2/app/blobs/{layer['digest']}")[1] for layer in json.loads(manifest)["layers"]]

    def collect_garbage(self):
        done = subprocess.run([self.program, "garbage-collect", "--delete-untagged", self.config], env=self.environment, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def registry(store, tmp_path):
    boto(store).create_bucket(Bucket=BUCKET)
    with Registry(store, tmp_path) as registry:
        yield registry


def stored_blobs(store):
    pages = boto(store).get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="docker/registry/v2/blobs/")
    return {entry["Key"].split("/")[-2] for page in pages for entry in page.get("Contents", [])}


def test_images_are_pushed_pulled_and_deleted(store, registry):
    # Beyond 32 MiB the registry moves a layer into place by copying parts.
    old = [random_bytes(40 * MIB + 1, 1), random_bytes(1000, 2)]
    new = [random_bytes(23 * MIB, 3), old[1]]
    of_old = registry.push("old", old)
    registry.push("new", new)
    store.crash(losing=(1, 4))
    assert registry.pull("old") == old
    assert registry.pull("new") == new
    assert json.loads(registry.ask("GET", "/v2/app/tags/list")[1])["tags"] == ["new", "old"]

    registry.ask("DELETE", f"/v2/app/manifests/{of_old}")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        registry.pull("old")
    registry.collect_garbage()
    assert digest(old[0]).split(":")[1] not in stored_blobs(store)
    assert registry.pull("new") == new


def test_a_layer_is_pushed_while_the_store_crashes(store, registry):
    layer = random_bytes(30 * MIB, 4)
    registry.push_blob(layer, between=store.crash)
    assert registry.ask("GET", f"/v2/app/blobs/{digest(layer)}")[1] == layer
