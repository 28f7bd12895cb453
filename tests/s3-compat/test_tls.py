"""TLS of the server itself: private authorities, client certificates, versions, HTTP/2, and certificates that are renewed under load."""

import http.client
import json
import os
import ssl
import subprocess
import threading
import urllib.request
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError, HTTPClientError, SSLError
from larderlib.clients import boto, client_environment, random_bytes, unique_bucket
from larderlib.connection import connected, ends
from larderlib.expect import refused
from larderlib.need import tool
from larderlib.rawhttp import UNSIGNED, Raw, exchange
from larderlib.server import DOMAINS, Larder, inherited_environment, larder_binary, poll
from larderlib.tls import NAMES, Authority, Pair


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory, authority):
    """A server that speaks TLS on one port and none on another."""
    directory, pair = tmp_path_factory.mktemp("secure"), authority.issue([*NAMES, DOMAINS[0], f"*.{DOMAINS[0]}"])
    metrics = {"LARDER_METRICS_TOKEN": "a-token-of-a-test"}
    with Larder(directory=directory, tls=pair, authority=authority, plain=True, environment=metrics) as server:
        yield server


@contextmanager
def serving(tmp_path, authority, *arguments, pair=None, **options):
    pair = pair or authority.issue()
    with Larder(directory=tmp_path / "server", tls=pair, authority=authority, extra_args=arguments, **options) as server:
        yield server


@contextmanager
def shaken(server, context):
    """A connection after its handshake."""
    with connected(plainly(server)) as (sock, _), context.wrap_socket(sock, server_hostname=server.host) as stream:
        yield stream


def plainly(server):
    """The server as a helper without TLS sees it."""

    class Plain:
        host, port, ca_file = server.host, server.port, None

    return Plain


def shown(server, context):
    with shaken(server, context) as stream:
        return stream.getpeercert(binary_form=True)


def is_told_no(server, context):
    """Whether the server ends the connection before it answers. A client of TLS 1.3 learns of it when it reads."""
    try:
        with shaken(server, context) as stream:
            stream.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return stream.recv(1) == b""
    except (ssl.SSLError, ConnectionError):
        return True


# --- Clients -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_boto3_with_a_private_authority(secure, style):
    client, bucket = boto(secure, style, f"https://{DOMAINS[0]}:{secure.port}"), unique_bucket()
    data = random_bytes(20 << 20)
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="Grüße/k", Body=data)
    assert client.get_object(Bucket=bucket, Key="Grüße/k")["Body"].read() == data
    with refused("NoSuchKey"):
        client.get_object(Bucket=bucket, Key="none")


def test_aws_cli_with_a_private_authority(secure, tmp_path):
    bucket, file = unique_bucket(), tmp_path / "file"
    file.write_bytes(random_bytes(20 << 20))
    environment = client_environment(secure, tmp_path) | {"AWS_CA_BUNDLE": secure.ca_file}

    def aws(*arguments):
        command = [tool("aws"), "--endpoint-url", secure.endpoint, "s3", *map(str, arguments)]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)

    aws("mb", f"s3://{bucket}")
    aws("cp", file, f"s3://{bucket}/k")
    aws("cp", f"s3://{bucket}/k", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


def test_whoever_does_not_know_the_authority_sends_nothing(secure, stranger):
    class Elsewhere:
        ca_file = str(stranger.certificate)
        access_key, secret_key, region, endpoint = secure.access_key, secure.secret_key, secure.region, secure.endpoint

    with pytest.raises(SSLError, match="certificate verify failed"):
        boto(Elsewhere).list_buckets()
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(secure, ssl.create_default_context())


@pytest.mark.parametrize("option, version", [("--http2", b"2"), ("--http1.1", b"1.1")])
def test_http_2_is_agreed_on_with_the_handshake(secure, tmp_path, option, version):
    bucket, data = unique_bucket(), random_bytes(3 << 20)
    boto(secure).create_bucket(Bucket=bucket)
    (tmp_path / "body").write_bytes(data)
    command = [tool("curl", "apt-get install curl"), "--silent", "--show-error", option, "--cacert", secure.ca_file, "--noproxy", "*"]
    command += ["--aws-sigv4", f"aws:amz:{secure.region}:s3", "--user", f"{secure.access_key}:{secure.secret_key}"]
    command += ["--header", f"x-amz-content-sha256: {UNSIGNED}", "--write-out", "%{http_version} %{http_code}", "--output", str(tmp_path / "answer")]
    for more in [["--upload-file", str(tmp_path / "body")], []]:
        said = subprocess.run([*command, *more, f"{secure.endpoint}/{bucket}/k"], capture_output=True, check=True, timeout=60).stdout
        assert said == version + b" 200"
    assert (tmp_path / "answer").read_bytes() == data


def test_a_client_that_speaks_no_protocol_of_ours_is_refused(secure, authority):
    for offered, agreed in [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), ([], None)]:
        context = authority.context()
        if offered:
            context.set_alpn_protocols(offered)
        with shaken(secure, context) as stream:
            assert stream.selected_alpn_protocol() == agreed
    context = authority.context()
    context.set_alpn_protocols(["spdy/1"])
    assert is_told_no(secure, context)


def test_addresses_in_answers_are_as_secure_as_the_request(secure):
    client, bucket = boto(secure), unique_bucket()
    client.create_bucket(Bucket=bucket)
    for endpoint, scheme in [(secure.endpoint, "https://"), (secure.plain_endpoint, "http://")]:
        client = boto(secure, endpoint=endpoint)
        upload = {"Bucket": bucket, "Key": "k", "UploadId": client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]}
        part = {"PartNumber": 1, "ETag": client.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]}
        assert client.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})["Location"].startswith(scheme)


def test_a_policy_that_denies_what_is_not_encrypted(secure):
    client, bucket = boto(secure), unique_bucket()
    client.create_bucket(Bucket=bucket)
    condition = {"Bool": {"aws:SecureTransport": "false"}}
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{bucket}/*"], "Condition": condition}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    plain = boto(secure, endpoint=secure.plain_endpoint)
    for call in [lambda: plain.get_object(Bucket=bucket, Key="k"), lambda: plain.put_object(Bucket=bucket, Key="k", Body=b"y")]:
        with refused("AccessDenied"):
            call()
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_the_command_line_trusts_a_named_authority(secure, tmp_path):
    assert secure.status()["disks"]
    command = [larder_binary(), "status", "--endpoint", secure.endpoint]
    environment = {**inherited_environment(), **secure.environment}
    done = subprocess.run(command, env=environment | {"LARDER_CA_FILE": secure.ca_file}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for ca_file, wrong in [(None, "certificate"), (str(tmp_path / "none.crt"), "none.crt: No such file"), ("/dev/null", "no certificate in it")]:
        more = {"LARDER_CA_FILE": ca_file} if ca_file else {}
        done = subprocess.run(command, env=environment | more, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and wrong in done.stderr, done.stderr


# --- What is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_versions_are_refused(secure, authority, tmp_path):
    def up_to(version):
        # OpenSSL itself refuses the old ones unless it is asked not to.
        context = authority.context(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=version)
        context.set_ciphers("ALL:@SECLEVEL=0")
        return context

    def refuses(server, version):
        with pytest.raises(ssl.SSLError) as error, shaken(server, up_to(version)):
            pass
        # The server's word, not that of the client's own library.
        return "_ALERT_" in error.value.reason

    with shaken(secure, up_to(ssl.TLSVersion.TLSv1_2)) as stream:
        assert stream.version() == "TLSv1.2"
    with shaken(secure, authority.context()) as stream:
        assert stream.version() == "TLSv1.3"
    assert refuses(secure, ssl.TLSVersion.TLSv1_1)
    with serving(tmp_path, authority, "--tls-min-version", "1.3") as server:
        assert refuses(server, ssl.TLSVersion.TLSv1_2)
        boto(server).list_buckets()


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"], ids=["nothing", "half a handshake", "no TLS"])
def test_who_does_not_finish_a_handshake_is_cut_off(authority, tmp_path, begun):
    with serving(tmp_path, authority, "--idle-timeout", "1s", "--max-connections", "4") as server:
        with connected(plainly(server)) as (sock, stream), connected(plainly(server)) as (other, _):
            sock.sendall(begun)
            assert not ends(stream).startswith(b"HTTP")
            other.sendall(begun)
            poll(lambda: not is_told_no(server, authority.context()), 30, "a place for somebody else")


def test_nothing_is_served_in_the_clear_on_the_port_of_tls(secure):
    assert b"HTTP" not in exchange(secure, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")


@pytest.mark.parametrize("rule", ["required", "optional"])
def test_client_certificates(authority, stranger, tmp_path, rule):
    with serving(tmp_path, authority, "--tls-client-ca", authority.certificate, "--tls-client-auth", rule, plain=True) as server:
        known, unknown = authority.issue(["a client"]), stranger.issue(["a client"])
        boto(server, client_cert=(str(known.certificate), str(known.key))).list_buckets()
        assert not is_told_no(server, authority.context(known))
        assert is_told_no(server, authority.context(unknown))
        assert is_told_no(server, authority.context()) == (rule == "required")
        # It lets in, and no more: requests are signed as ever.
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            boto(server, secret_key="wrong", client_cert=(str(known.certificate), str(known.key))).list_buckets()
        if rule == "required":
            with pytest.raises((SSLError, HTTPClientError)):
                boto(server).list_buckets()


@pytest.mark.parametrize(
    "certificate, key, wrong",
    [
        ("good.crt", "other.key", "the key is another certificate's"),
        ("none.crt", "good.key", "none.crt: No such file or directory"),
        ("good.crt", "none.key", "none.key: No such file or directory"),
        ("good.crt", "good.crt", "good.crt: no private key in it"),
        ("good.key", "good.key", "good.key: no certificate in it"),
        ("good.crt", None, "tls-key: is missing: tls-cert is set"),
    ],
)
def test_a_start_with_files_that_cannot_be_used_is_refused(authority, tmp_path, certificate, key, wrong):
    good, other = authority.issue(), authority.issue()
    for path, name in [(good.certificate, "good.crt"), (good.key, "good.key"), (other.key, "other.key")]:
        (tmp_path / name).write_bytes(path.read_bytes())
    command = [larder_binary(), "server", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "disk"), "--tls-cert", str(tmp_path / certificate)]
    command += ["--tls-key", str(tmp_path / key)] if key else []
    (tmp_path / "disk").mkdir()
    done = subprocess.run(command, env=inherited_environment(), capture_output=True, text=True, timeout=60)
    errors = [line for line in done.stderr.splitlines() if "WARN" not in line]
    assert done.returncode != 0 and len(errors) == 1 and wrong in errors[0], done.stderr
    assert not any((tmp_path / "disk").iterdir()), "nothing is touched"


# --- Certificates that are renewed -------------------------------------------------------------------------------------


def expiry(server):
    request = urllib.request.Request(f"{server.plain_endpoint}/_larder/metrics", headers={"Authorization": "Bearer a-token-of-a-test"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    (value,) = [line.split()[1] for line in lines if line.startswith("larder_tls_certificate_expiry_timestamp_seconds ")]
    return int(value)


def until(pair):
    return ssl.cert_time_to_seconds(ssl._ssl._test_decode_cert(str(pair.certificate))["notAfter"])


def test_when_the_certificate_expires_is_a_metric(secure):
    assert expiry(secure) == until(secure.tls)


def test_an_expired_certificate_is_shown_and_said(authority, tmp_path):
    expired = authority.issue(days=-1)
    environment = {"LARDER_METRICS_TOKEN": "a-token-of-a-test"}
    with serving(tmp_path, authority, pair=expired, plain=True, environment=environment) as server:
        poll(lambda: "the certificate has expired on" in server.log_path.read_text(), 30, "the warning")
        assert expiry(server) == until(expired)
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            shown(server, authority.context())


class Renamed:
    """Certificate and key as certbot or an operator replaces them: one after the other, each by a rename."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        self.pair = Pair(directory / "tls.crt", directory / "tls.key")

    def put(self, certificate, key):
        for content, path in [(certificate, self.pair.certificate), (key, self.pair.key)]:
            (self.directory / "new").write_bytes(content)
            os.replace(self.directory / "new", path)


class Secret(Renamed):
    """As Kubernetes mounts a Secret: the files lead through `..data`, a link to a directory that is replaced as a whole."""

    def __init__(self, directory):
        super().__init__(directory)
        self.versions = 0
        for path in [self.pair.certificate, self.pair.key]:
            path.symlink_to(f"..data/{path.name}")

    def put(self, certificate, key):
        self.versions += 1
        version = self.directory / f"..version_{self.versions}"
        version.mkdir()
        (version / "tls.crt").write_bytes(certificate)
        (version / "tls.key").write_bytes(key)
        (self.directory / "..data_tmp").symlink_to(version.name)
        os.replace(self.directory / "..data_tmp", self.directory / "..data")


class Kept:
    """Requests on one connection without end, from a thread. Fails if the connection does not last."""

    def __init__(self, server, context):
        self.raw, self.asked, self.error = Raw(server), 0, None
        self.connection = http.client.HTTPSConnection(server.host, server.port, timeout=30, context=context)
        self.connection.connect()
        self.connection.auto_open = 0
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            while not self.is_over.is_set():
                headers, _, _ = self.raw.signer.headers("GET", "/", [], {"Host": self.raw.host_header}, UNSIGNED)
                self.connection.request("GET", "/", headers=headers)
                answer = self.connection.getresponse()
                assert (answer.status, answer.read()[:5]) == (200, b"<?xml")
                self.asked += 1
        except Exception as error:  # noqa: BLE001 - told by the test
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join(60)
        self.connection.close()
        assert self.error is None and self.asked, self.error


def contents(pair):
    return pair.certificate.read_bytes(), pair.key.read_bytes()


@pytest.mark.parametrize("way", [Renamed, Secret])
def test_a_renewed_certificate_is_for_new_connections(authority, tmp_path, way):
    renewals = [authority.issue() for _ in range(4)]
    place = way(tmp_path / "files")
    place.put(*contents(renewals[0]))
    with serving(tmp_path, authority, pair=place.pair) as server, Kept(server, authority.context()) as kept:
        client, data = boto(server), random_bytes(1 << 20)
        client.create_bucket(Bucket="renewed")
        for renewal in renewals[1:]:
            place.put(*contents(renewal))
            poll(lambda: shown(server, authority.context()) == renewal.der, 30, "the new certificate")
            asked = kept.asked
            client.put_object(Bucket="renewed", Key="k", Body=data)
            boto(server).put_object(Bucket="renewed", Key="k", Body=data)
            poll(lambda: kept.asked > asked or kept.error, 30, "an answer on the old connection")
            assert client.get_object(Bucket="renewed", Key="k")["Body"].read() == data


@pytest.mark.parametrize("broken", ["mismatch", "nonsense", "nothing"])
def test_a_certificate_that_cannot_be_used_changes_nothing(authority, tmp_path, broken):
    first, second = authority.issue(), authority.issue()
    place = Secret(tmp_path / "files")
    place.put(*contents(first))
    with serving(tmp_path, authority, pair=place.pair) as server:
        wrong = {"mismatch": contents(second)[0], "nonsense": b"nonsense", "nothing": b""}[broken]
        place.put(wrong, contents(first)[1])

        def complaints():
            return server.log_path.read_text().count("the certificate of before stays in use")

        poll(complaints, 30, "the line of the log")
        assert shown(server, authority.context()) == first.der
        place.put(*contents(second))
        poll(lambda: shown(server, authority.context()) == second.der, 30, "the new certificate")
        assert complaints() == 1, "one line for each state of the files"
