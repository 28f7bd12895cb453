"""Access control lists: off unless ownership controls, or the server's setting, let them count."""

import subprocess

import pytest
from larderlib.clients import boto, client_environment, unique_bucket
from larderlib.expect import answered, refused
from larderlib.need import tool
from larderlib.server import Larder
from larderlib.tenants import ALPHA, BETA, set_policy, statement, tenants

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOGS = "http://acs.amazonaws.com/groups/s3/LogDelivery"


@pytest.fixture(scope="module")
def all(tmp_path_factory):
    with tenants(tmp_path_factory.mktemp("acl")) as everybody:
        yield everybody


@pytest.fixture
def alpha(all):
    return all.alpha


@pytest.fixture
def name(all):
    """A bucket whose list counts."""
    return all.bucket(ObjectOwnership="ObjectWriter")


def listed(client, bucket):
    def who(grantee):
        return grantee.get("ID") or grantee.get("URI")

    return {(who(grant["Grantee"]), grant["Permission"]) for grant in client.get_bucket_acl(Bucket=bucket)["Grants"]}


OWNER = (ALPHA.canonical_id, "FULL_CONTROL")


def test_lists_are_off_unless_said_otherwise(all, alpha):
    name = all.bucket()
    alpha.put_object(Bucket=name, Key="k", Body=b"x")
    for set in (
        lambda: alpha.put_bucket_acl(Bucket=name, ACL="public-read"),
        lambda: alpha.put_object_acl(Bucket=name, Key="k", ACL="public-read"),
        lambda: alpha.put_object(Bucket=name, Key="k2", Body=b"x", ACL="public-read"),
        lambda: alpha.put_object(Bucket=name, Key="k2", Body=b"x", GrantRead=f'id="{BETA.canonical_id}"'),
        lambda: alpha.copy_object(Bucket=name, Key="k2", CopySource={"Bucket": name, "Key": "k"}, ACL="public-read"),
        lambda: alpha.create_multipart_upload(Bucket=name, Key="k2", ACL="public-read"),
    ):
        with refused("AccessControlListNotSupported", 400):
            set()
    for harmless in ("private", "bucket-owner-full-control"):
        alpha.put_object(Bucket=name, Key="k", Body=b"x", ACL=harmless)
        alpha.put_object_acl(Bucket=name, Key="k", ACL=harmless)
        alpha.put_bucket_acl(Bucket=name, ACL=harmless)
    own = alpha.get_object_acl(Bucket=name, Key="k")
    alpha.put_object_acl(Bucket=name, Key="k", AccessControlPolicy={"Owner": own["Owner"], "Grants": own["Grants"]})
    assert listed(alpha, name) == {OWNER}
    answer = alpha.get_object_acl(Bucket=name, Key="k")
    assert answer["Owner"]["ID"] == ALPHA.canonical_id
    assert [(g["Grantee"]["ID"], g["Permission"]) for g in answer["Grants"]] == [OWNER]
    with refused("NoSuchKey", 404):
        alpha.get_object_acl(Bucket=name, Key="none")
    assert [o["Key"] for o in alpha.list_objects_v2(Bucket=name)["Contents"]] == ["k"]


@pytest.mark.parametrize(
    "canned, grants",
    [
        ("private", set()),
        ("public-read", {(ALL_USERS, "READ")}),
        ("public-read-write", {(ALL_USERS, "READ"), (ALL_USERS, "WRITE")}),
        ("authenticated-read", {(AUTHENTICATED, "READ")}),
        ("log-delivery-write", {(LOGS, "WRITE"), (LOGS, "READ_ACP")}),
    ],
)
def test_lists_with_a_name(alpha, name, canned, grants):
    alpha.put_bucket_acl(Bucket=name, ACL=canned)
    assert listed(alpha, name) == {OWNER} | grants


def test_everybody_lists_and_writes_where_the_bucket_is_open(all, alpha, name):
    alpha.put_object(Bucket=name, Key="k", Body=b"x")
    for client in (all.anyone, all.beta):
        with refused("AccessDenied", 403):
            client.list_objects_v2(Bucket=name)
    alpha.put_bucket_acl(Bucket=name, ACL="public-read")
    for client in (all.anyone, all.beta):
        assert [o["Key"] for o in client.list_objects_v2(Bucket=name)["Contents"]] == ["k"]
        client.list_object_versions(Bucket=name)
        client.list_multipart_uploads(Bucket=name)
        for attempt in (lambda: client.put_object(Bucket=name, Key="new", Body=b"y"), lambda: client.get_object(Bucket=name, Key="k"), lambda: client.get_bucket_acl(Bucket=name)):
            with refused("AccessDenied", 403):
                attempt()
    alpha.put_bucket_acl(Bucket=name, ACL="public-read-write")
    all.anyone.put_object(Bucket=name, Key="new", Body=b"y")
    all.anyone.delete_object(Bucket=name, Key="k")
    with refused("AccessDenied", 403):
        all.anyone.delete_object(Bucket=name, Key="new", VersionId="null")
    assert [o["Key"] for o in alpha.list_objects_v2(Bucket=name)["Contents"]] == ["new"]


def test_who_has_credentials_lists_where_that_is_granted(all, alpha, name):
    alpha.put_bucket_acl(Bucket=name, ACL="authenticated-read")
    all.beta.list_objects_v2(Bucket=name)
    with refused("AccessDenied", 403):
        all.anyone.list_objects_v2(Bucket=name)


def test_grants_in_headers_name_accounts_groups_and_addresses(all, alpha, name):
    alpha.put_bucket_acl(
        Bucket=name,
        GrantFullControl=f'id="{ALPHA.canonical_id}"',
        GrantRead=f'emailAddress="{BETA.email}", uri="{AUTHENTICATED}"',
        GrantReadACP=f"id={BETA.canonical_id}",
    )
    assert listed(alpha, name) == {OWNER, (BETA.canonical_id, "READ"), (AUTHENTICATED, "READ"), (BETA.canonical_id, "READ_ACP")}
    assert listed(all.beta, name) == listed(alpha, name)
    with refused("AccessDenied", 403):
        all.beta.put_bucket_acl(Bucket=name, ACL="private")
    alpha.put_bucket_acl(Bucket=name, GrantWriteACP=f'id="{BETA.canonical_id}"')
    all.beta.put_bucket_acl(Bucket=name, ACL="public-read")
    assert listed(alpha, name) == {OWNER, (ALL_USERS, "READ")}, "the owner stays who it is"


def test_lists_in_bodies(all, alpha, name):
    owner = {"ID": ALPHA.canonical_id}
    grants = [
        {"Grantee": {"Type": "CanonicalUser", "ID": BETA.canonical_id}, "Permission": "FULL_CONTROL"},
        {"Grantee": {"Type": "Group", "URI": ALL_USERS}, "Permission": "READ"},
        {"Grantee": {"Type": "AmazonCustomerByEmail", "EmailAddress": ALPHA.email}, "Permission": "READ_ACP"},
    ]
    alpha.put_bucket_acl(Bucket=name, AccessControlPolicy={"Owner": owner, "Grants": grants})
    assert listed(alpha, name) == {(BETA.canonical_id, "FULL_CONTROL"), (ALL_USERS, "READ"), (ALPHA.canonical_id, "READ_ACP")}
    assert listed(all.beta, name) == listed(alpha, name)
    all.beta.put_object(Bucket=name, Key="k", Body=b"x")
    # Whatever a list says, the bucket is its owner's.
    alpha.put_bucket_acl(Bucket=name, ACL="private")
    with refused("AccessDenied", 403):
        all.beta.list_objects_v2(Bucket=name)


@pytest.mark.parametrize(
    "list, code",
    [
        ({"GrantRead": 'id="nobody"'}, "InvalidArgument"),
        ({"GrantRead": 'uri="http://acs.amazonaws.com/groups/global/Nobody"'}, "InvalidArgument"),
        ({"GrantRead": 'emailAddress="nobody@example.com"'}, "UnresolvableGrantByEmailAddress"),
        ({"GrantRead": "nobody"}, "InvalidArgument"),
        ({"GrantRead": f'uri="{ALL_USERS}"', "ACL": "private"}, "InvalidRequest"),
    ],
)
def test_lists_that_cannot_be(alpha, name, list, code):
    with refused(code, 400):
        alpha.put_bucket_acl(Bucket=name, **list)
    assert listed(alpha, name) == {OWNER}


def test_bodies_that_are_no_lists(all, name):
    raw = type(all.raw)(all.server, **ALPHA.pair)
    put = lambda body, headers=None: raw.request("PUT", f"/{name}", [("acl", "")], body=body, headers=headers or {})
    answered(put(b"<x/>"), "MalformedACLError")
    answered(put(b"<AccessControlPolicy/>"), "MalformedACLError")
    answered(put(b"<x/>", {"x-amz-acl": "private"}), "UnexpectedContent")
    answered(put(b"", {"x-amz-acl": "open-to-all"}), "InvalidArgument")
    answered(put(b""), "MissingSecurityHeader")
    other = f"<AccessControlPolicy><Owner><ID>{BETA.canonical_id}</ID></Owner><AccessControlList/></AccessControlPolicy>"
    answered(put(other.encode()), "AccessDenied")


def test_public_lists_can_be_blocked_and_ignored(all, alpha, name):
    block = lambda **blocks: alpha.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=blocks)
    block(BlockPublicAcls=True)
    for public in ("public-read", "public-read-write", "authenticated-read"):
        with refused("AccessDenied", 403):
            alpha.put_bucket_acl(Bucket=name, ACL=public)
    alpha.put_bucket_acl(Bucket=name, GrantRead=f'id="{BETA.canonical_id}"')
    block()
    alpha.put_bucket_acl(Bucket=name, GrantRead=f'id="{BETA.canonical_id}", uri="{ALL_USERS}"')
    all.anyone.list_objects_v2(Bucket=name)
    block(IgnorePublicAcls=True)
    with refused("AccessDenied", 403):
        all.anyone.list_objects_v2(Bucket=name)
    all.beta.list_objects_v2(Bucket=name)
    assert (ALL_USERS, "READ") in listed(alpha, name)


def test_a_denial_of_the_policy_wins_over_a_list(all, alpha, name):
    alpha.put_bucket_acl(Bucket=name, ACL="public-read")
    set_policy(alpha, name, statement(name, "s3:ListBucket", "Deny", {"AWS": BETA.arn}))
    all.anyone.list_objects_v2(Bucket=name)
    with refused("AccessDenied", 403):
        all.beta.list_objects_v2(Bucket=name)


def test_lists_stop_counting_when_the_owner_is_enforced(all, alpha, name):
    enforce = lambda: alpha.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
    alpha.put_bucket_acl(Bucket=name, ACL="public-read")
    with refused("InvalidBucketAclWithObjectOwnership", 400):
        enforce()
    all.anyone.list_objects_v2(Bucket=name)
    alpha.delete_bucket_ownership_controls(Bucket=name)
    with refused("AccessDenied", 403):
        all.anyone.list_objects_v2(Bucket=name)
    assert listed(alpha, name) == {OWNER}
    alpha.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]})
    all.anyone.list_objects_v2(Bucket=name)
    alpha.put_bucket_acl(Bucket=name, ACL="private")
    enforce()


def test_a_bucket_is_created_with_a_list(all, alpha):
    name = all.bucket(ObjectOwnership="BucketOwnerPreferred", ACL="public-read")
    assert listed(alpha, name) == {OWNER, (ALL_USERS, "READ")}
    all.anyone.list_objects_v2(Bucket=name)
    for options in ({"ACL": "public-read"}, {"ACL": "public-read", "ObjectOwnership": "BucketOwnerEnforced"}, {"GrantRead": f'uri="{ALL_USERS}"'}):
        other = unique_bucket()
        with refused("InvalidBucketAclWithObjectOwnership", 400):
            alpha.create_bucket(Bucket=other, **options)
        with refused("NoSuchBucket", 404):
            alpha.list_objects_v2(Bucket=other)


def test_the_server_can_let_lists_count_everywhere(tmp_path):
    with Larder(directory=tmp_path, extra_args=["--object-ownership", "ObjectWriter"]) as server:
        s3, name = boto(server), unique_bucket()
        s3.create_bucket(Bucket=name, ACL="public-read")
        assert any(grant["Grantee"].get("URI") == ALL_USERS for grant in s3.get_bucket_acl(Bucket=name)["Grants"])
        with refused("OwnershipControlsNotFoundError", 404):
            s3.get_bucket_ownership_controls(Bucket=name)
        rules = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        s3.put_bucket_acl(Bucket=name, ACL="private")
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=rules)
        with refused("AccessControlListNotSupported", 400):
            s3.put_bucket_acl(Bucket=name, ACL="public-read")


def test_aws_cli(all, alpha, name, tmp_path):
    environment = client_environment(all.server, tmp_path) | {"AWS_ACCESS_KEY_ID": ALPHA.pair["access_key"], "AWS_SECRET_ACCESS_KEY": ALPHA.pair["secret_key"]}
    run = lambda *arguments: subprocess.run([tool("aws"), "--endpoint-url", all.server.endpoint, *arguments], env=environment, capture_output=True, text=True, timeout=120)
    assert run("s3api", "put-bucket-acl", "--bucket", name, "--acl", "public-read").returncode == 0
    assert ALL_USERS in run("s3api", "get-bucket-acl", "--bucket", name).stdout
    alpha.put_object(Bucket=name, Key="seen", Body=b"x")
    assert "seen" in run("s3", "ls", "--no-sign-request", f"s3://{name}/").stdout
