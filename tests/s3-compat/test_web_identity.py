"""AssumeRoleWithWebIdentity, with a provider on loopback that signs real tokens."""

import base64
import hashlib
import hmac
import json

import pytest
from botocore import UNSIGNED
from larderlib.account_fixtures import everybody, iam, server  # noqa: F401
from larderlib.clients import boto
from larderlib.expect import refused
from larderlib.iam import User, policy, query, statement
from larderlib.oidc import Provider, keys
from larderlib.server import Larder
from larderlib.tenants import ALPHA, BETA, tenants

SERVER_ARGUMENTS = ["--oidc-http"]


@pytest.fixture
def provider():
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def sts(server):
    return query("sts", server, signature_version=UNSIGNED)


def trusting(iam, provider, name, condition=None, arn=None):
    """A role for subjects of the provider."""
    known = arn or iam.create_open_id_connect_provider(Url=provider.url, ClientIDList=["larder"], ThumbprintList=[])["OpenIDConnectProviderArn"]
    allow = {"Effect": "Allow", "Principal": {"Federated": known}, "Action": "sts:AssumeRoleWithWebIdentity"}
    condition = condition or {"StringEquals": {f"{provider.name}:sub": "system:serviceaccount:db:backup", f"{provider.name}:aud": "larder"}}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy({**allow, "Condition": condition}))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(statement("s3:ListAllMyBuckets")))
    return known, role


def test_a_service_account_takes_on_a_role(server, iam, sts, provider):
    known, role = trusting(iam, provider, "of-cluster")
    answer = sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="pod-1", WebIdentityToken=provider.token(audience=["other", "larder"]))
    assert answer["SubjectFromWebIdentityToken"] == "system:serviceaccount:db:backup"
    assert (answer["Audience"], answer["Provider"]) == ("larder", known)
    given = answer["Credentials"]
    client = boto(server, access_key=given["AccessKeyId"], secret_key=given["SecretAccessKey"])
    client._request_signer._credentials.token = given["SessionToken"]
    client.list_buckets()
    who = query("sts", server, access_key=given["AccessKeyId"], secret_key=given["SecretAccessKey"], token=given["SessionToken"])
    assert who.get_caller_identity()["Arn"] == f"arn:aws:sts::{ALPHA.id}:assumed-role/of-cluster/pod-1"


def test_subject_audience_issuer_and_time_are_checked(iam, sts, provider, everybody):
    _, role = trusting(iam, provider, "strict")
    take = {"RoleArn": role, "RoleSessionName": "s1"}

    def refusal(code, status, token, **changed):
        with refused(code, status=status):
            sts.assume_role_with_web_identity(**{**take, **changed}, WebIdentityToken=token)

    refusal("AccessDenied", 403, provider.token(subject="system:serviceaccount:db:other"))
    refusal("InvalidIdentityToken", 400, provider.token(audience="elsewhere"))
    refusal("InvalidIdentityToken", 400, provider.token(iss="https://other.example"))
    refusal("ExpiredTokenException", 400, provider.token(seconds=-1))
    refusal("InvalidIdentityToken", 400, provider.token(nbf=1 << 40))
    refusal("AccessDenied", 403, provider.token(), RoleArn=role + "-none")
    # The provider is the account's: the same role in an account that does not know it is closed.
    beta = query("iam", everybody.server, **BETA.pair)
    allow = {"Effect": "Allow", "Principal": {"Federated": f"arn:aws:iam::{BETA.id}:oidc-provider/{provider.name}"}, "Action": "sts:*"}
    foreign = beta.create_role(RoleName="foreign", AssumeRolePolicyDocument=policy(allow))["Role"]["Arn"]
    refusal("InvalidIdentityToken", 400, provider.token(), RoleArn=foreign)
    sts.assume_role_with_web_identity(**take, WebIdentityToken=provider.token())


def test_tokens_that_the_provider_did_not_sign_are_refused(iam, sts, provider):
    _, role = trusting(iam, provider, "forged")
    token = provider.token()
    head, body, signature = token.split(".")

    def encoded(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    admin = encoded(json.dumps({**claims, "sub": "system:serviceaccount:db:admin"}).encode())
    none = encoded(b'{"alg":"none","typ":"JWT","kid":"key-1"}')
    # With the public key as a shared secret, where whoever checks lets the token choose the algorithm.
    shared = encoded(b'{"alg":"HS256","typ":"JWT","kid":"key-1"}')
    public = provider.keys["key-1"][0].save_pkcs1()
    by_hmac = encoded(hmac.new(public, f"{shared}.{body}".encode(), hashlib.sha256).digest())
    stranger = keys("stranger")[1]
    for wrong in (
        f"{head}.{admin}.{signature}",
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        f"{none}.{body}.",
        f"{shared}.{body}.{by_hmac}",
        provider.token(private=stranger),
        provider.token(private=stranger, header={"kid": "unknown"}),
        "nonsense",
        "a.b.c",
    ):
        with refused("InvalidIdentityToken", status=400):
            sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="s1", WebIdentityToken=wrong)


def test_keys_are_fetched_once_and_a_provider_that_is_away_is_named(iam, sts, provider):
    _, role = trusting(iam, provider, "cached")
    for _ in range(5):
        sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="s1", WebIdentityToken=provider.token())
    assert provider.requests == {"/.well-known/openid-configuration": 1, "/keys": 1}
    provider.close()
    sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="s1", WebIdentityToken=provider.token())
    away = Provider()
    _, other = trusting(iam, away, "away")
    away.close()
    with refused("IDPCommunicationError", status=400):
        sts.assume_role_with_web_identity(RoleArn=other, RoleSessionName="s1", WebIdentityToken=away.token())


def test_a_provider_that_calls_itself_otherwise_is_not_believed(iam, sts, provider):
    _, role = trusting(iam, provider, "impostor")
    provider.issuer = "https://other.example"
    with refused("IDPCommunicationError", status=400):
        sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="s1", WebIdentityToken=provider.token(iss=provider.url))


def test_providers_are_kept(iam, provider):
    arn = iam.create_open_id_connect_provider(Url=provider.url, ClientIDList=["a"], ThumbprintList=["0" * 40], Tags=[{"Key": "k", "Value": "v"}])["OpenIDConnectProviderArn"]
    assert arn == f"arn:aws:iam::{ALPHA.id}:oidc-provider/{provider.name}"
    with refused("EntityAlreadyExists", status=409):
        iam.create_open_id_connect_provider(Url=provider.url)
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="b")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="a")
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["1" * 40])
    found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (found["Url"], found["ClientIDList"], found["ThumbprintList"]) == (provider.name, ["b"], ["1" * 40])
    assert {"Arn": arn} in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    with refused("NoSuchEntity", status=404):
        iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    for url in ("http://oidc.example", "nonsense"):
        with refused("InvalidInput", status=400):
            iam.create_open_id_connect_provider(Url=url)


def test_users_may_make_providers_only_where_policies_let_them(server, iam, provider):
    user = User(server, iam, "provider-maker")
    with refused("AccessDenied", status=403):
        user.client("iam").create_open_id_connect_provider(Url=provider.url)


def test_without_tls_providers_are_for_those_who_say_so(tmp_path, provider):
    with Larder(directory=tmp_path) as server, refused("InvalidInput"):
        query("iam", server).create_open_id_connect_provider(Url=provider.url, ClientIDList=["larder"], ThumbprintList=[])
    assert not provider.requests
