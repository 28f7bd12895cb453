"""Access without keys: a Secret that names a role, and a service account's token that buys its credentials, with nothing but what the Secret and the pod's volume hold."""

import dataclasses
import json
import os
import re

import boto3
import pytest
from larderlib.cli import larder
from larderlib.clients import boto, unique_bucket
from larderlib.cosi import Driver
from larderlib.expect import refused
from larderlib.iam import query
from larderlib.kubectl import environment_of
from larderlib.server import Larder

AUDIENCE = "larder"


@pytest.fixture(scope="module")
def store(kube, tmp_path_factory):
    """A server that takes the word of the cluster for its service accounts."""
    kube.publish_keys()
    authority = kube.authority()
    arguments = ["--oidc-ca-file", authority] if authority else ["--oidc-http"]
    with Larder(directory=tmp_path_factory.mktemp("store"), extra_args=arguments) as server:
        larder(server, "provider", "add", kube.url, "--audience", AUDIENCE)
        yield server


@pytest.fixture(scope="module")
def driver(store, kube):
    arguments = ["--controllers", "standalone", "--kubeconfig", str(kube.kubeconfig), "--oidc-provider", kube.url, "--oidc-audience", AUDIENCE]
    with Driver(store, extra_args=arguments) as driver:
        yield driver


@dataclasses.dataclass
class Granted:
    namespace: str
    bucket: str
    secret: dict
    role: str


@pytest.fixture
def granted(kube, driver, store):
    """An access of service account `backup`, with the path that the account's role has."""
    namespace = kube.namespace()
    kube.service_account(namespace, "backup")
    kube.claim(namespace, "backups", bucketClassName=kube.bucket_class())
    kube.access(namespace, "backups", "backups", kube.access_class(authentication="IAM"), "where", serviceAccountName="backup")
    bucket, secret = kube.until_ready(namespace, "backups"), kube.until_granted(namespace, "backups")
    return Granted(namespace, bucket, secret, kube.get("-n", namespace, "bucketaccess", "backups")["status"]["accountID"])


def client(secret, token, directory, monkeypatch):
    """boto3 as a pod has it that takes the Secret as its environment and mounts the token; its credentials are taken at once."""
    mounted = directory / "token"
    mounted.write_text(token)
    assert secret["AWS_WEB_IDENTITY_TOKEN_FILE"] == "/var/run/secrets/larder/token"
    with monkeypatch.context() as patch:
        environment = environment_of(secret, directory) | {"AWS_WEB_IDENTITY_TOKEN_FILE": str(mounted), "AWS_MAX_ATTEMPTS": "1"}
        for name in set(os.environ) - set(environment):
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        session = boto3.session.Session()
        session.get_credentials().get_frozen_credentials()
        return session.client("s3")


def test_the_secret_names_a_role_and_holds_no_key(store, granted):
    secret = granted.secret
    assert re.fullmatch(rf"arn:aws:iam::\d{{12}}:role/cosi/cosi\.larder\.dev/{granted.role}", secret["AWS_ROLE_ARN"])
    assert (secret["AWS_ENDPOINT_URL"], secret["BUCKET_NAME"], secret["WEB_IDENTITY_AUDIENCE"]) == (store.endpoint, granted.bucket, AUDIENCE)
    assert not [name for name in secret if "KEY" in name.upper()], sorted(secret)
    info = json.loads(secret["BucketInfo"])["spec"]
    assert info["authenticationType"] == "IAM" and info["bucketName"] == granted.bucket
    assert (info["secretS3"]["accessKeyID"], info["secretS3"]["accessSecretKey"]) == ("", "")
    assert store.secret_key not in json.dumps(secret)


def test_a_token_buys_credentials_for_the_bucket_until_the_access_goes(store, kube, granted, tmp_path, monkeypatch):
    other = unique_bucket()
    boto(store).create_bucket(Bucket=other)
    token = kube.token(granted.namespace, "backup", granted.secret["WEB_IDENTITY_AUDIENCE"])
    s3 = client(granted.secret, token, tmp_path, monkeypatch)
    s3.put_object(Bucket=granted.bucket, Key="base.tar", Body=b"all of it")
    assert s3.get_object(Bucket=granted.bucket, Key="base.tar")["Body"].read() == b"all of it"
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=granted.bucket)["Contents"]] == ["base.tar"]
    s3.delete_object(Bucket=granted.bucket, Key="base.tar")
    for ask in (lambda: s3.put_object(Bucket=other, Key="k", Body=b""), lambda: s3.list_objects_v2(Bucket=other), lambda: s3.list_buckets()):
        with refused("AccessDenied"):
            ask()

    iam = query("iam", store)
    assert iam.get_role(RoleName=granted.role)["Role"]["Arn"] == granted.secret["AWS_ROLE_ARN"]
    kube("-n", granted.namespace, "delete", "bucketaccess", "backups", "--timeout=60s")
    assert kube.get("-n", granted.namespace, "secret", "where") is None
    with refused("NoSuchEntity", status=404):
        iam.get_role(RoleName=granted.role)
    # What was bought before is worth nothing either, and no more can be had.
    with refused("InvalidAccessKeyId"):
        s3.list_objects_v2(Bucket=granted.bucket)
    with refused("AccessDenied"):
        client(granted.secret, token, tmp_path, monkeypatch)


def test_tokens_of_others_buy_nothing(kube, granted, tmp_path, monkeypatch):
    kube.service_account(granted.namespace, "other")
    elsewhere = kube.namespace()
    kube.service_account(elsewhere, "backup")
    for namespace, name in ((granted.namespace, "other"), (elsewhere, "backup")):
        with refused("AccessDenied"):
            client(granted.secret, kube.token(namespace, name, AUDIENCE), tmp_path, monkeypatch)
    with refused("InvalidIdentityToken", status=400):
        client(granted.secret, kube.token(granted.namespace, "backup", "somebody-else"), tmp_path, monkeypatch)


def test_another_service_account_has_a_role_of_its_own(kube, granted, tmp_path, monkeypatch):
    """Two accesses to one bucket: each account's token is for its own role, and one that goes leaves the other."""
    kube.service_account(granted.namespace, "reader")
    readers = kube.access_class(authentication="IAM", accessMode="ReadOnly")
    kube.access(granted.namespace, "reader", "backups", readers, "for-the-reader", serviceAccountName="reader")
    secret = kube.until_granted(granted.namespace, "reader")
    token = kube.token(granted.namespace, "reader", AUDIENCE)
    reader = client(secret, token, tmp_path, monkeypatch)
    reader.list_objects_v2(Bucket=granted.bucket)
    with refused("AccessDenied"):
        reader.put_object(Bucket=granted.bucket, Key="k", Body=b"")
    with refused("AccessDenied"):
        client(granted.secret, token, tmp_path, monkeypatch)
    kube("-n", granted.namespace, "delete", "bucketaccess", "backups", "--timeout=60s")
    reader.list_objects_v2(Bucket=granted.bucket)
