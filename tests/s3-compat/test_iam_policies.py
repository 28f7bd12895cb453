"""What users may do: inline and managed policies, groups, boundaries, beside bucket policies and lists; the policies that are built in."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from larderlib.account_fixtures import bucket, everybody, iam, server  # noqa: F401
from larderlib.clients import boto, unique_bucket
from larderlib.expect import refused, status
from larderlib.iam import User, get, policy, post_form, query, statement
from larderlib.tenants import ALPHA, BETA, set_policy, tenants

AWS = "arn:aws:iam::aws:policy/"


def arns(bucket, key="*"):
    return [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/{key}"]


def test_a_user_may_do_what_its_inline_policy_says_and_nothing_else(everybody, server, iam, bucket):
    user = User(server, iam, "inline")
    for call in (
        lambda: user.s3.put_object(Bucket=bucket, Key="a"),
        lambda: user.s3.list_buckets(),
        lambda: user.s3.create_bucket(Bucket=unique_bucket()),
        lambda: user.s3.list_objects_v2(Bucket=bucket),
        lambda: user.s3.get_bucket_policy(Bucket=bucket),
    ):
        with refused("AccessDenied"):
            call()
    assert user.s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}]})["Errors"][0]["Code"] == "AccessDenied"
    user.allow(statement("s3:PutObject", arns(bucket)[1]))
    user.s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    with status(403):
        user.s3.head_object(Bucket=bucket, Key="a")
    user.allow(statement("s3:*", [f"arn:aws:s3:::{bucket}/a"]), statement("s3:CreateBucket", "arn:aws:s3:::own-*"))
    user.s3.delete_object(Bucket=bucket, Key="a")
    with refused("AccessDenied"):
        user.s3.put_object(Bucket=bucket, Key="b")
    own = unique_bucket("own")
    user.s3.create_bucket(Bucket=own)
    assert own in [found["Name"] for found in everybody.alpha.list_buckets()["Buckets"]], "the bucket is the account's"
    with refused("AccessDenied"):
        user.s3.create_bucket(Bucket=unique_bucket("own"), ObjectOwnership="ObjectWriter")
    deleted = user.s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "b"}]})
    assert [key["Key"] for key in deleted["Deleted"]] == ["a"] and deleted["Errors"][0]["Code"] == "AccessDenied"


def test_inline_policies_are_kept_and_checked(iam):
    iam.create_user(UserName="kept")
    document = policy(statement("s3:*", "*"))
    iam.put_user_policy(UserName="kept", PolicyName="a", PolicyDocument=document)
    found = iam.get_user_policy(UserName="kept", PolicyName="a")
    assert found["PolicyDocument"] == json.loads(document) and found["UserName"] == "kept"
    assert iam.list_user_policies(UserName="kept")["PolicyNames"] == ["a"]
    for wrong in ("{", "{}", policy({"Effect": "Allow", "Action": "s3:*"}), policy({**statement("s3:*"), "Principal": "*"}), policy(statement("nonsense"))):
        with refused("MalformedPolicyDocument", status=400):
            iam.put_user_policy(UserName="kept", PolicyName="b", PolicyDocument=wrong)
    with refused("LimitExceeded", status=409):
        iam.put_user_policy(UserName="kept", PolicyName="b", PolicyDocument=policy(*[statement("s3:GetObject", f"arn:aws:s3:::bucket-{n}/*") for n in range(40)]))
    iam.delete_user_policy(UserName="kept", PolicyName="a")
    for gone in (iam.get_user_policy, iam.delete_user_policy):
        with refused("NoSuchEntity", status=404, message="The user policy with name a cannot be found."):
            gone(UserName="kept", PolicyName="a")


def test_managed_policies_and_their_versions(server, iam, bucket):
    made = iam.create_policy(PolicyName="Managed", Path="/m/", Description="some", PolicyDocument=policy(statement("s3:PutObject", arns(bucket))))["Policy"]
    arn = made["Arn"]
    assert arn == f"arn:aws:iam::{ALPHA.id}:policy/m/Managed" and made["DefaultVersionId"] == "v1"
    user = User(server, iam, "managed")
    iam.attach_user_policy(UserName="managed", PolicyArn=arn)
    iam.attach_user_policy(UserName="managed", PolicyArn=arn)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    assert iam.list_attached_user_policies(UserName="managed")["AttachedPolicies"] == [{"PolicyName": "Managed", "PolicyArn": arn}]
    assert iam.list_entities_for_policy(PolicyArn=arn)["PolicyUsers"][0]["UserName"] == "managed"
    user.s3.put_object(Bucket=bucket, Key="a")
    version = iam.create_policy_version(PolicyArn=arn, PolicyDocument=policy(statement("s3:GetObject", arns(bucket))))["PolicyVersion"]
    assert (version["VersionId"], version["IsDefaultVersion"]) == ("v2", False)
    user.s3.put_object(Bucket=bucket, Key="a")
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")
    with refused("AccessDenied"):
        user.s3.put_object(Bucket=bucket, Key="a")
    user.s3.get_object(Bucket=bucket, Key="a")
    with refused("DeleteConflict", status=409):
        iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    for _ in range(3):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=policy(statement("s3:*")), SetAsDefault=False)
    with refused("LimitExceeded", status=409):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=policy(statement("s3:*")))
    assert [version["VersionId"] for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]] == ["v1", "v2", "v3", "v4", "v5"]
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"]["Statement"][0]["Action"] == "s3:PutObject"
    with refused("DeleteConflict", status=409, message="Cannot delete a policy attached to entities."):
        iam.delete_policy(PolicyArn=arn)
    iam.detach_user_policy(UserName="managed", PolicyArn=arn)
    with refused("AccessDenied"):
        user.s3.get_object(Bucket=bucket, Key="a")
    with refused("NoSuchEntity", status=404):
        iam.detach_user_policy(UserName="managed", PolicyArn=arn)
    with refused("DeleteConflict", status=409):
        iam.delete_policy(PolicyArn=arn)
    for number in (1, 3, 4, 5):
        iam.delete_policy_version(PolicyArn=arn, VersionId=f"v{number}")
    iam.delete_policy(PolicyArn=arn)
    with refused("NoSuchEntity", status=404):
        iam.get_policy(PolicyArn=arn)


def test_policies_of_groups_are_for_their_members(server, iam, bucket):
    user = User(server, iam, "member")
    iam.create_group(GroupName="readers")
    iam.put_group_policy(GroupName="readers", PolicyName="p", PolicyDocument=policy(statement("s3:ListBucket", arns(bucket))))
    iam.attach_group_policy(GroupName="readers", PolicyArn=AWS + "AmazonS3ReadOnlyAccess")
    with refused("AccessDenied"):
        user.s3.list_objects_v2(Bucket=bucket)
    iam.add_user_to_group(GroupName="readers", UserName="member")
    user.s3.list_objects_v2(Bucket=bucket)
    user.s3.list_buckets()
    iam.detach_group_policy(GroupName="readers", PolicyArn=AWS + "AmazonS3ReadOnlyAccess")
    user.s3.list_objects_v2(Bucket=bucket)
    with refused("AccessDenied"):
        user.s3.list_buckets()
    iam.remove_user_from_group(GroupName="readers", UserName="member")
    with refused("AccessDenied"):
        user.s3.list_objects_v2(Bucket=bucket)


def test_a_deny_anywhere_wins(everybody, server, iam, bucket):
    user = User(server, iam, "denied", statement("s3:*"))
    user.s3.put_object(Bucket=bucket, Key="secret/x")
    iam.put_user_policy(UserName="denied", PolicyName="no", PolicyDocument=policy(statement("s3:*", arns(bucket, "secret/*")[1], "Deny")))
    with refused("AccessDenied"):
        user.s3.get_object(Bucket=bucket, Key="secret/x")
    iam.delete_user_policy(UserName="denied", PolicyName="no")
    user.s3.get_object(Bucket=bucket, Key="secret/x")
    set_policy(everybody.alpha, bucket, {"Effect": "Deny", "Principal": {"AWS": user.arn}, "Action": "s3:GetObject", "Resource": arns(bucket)[1]})
    with refused("AccessDenied"):
        user.s3.get_object(Bucket=bucket, Key="secret/x")
    everybody.alpha.get_object(Bucket=bucket, Key="secret/x")


def test_a_boundary_is_the_most_that_a_user_may_do(server, iam, bucket):
    arn = iam.create_policy(PolicyName="bound", PolicyDocument=policy(statement("s3:GetObject")))["Policy"]["Arn"]
    user = User(server, iam, "bounded", statement("s3:*"), PermissionsBoundary=arn)
    assert iam.get_user(UserName="bounded")["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn
    with refused("AccessDenied"):
        user.s3.put_object(Bucket=bucket, Key="a")
    with refused("DeleteConflict", status=409):
        iam.delete_policy(PolicyArn=arn)
    iam.delete_user_permissions_boundary(UserName="bounded")
    user.s3.put_object(Bucket=bucket, Key="a")
    iam.put_user_permissions_boundary(UserName="bounded", PermissionsBoundary=arn)
    user.s3.get_object(Bucket=bucket, Key="a")
    with refused("AccessDenied"):
        user.s3.delete_object(Bucket=bucket, Key="a")
    iam.delete_user_permissions_boundary(UserName="bounded")
    iam.delete_policy(PolicyArn=arn)


def test_within_an_account_a_bucket_policy_that_names_the_user_is_enough(everybody, server, iam, bucket):
    user = User(server, iam, "named")
    everybody.alpha.put_object(Bucket=bucket, Key="a", Body=b"x")
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": arns(bucket)[1]}
    set_policy(everybody.alpha, bucket, {**allow, "Principal": {"AWS": ALPHA.arn}})
    with refused("AccessDenied"):
        user.s3.get_object(Bucket=bucket, Key="a")
    set_policy(everybody.alpha, bucket, {**allow, "Principal": {"AWS": user.arn}})
    user.s3.get_object(Bucket=bucket, Key="a")
    with refused("MalformedPolicy"):
        set_policy(everybody.alpha, bucket, {**allow, "Principal": {"AWS": user.arn + "-nobody"}})


def test_across_accounts_both_sides_must_allow(everybody, server, iam, bucket):
    user = User(server, query("iam", server, **BETA.pair), "abroad")
    everybody.alpha.put_object(Bucket=bucket, Key="a", Body=b"x")
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": arns(bucket)[1]}
    user.allow(statement("s3:*"))
    with refused("AccessDenied"):
        user.s3.get_object(Bucket=bucket, Key="a")
    set_policy(everybody.alpha, bucket, {**allow, "Principal": {"AWS": BETA.arn}})
    user.s3.get_object(Bucket=bucket, Key="a")
    user.allow(statement("s3:ListAllMyBuckets"))
    with refused("AccessDenied"):
        user.s3.get_object(Bucket=bucket, Key="a")
    everybody.beta.get_object(Bucket=bucket, Key="a")
    set_policy(everybody.alpha, bucket, {**allow, "Principal": {"AWS": user.arn}})
    with refused("AccessDenied"):
        user.s3.get_object(Bucket=bucket, Key="a")


def test_a_list_lets_an_account_in_whose_policies_say_whom(everybody, server):
    bucket = everybody.bucket(ObjectOwnership="BucketOwnerPreferred")
    everybody.alpha.put_object(Bucket=bucket, Key="a", Body=b"x", GrantRead=f'id="{BETA.canonical_id}"')
    everybody.alpha.put_bucket_acl(Bucket=bucket, GrantRead=f'id="{BETA.canonical_id}"')
    user = User(server, query("iam", server, **BETA.pair), "of-list")
    everybody.beta.get_object(Bucket=bucket, Key="a")
    for call in (lambda: user.s3.get_object(Bucket=bucket, Key="a"), lambda: user.s3.list_objects_v2(Bucket=bucket)):
        with refused("AccessDenied"):
            call()
    user.allow(statement("s3:*"))
    user.s3.get_object(Bucket=bucket, Key="a")
    user.s3.list_objects_v2(Bucket=bucket)
    with refused("AccessDenied"):
        user.s3.put_object(Bucket=bucket, Key="b")


def test_variables_stand_for_who_asks(server, iam, bucket):
    home = statement("s3:*", f"arn:aws:s3:::{bucket}/home/${{aws:username}}/*")
    listing = statement("s3:ListBucket", f"arn:aws:s3:::{bucket}", Condition={"StringLike": {"s3:prefix": "home/${aws:username}/*"}})
    arn = iam.create_policy(PolicyName="homes", PolicyDocument=policy(home, listing))["Policy"]["Arn"]
    users = [User(server, iam, name) for name in ("Ann", "Bob")]
    for user in users:
        iam.attach_user_policy(UserName=user.name, PolicyArn=arn)
        user.s3.put_object(Bucket=bucket, Key=f"home/{user.name}/x")
        user.s3.list_objects_v2(Bucket=bucket, Prefix=f"home/{user.name}/")
    with refused("AccessDenied"):
        users[0].s3.get_object(Bucket=bucket, Key="home/Bob/x")
    with refused("AccessDenied"):
        users[0].s3.list_objects_v2(Bucket=bucket, Prefix="home/Bob/")
    only_ann = {"StringEquals": {"aws:PrincipalArn": users[0].arn}}
    for user in users:
        user.allow(statement("s3:*", arns(bucket), Condition=only_ann))
    users[0].s3.get_object(Bucket=bucket, Key="home/Bob/x")
    with refused("AccessDenied"):
        users[1].s3.get_object(Bucket=bucket, Key="home/Ann/x")


def test_conditions_on_tags_that_a_request_sets(server, iam, bucket):
    """What depends on tags in the body is asked once the body was read."""
    only_db = {"StringEquals": {"s3:RequestObjectTag/team": "db"}}
    user = User(server, iam, "tagger", statement("s3:PutObject", arns(bucket)), statement("s3:PutObjectTagging", arns(bucket), Condition=only_db))
    user.s3.put_object(Bucket=bucket, Key="a", Tagging="team=db")
    with refused("AccessDenied"):
        user.s3.put_object(Bucket=bucket, Key="a", Tagging="team=web")
    user.s3.put_object_tagging(Bucket=bucket, Key="a", Tagging={"TagSet": [{"Key": "team", "Value": "db"}]})
    with refused("AccessDenied"):
        user.s3.put_object_tagging(Bucket=bucket, Key="a", Tagging={"TagSet": [{"Key": "team", "Value": "web"}]})
    existing = {"StringEquals": {"s3:ExistingObjectTag/team": "db"}}
    user.allow(statement("s3:GetObject", arns(bucket), Condition=existing))
    user.s3.get_object(Bucket=bucket, Key="a")


def test_a_policy_that_changes_counts_from_the_next_request_on(server, iam, bucket):
    user = User(server, iam, "watched", statement("s3:PutObject", arns(bucket)))
    client, stop = user.s3, threading.Event()

    def work(thread):
        outcomes = []
        while not stop.is_set():
            began = revoked.is_set()
            try:
                client.put_object(Bucket=bucket, Key=f"k{thread}", Body=b"x")
                outcomes.append((began, True))
            except client.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "AccessDenied"
                outcomes.append((began, False))
                if began:
                    return outcomes
        return outcomes

    revoked = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work, thread) for thread in range(4)]
        iam.put_user_policy(UserName="watched", PolicyName="inline", PolicyDocument=policy(statement("s3:GetObject", arns(bucket))))
        revoked.set()
        outcomes = [outcome for done in running for outcome in done.result(timeout=60)]
        stop.set()
    assert not [1 for began, allowed in outcomes if began and allowed], "nothing that began after the change was allowed"


def test_users_upload_by_form_and_by_presigned_address(server, iam, bucket):
    user = User(server, iam, "former", statement(["s3:PutObject", "s3:GetObject"], arns(bucket, "in/*")[1]))
    for key, code in (("in/a", 204), ("out/a", 403)):
        form = user.s3.generate_presigned_post(bucket, key)
        assert post_form(form, b"x") == code
    for version in ("s3v4", "s3"):
        client = boto(server, signature_version=version, **user.pair)
        for key, code in (("in/a", 200), ("out/a", 403)):
            url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
            assert get(url).status == code


def test_built_in_policies_are_for_the_bucket_and_prefix_of_the_tags(everybody, server, iam, bucket):
    other = everybody.bucket()
    for name in (bucket, other):
        for key in ("p/old", "q/old"):
            everybody.alpha.put_object(Bucket=name, Key=key, Body=b"old")
    tags = [{"Key": "bucket", "Value": bucket}, {"Key": "prefix", "Value": "p/"}]

    def user(policy_name):
        made = User(server, iam, f"of-{policy_name}", Tags=tags)
        iam.attach_user_policy(UserName=made.name, PolicyArn=AWS + policy_name)
        return made.s3

    def denied(call, **arguments):
        with refused("AccessDenied"):
            call(**arguments)

    reader, writer, both = user("LarderReadOnly"), user("LarderWriteOnly"), user("LarderReadWrite")
    for client in (reader, both):
        assert client.get_object(Bucket=bucket, Key="p/old")["Body"].read() == b"old"
        assert [found["Key"] for found in client.list_objects_v2(Bucket=bucket, Prefix="p/")["Contents"]] == ["p/old"]
        denied(client.list_objects_v2, Bucket=bucket)
        denied(client.list_objects_v2, Bucket=bucket, Prefix="q/")
    for client in (writer, both):
        client.put_object(Bucket=bucket, Key="p/new", Body=b"new")
    denied(reader.put_object, Bucket=bucket, Key="p/new")
    denied(writer.get_object, Bucket=bucket, Key="p/old")
    denied(writer.delete_object, Bucket=bucket, Key="p/old")
    both.delete_object(Bucket=bucket, Key="p/new")
    for client in (reader, writer, both):
        for name, key in ((bucket, "q/old"), (other, "p/old")):
            denied(client.get_object, Bucket=name, Key=key)
            denied(client.put_object, Bucket=name, Key=key)
    shown = iam.get_policy(PolicyArn=AWS + "LarderReadOnly")["Policy"]
    assert shown["AttachmentCount"] == 1 and shown["IsAttachable"]
    assert iam.get_policy_version(PolicyArn=AWS + "LarderReadOnly", VersionId="v1")["PolicyVersion"]["Document"]["Statement"]
    assert AWS + "LarderAppendOnly" in [found["Arn"] for found in iam.list_policies(Scope="AWS")["Policies"]]
    with refused("AccessDenied", status=403):
        iam.delete_policy(PolicyArn=AWS + "LarderReadOnly")


@pytest.mark.parametrize("versioned", [False, True])
def test_append_only_never_overwrites_and_never_deletes(everybody, server, iam, versioned):
    """However an object is written; the server makes each write conditional, whatever the client says."""
    bucket = everybody.bucket()
    if versioned:
        everybody.alpha.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    everybody.alpha.put_object(Bucket=bucket, Key="old", Body=b"old")
    user = User(server, iam, f"appender-{versioned}", Tags=[{"Key": "bucket", "Value": bucket}])
    iam.attach_user_policy(UserName=user.name, PolicyArn=AWS + "LarderAppendOnly")
    s3 = user.s3

    def in_parts(key):
        upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"new")
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=parts)

    def by_form(key, **fields):
        form = s3.generate_presigned_post(bucket, key, Fields=fields, Conditions=[{name: value} for name, value in fields.items()])
        return post_form(form, b"new")

    s3.put_object(Bucket=bucket, Key="by-put", Body=b"new")
    s3.copy_object(Bucket=bucket, Key="by-copy", CopySource=f"{bucket}/old")
    in_parts("by-parts")
    assert by_form("by-form") == 204
    for write in (
        lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b"new"),
        lambda key: s3.copy_object(Bucket=bucket, Key=key, CopySource=f"{bucket}/by-put"),
        in_parts,
    ):
        for key in ("old", "by-put"):
            with refused("PreconditionFailed", status=412):
                write(key)
    assert by_form("old") == 412 and by_form("old", **{"if-none-match": "*"}) == 412
    with refused("PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="old", Body=b"new", IfMatch=s3.head_object(Bucket=bucket, Key="old")["ETag"])
    version = {"VersionId": s3.head_object(Bucket=bucket, Key="old")["VersionId"]} if versioned else {}
    for call in (
        lambda: s3.delete_object(Bucket=bucket, Key="old"),
        lambda: s3.delete_object(Bucket=bucket, Key="old", **version),
        lambda: s3.put_object_tagging(Bucket=bucket, Key="old", Tagging={"TagSet": []}),
        lambda: s3.put_object(Bucket=bucket, Key="tagged", Tagging="a=b"),
        lambda: s3.delete_bucket(Bucket=bucket),
        lambda: s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}),
    ):
        with refused("AccessDenied"):
            call()
    assert everybody.alpha.get_object(Bucket=bucket, Key="old")["Body"].read() == b"old"
    versions = everybody.alpha.list_object_versions(Bucket=bucket)
    assert len(versions["Versions"]) == 5 and not versions.get("DeleteMarkers")


def test_append_only_lets_one_of_many_writers_through(everybody, server, iam, bucket):
    user = User(server, iam, "racer", Tags=[{"Key": "bucket", "Value": bucket}])
    iam.attach_user_policy(UserName="racer", PolicyArn=AWS + "LarderAppendOnly")
    s3 = user.s3

    def attempt(number):
        try:
            s3.put_object(Bucket=bucket, Key="contested", Body=b"%d" % number)
            return number
        except s3.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict")
            return None

    with ThreadPoolExecutor(12) as pool:
        winners = [number for number in pool.map(attempt, range(12)) if number is not None]
    assert len(winners) == 1
    assert everybody.alpha.get_object(Bucket=bucket, Key="contested")["Body"].read() == b"%d" % winners[0]


def test_roles_are_kept_with_their_trust_policies(iam):
    trust = policy({"Effect": "Allow", "Principal": {"AWS": ALPHA.arn}, "Action": "sts:AssumeRole"})
    made = iam.create_role(RoleName="Kept", Path="/r/", AssumeRolePolicyDocument=trust, Description="d", MaxSessionDuration=7200, Tags=[{"Key": "a", "Value": "b"}])["Role"]
    assert made["Arn"] == f"arn:aws:iam::{ALPHA.id}:role/r/Kept" and made["RoleId"].startswith("AROA")
    assert iam.get_role(RoleName="kept")["Role"] == made and made["AssumeRolePolicyDocument"] == json.loads(trust)
    with refused("MalformedPolicyDocument", status=400):
        iam.update_assume_role_policy(RoleName="Kept", PolicyDocument=policy(statement("sts:AssumeRole")))
    iam.put_role_policy(RoleName="Kept", PolicyName="p", PolicyDocument=policy(statement("s3:*")))
    iam.attach_role_policy(RoleName="Kept", PolicyArn=AWS + "LarderReadOnly")
    iam.update_role(RoleName="Kept", Description="e", MaxSessionDuration=3600)
    assert [role["RoleName"] for role in iam.list_roles(PathPrefix="/r/")["Roles"]] == ["Kept"]
    for undo in (
        lambda: iam.detach_role_policy(RoleName="Kept", PolicyArn=AWS + "LarderReadOnly"),
        lambda: iam.delete_role_policy(RoleName="Kept", PolicyName="p"),
    ):
        with refused("DeleteConflict", status=409):
            iam.delete_role(RoleName="Kept")
        undo()
    iam.delete_role(RoleName="Kept")
    with refused("NoSuchEntity", status=404):
        iam.get_role(RoleName="Kept")
