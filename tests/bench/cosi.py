"""How long a workload waits for its bucket and its credentials: BucketClaim to ready, BucketAccess to Secret, in bursts. Part of `make bench`.

    .cache/venv/bin/python tests/bench/cosi.py --bursts 1 50 500

A real `larder server`, the real `larder-cosi serve --controllers standalone`, and the fake API server, or a real kube-apiserver where KUBE_APISERVER names
the program. A burst is created by eight threads at once; times run from just before an object is sent to the moment at which a watch shows it done.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from larderlib.cosi import Driver  # noqa: E402
from larderlib.fakekube import FakeKube  # noqa: E402
from larderlib.kube import ControlPlane  # noqa: E402
from larderlib.need import REPOSITORY, tool  # noqa: E402
from larderlib.server import Larder  # noqa: E402

API = "/apis/objectstorage.k8s.io/v1alpha1"
THREADS = 8
DEADLINE = 300


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bursts", type=int, nargs="+", default=[1, 50, 500], help="objects at once")
    parser.add_argument("--rounds", type=int, default=3, help="how often each burst is made; all its times count together")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cosi-bench-") as directory, cluster(Path(directory)) as kube, Larder(directory=Path(directory) / "server") as server:
        kubeconfig = Path(directory) / "kubeconfig"
        api = Api(kube, kubeconfig)
        print(f"API server: {api.kind}", flush=True)
        with Driver(server, Path(directory), extra_args=["--controllers", "standalone", "--kubeconfig", str(kubeconfig)]):
            classes(api)
            for number in arguments.bursts:
                taken = [burst(api, f"burst-{number}-{turn}", number) for turn in range(arguments.rounds)]
                for what in ("claim to ready", "access to Secret"):
                    times = sorted(time for turn in taken for time in turn[what])
                    print(f"{what}, {number} at once: p50 {at(times, 0.5):.3f} s, p99 {at(times, 0.99):.3f} s", flush=True)


def cluster(directory):
    if os.environ.get("KUBE_APISERVER"):
        return ControlPlane(directory / "kube")
    return FakeKube(directory)


def at(times, share):
    return times[min(len(times) - 1, int(len(times) * share))]


class Api:
    """Requests of an administrator, on a connection for each thread."""

    def __init__(self, kube, kubeconfig):
        self.local = threading.local()
        if isinstance(kube, ControlPlane):
            self.kind, self.url, self.context = "kube-apiserver", kube.url, kube.authority.context()
            self.headers = {"Authorization": f"Bearer {kube.token}"}
            kube.kubeconfig(kubeconfig)
            kubectl = tool("kubectl")
            crds = REPOSITORY / "charts" / "larder" / "files" / "crds"
            for arguments in (["create", "-f", crds], ["wait", "crd", "--all", "--for=condition=established"]):
                subprocess.run([kubectl, "--kubeconfig", kubeconfig, *arguments], check=True, stdout=subprocess.DEVNULL)
        else:
            self.kind, self.context, self.headers = "fake", None, {}
            if kube.kubeconfig != kubeconfig:
                kubeconfig.write_bytes(kube.kubeconfig.read_bytes())
            self.url = re.search(r"https?://[^\s\"]+", kubeconfig.read_text())[0]

    def connection(self):
        parts = urlsplit(self.url)
        if parts.scheme == "https":
            return http.client.HTTPSConnection(parts.hostname, parts.port, context=self.context, timeout=DEADLINE)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=DEADLINE)

    def ask(self, method, path, body=None):
        if not hasattr(self.local, "connection"):
            self.local.connection = self.connection()
        self.local.connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json", **self.headers})
        answer = self.local.connection.getresponse()
        found = answer.read()
        assert answer.status < 300, found.decode()
        return json.loads(found)

    def watch(self, path, version, take):
        """Hands each object of a watch to `take` with the time, until that says so."""
        connection = self.connection()
        connection.request("GET", f"{path}?watch=1&resourceVersion={version}", headers=self.headers)
        answer = connection.getresponse()
        for line in answer:
            if take(json.loads(line)["object"], time.monotonic()):
                break
        connection.close()


def made(kind, name, namespace=None, **content):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "objectstorage.k8s.io/v1alpha1", "kind": kind, "metadata": metadata, **content}


def classes(api):
    driver = "cosi.larder.dev"
    api.ask("POST", f"{API}/bucketclasses", made("BucketClass", "bench", driverName=driver, deletionPolicy="Delete"))
    api.ask("POST", f"{API}/bucketaccessclasses", made("BucketAccessClass", "bench", driverName=driver, authenticationType="Key"))


def burst(api, namespace, number):
    api.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    claims = [made("BucketClaim", f"claim-{i}", namespace, spec={"bucketClassName": "bench", "protocols": ["S3"]}) for i in range(number)]
    accesses = [
        made("BucketAccess", f"access-{i}", namespace, spec={"bucketClaimName": f"claim-{i}", "bucketAccessClassName": "bench", "credentialsSecretName": f"secret-{i}", "protocol": "S3"})
        for i in range(number)
    ]
    return {
        "claim to ready": times(api, f"{API}/namespaces/{namespace}/bucketclaims", claims, lambda status: status.get("bucketReady")),
        "access to Secret": times(api, f"{API}/namespaces/{namespace}/bucketaccesses", accesses, lambda status: status.get("accessGranted")),
    }


def times(api, path, objects, is_done):
    sent, done = {}, {}
    version = api.ask("GET", path)["metadata"]["resourceVersion"]

    def take(found, now):
        if is_done(found.get("status") or {}):
            done.setdefault(found["metadata"]["name"], now)
        return len(done) == len(objects)

    watcher = threading.Thread(target=api.watch, args=(path, version, take), daemon=True)
    watcher.start()

    def create(body):
        sent[body["metadata"]["name"]] = time.monotonic()
        api.ask("POST", path, body)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(create, objects))
    watcher.join(DEADLINE)
    assert len(done) == len(objects), f"{len(done)} of {len(objects)} are done after {DEADLINE} s"
    return [done[name] - sent[name] for name in sent]


if __name__ == "__main__":
    main()
