"""The procedures of docs/kubernetes.md on volumes, with real processes: a pod is `larder server` in the environment that the chart gives it, and
its volumes are directories, made when they are missing, as a StatefulSet makes them. Nothing but the pod's restart may be noticed by clients."""

import base64
import hashlib
import http.client
import json
import os
import shutil
import ssl
import subprocess
import threading
import urllib.parse
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from larderlib import chart
from larderlib.clients import boto
from larderlib.server import Larder, inherited_environment, larder_binary, poll

BUCKET = "backups"


class Pod(Larder):
    """The store's pod, of the values with which the chart was last upgraded."""

    def __init__(self, directory, values):
        super().__init__(directory)
        self.upgrade(values)

    def upgrade(self, values):
        """`helm upgrade`: counts from the next start on."""
        items = chart.render({"rootCredentials": {"accessKey": self.access_key, "secretKey": self.secret_key}, **values})
        pod = chart.one(items, "StatefulSet")["spec"]["template"]["spec"]
        container = pod["containers"][0]
        self.mounted = [mount["name"] for mount in container["volumeMounts"] if mount["name"].startswith("disk-")]
        self._mount_secrets(pod, container, {item["metadata"]["name"]: item["data"] for item in items if item["kind"] == "Secret"})
        # Ports are those that are free; all else is as the container has it, below a directory of the test's.
        self.environment = {item["name"]: self.on_this_machine(item["value"]) for item in container["env"]} | {"LARDER_LISTEN": "127.0.0.1:0"}
        if "LARDER_HTTP_LISTEN" in self.environment:
            assert self.environment["LARDER_HTTP_LISTEN"].startswith("127.0.0.1:"), "within the pod only"
            self.plain, self.environment["LARDER_HTTP_LISTEN"] = True, "127.0.0.1:0"

    def on_this_machine(self, path):
        return path.replace("/data/", f"{self.directory}/volumes/").replace("/etc/larder/", f"{self.directory}/etc/")

    def _mount_secrets(self, pod, container, secrets):
        """The files that the container finds: each key under the name that the volume gives it."""
        places = {mount["name"]: Path(self.on_this_machine(mount["mountPath"])) for mount in container["volumeMounts"]}
        for volume in pod["volumes"]:
            sources = [volume["secret"]] if "secret" in volume else [source["secret"] for source in volume["projected"]["sources"]]
            places[volume["name"]].mkdir(parents=True, exist_ok=True)
            for source in sources:
                data = secrets[source.get("name") or source["secretName"]]
                for item in source["items"]:
                    (places[volume["name"]] / item["path"]).write_bytes(base64.b64decode(data[item["key"]]))

    def volume(self, number):
        return self.directory / "volumes" / f"disk-{number}"

    def lose_volume(self, number):
        """`kubectl delete pvc`, and the pod: the next start finds an empty one."""
        assert self.process is None, "stop the pod first"
        shutil.rmtree(self.volume(number))

    def command(self):
        for name in self.mounted:
            (self.directory / "volumes" / name).mkdir(parents=True, exist_ok=True)
        self.address_file.unlink(missing_ok=True)
        return [larder_binary(), "server", "--address-file", str(self.address_file)]

    def exec(self, *arguments):
        """`kubectl exec larder-0 -- larder ...`: with nothing but the container's environment."""
        assert self.environment["LARDER_ENDPOINT"].startswith("http://127.0.0.1:")
        environment = {**inherited_environment(), **self.environment, "LARDER_ENDPOINT": self.plain_endpoint if self.plain else self.endpoint}
        done = subprocess.run([larder_binary(), *arguments], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run = exec

    def disk_list(self):
        return json.loads(self.exec("disk", "list", "--json"))["disks"]


class Client:
    """Writes and reads all the time while the pod is up; whatever fails is kept."""

    def __init__(self, pod, expected):
        self.s3, self.expected, self.failures, self.rounds = boto(pod, retries=0), expected, [], 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._work)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
        assert not self.failures, self.failures[:3]
        assert self.rounds > 0

    def _work(self):
        names = sorted(self.expected)
        while not self.stopped.is_set():
            name = names[self.rounds % len(names)]
            try:
                assert self.s3.get_object(Bucket=BUCKET, Key=name)["Body"].read() == self.expected[name], name
                body = os.urandom(20_000)
                self.s3.put_object(Bucket=BUCKET, Key="busy", Body=body)
                assert self.s3.get_object(Bucket=BUCKET, Key="busy")["Body"].read() == body
            except Exception as error:  # noqa: BLE001 - any failure is one
                self.failures.append(repr(error))
            self.rounds += 1


@pytest.fixture
def pod(tmp_path):
    pod = Pod(tmp_path / "pod", {"disks": {"count": 4}})
    with pod:
        yield pod


@pytest.fixture
def stored(pod):
    """Small and large objects, by key."""
    s3 = boto(pod)
    s3.create_bucket(Bucket=BUCKET)
    bodies = {f"wal/{number}": hashlib.sha256(str(number).encode()).digest() * 500 for number in range(40)}
    bodies["base"] = os.urandom(9_000_000)
    for key, body in bodies.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    return bodies


def everything_is_there(pod, stored):
    s3 = boto(pod)
    assert all(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body for key, body in stored.items())
    pod.exec("verify", f"s3://{BUCKET}/", "--now")


def restart(pod, values=None, losing=()):
    """Kubernetes ends the pod and starts it again, on the volumes that are there."""
    assert pod.stop() == 0
    for number in losing:
        pod.lose_volume(number)
    if values is not None:
        pod.upgrade(values)
    pod.start()


def test_every_volume_is_replaced_one_after_another(pod, stored):
    """As for another StorageClass, or larger volumes: an empty one in its place, healed before the next."""
    for number in (1, 2, 3, 4):
        restart(pod, losing=[number])
        with Client(pod, stored):
            pod.until_healed()
        assert [disk["state"] for disk in pod.disk_list()] == ["ok"] * 4
    everything_is_there(pod, stored)


def test_a_disk_is_added_by_the_count_alone(pod, stored):
    restart(pod, {"disks": {"count": 5}})
    with Client(pod, dict(stored)):
        disks = pod.disk_list()
        assert [(disk["directory"], disk["role"]) for disk in disks][-1] == (str(pod.volume(5)), "member")
        for number in range(8):
            stored[f"new/{number}"] = os.urandom(200_000)
            boto(pod).put_object(Bucket=BUCKET, Key=f"new/{number}", Body=stored[f"new/{number}"])
        assert pod.disk_list()[4]["shard_bytes"] > 0, "new objects have shards there at once"
        pod.until_healed()
    everything_is_there(pod, stored)
    restart(pod)
    everything_is_there(pod, stored)


def test_a_disk_is_drained_and_removed(pod, stored):
    restart(pod, {"disks": {"count": 5}})
    pod.until_healed()
    (second,) = [disk for disk in pod.disk_list() if disk["directory"] == str(pod.volume(2))]
    with Client(pod, stored):
        pod.exec("disk", "drain", str(second["number"]))
        poll(lambda: drained(pod, second["number"]), 120, "drained", every_seconds=0.2)
        pod.exec("disk", "remove", str(second["number"]))
    restart(pod, {"disks": {"count": 5, "removed": [2]}})
    shutil.rmtree(pod.volume(2))
    everything_is_there(pod, stored)
    restart(pod)
    assert [disk["directory"] for disk in pod.disk_list()] == [str(pod.volume(number)) for number in (1, 3, 4, 5)]
    everything_is_there(pod, stored)


def drained(pod, number):
    (disk,) = [disk for disk in pod.disk_list() if disk["number"] == number]
    return disk["role"] == "drained"


def test_a_start_with_values_that_were_forgotten_says_which_volume(pod, stored):
    """`helm upgrade` was not run after `larder disk remove`: the start refuses, touches nothing, and names the volume."""
    restart(pod, {"disks": {"count": 5}})
    pod.until_healed()
    (fifth,) = [disk for disk in pod.disk_list() if disk["directory"] == str(pod.volume(5))]
    pod.exec("disk", "drain", str(fifth["number"]))
    poll(lambda: drained(pod, fifth["number"]), 120, "drained", every_seconds=0.2)
    pod.exec("disk", "remove", str(fifth["number"]))
    pod.stop()
    with pytest.raises(RuntimeError, match="disk-5"):
        pod.start()
    pod.process = None
    pod.upgrade({"disks": {"count": 5, "removed": [5]}})
    pod.start()
    everything_is_there(pod, stored)


def test_volumes_of_an_uninstalled_release_serve_the_next(pod, stored):
    """`helm uninstall` leaves volumes and the root Secret: an installation of the same name finds all of it."""
    pod.stop()
    shutil.rmtree(pod.directory / "etc")
    pod.upgrade({"disks": {"count": 4}})
    pod.start()
    everything_is_there(pod, stored)


def test_host_style_is_served_below_the_services_names(pod, stored):
    """With names that resolve, as CoreDNS makes them: the signature is for that host."""
    for name in ("larder.s3.svc", "larder.s3.svc.cluster.local", "larder.s3"):
        s3 = boto3.client("s3", endpoint_url=f"http://{name}:9000", region_name="us-east-1", aws_access_key_id=pod.access_key, aws_secret_access_key=pod.secret_key, config=Config(s3={"addressing_style": "virtual"}, signature_version="s3v4"))
        url = urllib.parse.urlsplit(s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "wal/1"}))
        assert url.netloc == f"{BUCKET}.{name}:9000"
        connection = http.client.HTTPConnection(pod.address, timeout=30)
        connection.request("GET", f"{url.path}?{url.query}", headers={"Host": url.netloc})
        assert connection.getresponse().read() == stored["wal/1"]
        connection.close()


def test_the_pod_of_helm_test_says_that_all_is_well(pod):
    """Its containers one after another, each twice, as after a test that broke off."""
    items = chart.render({})
    spec = chart.one(items, "Pod")["spec"]
    for _ in range(2):
        for container in [*spec["initContainers"], *spec["containers"]]:
            environment = {item["name"]: item["value"].replace("/etc/larder/credentials/", f"{pod.directory}/etc/secrets/") for item in container["env"]}
            assert environment["LARDER_ENDPOINT"] == "http://larder.s3.svc:9000"
            environment["LARDER_ENDPOINT"] = pod.endpoint
            for _ in range(2 if container["name"] == "add-bucket" else 1):
                done = subprocess.run([larder_binary(), *container["args"]], env={**inherited_environment(), **environment}, capture_output=True, text=True, timeout=60)
                assert done.returncode == 0, done.stderr


def test_commands_in_the_pod_need_no_options(pod):
    assert "2+2" in pod.exec("status")
    assert pod.exec("sts", "whoami")


def test_what_the_chart_generates_is_taken_by_the_server(tmp_path):
    """Certificate, master key and credentials, from the Secrets to the files and into the server."""
    values = {"tls": {"enabled": True}, "encryption": {"masterKey": {"generate": True}}, "audit": {"enabled": True}, "server": {"settings": {"encryptAll": True, "maxRequests": 100}}}
    with Pod(tmp_path / "pod", values) as pod:
        assert "chart-1" in pod.exec("encryption", "status")
        s3 = boto3.client("s3", endpoint_url=pod.plain_endpoint, region_name="us-east-1", aws_access_key_id=pod.access_key, aws_secret_access_key=pod.secret_key)
        s3.create_bucket(Bucket=BUCKET)
        assert s3.put_object(Bucket=BUCKET, Key="k", Body=b"body")["ServerSideEncryption"] == "AES256"
        certificate = pod.directory / "etc" / "tls" / "tls.crt"
        shown = ssl.get_server_certificate(("127.0.0.1", pod.port))
        assert shown.strip() in certificate.read_text()
        assert '"operation":"PutObject"' in pod.log_path.read_text(), "the audit log is on standard output"
