"""What the chart lets the driver do: enough, and nothing that is never used."""

import json
import urllib.request

import pytest
import yaml
from larderlib import chart
from larderlib.cosi import Driver
from larderlib.kubectl import cluster
from larderlib.server import poll

NAMESPACE = "s3"


@pytest.fixture
def kube(tmp_path):
    with cluster(tmp_path, "--rbac") as kube:
        kube.apply_file("charts/larder/files/crds")
        kube.until_served("bucketclaims.objectstorage.k8s.io")
        yield kube


def rendered(kind):
    return [one for one in chart.objects(chart.template(namespace=NAMESPACE)) if one["kind"] == kind and "cosi" in one["metadata"]["name"]]


def rules():
    """Verb, group, resource of everything that the driver is allowed: by roles that are bound to it, not by those for people."""
    for kind in ("ClusterRole", "Role"):
        bound = {binding["roleRef"]["name"] for binding in rendered(f"{kind}Binding")}
        for role in (one for one in rendered(kind) if one["metadata"]["name"] in bound):
            for rule in role["rules"]:
                yield from ((verb, group, resource) for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"])


def token_of(kube, account):
    url = f"{kube.url}/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token"
    request = urllib.request.Request(url, json.dumps({"spec": {}}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())["status"]["token"]


def kubeconfig_of(kube, account, path):
    configuration = yaml.safe_load(kube.kubeconfig.read_text())
    configuration["users"] = [{"name": configuration["users"][0]["name"], "user": {"token": token_of(kube, account)}}]
    path.touch(mode=0o600)
    path.write_text(json.dumps(configuration))
    return path


def exercise(kube):
    """What uses every right: made, rotated, mended, refused and deleted."""
    namespace = kube.namespace()
    accesses, buckets = kube.access_class(), kube.bucket_class()
    kube.claim(namespace, "claim", bucketClassName=buckets)
    kube.access(namespace, "access", "claim", accesses, "secret")
    kube.access(namespace, "wrong", "no-such-claim", accesses, "other")
    kube.until_ready(namespace, "claim")
    first = kube.until_granted(namespace, "access")
    kube("-n", namespace, "annotate", "bucketaccess", "access", "cosi.larder.dev/rotate=now")
    kube.until(lambda it: it["data"]["AWS_ACCESS_KEY_ID"] and kube.secret(namespace, "secret")["AWS_ACCESS_KEY_ID"] != first["AWS_ACCESS_KEY_ID"], "-n", namespace, "secret", "secret")
    for access in ("access", "wrong"):
        kube("-n", namespace, "delete", "bucketaccess", access, "--timeout=60s")
    kube("-n", namespace, "delete", "bucketclaim", "claim", "--timeout=60s")


@pytest.mark.timeout(200)
def test_the_driver_may_do_what_it_does_and_nothing_else(server, kube, tmp_path):
    (account,) = rendered("ServiceAccount")
    kube("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))
    kube.apply(account, *[one for kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding") for one in rendered(kind) if one["metadata"].get("namespace", NAMESPACE) == NAMESPACE])
    name = account["metadata"]["name"]
    path = kubeconfig_of(kube, name, tmp_path / "of-the-driver")
    arguments = ["--controllers", "standalone", "--kubeconfig", str(path), "--namespace", NAMESPACE]
    with Driver(server, extra_args=arguments) as driver:
        exercise(kube)

        def requests():
            return [row for row in kube.fake("asked", method="GET") if row["user"] == f"system:serviceaccount:{NAMESPACE}:{name}"]

        def unused():
            return set(rules()) - {(row["verb"], row["group"], row["resource"]) for row in requests()}

        # Repeats of one event come within minutes; a lease is renewed after seconds. What `auto` and `repair` look at, tests of the controllers exercise.
        poll(lambda: unused() <= {("patch", "events.k8s.io", "events")}, 60, "every right is used")
        asked = requests()
        assert "forbidden" not in driver.log().lower(), driver.log()
    assert [row for row in asked if row["denied"]] == []
    used = {(row["verb"], row["group"], row["resource"]) for row in asked}
    assert used <= set(rules())
