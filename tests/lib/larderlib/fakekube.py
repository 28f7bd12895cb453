"""The fake API server of tests/fake-kube as a process."""

import os
import signal
import subprocess

from .need import REPOSITORY, missing
from .server import poll


def fake_kube_binary():
    path = os.environ.get("LARDER_FAKE_KUBE") or str(REPOSITORY / "target" / "debug" / "larder-fake-kube")
    if not os.access(path, os.X_OK):
        missing("the fake API server", "cargo build --package larder-fake-kube (or tests/setup.sh)")
    return path


class FakeKube:
    """Runs while it is entered; `kubeconfig` is the administrator's."""

    def __init__(self, directory, *arguments):
        self.kubeconfig = directory / "kubeconfig"
        self.log = directory / "fake-kube.log"
        self.arguments = arguments
        self.process = None

    def __enter__(self):
        command = [fake_kube_binary(), "--kubeconfig", str(self.kubeconfig), *self.arguments]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        poll(self._up, 30, "the fake API server")
        return self

    def _up(self):
        assert self.process.poll() is None, self.log.read_text()
        return self.kubeconfig.exists()

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
