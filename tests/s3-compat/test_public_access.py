"""Public access: when a policy is public, and what blocks it; ownership controls."""

import json
import subprocess

import pytest
from larderlib.clients import client_environment, unique_bucket
from larderlib.expect import answered, refused
from larderlib.need import tool
from larderlib.tenants import ALPHA, BETA, document, set_policy, statement, tenants

BLOCKS = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"]


@pytest.fixture(scope="module")
def all(tmp_path_factory):
    with tenants(tmp_path_factory.mktemp("public")) as everybody:
        yield everybody


@pytest.fixture
def alpha(all):
    return all.alpha


@pytest.fixture
def name(all):
    return all.bucket()


def block(client, bucket, *blocks):
    client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={b: b in blocks for b in BLOCKS})


def test_a_block_is_what_was_put_until_it_is_deleted(alpha, name):
    with refused("NoSuchPublicAccessBlockConfiguration", 404):
        alpha.get_public_access_block(Bucket=name)
    for chosen in BLOCKS:
        block(alpha, name, chosen)
        got = alpha.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
        assert got == {b: b == chosen for b in BLOCKS}
    alpha.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration={"BlockPublicPolicy": True})
    got = alpha.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert got == {b: b == "BlockPublicPolicy" for b in BLOCKS}
    alpha.delete_public_access_block(Bucket=name)
    alpha.delete_public_access_block(Bucket=name)
    with refused("NoSuchPublicAccessBlockConfiguration", 404):
        alpha.get_public_access_block(Bucket=name)
    with refused("NoSuchBucket", 404):
        block(alpha, unique_bucket())


@pytest.mark.parametrize("body", [b"", b"<x/>", b"<PublicAccessBlockConfiguration><BlockPublicAcls>maybe</BlockPublicAcls></PublicAccessBlockConfiguration>"])
def test_what_is_no_block_is_refused(raw, bucket, body):
    answered(raw.request("PUT", f"/{bucket}", [("publicAccessBlock", "")], body=body), "MalformedXML")


@pytest.mark.parametrize(
    "principal, condition, public",
    [
        ("*", None, True),
        ({"AWS": "*"}, None, True),
        ({"AWS": BETA.arn}, None, False),
        ("*", {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, False),
        ("*", {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}, True),
        ("*", {"IpAddress": {"aws:SourceIp": "10.0.0.0/7"}}, True),
        ("*", {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, True),
        ("*", {"StringEquals": {"aws:SourceVpc": "vpc-1"}}, False),
        ("*", {"StringLike": {"aws:SourceVpc": "vpc-*"}}, True),
        ("*", {"StringEquals": {"aws:Referer": "https://example.com/"}}, True),
        ("*", {"ArnEquals": {"aws:SourceArn": "arn:aws:s3:::source"}}, False),
    ],
)
def test_when_a_policy_is_public(alpha, name, principal, condition, public):
    with refused("NoSuchBucketPolicy", 404):
        alpha.get_bucket_policy_status(Bucket=name)
    more = {"Condition": condition} if condition else {}
    made = statement(name, "s3:GetObject", principal=principal, key="*", **more)
    set_policy(alpha, name, made)
    assert alpha.get_bucket_policy_status(Bucket=name)["PolicyStatus"]["IsPublic"] is public
    alpha.delete_bucket_policy(Bucket=name)
    block(alpha, name, "BlockPublicPolicy")
    if public:
        with refused("AccessDenied", 403):
            set_policy(alpha, name, made)
        with refused("NoSuchBucketPolicy", 404):
            alpha.get_bucket_policy(Bucket=name)
    else:
        set_policy(alpha, name, made)


def test_a_denial_for_all_is_not_public(alpha, name):
    block(alpha, name, *BLOCKS)
    set_policy(alpha, name, statement(name, "s3:DeleteObject", "Deny", key="*"))
    assert alpha.get_bucket_policy_status(Bucket=name)["PolicyStatus"]["IsPublic"] is False


def test_a_public_bucket_that_is_restricted_serves_its_own_account_only(all, alpha, name):
    alpha.put_object(Bucket=name, Key="k", Body=b"x")
    public = statement(name, "s3:GetObject", key="*")
    for_beta = statement(name, "s3:GetObject", principal={"AWS": BETA.arn}, key="*")
    set_policy(alpha, name, public, for_beta)
    get = lambda client: client.get_object(Bucket=name, Key="k")["Body"].read()
    assert get(all.anyone) == get(all.beta) == b"x"
    block(alpha, name, "RestrictPublicBuckets")
    for client in (all.anyone, all.beta):
        with refused("AccessDenied", 403):
            get(client)
    assert get(alpha) == b"x"
    assert alpha.get_bucket_policy_status(Bucket=name)["PolicyStatus"]["IsPublic"] is True
    # A policy that is not public is none of this setting's business.
    set_policy(alpha, name, for_beta)
    assert get(all.beta) == b"x"
    set_policy(alpha, name, public)
    alpha.delete_public_access_block(Bucket=name)
    assert get(all.anyone) == b"x"


def test_blocks_of_lists_leave_policies_alone(all, alpha, name):
    block(alpha, name, "BlockPublicAcls", "IgnorePublicAcls")
    alpha.put_object(Bucket=name, Key="k", Body=b"x")
    set_policy(alpha, name, statement(name, "s3:GetObject", key="*"))
    assert all.anyone.get_object(Bucket=name, Key="k")["Body"].read() == b"x"


def test_ownership_controls_are_what_was_put_until_they_are_deleted(alpha, name):
    with refused("OwnershipControlsNotFoundError", 404):
        alpha.get_bucket_ownership_controls(Bucket=name)
    for ownership in ("ObjectWriter", "BucketOwnerPreferred", "BucketOwnerEnforced"):
        rules = {"Rules": [{"ObjectOwnership": ownership}]}
        alpha.put_bucket_ownership_controls(Bucket=name, OwnershipControls=rules)
        assert alpha.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"] == rules
    alpha.delete_bucket_ownership_controls(Bucket=name)
    with refused("OwnershipControlsNotFoundError", 404):
        alpha.get_bucket_ownership_controls(Bucket=name)


@pytest.mark.parametrize("rules", ["", "<Rule/>", "<Rule><ObjectOwnership>Nobody</ObjectOwnership></Rule>", "<Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>" * 2])
def test_what_are_no_ownership_controls_is_refused(raw, bucket, rules):
    body = f"<OwnershipControls>{rules}</OwnershipControls>".encode()
    answered(raw.request("PUT", f"/{bucket}", [("ownershipControls", "")], body=body), "MalformedXML")


@pytest.mark.parametrize("ownership", ["ObjectWriter", "BucketOwnerPreferred", "BucketOwnerEnforced"])
def test_a_bucket_is_created_with_its_ownership(all, alpha, ownership):
    name = all.bucket(ObjectOwnership=ownership)
    assert alpha.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"] == {"Rules": [{"ObjectOwnership": ownership}]}


def test_configurations_go_with_their_bucket(alpha, name):
    block(alpha, name, *BLOCKS)
    set_policy(alpha, name, statement(name, "s3:GetObject", principal={"AWS": BETA.arn}, key="*"))
    alpha.delete_bucket(Bucket=name)
    alpha.create_bucket(Bucket=name)
    with refused("NoSuchPublicAccessBlockConfiguration", 404):
        alpha.get_public_access_block(Bucket=name)
    with refused("NoSuchBucketPolicy", 404):
        alpha.get_bucket_policy(Bucket=name)


def test_aws_cli(all, name, tmp_path):
    environment = client_environment(all.server, tmp_path) | {"AWS_ACCESS_KEY_ID": ALPHA.pair["access_key"], "AWS_SECRET_ACCESS_KEY": ALPHA.pair["secret_key"]}
    run = lambda *arguments: subprocess.run([tool("aws"), "--endpoint-url", all.server.endpoint, "s3api", *arguments, "--bucket", name], env=environment, capture_output=True, text=True, timeout=120)
    assert run("put-public-access-block", "--public-access-block-configuration", "BlockPublicPolicy=true,RestrictPublicBuckets=true").returncode == 0
    got = json.loads(run("get-public-access-block").stdout)["PublicAccessBlockConfiguration"]
    assert got == {"BlockPublicAcls": False, "IgnorePublicAcls": False, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    (tmp_path / "policy.json").write_text(document(statement(name, "s3:GetObject", key="*")))
    assert "AccessDenied" in run("put-bucket-policy", "--policy", f"file://{tmp_path}/policy.json").stderr
    assert run("put-bucket-ownership-controls", "--ownership-controls", "Rules=[{ObjectOwnership=ObjectWriter}]").returncode == 0
    assert "ObjectWriter" in run("get-bucket-ownership-controls").stdout
    assert run("delete-public-access-block").returncode == 0
