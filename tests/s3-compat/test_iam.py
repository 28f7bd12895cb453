"""The IAM API: users, access keys, groups, tags, with boto3 and aws-cli as they come."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from larderlib.account_fixtures import beta, everybody, iam, server  # noqa: F401
from larderlib.clients import boto, client_environment
from larderlib.expect import refused
from larderlib.iam import User, get, policy, post, query, statement
from larderlib.need import tool
from larderlib.rawhttp import Raw
from larderlib.server import Larder, larder_binary
from larderlib.tenants import ALPHA, BETA, tenants


def test_a_user_from_its_creation_to_its_end(iam):
    tags = [{"Key": "team", "Value": "db"}, {"Key": "Größe", "Value": "a b+c"}]
    made = iam.create_user(UserName="Life", Path="/a/b/", Tags=tags)["User"]
    assert made["Arn"] == f"arn:aws:iam::{ALPHA.id}:user/a/b/Life"
    assert len(made["UserId"]) == 21 and made["UserId"].startswith("AIDA")
    assert abs(made["CreateDate"] - datetime.now(UTC)) < timedelta(minutes=1)
    shown = iam.get_user(UserName="life")["User"]
    assert shown == made and shown["Tags"] == tags
    iam.update_user(UserName="Life", NewUserName="Lives", NewPath="/c/")
    moved = iam.get_user(UserName="Lives")["User"]
    assert (moved["Arn"], moved["UserId"]) == (f"arn:aws:iam::{ALPHA.id}:user/c/Lives", made["UserId"])
    with refused("NoSuchEntity", status=404):
        iam.get_user(UserName="Life")
    iam.update_user(UserName="Lives", NewUserName="LIVES")
    assert iam.get_user(UserName="lives")["User"]["UserName"] == "LIVES"
    iam.delete_user(UserName="lives")
    with refused("NoSuchEntity", status=404, message="The user with name LIVES cannot be found."):
        iam.get_user(UserName="LIVES")


def test_names_paths_and_tags_are_checked(iam):
    iam.create_user(UserName="taken")
    with refused("EntityAlreadyExists", status=409, message="User with name TAKEN already exists."):
        iam.create_user(UserName="TAKEN")
    iam.create_user(UserName="other")
    with refused("EntityAlreadyExists", status=409):
        iam.update_user(UserName="other", NewUserName="taken")
    for wrong in ({"UserName": "a/b"}, {"UserName": "x" * 65}, {"UserName": "ok", "Path": "/no-end"}):
        with refused("ValidationError", status=400):
            iam.create_user(**wrong)
    with refused("InvalidInput", status=400):
        iam.create_user(UserName="twice", Tags=[{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}])
    with refused("LimitExceeded", status=409):
        iam.create_user(UserName="many", Tags=[{"Key": f"k{n}", "Value": ""} for n in range(51)])
    with refused("NoSuchEntity", status=404):
        iam.delete_user(UserName="nobody")


def test_tags_of_users(iam):
    iam.create_user(UserName="tagged", Tags=[{"Key": "a", "Value": "1"}])
    iam.tag_user(UserName="tagged", Tags=[{"Key": "A", "Value": "2"}, {"Key": "b", "Value": ""}])
    assert iam.list_user_tags(UserName="tagged")["Tags"] == [{"Key": "A", "Value": "2"}, {"Key": "b", "Value": ""}]
    iam.untag_user(UserName="tagged", TagKeys=["a", "unknown"])
    assert iam.get_user(UserName="tagged")["User"]["Tags"] == [{"Key": "b", "Value": ""}]


def test_lists_come_in_pages(iam):
    names = [f"page-{number}" for number in range(7)]
    for name in names:
        iam.create_user(UserName=name, Path="/pages/")
    first = iam.list_users(PathPrefix="/pages/", MaxItems=3)
    assert first["IsTruncated"] and len(first["Users"]) == 3
    pages = iam.get_paginator("list_users").paginate(PathPrefix="/pages/", PaginationConfig={"PageSize": 3})
    assert [user["UserName"] for page in pages for user in page["Users"]] == names
    with refused("ValidationError", status=400):
        iam.list_users(Marker="nonsense!")


def test_keys_sign_at_once_and_end_at_once(server, iam):
    iam.create_user(UserName="signer")
    key = iam.create_access_key(UserName="signer")["AccessKey"]
    assert len(key["AccessKeyId"]) == 20 and key["AccessKeyId"].startswith("AKIA") and len(key["SecretAccessKey"]) == 40
    pair = {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    s3, sts = boto(server, **pair), query("sts", server, **pair)
    with refused("AccessDenied"):
        s3.list_buckets()
    iam.put_user_policy(UserName="signer", PolicyName="p", PolicyDocument=policy(statement("s3:ListAllMyBuckets")))
    s3.list_buckets()
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{ALPHA.id}:user/signer"
    with refused("SignatureDoesNotMatch"):
        boto(server, access_key=key["AccessKeyId"], secret_key="another secret").list_buckets()
    iam.update_access_key(UserName="signer", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    with refused("InvalidAccessKeyId"):
        s3.list_buckets()
    with refused("InvalidClientTokenId", status=403):
        sts.get_caller_identity()
    assert iam.list_access_keys(UserName="signer")["AccessKeyMetadata"][0]["Status"] == "Inactive"
    iam.update_access_key(UserName="signer", AccessKeyId=key["AccessKeyId"], Status="Active")
    s3.list_buckets()
    iam.delete_access_key(UserName="signer", AccessKeyId=key["AccessKeyId"])
    with refused("InvalidAccessKeyId"):
        s3.list_buckets()
    assert not iam.list_access_keys(UserName="signer")["AccessKeyMetadata"]


def test_two_keys_at_most_whoever_asks_at_the_same_time(iam):
    iam.create_user(UserName="crowded")

    def attempt(_):
        try:
            return iam.create_access_key(UserName="crowded")["AccessKey"]["AccessKeyId"]
        except iam.exceptions.LimitExceededException:
            return None

    with ThreadPoolExecutor(12) as pool:
        made = [key for key in pool.map(attempt, range(12)) if key]
    listed = [key["AccessKeyId"] for key in iam.list_access_keys(UserName="crowded")["AccessKeyMetadata"]]
    assert len(made) == 2 and sorted(made) == sorted(listed)
    with refused("LimitExceeded", status=409, message="Cannot exceed quota for AccessKeysPerUser: 2"):
        iam.create_access_key(UserName="crowded")
    iam.delete_access_key(UserName="crowded", AccessKeyId=made[0])
    iam.create_access_key(UserName="crowded")


def test_one_of_many_creates_a_user(iam):
    def attempt(_):
        try:
            return iam.create_user(UserName="contested")["User"]["UserId"]
        except iam.exceptions.EntityAlreadyExistsException:
            return None

    with ThreadPoolExecutor(10) as pool:
        made = [user for user in pool.map(attempt, range(10)) if user]
    assert made == [iam.get_user(UserName="contested")["User"]["UserId"]]


def test_the_last_use_of_a_key(server, iam):
    user = User(server, iam, "user-of-keys", statement("s3:*"))
    fresh = iam.get_access_key_last_used(AccessKeyId=user.key["AccessKeyId"])
    assert fresh["UserName"] == "user-of-keys" and fresh["AccessKeyLastUsed"]["ServiceName"] == "N/A"
    user.s3.list_buckets()
    used = iam.get_access_key_last_used(AccessKeyId=user.key["AccessKeyId"])["AccessKeyLastUsed"]
    assert (used["ServiceName"], used["Region"]) == ("s3", server.region)
    assert abs(used["LastUsedDate"] - datetime.now(UTC)) < timedelta(minutes=1)
    user.client("sts").get_caller_identity()
    assert iam.get_access_key_last_used(AccessKeyId=user.key["AccessKeyId"])["AccessKeyLastUsed"]["ServiceName"] == "sts"
    with refused("NoSuchEntity", status=404):
        iam.get_access_key_last_used(AccessKeyId="AKIAAAAAAAAAAAAAAAAA")


def test_groups_and_their_members(iam):
    made = iam.create_group(GroupName="Writers", Path="/g/")["Group"]
    assert made["Arn"] == f"arn:aws:iam::{ALPHA.id}:group/g/Writers" and made["GroupId"].startswith("AGPA")
    for name in ("anna", "ben"):
        iam.create_user(UserName=name)
        iam.add_user_to_group(GroupName="writers", UserName=name)
        iam.add_user_to_group(GroupName="writers", UserName=name)
    iam.update_group(GroupName="Writers", NewGroupName="Authors")
    found = iam.get_group(GroupName="Authors")
    assert [user["UserName"] for user in found["Users"]] == ["anna", "ben"] and found["Group"]["GroupId"] == made["GroupId"]
    assert [group["GroupName"] for group in iam.list_groups_for_user(UserName="anna")["Groups"]] == ["Authors"]
    assert "Authors" in [group["GroupName"] for group in iam.list_groups()["Groups"]]
    with refused("DeleteConflict", status=409, message="Cannot delete entity, must remove users from group first."):
        iam.delete_group(GroupName="Authors")
    with refused("DeleteConflict", status=409, message="Cannot delete entity, must remove users from group first."):
        iam.delete_user(UserName="anna")
    for name in ("anna", "ben"):
        iam.remove_user_from_group(GroupName="Authors", UserName=name)
    with refused("NoSuchEntity", status=404):
        iam.remove_user_from_group(GroupName="Authors", UserName="anna")
    iam.delete_user(UserName="anna")
    iam.delete_group(GroupName="Authors")
    with refused("NoSuchEntity", status=404):
        iam.get_group(GroupName="Authors")


def test_a_user_with_dependants_stays(iam):
    iam.create_user(UserName="bound")
    key = iam.create_access_key(UserName="bound")["AccessKey"]["AccessKeyId"]
    iam.put_user_policy(UserName="bound", PolicyName="p", PolicyDocument=policy(statement("s3:*")))
    arn = iam.create_policy(PolicyName="of-bound", PolicyDocument=policy(statement("s3:*")))["Policy"]["Arn"]
    iam.attach_user_policy(UserName="bound", PolicyArn=arn)

    def conflict(message):
        with refused("DeleteConflict", status=409, message=f"Cannot delete entity, must {message} first."):
            iam.delete_user(UserName="bound")

    conflict("delete access keys")
    iam.delete_access_key(UserName="bound", AccessKeyId=key)
    conflict("detach all policies")
    iam.detach_user_policy(UserName="bound", PolicyArn=arn)
    conflict("delete policies")
    iam.delete_user_policy(UserName="bound", PolicyName="p")
    iam.delete_user(UserName="bound")
    iam.delete_policy(PolicyArn=arn)


def test_accounts_do_not_see_each_other(server, iam, beta):
    user = User(server, iam, "of-alpha", statement("*"))
    beta.create_user(UserName="of-beta")
    assert "of-alpha" not in [user["UserName"] for user in beta.list_users()["Users"]]
    for call in (
        lambda: beta.get_user(UserName="of-alpha"),
        lambda: beta.create_access_key(UserName="of-alpha"),
        lambda: beta.get_access_key_last_used(AccessKeyId=user.key["AccessKeyId"]),
        lambda: beta.delete_user(UserName="of-alpha"),
        lambda: user.client("iam").get_user(UserName="of-beta"),
    ):
        with refused("NoSuchEntity", status=404):
            call()
    with refused("NoSuchEntity", status=404):
        beta.delete_access_key(UserName="of-beta", AccessKeyId=user.key["AccessKeyId"])
    user.s3.list_buckets()


def test_no_user_is_an_operator(server):
    """Not even one of the operator's account who may do everything."""
    user = User(server, query("iam", server), "of-operator", statement("*"))
    user.s3.list_buckets()
    for path in ("/_larder/v1/accounts", "/_larder/v1/status", "/_larder/metrics"):
        assert Raw(server, **user.pair).request("GET", path).status == 403, path
        assert Raw(server).request("GET", path).status == 200, path


def test_what_users_may_do_with_identities_is_said_by_their_policies(server, iam):
    own = f"arn:aws:iam::{ALPHA.id}:user/${{aws:username}}"
    user = User(server, iam, "selfish", statement(["iam:GetUser", "iam:*AccessKey*"], own))
    client = user.client("iam")
    assert client.get_user()["User"]["UserName"] == "selfish"
    second = client.create_access_key()["AccessKey"]["AccessKeyId"]
    assert second in [key["AccessKeyId"] for key in client.list_access_keys()["AccessKeyMetadata"]]
    client.delete_access_key(AccessKeyId=second)
    with refused("AccessDenied", status=403) as error:
        client.create_user(UserName="another")
    assert f"User: {user.arn} is not authorized to perform: iam:CreateUser on resource: arn:aws:iam::{ALPHA.id}:user/another" in error["Message"]
    with refused("AccessDenied", status=403):
        client.create_access_key(UserName="taken")
    # Whoever may not ask does not learn who is there.
    with refused("AccessDenied", status=403):
        client.get_user(UserName="no-such-user")
    user.allow(statement("iam:*"), statement("iam:DeleteUser", effect="Deny"))
    client.create_user(UserName="made-by-user")
    with refused("AccessDenied", status=403) as error:
        client.delete_user(UserName="made-by-user")
    assert "explicit deny" in error["Message"]


def test_roots_are_shown_as_themselves(server, iam):
    assert iam.get_user()["User"]["Arn"] == f"arn:aws:iam::{ALPHA.id}:root"
    identity = query("sts", server, **ALPHA.pair).get_caller_identity()
    assert (identity["Account"], identity["UserId"], identity["Arn"]) == (ALPHA.id, ALPHA.id, f"arn:aws:iam::{ALPHA.id}:root")
    with refused("ValidationError", status=400):
        iam.create_access_key()


def test_refusals_of_the_protocol(server, iam):
    url = server.endpoint + "/"
    form = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}

    def code(body):
        answer = post(url, body, form)
        text = answer.data.decode()
        assert answer.headers["Content-Type"] == "text/xml" and "xmlns=" in text
        return answer.status, text.split("<Code>")[1].split("</Code>")[0]

    assert code("Action=ListUsers&Version=2010-05-08") == (403, "MissingAuthenticationToken")
    assert code("Version=2010-05-08") == (400, "MissingAction")
    assert code("Action=Nothing&Version=2010-05-08") == (400, "InvalidAction")
    assert code("Action=ListUsers&Version=2011-06-15") == (400, "InvalidAction")
    assert code("Action=ListUsers&Action=ListUsers&Version=2010-05-08") == (400, "MalformedQueryString")
    assert code("Action=ListUsers&Version=2010-05-08&UserName=" + "x" * (300 << 10)) == (413, "RequestEntityTooLarge")
    with refused("InvalidClientTokenId", status=403):
        query("iam", server, access_key="AKIANOBODY", secret_key="something").list_users()
    with refused("SignatureDoesNotMatch", status=403):
        query("iam", server, access_key=ALPHA.pair["access_key"], secret_key="something else").list_users()


def test_signatures_for_one_service_are_none_for_another(server):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    def signed_for(service, body="Action=ListUsers&Version=2010-05-08"):
        request = AWSRequest("POST", server.endpoint + "/", data=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
        SigV4Auth(Credentials(ALPHA.pair["access_key"], ALPHA.pair["secret_key"]), service, server.region).add_auth(request)
        return post(request.url, body, dict(request.headers))

    assert signed_for("iam").status == 200
    for service in ("s3", "sts"):
        answer = signed_for(service)
        assert answer.status == 403 and "Credential should be scoped to correct service: &apos;iam&apos;." in answer.data.decode()
    request = AWSRequest("GET", server.endpoint + "/", headers={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    SigV4Auth(Credentials(ALPHA.pair["access_key"], ALPHA.pair["secret_key"]), "iam", server.region).add_auth(request)
    answer = get(request.url, dict(request.headers))
    assert answer.status == 400 and 'This endpoint belongs to "s3"' in answer.data.decode().replace("&quot;", '"')


def test_a_body_that_was_changed_on_the_way_is_refused(server):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    request = AWSRequest("POST", server.endpoint + "/", data="Action=ListUsers&Version=2010-05-08", headers=headers)
    SigV4Auth(Credentials(ALPHA.pair["access_key"], ALPHA.pair["secret_key"]), "iam", server.region).add_auth(request)
    body = "Action=ListGroups&Version=2010-05-08"
    answer = post(request.url, body, dict(request.headers))
    assert answer.status == 403 and "SignatureDoesNotMatch" in answer.data.decode()


def test_a_presigned_identity(server, iam):
    url = query("sts", server, **ALPHA.pair).generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    answer = get(url)
    assert answer.status == 200 and f"<Account>{ALPHA.id}</Account>" in answer.data.decode()
    assert get(url.replace("X-Amz-Signature=", "X-Amz-Signature=0")).status == 403


def test_the_aws_command_line(server, iam, tmp_path):
    aws = tool("aws")
    environment = client_environment(server, tmp_path) | {"AWS_ACCESS_KEY_ID": ALPHA.pair["access_key"], "AWS_SECRET_ACCESS_KEY": ALPHA.pair["secret_key"]}

    def run(*words):
        done = subprocess.run([aws, "--endpoint-url", server.endpoint, "--output", "json", *words], env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout) if done.stdout.strip() else None

    run("iam", "create-user", "--user-name", "cli", "--tags", "Key=a,Value=b")
    key = run("iam", "create-access-key", "--user-name", "cli")["AccessKey"]
    run("iam", "put-user-policy", "--user-name", "cli", "--policy-name", "p", "--policy-document", policy(statement("s3:*")))
    assert json.loads(policy(statement("s3:*"))) == run("iam", "get-user-policy", "--user-name", "cli", "--policy-name", "p")["PolicyDocument"]
    environment |= {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    assert run("sts", "get-caller-identity")["Arn"].endswith(":user/cli")
    run("s3api", "list-buckets")


def test_what_terraform_asks_about_a_user(iam):
    """CreateUser, GetUser, and on the way out all lists of what a user can have, most of which Larder never has."""
    iam.create_user(UserName="formed", Path="/t/", Tags=[{"Key": "managed", "Value": "yes"}])
    assert iam.get_user(UserName="formed")["User"]["Tags"]
    assert iam.list_groups_for_user(UserName="formed")["Groups"] == []
    assert iam.list_access_keys(UserName="formed")["AccessKeyMetadata"] == []
    assert iam.list_ssh_public_keys(UserName="formed")["SSHPublicKeys"] == []
    assert iam.list_mfa_devices(UserName="formed")["MFADevices"] == []
    assert iam.list_virtual_mfa_devices(AssignmentStatus="Any")["VirtualMFADevices"] == []
    assert iam.list_signing_certificates(UserName="formed")["Certificates"] == []
    assert iam.list_service_specific_credentials(UserName="formed")["ServiceSpecificCredentials"] == []
    with refused("NoSuchEntity", status=404):
        iam.delete_login_profile(UserName="formed")
    assert iam.list_user_policies(UserName="formed")["PolicyNames"] == []
    assert iam.list_attached_user_policies(UserName="formed")["AttachedPolicies"] == []
    iam.delete_user(UserName="formed")


def test_the_same_request_of_a_provisioner_gets_the_same_key(server, iam):
    """Without the parameter of its own a client gets a new key each time; boto3 knows none, so it is put in on the way."""

    def with_token(client, token):
        client.meta.events.register("before-call.iam.CreateAccessKey", lambda params, **_: params["body"].update(ClientToken=token))
        return client

    iam.create_user(UserName="provisioned")
    root = with_token(query("iam", server, **ALPHA.pair), "claim-1")
    first = root.create_access_key(UserName="provisioned")["AccessKey"]
    assert root.create_access_key(UserName="provisioned")["AccessKey"] == first
    assert len(iam.list_access_keys(UserName="provisioned")["AccessKeyMetadata"]) == 1
    other = with_token(query("iam", server, **ALPHA.pair), "claim-2").create_access_key(UserName="provisioned")["AccessKey"]
    assert other["AccessKeyId"] != first["AccessKeyId"]
    provisioner = User(server, iam, "provisioner", statement("iam:CreateAccessKey"))
    client = with_token(provisioner.client("iam"), "claim-1")
    with refused("AccessDenied", status=403) as error:
        client.create_access_key(UserName="provisioned")
    assert "larder:RecoverAccessKey" in error["Message"] and first["SecretAccessKey"] not in error["Message"]
    provisioner.allow(statement(["iam:CreateAccessKey", "larder:RecoverAccessKey"]))
    assert client.create_access_key(UserName="provisioned")["AccessKey"] == first
    # The token is the user's own: with another user it is another request.
    iam.create_user(UserName="provisioned-too")
    assert client.create_access_key(UserName="provisioned-too")["AccessKey"]["AccessKeyId"] != first["AccessKeyId"]
    iam.delete_access_key(UserName="provisioned", AccessKeyId=first["AccessKeyId"])
    again = client.create_access_key(UserName="provisioned")["AccessKey"]
    assert again["AccessKeyId"] != first["AccessKeyId"]


def test_all_of_it_survives_a_kill_and_no_secret_lies_on_a_disk(tmp_path):
    with Larder(directory=tmp_path) as server:
        iam = query("iam", server)
        user = User(server, iam, "kept", statement("s3:*"), Tags=[{"Key": "a", "Value": "b"}])
        iam.create_group(GroupName="kept-group")
        iam.add_user_to_group(GroupName="kept-group", UserName="kept")
        user.s3.create_bucket(Bucket="of-kept")
        before = iam.get_user(UserName="kept")["User"]
        server.kill()
        server.start()
        assert query("iam", server).get_user(UserName="kept")["User"] == before
        assert [group["GroupName"] for group in query("iam", server).list_groups_for_user(UserName="kept")["Groups"]] == ["kept-group"]
        assert [bucket["Name"] for bucket in user.s3.list_buckets()["Buckets"]] == ["of-kept"]
        server.stop()
        server.start()
        used = query("iam", server).get_access_key_last_used(AccessKeyId=user.key["AccessKeyId"])["AccessKeyLastUsed"]
        assert used["ServiceName"] == "s3", "written when the server stopped"
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        secret, name = user.key["SecretAccessKey"].encode(), user.key["AccessKeyId"].encode()
        assert not [path for path in files if secret in path.read_bytes()]
        assert [path for path in files if name in path.read_bytes()], "the search would find it"


def test_an_account_with_users_can_not_be_removed(tmp_path):
    with Larder(directory=tmp_path) as server:
        made = json.loads(server.run("account", "add", "tenant", "--json"))
        id = made["account"]["id"]
        iam = query("iam", server, access_key=made["account"]["access_key"], secret_key=made["secret_key"])
        iam.create_user(UserName="stays")
        command = [larder_binary(), "account", "remove", id, "--endpoint", server.endpoint]
        done = subprocess.run(command, env={**os.environ, **server.environment}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "has users, groups, roles or policies" in done.stderr
        iam.delete_user(UserName="stays")
        assert json.loads(server.run("account", "remove", id, "--json"))["id"] == id


def test_identities_are_changed_at_once_after_a_kill(tmp_path):
    """What was in doubt is healed meanwhile, which writes records again: no change is refused for it."""
    with Larder(directory=tmp_path) as server:
        iam = query("iam", server)
        s3 = boto(server)
        s3.create_bucket(Bucket="in-doubt")
        for number in range(10):
            iam.create_user(UserName=f"u{number}")
        for round in range(4):
            for number in range(50):
                s3.put_object(Bucket="in-doubt", Key=f"{round}/{number}", Body=b"x" * 100_000)
            server.kill()
            server.start()
            for number in range(10):
                iam.tag_user(UserName=f"u{number}", Tags=[{"Key": "round", "Value": str(round)}])
