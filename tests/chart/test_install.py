"""Helm itself: install, upgrade, uninstall, install again, against the fake API server. Helm keeps its releases in PostgreSQL here: in Secrets it would keep them
in protobuf, which the fake does not speak. Nothing runs: there are no nodes."""

import base64
import os
import subprocess

import pytest
import yaml
from larderlib import chart
from larderlib.chart import Refused
from larderlib.fakekube import FakeKube
from larderlib.need import tool
from larderlib.postgres import Postgres

NAMESPACE = "s3"
KINDS = "statefulsets,deployments,services,secrets,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets"
# What the whole cluster has, and what stays.
WIDE = "clusterroles,clusterrolebindings,bucketclasses,bucketaccessclasses"
VALUES = {"tls": {"enabled": True}, "encryption": {"masterKey": {"generate": True}}}


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """Where Helm keeps releases."""
    directory = tmp_path_factory.mktemp("releases")
    database = Postgres(directory, "true", "false", {"PATH": os.environ["PATH"]})
    database.create()
    database.start()
    yield f"host={directory} user=postgres dbname=postgres sslmode=disable"
    database.stop()


class Helm:
    def __init__(self, kube, releases):
        self.environment = {
            "KUBECONFIG": str(kube.kubeconfig), "HOME": str(kube.kubeconfig.parent), "PATH": "/usr/bin:/bin",
            "HELM_DRIVER": "sql", "HELM_DRIVER_SQL_CONNECTION_STRING": releases,
        }

    def run(self, verb, values=None, *arguments):
        """`helm VERB larder`; what it printed."""
        command = [tool("helm"), verb, "larder", *([str(chart.CHART)] if verb in ("install", "upgrade") else []), "--namespace", NAMESPACE, *arguments]
        command += ["--values", "-"] if values is not None else []
        done = subprocess.run(command, input=yaml.safe_dump(values or {}), env=self.environment, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout

    def kubectl(self, *arguments, given=None):
        done = subprocess.run([tool("kubectl"), *arguments], input=given, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def names(self, kinds, *where):
        return set(self.kubectl("get", kinds, *where, "-o", "name").split())

    def here(self):
        return self.names(KINDS, "--namespace", NAMESPACE)

    def secrets(self):
        items = yaml.safe_load(self.kubectl("get", "secrets", "--namespace", NAMESPACE, "-o", "yaml"))["items"]
        return {item["metadata"]["name"]: item["data"] for item in items}


@pytest.fixture
def helm(tmp_path, releases):
    with FakeKube(tmp_path, "--no-cosi") as kube:
        helm = Helm(kube, releases)
        helm.kubectl("apply", "-f", "-", given=f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n")
        yield helm
        helm.run("uninstall", None, "--ignore-not-found")


def test_one_command_installs_all_of_it_and_says_what_to_do_next(helm):
    said = helm.run("install", VALUES)
    expected = {(item["kind"].lower(), item["metadata"]["name"]) for item in chart.render(VALUES) if item["kind"] != "Pod"}
    found = {(name.split("/")[0].split(".")[0], name.split("/")[1]) for name in helm.here() | helm.names(f"{WIDE},crds")}
    assert expected <= found
    for command in ("kubectl -n s3 rollout status statefulset/larder", "kubectl -n s3 exec larder-0 -- larder status", "helm -n s3 test larder", "kubectl apply -f -"):
        assert command in said
    assert "https://larder.s3.svc:9000" in said and "larder-master-key" in said


def test_what_the_notes_have_applied_is_taken(helm):
    """The claim and the access that `helm install` prints."""
    said = helm.run("install", {})
    block = said.split("<<EOF\n", 1)[1].split("\nEOF\n", 1)[0]
    helm.kubectl("apply", "-f", "-", given=block)
    assert helm.names("bucketclaims,bucketaccesses", "--namespace", "default") == {"bucketclaim.objectstorage.k8s.io/backups", "bucketaccess.objectstorage.k8s.io/backups"}


def test_an_upgrade_keeps_secrets_and_an_uninstallation_leaves_them(helm):
    helm.run("install", VALUES)
    before = helm.secrets()
    helm.run("upgrade", {**VALUES, "server": {"logLevel": "debug"}})
    assert helm.secrets() == before
    helm.run("uninstall")
    assert helm.here() == {"secret/larder-root", "secret/larder-ca", "secret/larder-master-key"}
    assert not {name for name in helm.names("clusterroles,clusterrolebindings") if "larder" in name}
    assert len(helm.names("crds")) == 5
    helm.run("install", VALUES)
    after = helm.secrets()
    assert {name: after[name] for name in before if name != "larder-tls"} == {name: before[name] for name in before if name != "larder-tls"}


def test_crds_that_are_there_are_not_touched(helm):
    """Whoever made them, and whatever they say."""
    name = "bucketclasses.objectstorage.k8s.io"
    crd = yaml.safe_load((chart.CHART / "files" / "crds" / f"objectstorage.k8s.io_{name.split('.')[0]}.yaml").read_text())
    crd["metadata"]["labels"] = {"whose": "another-drivers"}
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["more"] = {"type": "string"}
    helm.kubectl("apply", "-f", "-", given=yaml.safe_dump(crd))

    def now():
        item = yaml.safe_load(helm.kubectl("get", "crd", name, "-o", "yaml"))
        return item["spec"], item["metadata"]["uid"], item["metadata"]["labels"], item["metadata"]["annotations"]

    before = now()
    for verb in ("install", "upgrade", "uninstall"):
        helm.run(verb, None if verb == "uninstall" else {})
        assert now() == before
    assert len(helm.names("crds")) == 5, "the others are made, and stay"


def test_classes_are_taken_in_by_the_next_upgrade(helm):
    """Made by a hook where the CRDs came with the installation; removed with the release once an upgrade has taken them in."""
    classes = {"bucketclass.objectstorage.k8s.io/larder", "bucketaccessclass.objectstorage.k8s.io/larder", "bucketaccessclass.objectstorage.k8s.io/larder-read-only"}
    helm.run("install", {})
    assert helm.names("bucketclasses,bucketaccessclasses") == classes
    uid = helm.kubectl("get", "bucketclass", "larder", "-o", "jsonpath={.metadata.uid}")
    helm.run("upgrade", {})
    assert helm.names("bucketclasses,bucketaccessclasses") == classes
    assert helm.kubectl("get", "bucketclass", "larder", "-o", "jsonpath={.metadata.uid}") == uid, "the same object"
    helm.run("uninstall")
    assert helm.names("bucketclasses,bucketaccessclasses") == set()


def test_a_cluster_with_v1alpha2_is_told_apart(helm):
    crd = yaml.safe_load((chart.CHART / "files" / "crds" / "objectstorage.k8s.io_buckets.yaml").read_text())
    crd["spec"]["versions"][0]["name"] = "v1alpha2"
    helm.kubectl("apply", "-f", "-", given=yaml.safe_dump(crd))
    with pytest.raises(Refused, match="set cosi.enabled=false"):
        helm.run("install", {})
    helm.run("install", {"cosi": {"enabled": False}})


def test_another_name_gets_another_certificate_of_the_same_authority(helm):
    helm.run("install", VALUES)
    before = helm.secrets()
    helm.run("upgrade", {**VALUES, "server": {"domains": ["s3.example.com"]}})
    after = helm.secrets()
    assert after["larder-tls"]["tls.crt"] != before["larder-tls"]["tls.crt"]
    assert after["larder-tls"]["ca.crt"] == before["larder-tls"]["ca.crt"] == before["larder-ca"]["tls.crt"]
    assert {name: after[name] for name in after if name != "larder-tls"} == {name: before[name] for name in before if name != "larder-tls"}


def test_a_certificate_in_the_last_third_of_its_time_is_renewed(helm):
    helm.run("install", VALUES)
    before = helm.secrets()["larder-tls"]
    helm.kubectl("annotate", "secret", "larder-tls", "--namespace", NAMESPACE, "--overwrite", "larder.dev/renew-after=1")
    helm.run("upgrade", VALUES, "--force-conflicts")
    after = helm.secrets()["larder-tls"]
    assert after["tls.crt"] != before["tls.crt"] and after["ca.crt"] == before["ca.crt"]
    helm.run("upgrade", VALUES)
    assert helm.secrets()["larder-tls"] == after, "once"


def test_credentials_that_are_given_count(helm):
    helm.run("install", VALUES)
    before = helm.secrets()["larder-root"]
    assert len(base64.b64decode(before["secretKey"])) == 40
    helm.run("upgrade", {**VALUES, "rootCredentials": {"accessKey": "admin", "secretKey": "change-me-please"}})
    after = helm.secrets()["larder-root"]
    assert base64.b64decode(after["accessKey"]) == b"admin" and base64.b64decode(after["secretKey"]) == b"change-me-please"
    assert after["metricsToken"] == before["metricsToken"]


def test_a_second_release_stands_beside_the_first(helm):
    """In another namespace, with classes of its own: nothing of the whole cluster is called the same."""
    helm.run("install", {})
    helm.kubectl("apply", "-f", "-", given="apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n")
    values = {"cosi": {"driverName": "other.larder.dev", "bucketClasses": [{"name": "other"}], "bucketAccessClasses": [{"name": "other"}]}}
    command = [tool("helm"), "install", "larder", str(chart.CHART), "--namespace", "other", "--values", "-"]
    done = subprocess.run(command, input=yaml.safe_dump(values), env=helm.environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    subprocess.run([tool("helm"), "uninstall", "larder", "--namespace", "other"], env=helm.environment, capture_output=True, timeout=120, check=True)
