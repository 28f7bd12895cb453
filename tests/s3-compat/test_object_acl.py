"""Access control lists of objects, and who owns them: both count where ownership controls let them."""

import subprocess

import pytest
from botocore import UNSIGNED
from larderlib.clients import boto, client_environment, unique_bucket
from larderlib.expect import refused
from larderlib.need import tool
from larderlib.server import Larder
from larderlib.tenants import ALPHA, BETA, set_policy, statement, tenants

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
ANONYMOUS = "65a011a29cdf8ec533ec3d1ccaae921c"
EC2 = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c"
OF_ALPHA = (ALPHA.canonical_id, "FULL_CONTROL")
OF_BETA = (BETA.canonical_id, "FULL_CONTROL")


@pytest.fixture(scope="module")
def all(tmp_path_factory):
    with tenants(tmp_path_factory.mktemp("object-acl")) as everybody:
        yield everybody


@pytest.fixture
def alpha(all):
    return all.alpha


@pytest.fixture
def beta(all):
    return all.beta


@pytest.fixture
def name(all):
    """A bucket of alpha's where lists count."""
    return all.bucket(ObjectOwnership="ObjectWriter")


@pytest.fixture
def shared(all, alpha):
    """One into which everybody may write."""
    return all.bucket(ObjectOwnership="ObjectWriter", ACL="public-read-write")


def listed(client, bucket, key="k", **more):
    def who(grantee):
        return grantee.get("ID") or grantee.get("URI")

    return {(who(grant["Grantee"]), grant["Permission"]) for grant in client.get_object_acl(Bucket=bucket, Key=key, **more)["Grants"]}


def owner(client, bucket, key="k", **more):
    return client.get_object_acl(Bucket=bucket, Key=key, **more)["Owner"]["ID"]


def read(client, bucket, key="k", **more):
    return client.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def denied(*attempts):
    for attempt in attempts:
        with refused("AccessDenied", "403", status=403):
            attempt()


CANNED = [
    ("private", set()),
    ("public-read", {(ALL_USERS, "READ")}),
    ("public-read-write", {(ALL_USERS, "READ"), (ALL_USERS, "WRITE")}),
    ("authenticated-read", {(AUTHENTICATED, "READ")}),
    ("aws-exec-read", {(EC2, "READ")}),
    ("bucket-owner-read", set()),
    ("bucket-owner-full-control", set()),
]


@pytest.mark.parametrize("canned, grants", CANNED)
def test_lists_with_a_name(alpha, name, canned, grants):
    alpha.put_object(Bucket=name, Key="k", Body=b"x", ACL=canned)
    assert listed(alpha, name) == {OF_ALPHA} | grants
    alpha.put_object(Bucket=name, Key="later", Body=b"x")
    alpha.put_object_acl(Bucket=name, Key="later", ACL=canned)
    assert listed(alpha, name, "later") == {OF_ALPHA} | grants
    assert read(alpha, name) == b"x"


def test_a_list_of_buckets_is_none_of_objects(alpha, name):
    for attempt in (
        lambda: alpha.put_object(Bucket=name, Key="k", Body=b"x", ACL="log-delivery-write"),
        lambda: alpha.put_object(Bucket=name, Key="k", Body=b"x", ACL="open-to-all"),
    ):
        with refused("InvalidArgument", status=400):
            attempt()


def test_who_is_let_in_reads_and_nobody_else(all, alpha, beta, name):
    for key, acl in [("private", "private"), ("public", "public-read"), ("members", "authenticated-read")]:
        alpha.put_object(Bucket=name, Key=key, Body=b"x", ACL=acl)
    assert read(all.anyone, name, "public") == read(beta, name, "public") == read(beta, name, "members") == b"x"
    all.anyone.head_object(Bucket=name, Key="public")
    all.anyone.get_object_attributes(Bucket=name, Key="public", ObjectAttributes=["ObjectSize"])
    denied(
        lambda: read(all.anyone, name, "members"),
        lambda: all.anyone.head_object(Bucket=name, Key="members"),
        lambda: read(all.anyone, name, "private"),
        lambda: read(beta, name, "private"),
        lambda: all.anyone.get_object_acl(Bucket=name, Key="public"),
        lambda: all.anyone.put_object_acl(Bucket=name, Key="public", ACL="private"),
        lambda: all.anyone.delete_object(Bucket=name, Key="public"),
        lambda: read(all.anyone, name, "none"),
    )
    alpha.put_object_acl(Bucket=name, Key="public", ACL="private")
    denied(lambda: read(all.anyone, name, "public"))


def test_who_may_list_is_told_what_is_not_there(all, alpha):
    name = all.bucket(ObjectOwnership="ObjectWriter", ACL="public-read")
    alpha.put_object(Bucket=name, Key="private", Body=b"x")
    with refused("NoSuchKey", status=404):
        read(all.anyone, name, "none")
    denied(lambda: read(all.anyone, name, "private"))


def test_each_permission_gives_what_it_says(alpha, beta, name):
    def grant(**grants):
        alpha.put_object(Bucket=name, Key="k", Body=b"x", **grants)

    see = lambda: beta.get_object_acl(Bucket=name, Key="k")
    change = lambda: beta.put_object_acl(Bucket=name, Key="k", ACL="public-read")
    get = lambda: read(beta, name)
    somebody = f'id="{BETA.canonical_id}"'
    for grants, allowed, refused_ones in [
        ({"GrantRead": somebody}, [get], [see, change]),
        ({"GrantReadACP": f'emailAddress="{BETA.email}"'}, [see], [get, change]),
        ({"GrantWriteACP": somebody}, [change], [see]),
        ({"GrantFullControl": somebody}, [get, see, change], []),
    ]:
        grant(**grants)
        denied(*refused_ones)
        for attempt in allowed:
            attempt()
    grant(GrantWriteACP=somebody)
    change()
    assert get() == b"x", "who may write the list lets themselves in"
    assert owner(alpha, name) == ALPHA.canonical_id, "the owner stays who it is"


def test_grants_stand_as_they_were_given(alpha, name):
    alpha.put_object(Bucket=name, Key="k", Body=b"x", GrantRead=f'uri="{ALL_USERS}", id="{BETA.canonical_id}"')
    assert listed(alpha, name) == {(ALL_USERS, "READ"), (BETA.canonical_id, "READ")}
    assert read(alpha, name) == b"x", "an owner needs no grant"
    grants = alpha.get_object_acl(Bucket=name, Key="k")
    alpha.put_object_acl(Bucket=name, Key="k", AccessControlPolicy={"Owner": grants["Owner"], "Grants": grants["Grants"][:1]})
    assert len(listed(alpha, name)) == 1
    with refused("AccessDenied", status=403):
        alpha.put_object_acl(Bucket=name, Key="k", AccessControlPolicy={"Owner": {"ID": BETA.canonical_id}, "Grants": []})
    with refused("MalformedACLError", status=400):
        alpha.put_object(Bucket=name, Key="k", Body=b"x", GrantRead=", ".join([f'uri="{ALL_USERS}"'] * 101))
    with refused("InvalidRequest", status=400):
        alpha.put_object(Bucket=name, Key="k", Body=b"x", ACL="private", GrantRead=f'uri="{ALL_USERS}"')


def test_who_writes_owns(all, alpha, beta, shared):
    beta.put_object(Bucket=shared, Key="k", Body=b"x")
    assert owner(beta, shared) == BETA.canonical_id
    assert listed(beta, shared) == {OF_BETA}
    assert read(beta, shared) == b"x"
    denied(lambda: read(alpha, shared), lambda: alpha.get_object_acl(Bucket=shared, Key="k"), lambda: alpha.put_object_acl(Bucket=shared, Key="k", ACL="private"))
    beta.put_object_acl(Bucket=shared, Key="k", ACL="bucket-owner-read")
    assert listed(beta, shared) == {OF_BETA, (ALPHA.canonical_id, "READ")}
    assert read(alpha, shared) == b"x"
    alpha.delete_object(Bucket=shared, Key="k")
    with refused("NoSuchKey", status=404):
        read(alpha, shared)


def test_a_policy_speaks_for_what_is_the_bucket_owners(all, alpha, beta, shared):
    alpha.put_object(Bucket=shared, Key="own", Body=b"x")
    beta.put_object(Bucket=shared, Key="foreign", Body=b"x")
    set_policy(alpha, shared, statement(shared, "s3:GetObject", key="*"))
    assert read(all.anyone, shared, "own") == b"x"
    denied(lambda: read(all.anyone, shared, "foreign"), lambda: read(alpha, shared, "foreign"))
    beta.put_object_acl(Bucket=shared, Key="foreign", ACL="public-read")
    assert read(all.anyone, shared, "foreign") == b"x"
    set_policy(alpha, shared, statement(shared, "s3:GetObject", "Deny", key="*"))
    denied(lambda: read(all.anyone, shared, "foreign"), lambda: read(beta, shared, "foreign"), lambda: read(alpha, shared, "own"))


def test_preferred_owners_get_what_they_are_given(all, alpha, beta):
    name = all.bucket(ObjectOwnership="BucketOwnerPreferred", ACL="public-read-write")
    beta.put_object(Bucket=name, Key="given", Body=b"x", ACL="bucket-owner-full-control")
    assert (owner(alpha, name, "given"), listed(alpha, name, "given")) == (ALPHA.canonical_id, {OF_ALPHA})
    denied(lambda: read(beta, name, "given"))
    beta.put_object(Bucket=name, Key="kept", Body=b"x")
    denied(lambda: read(alpha, name, "kept"))
    beta.put_object_acl(Bucket=name, Key="kept", ACL="bucket-owner-full-control")
    assert (owner(alpha, name, "kept"), listed(alpha, name, "kept")) == (BETA.canonical_id, {OF_BETA, OF_ALPHA})


def test_full_control_does_not_change_the_owner_where_writers_own(alpha, beta, shared):
    beta.put_object(Bucket=shared, Key="k", Body=b"x", ACL="bucket-owner-full-control")
    assert owner(alpha, shared) == BETA.canonical_id
    assert listed(alpha, shared) == {OF_BETA, OF_ALPHA}
    assert read(alpha, shared) == b"x"


def test_listings_show_owners(all, alpha, beta, shared):
    alpha.put_object(Bucket=shared, Key="a", Body=b"x")
    beta.put_object(Bucket=shared, Key="b", Body=b"x")
    all.anyone.put_object(Bucket=shared, Key="c", Body=b"x")
    expected = [("a", ALPHA.canonical_id), ("b", BETA.canonical_id), ("c", ANONYMOUS)]
    owners = lambda entries: [(entry["Key"], entry["Owner"]["ID"]) for entry in entries]
    assert owners(alpha.list_objects_v2(Bucket=shared, FetchOwner=True)["Contents"]) == expected
    assert owners(alpha.list_objects(Bucket=shared)["Contents"]) == expected
    assert owners(alpha.list_object_versions(Bucket=shared)["Versions"]) == expected
    assert "Owner" not in alpha.list_objects_v2(Bucket=shared)["Contents"][0]
    rules = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    alpha.put_bucket_acl(Bucket=shared, ACL="private")
    alpha.put_bucket_ownership_controls(Bucket=shared, OwnershipControls=rules)
    assert {id for _, id in owners(alpha.list_objects(Bucket=shared)["Contents"])} == {ALPHA.canonical_id}


def test_lists_and_owners_sleep_while_the_owner_is_enforced(all, alpha, beta, shared):
    beta.put_object(Bucket=shared, Key="k", Body=b"x", ACL="public-read")
    controls = lambda rule: alpha.put_bucket_ownership_controls(Bucket=shared, OwnershipControls={"Rules": [{"ObjectOwnership": rule}]})
    alpha.put_bucket_acl(Bucket=shared, ACL="private")
    controls("BucketOwnerEnforced")
    assert read(alpha, shared) == b"x"
    assert (owner(alpha, shared), listed(alpha, shared)) == (ALPHA.canonical_id, {OF_ALPHA})
    denied(lambda: read(all.anyone, shared), lambda: read(beta, shared))
    with refused("AccessControlListNotSupported", status=400):
        alpha.put_object_acl(Bucket=shared, Key="k", ACL="public-read")
    controls("ObjectWriter")
    assert read(all.anyone, shared) == b"x"
    assert owner(beta, shared) == BETA.canonical_id


def test_public_lists_can_be_blocked_and_ignored(all, alpha, name):
    block = lambda **blocks: alpha.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=blocks)
    alpha.put_object(Bucket=name, Key="k", Body=b"x", GrantRead=f'uri="{ALL_USERS}", id="{BETA.canonical_id}"')
    block(BlockPublicAcls=True)
    denied(
        lambda: alpha.put_object(Bucket=name, Key="new", Body=b"x", ACL="public-read"),
        lambda: alpha.put_object_acl(Bucket=name, Key="k", ACL="authenticated-read"),
        lambda: alpha.copy_object(Bucket=name, Key="new", CopySource={"Bucket": name, "Key": "k"}, ACL="public-read"),
        lambda: alpha.create_multipart_upload(Bucket=name, Key="new", ACL="public-read"),
    )
    assert read(all.anyone, name) == b"x", "what is public already stays so"
    alpha.put_object(Bucket=name, Key="new", Body=b"x", GrantRead=f'id="{BETA.canonical_id}"')
    block(IgnorePublicAcls=True)
    denied(lambda: read(all.anyone, name))
    assert read(all.beta, name) == b"x"
    assert (ALL_USERS, "READ") in listed(alpha, name)


def test_each_version_has_its_own(all, alpha, name):
    alpha.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    public = alpha.put_object(Bucket=name, Key="k", Body=b"1", ACL="public-read")["VersionId"]
    private = alpha.put_object(Bucket=name, Key="k", Body=b"2")["VersionId"]
    assert read(all.anyone, name, VersionId=public) == b"1"
    denied(lambda: read(all.anyone, name), lambda: read(all.anyone, name, VersionId=private))
    alpha.put_object_acl(Bucket=name, Key="k", ACL="public-read")
    alpha.put_object_acl(Bucket=name, Key="k", VersionId=public, ACL="private")
    assert read(all.anyone, name) == b"2"
    denied(lambda: read(all.anyone, name, VersionId=public))
    assert listed(alpha, name, VersionId=public) == {OF_ALPHA}
    assert len(alpha.list_object_versions(Bucket=name)["Versions"]) == 2, "a list is no new version"
    headers = alpha.get_object_acl(Bucket=name, Key="k", VersionId=public)["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-version-id"] == public
    marker = alpha.delete_object(Bucket=name, Key="k")["VersionId"]
    with refused("MethodNotAllowed", status=405):
        alpha.get_object_acl(Bucket=name, Key="k", VersionId=marker)
    with refused("NoSuchKey", status=404):
        alpha.put_object_acl(Bucket=name, Key="k", ACL="private")


def test_a_list_changes_neither_bytes_nor_time_nor_tags(alpha, name):
    for size in (0, 1000, 3 << 20):
        body = b"x" * size
        alpha.put_object(Bucket=name, Key="k", Body=body, Tagging="a=b", Metadata={"m": "n"})
        before = alpha.head_object(Bucket=name, Key="k")
        alpha.put_object_acl(Bucket=name, Key="k", ACL="public-read")
        after = alpha.head_object(Bucket=name, Key="k")
        assert (after["LastModified"], after["ETag"], after["Metadata"]) == (before["LastModified"], before["ETag"], before["Metadata"])
        assert read(alpha, name) == body
        assert alpha.get_object_tagging(Bucket=name, Key="k")["TagSet"] == [{"Key": "a", "Value": "b"}]
        alpha.put_object_tagging(Bucket=name, Key="k", Tagging={"TagSet": []})
        assert (ALL_USERS, "READ") in listed(alpha, name), "nor do tags change the list"


def test_uploads_in_parts_remember_it(all, beta, shared):
    id = beta.create_multipart_upload(Bucket=shared, Key="k", ACL="public-read")["UploadId"]
    assert [u["Owner"]["ID"] for u in all.alpha.list_multipart_uploads(Bucket=shared)["Uploads"]] == [BETA.canonical_id]
    assert all.alpha.list_parts(Bucket=shared, Key="k", UploadId=id)["Owner"]["ID"] == BETA.canonical_id
    etag = beta.upload_part(Bucket=shared, Key="k", UploadId=id, PartNumber=1, Body=b"x")["ETag"]
    beta.complete_multipart_upload(Bucket=shared, Key="k", UploadId=id, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert (owner(beta, shared), listed(beta, shared)) == (BETA.canonical_id, {OF_BETA, (ALL_USERS, "READ")})
    assert read(all.anyone, shared) == b"x"


def test_a_copy_has_a_list_and_an_owner_of_its_own(all, alpha, beta, shared):
    beta.put_object(Bucket=shared, Key="k", Body=b"x", ACL="bucket-owner-read")
    source = {"Bucket": shared, "Key": "k"}
    alpha.copy_object(Bucket=shared, Key="copy", CopySource=source)
    assert (owner(alpha, shared, "copy"), listed(alpha, shared, "copy")) == (ALPHA.canonical_id, {OF_ALPHA})
    alpha.copy_object(Bucket=shared, Key="public", CopySource=source, ACL="public-read")
    assert read(all.anyone, shared, "public") == b"x"
    denied(lambda: all.anyone.copy_object(Bucket=shared, Key="stolen", CopySource=source))
    beta.put_object_acl(Bucket=shared, Key="k", ACL="private")
    denied(lambda: alpha.copy_object(Bucket=shared, Key="copy", CopySource=source))
    id = alpha.create_multipart_upload(Bucket=shared, Key="parts")["UploadId"]
    denied(lambda: alpha.upload_part_copy(Bucket=shared, Key="parts", UploadId=id, PartNumber=1, CopySource=source))
    beta.put_object_acl(Bucket=shared, Key="k", ACL="bucket-owner-full-control")
    alpha.copy_object(Bucket=shared, Key="k", CopySource=source, MetadataDirective="REPLACE")
    assert (owner(alpha, shared), listed(alpha, shared)) == (ALPHA.canonical_id, {OF_ALPHA}), "how a bucket's owner takes an object over"


def test_forms_have_a_field_for_it(all, alpha, name):
    form = alpha.generate_presigned_post(name, "k", Fields={"acl": "public-read"}, Conditions=[{"acl": "public-read"}])
    fields = "".join(f'--b\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n' for field, value in form["fields"].items())
    file = '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--b--\r\n'
    answer = all.raw.send("POST", f"/{name}", headers={"Content-Type": "multipart/form-data; boundary=b"}, body=(fields + file).encode())
    assert answer.status == 204, answer
    assert listed(alpha, name) == {OF_ALPHA, (ALL_USERS, "READ")}
    assert read(all.anyone, name) == b"x"


def test_what_nobody_wrote_is_everybodys_without_credentials(all, alpha, beta, shared):
    all.anyone.put_object(Bucket=shared, Key="k", Body=b"x")
    assert owner(all.anyone, shared) == ANONYMOUS
    assert read(all.anyone, shared) == b"x"
    denied(lambda: read(alpha, shared), lambda: read(beta, shared))
    all.anyone.put_object_acl(Bucket=shared, Key="k", ACL="bucket-owner-full-control")
    assert read(alpha, shared) == b"x"
    alpha.put_public_access_block(Bucket=shared, PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
    denied(lambda: read(all.anyone, shared))


def test_policies_can_ask_for_a_list(all, alpha, beta, name):
    full = {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}
    only = statement(name, ["s3:PutObject", "s3:PutObjectAcl"], principal={"AWS": BETA.arn}, key="*", Condition=full)
    set_policy(alpha, name, only)
    beta.put_object(Bucket=name, Key="k", Body=b"x", ACL="bucket-owner-full-control")
    denied(lambda: beta.put_object(Bucket=name, Key="k", Body=b"x"), lambda: beta.put_object(Bucket=name, Key="k", Body=b"x", ACL="public-read"))
    to_alpha = {"StringEquals": {"s3:x-amz-grant-read": f"id={ALPHA.canonical_id}"}}
    set_policy(alpha, name, statement(name, ["s3:PutObject", "s3:PutObjectAcl"], principal={"AWS": BETA.arn}, key="*", Condition=to_alpha))
    beta.put_object(Bucket=name, Key="k", Body=b"x", GrantRead=f"id={ALPHA.canonical_id}")
    denied(lambda: beta.put_object(Bucket=name, Key="k", Body=b"x", GrantRead=f'uri="{ALL_USERS}"'))
    # Whoever may put but not give lists can't.
    set_policy(alpha, name, statement(name, "s3:PutObject", principal={"AWS": BETA.arn}, key="*"))
    beta.put_object(Bucket=name, Key="k", Body=b"x")
    denied(lambda: beta.put_object(Bucket=name, Key="k", Body=b"x", ACL="private"))


@pytest.mark.parametrize("action, version", [("s3:GetObjectAcl", False), ("s3:GetObjectVersionAcl", True)])
def test_policies_let_others_see_lists(alpha, beta, name, action, version):
    alpha.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    id = alpha.put_object(Bucket=name, Key="k", Body=b"x")["VersionId"]
    set_policy(alpha, name, statement(name, action, principal={"AWS": BETA.arn}, key="*"))
    of = lambda named: listed(beta, name, **({"VersionId": id} if named else {}))
    assert of(version) == {OF_ALPHA}
    denied(lambda: of(not version))


@pytest.mark.parametrize("action, version", [("s3:PutObjectAcl", False), ("s3:PutObjectVersionAcl", True)])
def test_policies_let_others_change_lists(alpha, beta, name, action, version):
    alpha.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    id = alpha.put_object(Bucket=name, Key="k", Body=b"x")["VersionId"]
    set_policy(alpha, name, statement(name, action, principal={"AWS": BETA.arn}, key="*"))
    set = lambda named: beta.put_object_acl(Bucket=name, Key="k", ACL="public-read", **({"VersionId": id} if named else {}))
    denied(lambda: set(not version))
    set(version)
    assert listed(alpha, name) == {OF_ALPHA, (ALL_USERS, "READ")}


def test_an_expected_owner_is_the_buckets(alpha, beta, shared):
    beta.put_object(Bucket=shared, Key="k", Body=b"x", ACL="bucket-owner-read")
    assert beta.get_object_acl(Bucket=shared, Key="k", ExpectedBucketOwner=ALPHA.id)["Owner"]["ID"] == BETA.canonical_id
    denied(lambda: beta.get_object_acl(Bucket=shared, Key="k", ExpectedBucketOwner=BETA.id), lambda: beta.put_object_acl(Bucket=shared, Key="k", ACL="private", ExpectedBucketOwner=BETA.id))


def test_lists_and_owners_are_there_after_a_restart(tmp_path):
    with Larder(directory=tmp_path, extra_args=["--object-ownership", "ObjectWriter"]) as server:
        s3, name = boto(server), unique_bucket()
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key="k", Body=b"x", ACL="public-read")
        anyone = lambda: boto(server, signature_version=UNSIGNED)
        assert read(anyone(), name) == b"x"
        server.restart()
        assert read(anyone(), name) == b"x"
        boto(server).put_object_acl(Bucket=name, Key="k", ACL="private")
        denied(lambda: read(anyone(), name))


def test_aws_cli(all, alpha, name, tmp_path):
    environment = client_environment(all.server, tmp_path) | {"AWS_ACCESS_KEY_ID": ALPHA.pair["access_key"], "AWS_SECRET_ACCESS_KEY": ALPHA.pair["secret_key"]}

    def run(*arguments):
        done = subprocess.run([tool("aws"), "--endpoint-url", all.server.endpoint, *arguments], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "file").write_bytes(b"x")
    run("s3", "cp", str(tmp_path / "file"), f"s3://{name}/k", "--acl", "public-read")
    run("s3", "cp", "--no-sign-request", f"s3://{name}/k", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == b"x"
    run("s3api", "put-object-acl", "--bucket", name, "--key", "k", "--grant-read", f"id={BETA.canonical_id}")
    assert BETA.canonical_id in run("s3api", "get-object-acl", "--bucket", name, "--key", "k")
    assert read(all.beta, name) == b"x"
    denied(lambda: read(all.anyone, name))
