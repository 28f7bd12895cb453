"""A private certificate authority, made by openssl for a test, and the certificates that it signs."""

import itertools
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .need import tool

NAMES = ("localhost", "127.0.0.1")
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_numbers = itertools.count(1)


def openssl(*arguments, **options):
    command = [tool("openssl", "apt-get install openssl"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=60, stdin=subprocess.DEVNULL, **options)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and of its key."""

    certificate: Path
    key: Path

    @property
    def der(self):
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text())


class Authority:
    """Signs certificates. `certificate` is what those who trust it are given."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = directory / "ca.crt", directory / "ca.key"
        openssl("req", "-x509", *KEY, "-days", 2, "-subj", f"/CN=test authority {next(_numbers)}", "-keyout", self.key, "-out", self.certificate)

    def issue(self, names=NAMES, days=2):
        """A pair for these names. pgBackRest looks for addresses among the names of hosts as well. With a negative number of days it has expired."""
        stem = self.directory / f"pair{next(_numbers)}"
        pair, request, extensions = Pair(Path(f"{stem}.crt"), Path(f"{stem}.key")), Path(f"{stem}.csr"), Path(f"{stem}.ext")
        addresses = [f"IP:{name}" for name in names if name[0].isdigit()]
        extensions.write_text("subjectAltName=" + ",".join([*(f"DNS:{name}" for name in names), *addresses]) + "\n")
        openssl("req", "-new", *KEY, "-subj", f"/CN={names[0]}", "-keyout", pair.key, "-out", request)
        signed_by = ["-CA", self.certificate, "-CAkey", self.key, "-set_serial", next(_numbers)]
        openssl("x509", "-req", "-in", request, *signed_by, "-days", days, "-extfile", extensions, "-out", pair.certificate)
        return pair

    def context(self, client=None, **settings):
        """A client's side of TLS that trusts this authority alone, and shows the pair `client`."""
        context = ssl.create_default_context(cafile=self.certificate)
        if client:
            context.load_cert_chain(client.certificate, client.key)
        for name, value in settings.items():
            setattr(context, name, value)
        return context
