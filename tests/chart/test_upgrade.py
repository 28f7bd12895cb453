"""What is generated is generated once: upgrades, and installations that find what an earlier one left, keep it. Against the fake API server: `helm template
--dry-run=server` looks things up as `helm upgrade` does, and kubectl puts them there with the marks of ownership that Helm adds. (Helm itself stores its
releases in protobuf, which the fake does not speak.)"""

import base64
import subprocess

import pytest
import yaml
from larderlib import chart
from larderlib.fakekube import FakeKube
from larderlib.need import tool

EVERYTHING = {"tls": {"enabled": True}, "encryption": {"masterKey": {"generate": True}}}
NAMESPACE = "s3"


class Cluster:
    def __init__(self, kubeconfig):
        self.environment = {"KUBECONFIG": str(kubeconfig), "HOME": str(kubeconfig.parent), "PATH": "/usr/bin:/bin"}

    def kubectl(self, *arguments, given=None):
        done = subprocess.run([tool("kubectl"), *arguments], input=given, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def render(self, values):
        command = [tool("helm"), "template", "larder", str(chart.CHART), "--namespace", NAMESPACE, "--dry-run=server", "--values", "-"]
        done = subprocess.run(command, input=yaml.safe_dump(values), env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return [owned(item) for item in chart.objects(done.stdout)]

    def upgrade(self, values):
        """Everything but the pod of `helm test`, which is a hook. What was rendered."""
        items = [item for item in self.render(values) if item["kind"] != "Pod"]
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=yaml.safe_dump_all(items))
        return items

    def secrets(self):
        items = yaml.safe_load(self.kubectl("get", "secrets", "--namespace", NAMESPACE, "-o", "yaml"))["items"]
        return {item["metadata"]["name"]: item["data"] for item in items}


def owned(item):
    annotations = item["metadata"].setdefault("annotations", {})
    annotations |= {"meta.helm.sh/release-name": "larder", "meta.helm.sh/release-namespace": NAMESPACE}
    return item


@pytest.fixture
def cluster(tmp_path):
    with FakeKube(tmp_path, "--no-cosi") as kube:
        cluster = Cluster(kube.kubeconfig)
        cluster.kubectl("apply", "-f", "-", given=f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n")
        cluster.kubectl("apply", "-f", str(chart.CHART / "crds"))
        cluster.upgrade(EVERYTHING)
        yield cluster


def test_an_upgrade_keeps_what_was_generated(cluster):
    before = cluster.secrets()
    assert set(before) == {"larder-root", "larder-master-key", "larder-ca", "larder-tls"}
    assert len(base64.b64decode(before["larder-root"]["secretKey"])) == 40
    assert base64.b64decode(before["larder-master-key"]["masterKey"]).startswith(b"chart-1:")
    cluster.upgrade({**EVERYTHING, "server": {"logLevel": "debug"}})
    assert cluster.secrets() == before


def test_what_an_uninstalled_release_left_is_taken_up(cluster):
    """`helm uninstall` removes what has no `helm.sh/resource-policy: keep`."""
    before = cluster.secrets()
    items = cluster.render(EVERYTHING)
    kept = {item["metadata"]["name"] for item in items if item["metadata"]["annotations"].get("helm.sh/resource-policy") == "keep"}
    assert kept == {"larder-root", "larder-master-key", "larder-ca"}
    cluster.kubectl("delete", "secret", "larder-tls", "--namespace", NAMESPACE)
    cluster.upgrade(EVERYTHING)
    after = cluster.secrets()
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["larder-tls"]["ca.crt"] == before["larder-ca"]["tls.crt"], "the same authority signs again"


def test_another_name_gets_another_certificate_of_the_same_authority(cluster):
    before = cluster.secrets()
    cluster.upgrade({**EVERYTHING, "server": {"domains": ["s3.example.com"]}})
    after = cluster.secrets()
    assert after["larder-tls"]["tls.crt"] != before["larder-tls"]["tls.crt"]
    assert after["larder-tls"]["ca.crt"] == before["larder-tls"]["ca.crt"]
    assert {name: after[name] for name in after if name != "larder-tls"} == {name: before[name] for name in before if name != "larder-tls"}


def test_a_certificate_in_the_last_third_of_its_time_is_renewed(cluster):
    before = cluster.secrets()["larder-tls"]
    cluster.kubectl("annotate", "secret", "larder-tls", "--namespace", NAMESPACE, "--overwrite", "larder.dev/renew-after=1")
    cluster.upgrade(EVERYTHING)
    after = cluster.secrets()["larder-tls"]
    assert after["tls.crt"] != before["tls.crt"] and after["ca.crt"] == before["ca.crt"]
    cluster.upgrade(EVERYTHING)
    assert cluster.secrets()["larder-tls"] == after, "once"


def test_credentials_that_are_given_count(cluster):
    before = cluster.secrets()
    cluster.upgrade({**EVERYTHING, "rootCredentials": {"accessKey": "admin", "secretKey": "change-me-please"}})
    after = cluster.secrets()["larder-root"]
    assert base64.b64decode(after["accessKey"]) == b"admin" and base64.b64decode(after["secretKey"]) == b"change-me-please"
    assert after["metricsToken"] == before["larder-root"]["metricsToken"]


def test_every_object_is_taken_by_the_server(cluster):
    """COSI's classes among them: the chart's CRDs are established, with the approval that their group needs."""
    names = cluster.kubectl("get", "bucketclasses,bucketaccessclasses", "-o", "name").split()
    assert set(names) == {"bucketclass.objectstorage.k8s.io/larder", "bucketaccessclass.objectstorage.k8s.io/larder", "bucketaccessclass.objectstorage.k8s.io/larder-read-only"}
