"""The AWS SDKs for JavaScript and Rust: each a small program that goes through everything and stops at what is wrong."""

import shutil

import pytest
from larderlib.clients import unique_bucket
from larderlib.need import CACHE, REPOSITORY, missing, tool

STEPS = ["put, get, compare", "odd keys and listing", "multipart with unequal parts", "presigned", "wrong secret is refused", "delete objects"]


def settings(server):
    return {"ENDPOINT": server.endpoint, "BUCKET": unique_bucket("sdk")}


def check(printed, steps):
    assert printed.decode().splitlines() == [f"ok: {step}" for step in steps]


def test_javascript(run, server, tmp_path):
    if not (CACHE / "node" / "node_modules").is_dir():
        missing("the AWS SDK for JavaScript", "tests/setup.sh, with npm installed")
    # Node looks for packages beside the program.
    program = CACHE / "node" / "client.mjs"
    shutil.copyfile(REPOSITORY / "tests" / "clients" / "js-sdk" / "client.mjs", program)
    check(run(tool("node", "apt-get install nodejs"), program, environment=settings(server)), [*STEPS, "upload of a stream", "host style"])


def test_rust(run, server):
    program = CACHE / "rust-sdk" / "debug" / "larder-rust-sdk-client"
    if not program.exists():
        missing("the client with the AWS SDK for Rust", "tests/setup.sh, with cargo installed")
    check(run(program, environment=settings(server)), STEPS)


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_boto3_as_it_comes(server, style, tmp_path):
    """boto3 has a suite of its own in tests/s3-compat; here only that nothing but endpoint and credentials must be set."""
    import boto3
    from botocore.config import Config

    endpoint = server.endpoint if style == "path" else f"http://s3.localhost:{server.port}"
    config = {} if style == "path" else {"config": Config(s3={"addressing_style": "virtual"})}
    keys = {"aws_access_key_id": server.access_key, "aws_secret_access_key": server.secret_key, "region_name": server.region}
    client = boto3.client("s3", endpoint_url=endpoint, **keys, **config)
    name = unique_bucket("boto3")
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key="k", Body=b"x")
    assert client.get_object(Bucket=name, Key="k")["Body"].read() == b"x"
    client.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k"}]})
    client.delete_bucket(Bucket=name)
