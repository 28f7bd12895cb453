"""A real server on loopback: start, wait until it is ready, stop, kill, start again on the same disks.

`Larder` is the server under test. `SeaweedFs` is the peer that `make bench-peers` compares with, and a stand-in on which the
suites themselves can be tried (`LARDER_TESTS_AGAINST=seaweedfs`).
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from .logs import unexpected_errors
from .need import REPOSITORY, missing, tool

REGION = "us-east-1"
START_SECONDS = 60
STOP_SECONDS = 30
DOMAINS = ("s3.localhost", "s3.example.test")


def poll(condition, seconds, what, every_seconds=0.02):
    """Waits until `condition()` is true. Polling is for other processes, whose progress no event tells."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(every_seconds)
    return result


class Server:
    """A server process over one directory. Subclasses say how it is started and when it is ready."""

    access_key = "LARDERTESTROOT"
    secret_key = "larder/test+secret/root0123456789abcdefgh"
    region = REGION
    # What clients are to trust besides the system's authorities, where the server speaks TLS.
    ca_file = None

    def __init__(self, directory=None, extra_args=(), environment=None):
        self.own_directory = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="larder-test-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log_path = self.directory / "server.log"
        self.extra_args = list(extra_args)
        self.environment = dict(environment or {})
        self.allowed_errors = []
        self.address = None
        self.process = None

    @property
    def endpoint(self):
        return f"http://{self.address}"

    @property
    def host(self):
        return self.address.rsplit(":", 1)[0]

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def command(self):
        raise NotImplementedError

    def ready(self):
        raise NotImplementedError

    def start(self):
        """Starts the process and returns once it answers that it is ready."""
        assert self.process is None, "already running"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**inherited_environment(), **self.environment},
                cwd=self.directory,
                start_new_session=True,
            )
        try:
            poll(self._ready_or_dead, START_SECONDS, "server start")
        except BaseException:
            self.kill()
            raise
        return self

    def _ready_or_dead(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"server ended with {self.process.returncode} at start:\n{self.log_tail()}")
        return self.ready()

    def kill(self):
        """SIGKILL: what was not synced by the server's own account is still in the page cache, but no code of it runs on."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self):
        """SIGTERM, and the exit status of a graceful stop."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.process = None
        return status

    def restart(self):
        self.stop()
        return self.start()

    def crash(self, losing=()):
        """Killed, and started again where it was; the disks of these numbers are found empty then."""
        self.kill()
        for number in losing:
            self.empty_disk(number)
        return self.start()

    def empty_disk(self, number):
        """A stand-in has no disks of its own to lose."""

    def log_tail(self, lines=30):
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"

    def check_logs(self):
        """Raises on ERROR lines that nobody announced in `allowed_errors`."""
        found = unexpected_errors(self.log_path, self.allowed_errors) if self.log_path.exists() else []
        assert not found, "unexpected ERROR lines in the server's log:\n" + "\n".join(found[:20])

    def close(self):
        """Stops the server, checks its log, and removes its directory when it was made here."""
        status = self.stop()
        self.check_logs()
        if self.own_directory and not os.environ.get("LARDER_TESTS_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)
        assert status in (None, 0), f"graceful stop ended with {status}"

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.close()
        else:
            self.kill()

    # What the process has used, from /proc: for the comparisons of speed.

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def peak_resident_bytes(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0


def larder_binary():
    path = os.environ.get("LARDER_BIN") or str(REPOSITORY / "target" / "release" / "larder")
    if not os.access(path, os.X_OK):
        missing("the larder binary", "cargo build --release (or set LARDER_BIN)")
    return path


class Larder(Server):
    """`larder server` on DISKS directories below `directory`, 2+2 unless told otherwise.

    With `tls`, a `Pair` of `authority`, it speaks TLS there, and with `plain` also without TLS on a port of its own. A server whose clients
    must show certificates is asked whether it is ready there.
    """

    def __init__(self, directory=None, disks=4, profile="2+2", domains=DOMAINS, extra_args=(), environment=None, tls=None, authority=None, plain=False):
        super().__init__(directory, extra_args, environment)
        self.tls, self.authority, self.plain = tls, authority, plain
        self.ca_file = authority and str(authority.certificate)
        self.plain_address = None
        self.disk_count = disks
        self.profile = profile
        self.domains = domains
        self.environment.setdefault("LARDER_ROOT_ACCESS_KEY", self.access_key)
        self.environment.setdefault("LARDER_ROOT_SECRET_KEY", self.secret_key)

    @property
    def endpoint(self):
        return f"{'https' if self.tls else 'http'}://{self.address}"

    @property
    def plain_endpoint(self):
        return f"http://{self.plain_address}"

    @property
    def disks(self):
        return [self.directory / f"disk{number}" for number in range(1, self.disk_count + 1)]

    def command(self):
        for disk in self.disks:
            disk.mkdir(exist_ok=True)
        self.address_file.unlink(missing_ok=True)
        command = [larder_binary(), "server", "--listen", self.address or "127.0.0.1:0"]
        command += ["--data", f"{self.directory}/disk{{1...{self.disk_count}}}", "--region", self.region]
        command += ["--profile", self.profile] if self.profile else []
        command += ["--tls-cert", str(self.tls.certificate), "--tls-key", str(self.tls.key)] if self.tls else []
        command += ["--http-listen", self.plain_address or "127.0.0.1:0"] if self.plain else []
        for domain in self.domains:
            command += ["--domain", domain]
        return [*command, "--address-file", str(self.address_file), *self.extra_args]

    @property
    def address_file(self):
        return self.directory / "address"

    def ready(self):
        try:
            addresses = self.address_file.read_text().split()
        except FileNotFoundError:
            return False
        self.address = addresses[0]
        if self.plain:
            self.plain_address = addresses[1]
            return http_ok(f"{self.plain_endpoint}/readyz")
        return http_ok(f"{self.endpoint}/readyz", self.authority and self.authority.context())

    def status(self):
        """What `larder status` says of the disks."""
        return json.loads(self.run("status", "--json"))["storage"]

    def run(self, *arguments):
        """What a subcommand that asks the server prints."""
        command = [larder_binary(), *arguments, "--endpoint", self.endpoint, "--region", self.region]
        command += ["--ca-file", self.ca_file] if self.ca_file else []
        environment = {**inherited_environment(), **self.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def until_healed(self, timeout=120):
        """Waits until nothing lacks redundancy, as a survey since the start says. The state of healing then."""
        heal = {}

        def healed():
            heal.update(json.loads(self.run("heal", "status", "--json")))
            return heal["state"] == "idle" and heal["surveys"] > 0 and not heal["degraded"]

        try:
            poll(healed, timeout, "healed", every_seconds=0.2)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {heal}") from None
        return heal

    def empty_disk(self, number):
        """Puts an empty directory in place of a disk, as an operator who replaces it does. Only while it is stopped."""
        assert self.process is None, "stop the server first"
        disk = self.disks[number - 1]
        shutil.rmtree(disk)
        disk.mkdir()


class SeaweedFs(Server):
    """One SeaweedFS process with master, volume, filer and S3; `fsync` turns its path rule for synced writes on."""

    def __init__(self, directory=None, fsync=False, domains=DOMAINS, extra_args=()):
        super().__init__(directory, extra_args)
        self.fsync = fsync
        self.domains = domains
        self.ports = None

    def command(self):
        data = self.directory / "weed"
        data.mkdir(exist_ok=True)
        identity = {"name": "root", "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}]}
        identity["actions"] = ["Admin", "Read", "List", "Tagging", "Write"]
        config = self.directory / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        if self.ports is None:
            self.ports = dict(zip(("s3", "master", "volume", "filer"), free_port_pairs(4)))
        self.address = f"127.0.0.1:{self.ports['s3']}"
        command = [tool("weed"), "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
        # Every bucket takes seven volumes of its own: without many small ones it is full after a few buckets.
        command += [f"-{name}.port={port}" for name, port in self.ports.items()]
        command += [f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=1024", "-volume.max=5000"]
        command += [f"-s3.domainName={','.join(self.domains)}"] if self.domains else []
        return [*command, *self.extra_args]

    def ready(self):
        return http_ok(f"{self.endpoint}/healthz") and self._can_write()

    def _can_write(self):
        """Ready only when a volume takes a write; the health page is up a little before."""
        from .clients import boto

        client = boto(self, retries=0)
        try:
            client.create_bucket(Bucket="readiness-probe")
        except client.exceptions.ClientError:
            pass
        try:
            client.put_object(Bucket="readiness-probe", Key="probe", Body=b"x")
        except Exception:  # noqa: BLE001 - whatever it is, it is not ready
            return False
        if self.fsync:
            self._shell("fs.configure -locationPrefix=/buckets/ -fsync -apply")
        return True

    def _shell(self, line):
        master = f"-master=127.0.0.1:{self.ports['master']}"
        filer = f"-filer=127.0.0.1:{self.ports['filer']}"
        done = subprocess.run([tool("weed"), "shell", master, filer], input=line + "\n", text=True, capture_output=True, timeout=60)
        assert done.returncode == 0 and "fsync" in done.stdout, done.stdout + done.stderr

    def check_logs(self):
        """The peer's log is not ours to judge."""


def inherited_environment():
    """The caller's environment without settings of a server: those come from the test alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LARDER_")}


def http_ok(url, context=None):
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def free_port():
    """A port for a program that cannot be told to find one itself."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def free_port_pairs(count):
    """Free ports whose number plus 10,000 (SeaweedFS's gRPC twin) is free as well."""
    sockets, ports = [], []
    try:
        for candidate in range(20_000 + os.getpid() % 2_000 * 8, 50_000):
            pair = [socket.socket() for _ in range(2)]
            try:
                for sock, port in zip(pair, (candidate, candidate + 10_000)):
                    sock.bind(("127.0.0.1", port))
            except OSError:
                for sock in pair:
                    sock.close()
                continue
            sockets += pair
            ports.append(candidate)
            if len(ports) == count:
                return ports
    finally:
        for sock in sockets:
            sock.close()
    raise RuntimeError("no free ports")


def server_under_test(**options):
    """The server that the suites run against: Larder, or the stand-in named by LARDER_TESTS_AGAINST."""
    if os.environ.get("LARDER_TESTS_AGAINST") == "seaweedfs":
        return SeaweedFs(directory=options.get("directory"))
    return Larder(**options)
