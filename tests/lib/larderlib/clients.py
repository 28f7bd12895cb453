"""boto3 clients for a server, names and bytes for tests."""

import itertools
import os
import random
import socket

import boto3
from botocore.config import Config

_numbers = itertools.count(1)
_resolver = socket.getaddrinfo


def _loopback_for_test_domains(host, *args, **kwargs):
    """Names below the test domains mean this machine: host-style addressing needs no DNS and no /etc/hosts."""
    name = host.decode() if isinstance(host, bytes) else host
    if name and (name.endswith(".localhost") or name.endswith("example.test")):
        host = "127.0.0.1"
    return _resolver(host, *args, **kwargs)


socket.getaddrinfo = _loopback_for_test_domains
# A proxy of the caller's is of no use for a server on loopback. Inherited by the clients that the tests start.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"


def boto(server, style="path", endpoint=None, retries=0, access_key=None, secret_key=None, region=None, **config):
    """A boto3 S3 client. Retries are off by default, so that a test sees the first answer."""
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint or server.endpoint,
        aws_access_key_id=access_key or server.access_key,
        aws_secret_access_key=secret_key or server.secret_key,
        region_name=region or server.region,
        verify=server.ca_file,
        config=Config(
            s3={"addressing_style": style},
            retries={"total_max_attempts": retries + 1},
            read_timeout=60,
            max_pool_connections=64,
            **config,
        ),
    )
    client.meta.events.register("after-call.s3", _show_mismatch)
    return client


def _show_mismatch(parsed, **_):
    """What the server signed, into the report of the test that fails over it: the exception says the message only."""
    if parsed.get("Error", {}).get("Code") == "SignatureDoesNotMatch":
        print("SignatureDoesNotMatch:", parsed["Error"])


def client_environment(server, home):
    """The environment of a command-line client: credentials, region, and a home of its own, nothing of the caller's."""
    keep = {name: value for name, value in os.environ.items() if not name.upper().startswith(("AWS_", "RCLONE_"))}
    return keep | {
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_DEFAULT_REGION": server.region,
        "AWS_REGION": server.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
    }


def rclone_settings(server):
    """The environment in which rclone knows the server as `larder:`."""
    return {
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_LARDER_TYPE": "s3",
        "RCLONE_CONFIG_LARDER_PROVIDER": "Other",
        "RCLONE_CONFIG_LARDER_ENDPOINT": server.endpoint,
        "RCLONE_CONFIG_LARDER_ACCESS_KEY_ID": server.access_key,
        "RCLONE_CONFIG_LARDER_SECRET_ACCESS_KEY": server.secret_key,
        "RCLONE_CONFIG_LARDER_REGION": server.region,
    }


def unique_bucket(prefix="test"):
    return f"{prefix}-{os.getpid()}-{next(_numbers)}"


def random_bytes(count, seed=0):
    return random.Random(seed).randbytes(count)
