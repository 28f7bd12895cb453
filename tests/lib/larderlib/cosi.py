"""A real COSI driver beside a real server: `larder-cosi` on a socket of its own, calls to it, and a proxy that cuts what it hears."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .need import REPOSITORY, missing
from .server import inherited_environment, poll

START_SECONDS = 60
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade"}


def binary(name, variable):
    """`larder-cosi` or `cosi-sanity`: where the variable says, or as cargo or tests/setup.sh built it."""
    built = [REPOSITORY / "target" / profile / name for profile in ("release", "debug")]
    newest = sorted((path for path in built if path.exists()), key=lambda path: path.stat().st_mtime)
    path = os.environ.get(variable) or str(newest[-1] if newest else built[-1])
    if not os.access(path, os.X_OK):
        missing(name, f"tests/setup.sh (cargo build --package larder-cosi), or set {variable}")
    return path


def driver_binary():
    return binary("larder-cosi", "LARDER_COSI_BIN")


def sanity_binary():
    beside = os.environ.get("LARDER_COSI_BIN")
    if beside and "LARDER_COSI_SANITY_BIN" not in os.environ:
        os.environ["LARDER_COSI_SANITY_BIN"] = str(Path(beside).with_name("cosi-sanity"))
    return binary("cosi-sanity", "LARDER_COSI_SANITY_BIN")


class Refused(Exception):
    """What a driver refuses: its code and its message."""

    def __init__(self, answer):
        super().__init__(f"{answer['code']}: {answer['message']}")
        self.code, self.message = answer["code"], answer["message"]


class Driver:
    """`larder-cosi serve` against `endpoint`, which is the server's unless something is put between."""

    def __init__(self, server, directory=None, endpoint=None, extra_args=(), environment=None, access_key=None, secret_key=None):
        self.server = server
        # The path of a socket has to be short.
        self.own_directory = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="cosi-"))
        self.run = self.directory / "run"
        self.run.mkdir(exist_ok=True)
        self.socket = self.run / "cosi.sock"
        self.cosi_endpoint = f"unix://{self.socket}"
        self.log_path = self.directory / "driver.log"
        self.address_file = self.directory / "address"
        self.endpoint = endpoint or server.endpoint
        self.extra_args = list(extra_args)
        self.secret_key = secret_key or server.secret_key
        self.environment = {
            "COSI_ENDPOINT": self.cosi_endpoint,
            "LARDER_COSI_ACCESS_KEY": access_key or server.access_key,
            "LARDER_COSI_SECRET_KEY": self.secret_key,
            # The tests may run in a pod, whose cluster is none of theirs.
            "LARDER_COSI_CONTROLLERS": "off",
            **(environment or {}),
        }
        self.process = None

    def command(self):
        command = [driver_binary(), "serve", "--endpoint", self.endpoint, "--external-endpoint", self.server.endpoint]
        command += ["--listen", "127.0.0.1:0", "--address-file", str(self.address_file)]
        return [*command, *self.extra_args]

    def start(self):
        """Starts the process and returns once its socket answers."""
        self.address_file.unlink(missing_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**inherited_environment(), **self.environment},
                cwd=self.directory,
            )
        poll(self._answers, START_SECONDS, "start of the driver")
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the driver ended with {self.process.returncode}:\n{self.log()}")
        try:
            return self.call("DriverGetInfo")
        except Refused:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self):
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self.process = None
        return status

    def close(self):
        if self.process:
            self.kill()
        if self.own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def call(self, method, **request):
        """One call by its own process, so that nothing is kept between two. Raises `Refused`."""
        return answer_of(self.begin(method, **request))

    def begin(self, method, **request):
        """A call that is in progress: see `answer_of`."""
        command = [sanity_binary(), "call", "--endpoint", self.cosi_endpoint, method, json.dumps(request)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=inherited_environment())

    def create(self, name, **parameters):
        return self.call("DriverCreateBucket", name=name, parameters=parameters)["bucket_id"]

    def delete(self, bucket, **parameters):
        return self.call("DriverDeleteBucket", bucket_id=bucket, delete_context=parameters)

    def grant(self, bucket, name, **parameters):
        return Granted(self.call("DriverGrantBucketAccess", bucket_id=bucket, name=name, parameters=parameters))

    def revoke(self, bucket, account):
        return self.call("DriverRevokeBucketAccess", bucket_id=bucket, account_id=account)

    def page(self, path):
        """Status and text of a page over HTTP."""
        address = self.address_file.read_text().strip()
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def answer_of(process):
    """What a call gives; its answer has secrets, and is in no message."""
    out, err = process.communicate(timeout=120)
    if process.returncode == 0:
        return json.loads(out)
    assert process.returncode == 1, f"cosi-sanity ended with {process.returncode}: {err}"
    raise Refused(json.loads(out))


class Granted:
    """What an application has from its Secret."""

    def __init__(self, answer):
        self.account = answer["account_id"]
        (self.protocol,) = answer["credentials"]
        secrets = answer["credentials"][self.protocol]["secrets"]
        self.access_key, self.secret_key = secrets["accessKeyID"], secrets["accessSecretKey"]
        self.endpoint, self.region = secrets["endpoint"], secrets["region"]

    def __eq__(self, other):
        return vars(self) == vars(other)


class Proxy:
    """Between a driver and its server, request by request. `after`, if set, is called with what was answered before that goes on."""

    def __init__(self, server):
        self.upstream = server.address
        self.after = None
        self.down = False
        # Headers of answers, in small letters, that say something else than was answered.
        self.instead = {}
        self.lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                proxy.handle(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

            def log_message(self, *_):
                pass

        class HttpServer(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """A driver that was killed hangs up."""

        self.http = HttpServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def handle(self, handler):
        if self.down:
            handler.close_connection = True
            return
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        upstream = http.client.HTTPConnection(self.upstream, timeout=60)
        upstream.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in handler.headers.items():
            if name.lower() not in HOP_BY_HOP:
                upstream.putheader(name, value)
        upstream.endheaders(body)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        with self.lock:
            if self.after and not self.after(handler.command, handler.path):
                handler.close_connection = True
                return
        handler.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                handler.send_header(name, self.instead.get(name.lower(), value))
        if handler.command == "HEAD":
            handler.send_header("content-length", answer.getheader("content-length") or "0")
        else:
            handler.send_header("content-length", str(len(content)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
