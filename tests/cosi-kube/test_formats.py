"""Each format of Secrets, read by the program that it is for, with nothing but the Secret."""

import configparser
import subprocess
import xml.etree.ElementTree

import pytest
from larderlib.kubectl import environment_of
from larderlib.need import library, tool

ALL = "aws,clickhouse,cnpg,cosi,percona,rclone,s3cfg,velero,zalando"
PREFIX = "team/one/"


def secret_of(kube, **parameters):
    namespace = kube.namespace()
    kube.claim(namespace, "claim", bucketClassName=kube.bucket_class())
    kube.access(namespace, "access", "claim", kube.access_class(secretFormats=ALL, **parameters), "secret")
    kube.until_ready(namespace, "claim")
    return kube.until_granted(namespace, "access")


@pytest.fixture(scope="module")
def secret(kube, driver):
    return secret_of(kube, prefix=PREFIX)


@pytest.fixture(scope="module")
def whole(kube, driver):
    """For a whole bucket. rclone asks for objects that are not there by HEAD, which is 403 for those who may list a prefix alone, as with AWS."""
    return secret_of(kube)


@pytest.fixture
def run(tmp_path):
    def run(environment, *command, status=(0,)):
        done = subprocess.run(list(map(str, command)), env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100)
        assert done.returncode in status, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file.csv"
    path.write_text("1,one\n2,two\n")
    return path


def only(tmp_path):
    """An environment that says nothing of any store."""
    return environment_of({}, tmp_path)


def test_aws(secret, run, file, tmp_path):
    environment = environment_of(secret, tmp_path)
    url = f"s3://{secret['BUCKET_NAME']}/{secret['BUCKET_PREFIX']}aws"
    run(environment, tool("aws"), "s3", "cp", file, url)
    assert run(environment, tool("aws"), "s3", "cp", url, "-") == file.read_text()
    outside = f"s3://{secret['BUCKET_NAME']}/elsewhere"
    run(environment, tool("aws"), "s3", "cp", file, outside, status=(1,))


def test_cosi(secret, run, file, tmp_path):
    environment = only(tmp_path) | {"AWS_ACCESS_KEY_ID": secret["COSI_S3_ACCESS_KEY_ID"], "AWS_SECRET_ACCESS_KEY": secret["COSI_S3_ACCESS_SECRET_KEY"]}
    options = ["--endpoint-url", secret["COSI_S3_ENDPOINT"], "--region", secret["COSI_S3_REGION"]]
    run(environment, tool("aws"), *options, "s3", "cp", file, f"s3://{secret['COSI_S3_BUCKET_ID']}/{PREFIX}cosi")


def test_rclone(whole, run, file, tmp_path):
    (tmp_path / "rclone.conf").write_text(whole["rclone.conf"])
    rclone = [tool("rclone"), "--config", "rclone.conf"]
    place = f"larder:{whole['BUCKET_NAME']}/{PREFIX}rclone"
    run(only(tmp_path), *rclone, "copyto", file, f"{place}/file.csv")
    assert run(only(tmp_path), *rclone, "cat", f"{place}/file.csv") == file.read_text()
    run(only(tmp_path), *rclone, "check", "--one-way", "--include", "file.csv", tmp_path, place)


def test_s3cfg(secret, run, file, tmp_path):
    (tmp_path / ".s3cfg").write_text(secret[".s3cfg"])
    s3cmd = [tool("s3cmd"), "-c", ".s3cfg"]
    url = f"s3://{secret['BUCKET_NAME']}/{PREFIX}s3cmd"
    run(only(tmp_path), *s3cmd, "put", file, url)
    assert url in run(only(tmp_path), *s3cmd, "ls", f"s3://{secret['BUCKET_NAME']}/{PREFIX}")
    assert run(only(tmp_path), *s3cmd, "get", url, "-", "--no-progress", "--quiet") == file.read_text()


def test_cnpg(secret, run, tmp_path):
    """The plugin gives barman-cloud the keys as AWS's variables, and the two texts as they are."""
    environment = only(tmp_path) | {
        "AWS_ACCESS_KEY_ID": secret["ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": secret["ACCESS_SECRET_KEY"],
        "AWS_DEFAULT_REGION": secret["REGION"],
    }
    segment = tmp_path / "000000010000000000000001"
    segment.write_bytes(bytes(range(256)) * 64)
    options = ["--endpoint-url", secret["endpointURL"], secret["destinationPath"], "server"]
    run(environment, tool("barman-cloud-wal-archive"), *options, segment)
    run(environment, tool("barman-cloud-wal-restore"), *options, segment.name, tmp_path / "restored")
    assert (tmp_path / "restored").read_bytes() == segment.read_bytes()


def test_velero(secret, run, file, tmp_path):
    """Its plugin reads the file as any SDK of AWS does."""
    (tmp_path / "cloud").write_text(secret["cloud"])
    environment = only(tmp_path) | {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "cloud"), "AWS_REGION": secret["AWS_REGION"]}
    run(environment, tool("aws"), "--profile", "default", "--endpoint-url", secret["AWS_ENDPOINT_URL"], "s3", "cp", file, f"s3://{secret['BUCKET_NAME']}/{PREFIX}velero")


def test_percona_postgresql(secret, run, tmp_path):
    """pgBackRest takes the file for what it is. It speaks to stores by HTTPS alone: tests/clients has it against the server."""
    configuration = configparser.ConfigParser()
    configuration.read_string(secret["s3.conf"])
    assert configuration["global"]["repo1-s3-key"] == secret["AWS_ACCESS_KEY_ID"]
    assert configuration["global"]["repo1-s3-key-secret"] == secret["AWS_SECRET_ACCESS_KEY"]
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "s3.conf").write_text(secret["s3.conf"])
    bare = ["--repo1-type=s3", f"--repo1-s3-bucket={secret['BUCKET_NAME']}", "--repo1-s3-endpoint=127.0.0.1:1", "--repo1-s3-region=r", "--repo1-path=/x"]
    command = [tool("pgbackrest"), *bare, f"--config-include-path={tmp_path / 'conf.d'}", "--config=/dev/null", "--log-level-file=off", "--io-timeout=1", "--log-level-console=error"]
    # Options that are not known, not right or missing would be 31, 32 and 37: it gets as far as the host.
    done = subprocess.run([*command, "repo-ls"], env=only(tmp_path), capture_output=True, text=True, timeout=100)
    assert done.returncode == 49 and "unable to connect to '127.0.0.1:1'" in done.stderr, done.stdout + done.stderr


def test_zalando(secret, run, file, tmp_path):
    """WAL-G's variables: which store, which bucket, and that paths name it."""
    assert secret["WAL_S3_BUCKET"] == f"{secret['BUCKET_NAME']}/{PREFIX.strip('/')}"
    assert (secret["AWS_S3_FORCE_PATH_STYLE"], secret["USE_WALG_BACKUP"]) == ("true", "true")
    environment = only(tmp_path) | {name: secret[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")}
    run(environment, tool("aws"), "--endpoint-url", secret["AWS_ENDPOINT"], "s3", "cp", file, f"s3://{secret['WAL_S3_BUCKET']}/spilo/one/wal")


CLICKHOUSE = """
import sys
from chdb import session
url, key, secret = sys.argv[1:]
one = session.Session()
one.query(f"CREATE NAMED COLLECTION larder AS url = '{url}', access_key_id = '{key}', secret_access_key = '{secret}'")
one.query("INSERT INTO FUNCTION s3(larder, filename = 'numbers.csv', format = 'CSV') SELECT number FROM numbers(1000) SETTINGS s3_truncate_on_insert = 1")
print(one.query("SELECT sum(c1) FROM s3(larder, filename = 'numbers.csv', format = 'CSV')", "CSV"))
"""


def test_clickhouse(secret, run, tmp_path):
    """The collection's own words, in the library that ClickHouse is too."""
    collection = xml.etree.ElementTree.fromstring(secret["clickhouse.xml"]).find("named_collections/larder")
    words = {element.tag: element.text for element in collection}
    assert set(words) == {"url", "access_key_id", "secret_access_key"}
    library("chdb")
    import sys

    environment = only(tmp_path) | {"PYTHONPATH": ":".join(sys.path)}
    printed = run(environment, sys.executable, "-c", CLICKHOUSE, words["url"], words["access_key_id"], words["secret_access_key"])
    assert "499500" in printed
