"""An OpenBao with a transit engine on loopback: the program itself, in its development mode (all in memory)."""

import json
import os
import signal
import ssl
import subprocess
import urllib.error
import urllib.request

from .need import tool
from .server import free_port, poll

ROOT = "root-token-of-tests"
# All that a server needs which is only to use keys: it makes none, and changes none.
POLICY = """
path "transit/encrypt/*" { capabilities = ["update"] }
path "transit/decrypt/*" { capabilities = ["update"] }
path "transit/keys/*" { capabilities = ["read"] }
"""


class Bao:
    """Keys by name. `directory` holds the token that it gives to servers, its log, and with `tls` its authority."""

    def __init__(self, directory, tls=False):
        self.directory, self.tls = directory, tls
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "bao.log"
        self.token_file = directory / "token"
        self.port = free_port()
        self.process = None

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    @property
    def ca_file(self):
        return next(self.directory.glob("*-ca.pem"), None)

    def start(self):
        command = [tool("bao"), "server", "-dev-no-store-token", f"-dev-root-token-id={ROOT}", f"-dev-listen-address=127.0.0.1:{self.port}"]
        command += ["-dev-tls", f"-dev-tls-cert-dir={self.directory}"] if self.tls else ["-dev"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HOME": str(self.directory)}, cwd=self.directory)
        poll(self._is_up, 60, "OpenBao's start")
        self.api("sys/mounts/transit", {"type": "transit"})
        self.api("sys/policies/acl/larder", {"policy": POLICY})
        self.give_token(self.new_token())
        return self

    def _is_up(self):
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            return self.api("sys/health") is not None
        except OSError:
            return False

    def new_token(self, policy="larder"):
        return self.api("auth/token/create", {"policies": [policy], "no_default_policy": True})["auth"]["client_token"]

    def give_token(self, token):
        """In one step, so that nobody reads half of it."""
        aside = self.token_file.with_suffix(".new")
        aside.write_text(token + "\n")
        aside.rename(self.token_file)

    def api(self, path, body=None, method=None):
        """Asks as its root. `None` where there is no such thing."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/v1/{path}", data, {"X-Vault-Token": ROOT}, method=method)
        context = ssl.create_default_context(cafile=self.ca_file) if self.tls and self.ca_file else None
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError(f"{path}: {error.code} {error.read()}") from error

    def pause(self):
        """It takes connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
