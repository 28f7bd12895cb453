"""Tokens of a real kube-apiserver buy credentials of a role: what a pod with a projected token does."""

import pytest
from botocore import UNSIGNED
from larderlib.cli import larder
from larderlib.clients import boto
from larderlib.expect import refused
from larderlib.iam import query
from larderlib.kube import ControlPlane
from larderlib.server import Larder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("kube")) as cluster:
        cluster.publish_keys()
        cluster.service_account("db", "backup")
        cluster.service_account("other", "backup")
        yield cluster


@pytest.fixture(scope="module")
def server(cluster, tmp_path_factory):
    server = Larder(directory=tmp_path_factory.mktemp("server"), extra_args=["--oidc-ca-file", str(cluster.authority.certificate)])
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def role(cluster, server):
    boto(server).create_bucket(Bucket="backups")
    larder(server, "provider", "add", cluster.url, "--audience", "larder")
    larder(server, "role", "add", "backup", "--provider", cluster.url, "--audience", "larder", "--service-account", "db/backup", "--bucket", "backups", "--policy", "append-only")
    return query("iam", server).get_role(RoleName="backup")["Role"]["Arn"]


def taken_on(server, role, token):
    sts = query("sts", server, signature_version=UNSIGNED)
    return sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="pod-1", WebIdentityToken=token)


def test_a_service_account_of_a_cluster_backs_up_without_a_key(cluster, server, role):
    answer = taken_on(server, role, cluster.service_account_token("db", "backup", "larder"))
    assert answer["SubjectFromWebIdentityToken"] == "system:serviceaccount:db:backup"
    given = answer["Credentials"]
    s3 = boto(server, access_key=given["AccessKeyId"], secret_key=given["SecretAccessKey"])
    s3._request_signer._credentials.token = given["SessionToken"]
    s3.put_object(Bucket="backups", Key="base.tar", Body=b"all of it")
    assert s3.get_object(Bucket="backups", Key="base.tar")["Body"].read() == b"all of it"
    with refused("AccessDenied"):
        s3.delete_object(Bucket="backups", Key="base.tar")


def test_other_service_accounts_and_audiences_get_nothing(cluster, server, role):
    with refused("AccessDenied", status=403):
        taken_on(server, role, cluster.service_account_token("other", "backup", "larder"))
    with refused("InvalidIdentityToken", status=400):
        taken_on(server, role, cluster.service_account_token("db", "backup", "kubernetes"))
    token = cluster.service_account_token("db", "backup", "larder")
    with refused("InvalidIdentityToken", status=400):
        taken_on(server, role, token[:-6] + ("AAAAAA" if token[-6:] != "AAAAAA" else "BBBBBB"))
