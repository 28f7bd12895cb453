"""The driver as the chart starts it: its own arguments, environment, account and roles, against an API server that holds it to them and a real store. A claim and an
access become a bucket and a Secret that works, and go again, and nothing is forbidden. (That no right goes unused is for the driver's own tests of its table.)"""

import base64
import json
import signal
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import boto3
import pytest
import yaml
from larderlib import chart
from larderlib.cosi import driver_binary
from larderlib.fakekube import FakeKube
from larderlib.need import tool
from larderlib.server import inherited_environment, poll

ACCOUNT = "system:serviceaccount:s3:larder-cosi"
CLAIM = """
apiVersion: objectstorage.k8s.io/v1alpha1
kind: BucketClaim
metadata: {name: backups, namespace: db}
spec: {bucketClassName: scratch, protocols: [S3]}
---
apiVersion: objectstorage.k8s.io/v1alpha1
kind: BucketAccess
metadata: {name: backups, namespace: db}
spec: {bucketClaimName: backups, bucketAccessClassName: larder, credentialsSecretName: backups, protocol: S3}
"""
VALUES = {"cosi": {"controllers": "standalone", "bucketClasses": [{"name": "scratch", "deletionPolicy": "Delete", "parameters": {"onDelete": "Empty"}}]}}


class Driver:
    """The container of the Deployment, on this machine."""

    def __init__(self, items, server, kube, directory):
        container = chart.one(items, "Deployment")["spec"]["template"]["spec"]["containers"][0]
        self.log = directory / "driver.log"
        # The path of a socket has to be short.
        self.run = Path(tempfile.mkdtemp(prefix="cosi-"))
        (directory / "credentials").mkdir()
        for name, text in (("access-key", server.access_key), ("secret-key", server.secret_key)):
            (directory / "credentials" / name).write_text(text)
        replaced = {"--endpoint": server.endpoint, "--listen": "127.0.0.1:0"}
        self.command = [driver_binary()]
        for argument in container["args"]:
            name, _, value = argument.partition("=")
            self.command.append(f"{name}={replaced.get(name, value)}" if value else name)
        fields = {"POD_NAME": "larder-cosi-0", "POD_NAMESPACE": "s3"}
        self.environment = {item["name"]: item.get("value") or fields[item["name"]] for item in container["env"]}
        for name, value in self.environment.items():
            self.environment[name] = value.replace("/etc/larder/", f"{directory}/").replace("/var/lib/cosi/", f"{self.run}/")
        self.environment["LARDER_COSI_KUBECONFIG"] = str(kube)

    def __enter__(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command, env={**inherited_environment(), **self.environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.log.read_text()


class Kube:
    def __init__(self, fake):
        self.fake = fake
        self.url = yaml.safe_load(fake.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]

    def kubectl(self, *arguments, given=None, check=True):
        environment = {"KUBECONFIG": str(self.fake.kubeconfig), "HOME": str(self.fake.kubeconfig.parent), "PATH": "/usr/bin:/bin"}
        done = subprocess.run([tool("kubectl"), *arguments], input=given, env=environment, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, path, body=None):
        request = urllib.request.Request(self.url + path, data=body and json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def kubeconfig_of_the_driver(self, path):
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
        token = self.ask("/api/v1/namespaces/s3/serviceaccounts/larder-cosi/token", body)["status"]["token"]
        config = yaml.safe_load(self.fake.kubeconfig.read_text())
        config["users"] = [{"name": "driver", "user": {"token": token}}]
        config["contexts"] = [{"name": "driver", "context": {"cluster": config["clusters"][0]["name"], "user": "driver"}}]
        config["current-context"] = "driver"
        path.write_text(yaml.safe_dump(config))
        return path

    def asked(self):
        return [item for item in self.ask("/_fake/asked") if item["user"] == ACCOUNT]

    def there(self, kind, name, namespace=None):
        where = ["--namespace", namespace] if namespace else []
        return bool(self.kubectl("get", kind, name, *where, "--ignore-not-found", "-o", "name").strip())


@pytest.fixture
def kube(tmp_path):
    with FakeKube(tmp_path, "--rbac") as fake:
        kube = Kube(fake)
        for name in ("s3", "db"):
            kube.kubectl("apply", "-f", "-", given=f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
        yield kube


@pytest.fixture
def items(kube):
    items = chart.render(VALUES)
    needed = [item for item in items if item["kind"] in ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "BucketClass", "BucketAccessClass")]
    kube.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(needed))
    return items


def test_a_claim_becomes_a_bucket_and_credentials_within_the_rights_that_the_chart_gives(kube, items, server, tmp_path):
    config = kube.kubeconfig_of_the_driver(tmp_path / "driver.kubeconfig")
    with Driver(items, server, config, tmp_path) as driver:
        kube.kubectl("apply", "-f", "-", given=CLAIM)
        poll(lambda: kube.there("secret", "backups", "db"), 60, f"the Secret; {driver.log}", every_seconds=0.2)
        secret = {key: base64.b64decode(value).decode() for key, value in json.loads(kube.kubectl("get", "secret", "backups", "-n", "db", "-o", "json"))["data"].items()}
        assert set(secret) <= chart.secret_keys()
        s3 = boto3.client("s3", endpoint_url=secret["AWS_ENDPOINT_URL"], region_name=secret["AWS_DEFAULT_REGION"], aws_access_key_id=secret["AWS_ACCESS_KEY_ID"], aws_secret_access_key=secret["AWS_SECRET_ACCESS_KEY"])
        s3.put_object(Bucket=secret["BUCKET_NAME"], Key="k", Body=b"body")
        assert s3.get_object(Bucket=secret["BUCKET_NAME"], Key="k")["Body"].read() == b"body"
        kube.kubectl("delete", "bucketaccess", "backups", "-n", "db", "--wait=false")
        poll(lambda: not kube.there("secret", "backups", "db"), 60, "the access goes", every_seconds=0.2)
        with pytest.raises(s3.exceptions.ClientError, match="InvalidAccessKeyId"):
            s3.get_object(Bucket=secret["BUCKET_NAME"], Key="k")
        kube.kubectl("delete", "bucketclaim", "backups", "-n", "db", "--wait=false")
        poll(lambda: not kube.there("bucketclaim", "backups", "db"), 60, "the claim goes", every_seconds=0.2)
    asked = kube.asked()
    assert asked and not [item for item in asked if item["denied"]], "forbidden"


def test_without_its_roles_it_is_forbidden(kube, server, tmp_path):
    """The check itself: the API server does hold the driver to its roles."""
    items = chart.render({**VALUES, "cosi": {**VALUES["cosi"], "rbac": {"create": False}}})
    account = [item for item in items if item["kind"] == "ServiceAccount"]
    kube.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(account))
    config = kube.kubeconfig_of_the_driver(tmp_path / "driver.kubeconfig")
    with Driver(items, server, config, tmp_path):
        poll(lambda: any(item["denied"] for item in kube.asked()), 60, "something is forbidden", every_seconds=0.2)
