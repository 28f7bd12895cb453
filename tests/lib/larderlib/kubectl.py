"""An API server, and kubectl to talk to it: what the tests of COSI's controllers need of a cluster."""

import base64
import contextlib
import itertools
import json
import os
import subprocess
import urllib.request

from .fakekube import FakeKube
from .kube import ControlPlane
from .need import REPOSITORY, tool
from .server import poll

GROUP = "objectstorage.k8s.io"
_numbers = itertools.count()


@contextlib.contextmanager
def cluster(directory, *arguments):
    """The real API server where KUBE_APISERVER names it, otherwise the fake one; says which."""
    if os.environ.get("KUBE_APISERVER") and not arguments:
        with ControlPlane(directory) as plane:
            print("API server: real")
            yield Kube(plane.kubeconfig(directory / "kubeconfig"), collects=False)
    else:
        with FakeKube(directory, "--no-cosi", *arguments) as fake:
            print("API server: fake")
            yield Kube(fake.kubeconfig, collects=True)


class Kube:
    def __init__(self, kubeconfig, collects):
        self.kubeconfig = kubeconfig
        # Whether namespaces are emptied: the real server leaves that to its controller manager.
        self.collects = collects

    @property
    def url(self):
        return self("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")

    def __call__(self, *arguments, stdin=None, status=(0,)):
        """What kubectl prints."""
        command = [tool("kubectl"), *map(str, arguments)]
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "NO_PROXY": "*"}
        done = subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode in status, f"{command[1:]} ended with {done.returncode}: {done.stderr}"
        return done.stdout

    def get(self, *arguments):
        """An object, or None where there is none."""
        text = self("get", *arguments, "--ignore-not-found", "-o", "json")
        return json.loads(text) if text.strip() else None

    def apply(self, *objects):
        self("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))

    def apply_file(self, path):
        self("apply", "-f", REPOSITORY / path)

    def until_served(self, resource):
        def is_served():
            try:
                return self("get", resource, "-A") is not None
            except AssertionError:
                return False

        poll(is_served, 30, f"{resource} is served")

    def namespace(self):
        name = f"ns-{os.getpid()}-{next(_numbers)}"
        self("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        return name

    def delete_namespace(self, namespace):
        """With all that is in it; where nobody does that, it is done here."""
        if self.collects:
            self("delete", "namespace", namespace, "--timeout=60s")
        else:
            for kind in ("bucketaccesses", "bucketclaims"):
                self("-n", namespace, "delete", kind, "--all", "--timeout=60s")

    def until(self, condition, *what, seconds=60):
        """The object once `condition` holds for it."""

        def look():
            found = self.get(*what)
            return found if found and condition(found) else None

        try:
            return poll(look, seconds, f"{' '.join(what)}")
        except TimeoutError as error:
            described = self("get", "events", "-A", "-o", "jsonpath={range .items[*]}{.reason}: {.message}{'\\n'}{end}")
            raise AssertionError(f"{error}; it is {json.dumps(self.get(*what))}; events:\n{described}") from None

    def until_gone(self, *what, seconds=60):
        poll(lambda: self.get(*what) is None, seconds, f"{' '.join(what)} is gone")

    def authority(self):
        """The file with the authority of the API server's certificate; none where it has no certificate."""
        return self("config", "view", "--raw", "-o", "jsonpath={.clusters[0].cluster.certificate-authority}")

    def publish_keys(self):
        """Lets everybody read with which keys tokens of service accounts are signed."""
        group = "rbac.authorization.k8s.io"
        role = {"apiGroup": group, "kind": "ClusterRole", "name": "system:service-account-issuer-discovery"}
        subjects = [{"apiGroup": group, "kind": "Group", "name": "system:unauthenticated"}]
        self.apply({"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "published-keys"}, "roleRef": role, "subjects": subjects})

    def service_account(self, namespace, name):
        self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})

    def token(self, namespace, name, *audiences):
        """A service account's token as a pod's projected volume has it."""
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": list(audiences), "expirationSeconds": 3600}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return json.loads(self("create", "--raw", path, "-f", "-", stdin=json.dumps(asked)))["status"]["token"]

    def fake(self, command, method="POST"):
        """What is told to the fake server, or asked."""
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/_fake/{command}", method=method), timeout=30) as answer:
            return json.loads(answer.read())

    # COSI
    def bucket_class(self, policy="Delete", driver="cosi.larder.dev", **parameters):
        return self._class("BucketClass", {"driverName": driver, "deletionPolicy": policy, "parameters": parameters})

    def access_class(self, driver="cosi.larder.dev", authentication="Key", **parameters):
        return self._class("BucketAccessClass", {"driverName": driver, "authenticationType": authentication, "parameters": parameters})

    def _class(self, kind, fields):
        name = f"class-{os.getpid()}-{next(_numbers)}"
        self.apply({"apiVersion": f"{GROUP}/v1alpha1", "kind": kind, "metadata": {"name": name}, **fields})
        return name

    def claim(self, namespace, name, **spec):
        self.apply({"apiVersion": f"{GROUP}/v1alpha1", "kind": "BucketClaim", "metadata": {"name": name, "namespace": namespace}, "spec": {"protocols": ["S3"], **spec}})

    def access(self, namespace, name, claim, access_class, secret, **more):
        spec = {"bucketClaimName": claim, "bucketAccessClassName": access_class, "credentialsSecretName": secret, "protocol": "S3", **more}
        self.apply({"apiVersion": f"{GROUP}/v1alpha1", "kind": "BucketAccess", "metadata": {"name": name, "namespace": namespace}, "spec": spec})

    def until_ready(self, namespace, claim):
        """The name of the claim's bucket."""
        found = self.until(lambda it: it.get("status", {}).get("bucketReady"), "-n", namespace, "bucketclaim", claim)
        return found["status"]["bucketName"]

    def until_granted(self, namespace, access):
        """What the access's Secret holds."""
        found = self.until(lambda it: it.get("status", {}).get("accessGranted"), "-n", namespace, "bucketaccess", access)
        return self.secret(namespace, found["spec"]["credentialsSecretName"])

    def secret(self, namespace, name):
        data = self.get("-n", namespace, "secret", name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


def environment_of(secret, home):
    """An environment with nothing but what the Secret says, as `envFrom` gives it."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(("AWS_", "COSI_", "RCLONE_", "LARDER_"))}
    given = {name: value for name, value in secret.items() if name.replace("_", "A").isalnum()}
    return kept | {"HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"} | given
