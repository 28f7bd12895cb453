"""A real kube-apiserver with a real etcd on loopback, where the variables KUBE_APISERVER and ETCD name the programs: no package registry has the former."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from .need import CACHE
from .server import poll
from .tls import Authority, openssl


NO_APISERVER = "no kube-apiserver"


def programs():
    """The paths of kube-apiserver and etcd; skips the calling test, everywhere, where there is none."""
    apiserver = os.environ.get("KUBE_APISERVER")
    if not apiserver:
        pytest.skip(f"{NO_APISERVER}, which no registry has: KUBE_APISERVER=PATH runs this (and ETCD=PATH; .cache/kube/bin has an etcd)")
    etcd = os.environ.get("ETCD") or shutil.which("etcd", path=str(CACHE / "kube/bin")) or shutil.which("etcd")
    if not etcd:
        pytest.skip("no etcd: ETCD=PATH, or tests/setup.sh")
    return apiserver, etcd


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class ControlPlane:
    """Use it as a context. `ask` sends requests as an administrator."""

    def __init__(self, directory):
        self.apiserver, self.etcd = programs()
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(self.directory / "authority")
        self.token = secrets.token_hex(16)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.processes = []

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.processes = []

    def _run(self, name, *command):
        with open(self.directory / f"{name}.log", "ab") as log:
            process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, start_new_session=True)
        self.processes.append(process)

    def _start(self):
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        fast = ["--unsafe-no-fsync"] if "unsafe-no-fsync" in subprocess.run([self.etcd, "--help"], capture_output=True, text=True).stdout else []
        listen = ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer]
        self._run("etcd", self.etcd, "--name", "t", "--data-dir", "etcd", *fast, *listen, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"t={peer}")
        pair = self.authority.issue()
        signer = self.directory / "service-accounts.key"
        openssl("genrsa", "-out", signer, 2048)
        tokens = self.directory / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f'{self.token},admin,1,"system:masters"\n')
        self._run(
            "kube-apiserver",
            self.apiserver,
            f"--etcd-servers={client}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.port}",
            "--service-cluster-ip-range=10.96.0.0/24",
            f"--tls-cert-file={pair.certificate}",
            f"--tls-private-key-file={pair.key}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            f"--service-account-issuer={self.url}",
            f"--service-account-jwks-uri={self.url}/openid/v1/jwks",
            f"--service-account-key-file={signer}",
            f"--service-account-signing-key-file={signer}",
            "--api-audiences=kubernetes",
            "--disable-admission-plugins=ServiceAccount",
        )
        poll(self._is_ready, 90, "the API server is ready")

    def _is_ready(self):
        assert all(process.poll() is None for process in self.processes), (self.directory / "kube-apiserver.log").read_text()[-3000:]
        try:
            return self.ask("GET", "/readyz", parse=False) == b"ok"
        except (OSError, urllib.error.HTTPError):
            return False

    def ask(self, method, path, body=None, parse=True, content_type="application/json"):
        """The JSON of an answer; `urllib.error.HTTPError` where it is a refusal."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode() if body is not None else None, headers, method=method)
        with urllib.request.urlopen(request, context=self.authority.context(), timeout=30) as answer:
            found = answer.read()
        return json.loads(found) if parse else found

    def kubeconfig(self, path):
        """A file with which kubectl asks as an administrator."""
        path = Path(path)
        path.touch(mode=0o600)
        named = [("clusters", "cluster", {"server": self.url, "certificate-authority": str(self.authority.certificate)}), ("users", "user", {"token": self.token}), ("contexts", "context", {"cluster": "t", "user": "t"})]
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "t", **{many: [{"name": "t", one: value}] for many, one, value in named}}))
        return path

    def publish_keys(self):
        """Lets everybody read the discovery documents, as clusters do whose tokens others are to check."""
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:service-account-issuer-discovery"}
        subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"}]
        binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "published"}, "roleRef": role, "subjects": subjects}
        self.ask("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)

    def service_account(self, namespace, name):
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        self.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})

    def service_account_token(self, namespace, name, *audiences, seconds=3600):
        """A token as a pod's projected volume has it."""
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": list(audiences), "expirationSeconds": seconds}}
        answer = self.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", asked)
        return answer["status"]["token"]
