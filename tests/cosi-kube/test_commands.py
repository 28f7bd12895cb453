"""`larder-cosi orphans`, `migrate` and `doctor` as a user runs them, beside a server, an API server and a driver: what they print, how they end, and what they change."""

import dataclasses
import datetime
import email.utils
import itertools
import json
import os
import re
import subprocess
import types

import pytest
import yaml
from larderlib.clients import boto
from larderlib.cosi import Driver, Proxy, driver_binary
from larderlib.expect import refused
from larderlib.kubectl import cluster
from larderlib.server import inherited_environment

_numbers = itertools.count()


@dataclasses.dataclass
class Shop:
    """A driver of a name that nobody else has, so that what others left in the server is not its own; and what was made through it."""

    kube: object
    driver: object
    name: str
    buckets: str
    accesses: str
    namespace: str

    def make(self, claim, *accesses):
        """A claim with its accesses, once all is granted: the bucket, and what each Secret holds."""
        kube, namespace = self.kube, self.namespace
        kube.claim(namespace, claim, bucketClassName=self.buckets)
        for access in accesses:
            kube.access(namespace, access, claim, self.accesses, f"of-{access}")
        return kube.until_ready(namespace, claim), *(kube.until_granted(namespace, access) for access in accesses)

    def account(self, access):
        return self.kube.get("-n", self.namespace, "bucketaccess", access)["status"]["accountID"]

    def lose(self, *what):
        """An object goes without anybody having been asked: its finalizers are taken off by hand."""
        self.kube(*what[:-2], "patch", *what[-2:], "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
        self.kube(*what[:-2], "delete", *what[-2:], "--timeout=60s")

    def run(self, *arguments, status=0, **environment):
        """What a command prints, and what it complains of."""
        given = {name: value for name, value in self.driver.environment.items() if name.startswith("LARDER_COSI_")}
        given |= {"LARDER_COSI_ENDPOINT": self.driver.endpoint, "LARDER_COSI_DRIVER_NAME": self.name, "LARDER_COSI_KUBECONFIG": str(self.kube.kubeconfig)}
        done = subprocess.run([driver_binary(), *arguments], env={**inherited_environment(), **given, **environment}, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        assert self.driver.secret_key not in done.stdout + done.stderr
        return done.stdout, done.stderr

    def json(self, *arguments, **options):
        return json.loads(self.run(*arguments, "--json", **options)[0])


@pytest.fixture
def shop(server, kube):
    name = f"commands-{os.getpid()}-{next(_numbers)}.cosi.test"
    buckets, accesses = kube.bucket_class(driver=name), kube.access_class(driver=name, accessMode="ReadOnly")
    arguments = ["--driver-name", name, "--controllers", "standalone", "--kubeconfig", str(kube.kubeconfig)]
    with Driver(server, extra_args=arguments) as driver:
        yield Shop(kube, driver, name, buckets, accesses, kube.namespace())


def listed(server, secret):
    """Asks with an access's key."""
    keys = {"access_key": secret["AWS_ACCESS_KEY_ID"], "secret_key": secret["AWS_SECRET_ACCESS_KEY"]}
    return boto(server, **keys).list_objects_v2(Bucket=secret["BUCKET_NAME"])


def test_orphans_are_shown_and_their_accounts_deleted_when_that_is_asked(server, s3, shop):
    bucket, kept, lost = shop.make("photos", "kept", "lost")
    other, _ = shop.make("letters", "reader")
    assert shop.run("orphans") == ("no orphans\n", "")
    assert shop.json("orphans") == {"accounts": [], "buckets": [], "doubt": None, "deleted": []}

    account = shop.account("lost")
    shop.driver.stop()
    shop.lose("-n", shop.namespace, "bucketaccess", "lost")
    shop.lose("-n", shop.namespace, "bucketaccess", "reader")
    shop.lose("-n", shop.namespace, "bucketclaim", "letters")
    shop.lose("bucket", other)
    text, _ = shop.run("orphans")
    lines = text.splitlines()
    assert len(lines) == 3 and lines[2].startswith(f"bucket {other}: made 20"), text
    assert any(line.startswith(f"account {account}: to {bucket}, made 20") for line in lines[:2]), text
    found = shop.json("orphans")
    by_bucket = {one["buckets"][0]["bucket"]: one for one in found["accounts"]}
    assert set(by_bucket) == {bucket, other} and by_bucket[bucket]["account"] == account
    assert by_bucket[bucket]["buckets"] == [{"bucket": bucket, "accessMode": "ReadOnly"}]
    assert by_bucket[bucket]["disabled"] is None and by_bucket[bucket]["created"].endswith("Z")
    assert [(one["bucket"], one["trashedUntil"]) for one in found["buckets"]] == [(other, None)]
    assert (found["doubt"], found["deleted"]) == (None, [])
    # They were only shown.
    listed(server, lost)

    done = shop.json("orphans", "--delete")
    assert sorted(done["deleted"]) == sorted(one["account"] for one in found["accounts"])
    with refused("InvalidAccessKeyId"):
        listed(server, lost)
    listed(server, kept)
    s3.head_bucket(Bucket=other)
    left = shop.json("orphans")
    assert (left["accounts"], [one["bucket"] for one in left["buckets"]]) == ([], [other])


def test_a_cluster_without_accesses_is_taken_for_the_wrong_one(server, shop, tmp_path):
    _, secret = shop.make("photos", "reader")
    account = shop.account("reader")
    shop.driver.stop()
    with cluster(tmp_path) as wrong:
        wrong.apply_file("charts/larder/files/crds")
        wrong.until_served("bucketaccesses.objectstorage.k8s.io")
        shop.kube = wrong
        text, complaint = shop.run("orphans", "--delete", status=1)
        assert f"account {account}: to " in text and "\ndoubtful: there is not one BucketAccess" in text and "deleted" not in text
        assert complaint.startswith("larder-cosi: there is not one BucketAccess in this cluster") and complaint.count("\n") == 1
        assert "--force" in complaint
        found = shop.json("orphans", "--delete", status=1)
        assert "right cluster" in found["doubt"] and found["deleted"] == []
        listed(server, secret)
        text, _ = shop.run("orphans", "--delete", "--force")
        assert text.endswith(f"deleted {account}\n")
    with refused("InvalidAccessKeyId"):
        listed(server, secret)


def test_migrate_prints_what_takes_everything_up(s3, shop):
    bucket, _ = shop.make("photos", "reader")
    kube, namespace = shop.kube, shop.namespace

    def versions():
        every = kube("get", "bucketclasses,bucketaccessclasses,buckets,bucketclaims,bucketaccesses", "-A", "-o", "jsonpath={range .items[*]}{.metadata.name} {.metadata.resourceVersion}{'\\n'}{end}")
        return [line for line in every.splitlines() if line]

    before = versions()
    # It looks at the cluster alone: there need not be a store.
    text, complaint = shop.run("migrate", LARDER_COSI_ENDPOINT="http://127.0.0.1:1")
    assert complaint == "" and text.startswith("# Objects of objectstorage.k8s.io/v1alpha2")
    documents = list(yaml.safe_load_all(text))
    assert {one["apiVersion"] for one in documents} == {"objectstorage.k8s.io/v1alpha2"}
    shown = {one["kind"]: (one["metadata"], one["spec"]) for one in documents}
    assert [one["kind"] for one in documents] == ["BucketClass", "BucketAccessClass", "Bucket", "BucketClaim", "BucketAccess"]
    assert shown["BucketClass"] == ({"name": shop.buckets}, {"driverName": shop.name, "deletionPolicy": "Delete"})
    assert shown["BucketAccessClass"] == ({"name": shop.accesses}, {"driverName": shop.name, "authenticationType": "Key", "parameters": {"accessMode": "ReadOnly"}})
    reference = {"name": "photos", "namespace": namespace}
    static = {"driverName": shop.name, "deletionPolicy": "Retain", "protocols": ["S3"], "existingBucketID": bucket, "bucketClaimRef": reference}
    assert shown["Bucket"] == ({"name": bucket}, static)
    assert shown["BucketClaim"] == (reference, {"existingBucketName": bucket, "protocols": ["S3"]})
    claims = [{"bucketClaimName": "photos", "accessSecretName": "of-reader", "accessModes": {"objectData": "ReadOnly"}}]
    spec = {"bucketClaims": claims, "bucketAccessClassName": shop.accesses, "protocol": "S3"}
    assert shown["BucketAccess"] == ({"name": "reader", "namespace": namespace}, spec)
    s3.head_bucket(Bucket=static["existingBucketID"])

    assert shop.json("migrate") == {"apiVersion": "v1", "kind": "List", "items": documents}
    first = shop.json("migrate", "--revision", "r1")["items"][-1]["spec"]["bucketClaims"][0]
    assert first["accessMode"] == "ReadOnly" and "accessModes" not in first
    assert versions() == before
    assert shop.json("migrate", LARDER_COSI_DRIVER_NAME="nobody.cosi.test")["items"] == []


def test_the_doctor_finds_nothing_then_what_was_broken(shop):
    shop.make("photos", "reader")
    text, complaint = shop.run("doctor")
    assert complaint == "" and all(line.startswith("ok     ") for line in text.splitlines()), text
    assert f"Larder answers at {shop.driver.endpoint}" in text and "1 accesses are granted, with account and Secret" in text
    report = shop.json("doctor")
    assert report["well"] and [check["found"] for check in report["checks"]] == [line[7:] for line in text.splitlines()]
    assert {(check["verdict"], check["cure"]) for check in report["checks"]} == {("ok", "")}

    shop.driver.stop()
    shop.lose("-n", shop.namespace, "secret", "of-reader")
    typo = shop.kube.bucket_class(driver=shop.name, quotaByte="1Gi")
    text, complaint = shop.run("doctor", status=1)
    assert complaint == "larder-cosi: something is wrong: see above\n"
    assert f"wrong  BucketAccess {shop.namespace}/reader: there is no Secret of-reader\n       -> " in text
    assert f"wrong  BucketClass {typo}: " in text and "quotaBytes" in text
    report = shop.json("doctor", status=1)
    assert not report["well"]
    assert [check["verdict"] for check in report["checks"]].count("wrong") == 2 and all(check["cure"] for check in report["checks"] if check["verdict"] == "wrong")


def kubeconfig_of(kube, url, directory):
    """The cluster's, with another address."""
    configuration = yaml.safe_load(kube.kubeconfig.read_text())
    configuration["clusters"][0]["cluster"]["server"] = url
    path = directory / "kubeconfig-of-another-address"
    path.touch(mode=0o600)
    path.write_text(json.dumps(configuration))
    return str(path)


def test_the_doctor_says_who_does_not_answer(shop, tmp_path):
    shop.driver.stop()

    def wrong(**environment):
        checks = shop.json("doctor", status=1, **environment)["checks"]
        return [(check["found"], check["cure"]) for check in checks if check["verdict"] == "wrong"]

    ((found, cure),) = wrong(LARDER_COSI_ENDPOINT="http://127.0.0.1:1")
    assert found.startswith("Larder does not answer at http://127.0.0.1:1: ") and "--endpoint" in cure
    ((found, cure),) = wrong(LARDER_COSI_SECRET_KEY="not-the-secret-at-all")
    assert "refuses the driver" in found and "LARDER_COSI_SECRET_KEY" in cure and "not-the-secret-at-all" not in found
    ((found, cure),) = wrong(LARDER_COSI_KUBECONFIG=kubeconfig_of(shop.kube, "http://127.0.0.1:1", tmp_path))
    assert found.startswith("the API server does not answer: ") and "--kubeconfig" in cure
    ((found, cure),) = wrong(LARDER_COSI_DRIVER_NAME="nobody.cosi.test")
    assert found.startswith("no BucketClass is of driver nobody.cosi.test") and shop.name in found and "--driver-name" in cure


def ago(**time):
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(**time)


def clock(report, whose):
    """Verdict, minutes, direction and cure of the check of a clock that is not as this machine's."""
    (check,) = [check for check in report["checks"] if check["found"].startswith(f"the clock of {whose} ")]
    told = re.fullmatch(r"the clock of .* is (\d+) min \d+ s (ahead of|behind) this machine's", check["found"])
    return check["verdict"], int(told[1]), told[2], check["cure"]


def test_the_doctor_measures_clocks(server, shop, tmp_path):
    def told(proxy, status=0, **settings):
        proxy.instead = {"date": email.utils.format_datetime(ago(**settings), usegmt=True)}
        return shop.json("doctor", status=status, **environment)

    with Proxy(server) as proxy:
        environment = {"LARDER_COSI_ENDPOINT": proxy.endpoint}
        verdict, minutes, where, cure = clock(told(proxy, minutes=-5, seconds=-30), "Larder")
        assert (verdict, minutes, where) == ("odd", 5, "ahead of") and "time server" in cure
        verdict, minutes, where, _ = clock(told(proxy, minutes=20, seconds=30, status=1), "Larder")
        assert (verdict, minutes, where) == ("wrong", 20, "behind")
    # The real API server speaks TLS, which the proxy does not.
    if shop.kube.url.startswith("http://"):
        with Proxy(types.SimpleNamespace(address=shop.kube.url.removeprefix("http://"))) as proxy:
            environment = {"LARDER_COSI_KUBECONFIG": kubeconfig_of(shop.kube, proxy.endpoint, tmp_path)}
            verdict, minutes, where, cure = clock(told(proxy, minutes=2, seconds=30), "the API server")
            assert (verdict, minutes, where) == ("odd", 2, "behind") and "tokens of service accounts" in cure


def lease(namespace, name, holder, renewed):
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 150, "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def test_the_doctor_finds_controllers_that_do_not_go_together(shop):
    upstream = shop.kube.namespace()

    def found(status=0):
        checks = shop.json("doctor", status=status, LARDER_COSI_UPSTREAM_NAMESPACE=upstream)["checks"]
        return [(check["verdict"], check["found"], check["cure"]) for check in checks if "controller" in check["found"]]

    alone = ("ok", "Larder's controllers are at work and do everything (standalone)", "")
    assert found() == [alone]
    shop.kube.apply(lease(upstream, "leader-lock-cosi-controller-manager", "controller-7c5_1f", ago()))
    ((verdict, what, cure),) = found(status=1)
    assert verdict == "wrong" and what.startswith(f"upstream's controller (in {upstream}) and Larder's") and "--controllers auto or repair" in cure

    # It was there once; or it is there, and does not work.
    shop.kube.apply(lease(upstream, "leader-lock-cosi-controller-manager", "controller-7c5_1f", ago(hours=1)))
    assert found() == [alone]
    labels, container = {"app": "upstream"}, {"name": "controller", "image": "example.test/controller:v0.2.2"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    shop.kube.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "container-object-storage-controller", "namespace": upstream}, "spec": spec})
    first, (verdict, what, cure) = found()
    assert first == alone and verdict == "odd" and f"Deployment {upstream}/container-object-storage-controller" in what and "goes over to repair" in cure

    # The driver goes, and upstream's controller is left alone with the claims.
    shop.driver.stop()
    shop.kube.apply(lease(upstream, "leader-lock-cosi-controller-manager", "controller-7c5_1f", ago()))
    ((verdict, what, cure),) = found()
    assert verdict == "odd" and "no sidecar of driver" in what and "cosi.sidecar.enabled" in cure
