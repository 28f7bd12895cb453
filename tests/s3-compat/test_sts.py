"""STS: temporary credentials of users and roles, what they may do, and their end."""

import base64
import json
import subprocess
import time

import pytest
from larderlib.account_fixtures import bucket, everybody, iam, server  # noqa: F401
from larderlib.clients import boto, client_environment
from larderlib.expect import refused
from larderlib.iam import User, get, policy, post_form, query, statement
from larderlib.need import tool
from larderlib.server import Larder
from larderlib.tenants import ALPHA, BETA, set_policy, tenants


class Session:
    """Temporary credentials as an answer has them, and clients that sign with them."""

    def __init__(self, server, answer):
        self.server, self.answer = server, answer["Credentials"]
        self.pair = {"access_key": self.answer["AccessKeyId"], "secret_key": self.answer["SecretAccessKey"], "token": self.answer["SessionToken"]}

    @property
    def s3(self):
        return self.signing()

    def signing(self, **config):
        client = boto(self.server, access_key=self.pair["access_key"], secret_key=self.pair["secret_key"], **config)
        client._request_signer._credentials.token = self.pair["token"]
        return client

    def client(self, service):
        return query(service, self.server, **self.pair)


def trust(principal, action="sts:AssumeRole", effect="Allow", **more):
    return policy({"Effect": effect, "Principal": principal, "Action": action, **more})


def role(iam, name, trusted, *statements, **options):
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusted, **options)["Role"]["Arn"]
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(*statements))
    return arn


def test_a_role_is_taken_on_and_allows_what_its_policies_say(server, iam, bucket):
    user = User(server, iam, "actor")
    arn = role(iam, "acted", trust({"AWS": user.arn}), statement("s3:*", [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]))
    answer = user.client("sts").assume_role(RoleArn=arn, RoleSessionName="job-1")
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ALPHA.id}:assumed-role/acted/job-1"
    session = Session(server, answer)
    assert session.pair["access_key"].startswith("ASIA")
    session.s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    with refused("AccessDenied"):
        session.s3.list_buckets()
    with refused("AccessDenied"):
        user.s3.get_object(Bucket=bucket, Key="a")
    identity = session.client("sts").get_caller_identity()
    assert identity["Arn"] == answer["AssumedRoleUser"]["Arn"] and identity["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]
    iam.put_role_policy(RoleName="acted", PolicyName="p", PolicyDocument=policy(statement("s3:ListAllMyBuckets")))
    session.s3.list_buckets()
    with refused("AccessDenied"):
        session.s3.get_object(Bucket=bucket, Key="a")


def test_presigned_addresses_and_forms_of_a_session(server, iam, bucket):
    user = User(server, iam, "presigner")
    arn = role(iam, "presigned", trust({"AWS": user.arn}), statement("s3:*"))
    session = Session(server, user.client("sts").assume_role(RoleArn=arn, RoleSessionName="s1"))
    session.s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    for version in ("s3v4", "s3"):
        url = session.signing(signature_version=version).generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a"})
        assert get(url).data == b"x", version
        assert get(url.replace("oken=", "oken=AAAA")).status in (400, 403)
    form = session.s3.generate_presigned_post(bucket, "by-form")
    assert post_form(form, b"x") == 204
    del form["fields"]["x-amz-security-token"]
    assert post_form(form, b"x") == 403


def test_the_trust_policy_decides_who_and_on_which_conditions(server, iam):
    named, other = User(server, iam, "trusted"), User(server, iam, "untrusted", statement("*"))
    arn = role(iam, "conditional", trust({"AWS": named.arn}, Condition={"StringEquals": {"sts:ExternalId": "secret-number"}}))
    take = {"RoleArn": arn, "RoleSessionName": "s1"}
    named.client("sts").assume_role(**take, ExternalId="secret-number")
    for refusal in (
        lambda: named.client("sts").assume_role(**take),
        lambda: named.client("sts").assume_role(**take, ExternalId="other"),
        lambda: other.client("sts").assume_role(**take, ExternalId="secret-number"),
        lambda: named.client("sts").assume_role(RoleArn=arn + "-none", RoleSessionName="s1"),
    ):
        with refused("AccessDenied", status=403) as error:
            refusal()
        assert "is not authorized to perform: sts:AssumeRole on resource" in error["Message"]
    with refused("AccessDenied", message="Roles may not be assumed by root accounts."):
        query("sts", server, **ALPHA.pair).assume_role(**take)


def test_where_the_trust_policy_names_an_account_the_users_own_policies_decide(server, iam):
    arn = role(iam, "for-account", trust({"AWS": ALPHA.arn}))
    abroad = role(iam, "for-beta", trust({"AWS": BETA.arn}))
    of_alpha, of_beta = User(server, iam, "in-account"), User(server, query("iam", server, **BETA.pair), "in-other")
    for user, to in ((of_alpha, arn), (of_beta, abroad)):
        with refused("AccessDenied", status=403):
            user.client("sts").assume_role(RoleArn=to, RoleSessionName="s1")
        user.allow(statement("sts:AssumeRole", to))
        user.client("sts").assume_role(RoleArn=to, RoleSessionName="s1")
        user.allow(statement("sts:AssumeRole", to), statement("sts:*", effect="Deny"))
        with refused("AccessDenied", status=403):
            user.client("sts").assume_role(RoleArn=to, RoleSessionName="s1")
    of_beta.allow(statement("*"))
    with refused("AccessDenied", status=403):
        of_beta.client("sts").assume_role(RoleArn=arn, RoleSessionName="s1")


def test_session_policies_only_take_away(everybody, server, iam, bucket):
    user = User(server, iam, "limiter")
    arn = role(iam, "limited", trust({"AWS": user.arn}), statement(["s3:GetObject", "s3:PutObject"]))
    take = {"RoleArn": arn, "RoleSessionName": "s1"}
    everybody.alpha.put_object(Bucket=bucket, Key="a", Body=b"x")
    reader = Session(server, user.client("sts").assume_role(**take, Policy=policy(statement(["s3:GetObject", "s3:DeleteObject"]))))
    reader.s3.get_object(Bucket=bucket, Key="a")
    for call in (reader.s3.delete_object, reader.s3.put_object):
        with refused("AccessDenied"):
            call(Bucket=bucket, Key="a")
    by_arn = Session(server, user.client("sts").assume_role(**take, PolicyArns=[{"arn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}]))
    by_arn.s3.get_object(Bucket=bucket, Key="a")
    with refused("AccessDenied"):
        by_arn.s3.put_object(Bucket=bucket, Key="a")
    with refused("MalformedPolicyDocument", status=400):
        user.client("sts").assume_role(**take, Policy="{")
    with refused("ValidationError", status=400):
        user.client("sts").assume_role(**take, Policy=policy(*[statement("s3:GetObject", f"arn:aws:s3:::bucket-{n}/*") for n in range(40)]))


def test_tags_of_a_session_need_a_permission_and_feed_variables(server, iam, bucket):
    user = User(server, iam, "session-tagger")
    arn = role(iam, "tagged", trust({"AWS": user.arn}, ["sts:AssumeRole", "sts:TagSession"]), Tags=[{"Key": "prefix", "Value": "role/"}])
    plain = role(iam, "untagged", trust({"AWS": user.arn}))
    iam.attach_role_policy(RoleName="tagged", PolicyArn="arn:aws:iam::aws:policy/LarderReadWrite")
    tags = [{"Key": "bucket", "Value": bucket}]
    session = Session(server, user.client("sts").assume_role(RoleArn=arn, RoleSessionName="s1", Tags=tags))
    session.s3.put_object(Bucket=bucket, Key="role/a")
    with refused("AccessDenied"):
        session.s3.put_object(Bucket=bucket, Key="a")
    own = Session(server, user.client("sts").assume_role(RoleArn=arn, RoleSessionName="s1", Tags=[*tags, {"Key": "prefix", "Value": "own/"}]))
    own.s3.put_object(Bucket=bucket, Key="own/a")
    with refused("AccessDenied"):
        own.s3.put_object(Bucket=bucket, Key="role/a")
    with refused("AccessDenied", status=403):
        user.client("sts").assume_role(RoleArn=plain, RoleSessionName="s1", Tags=tags)


def test_a_users_own_session_may_do_what_the_user_may_and_no_iam(server, iam, bucket):
    user = User(server, iam, "own-session", statement("*"))
    session = Session(server, user.client("sts").get_session_token())
    session.s3.put_object(Bucket=bucket, Key="a")
    assert session.client("sts").get_caller_identity()["Arn"] == user.arn
    with refused("AccessDenied", status=403):
        session.client("iam").create_user(UserName="by-session")
    with refused("AccessDenied", status=403):
        session.client("sts").get_session_token()
    with refused("AccessDenied", status=403):
        query("sts", server, **ALPHA.pair).get_session_token()
    user.allow(statement("s3:ListAllMyBuckets"))
    with refused("AccessDenied"):
        session.s3.put_object(Bucket=bucket, Key="a")


def test_sessions_end_with_whoever_they_are_of(server, iam):
    user = User(server, iam, "ending", statement("s3:*"))
    arn = role(iam, "ended", trust({"AWS": user.arn}), statement("s3:*"))
    own = Session(server, user.client("sts").get_session_token())
    of_role = Session(server, user.client("sts").assume_role(RoleArn=arn, RoleSessionName="s1"))
    for session in (own, of_role):
        session.s3.list_buckets()
    iam.delete_role_policy(RoleName="ended", PolicyName="p")
    iam.delete_role(RoleName="ended")
    role(iam, "ended", trust({"AWS": user.arn}), statement("s3:*"))
    iam.delete_access_key(UserName="ending", AccessKeyId=user.key["AccessKeyId"])
    iam.delete_user_policy(UserName="ending", PolicyName="inline")
    iam.delete_user(UserName="ending")
    for session in (own, of_role):
        with refused("InvalidAccessKeyId"):
            session.s3.list_buckets()
        with refused("InvalidClientTokenId", status=403):
            session.client("sts").get_caller_identity()


def test_tokens_that_were_not_given_are_refused(server, iam):
    user, other = User(server, iam, "forger", statement("s3:*")), User(server, iam, "forged", statement("s3:*"))
    first, second = (Session(server, who.client("sts").get_session_token()) for who in (user, other))
    claims = {"access_key": first.pair["access_key"], "secret": first.pair["secret_key"], "account": ALPHA.id, "of": {"User": {"id": "x"}}, "issued": 1, "expires": 1 << 40}
    self_made = base64.b64encode(json.dumps(claims).encode()).decode()

    def code(expected, in_iam="InvalidClientTokenId", **changed):
        pair = {**first.pair, **changed}
        client = boto(server, access_key=pair["access_key"], secret_key=pair["secret_key"])
        client._request_signer._credentials.token = pair["token"]
        with refused(expected):
            client.list_buckets()
        with refused(in_iam, status=403):
            query("sts", server, **pair).get_caller_identity()

    code("InvalidAccessKeyId", token=None)
    code("InvalidAccessKeyId", token=second.pair["token"])
    code("InvalidAccessKeyId", access_key=user.pair["access_key"], secret_key=user.pair["secret_key"])
    for token in (self_made, "nonsense", first.pair["token"][:-8], "A" * 9000):
        code("InvalidToken", token=token)
    code("SignatureDoesNotMatch", "SignatureDoesNotMatch", secret_key=user.pair["secret_key"])
    first.s3.list_buckets()


def test_durations(server, iam):
    user = User(server, iam, "enduring")
    arn = role(iam, "enduring", trust({"AWS": user.arn}), MaxSessionDuration=7200)
    sts = query("sts", server, **user.pair, parameter_validation=False)
    for seconds in (900, 7200):
        expires = sts.assume_role(RoleArn=arn, RoleSessionName="s1", DurationSeconds=seconds)["Credentials"]["Expiration"]
        assert abs(expires.timestamp() - time.time() - seconds) < 60
    for seconds in (899, 7201):
        with refused("ValidationError", status=400):
            sts.assume_role(RoleArn=arn, RoleSessionName="s1", DurationSeconds=seconds)
    with refused("ValidationError", status=400):
        sts.assume_role(RoleArn=arn, RoleSessionName="a b")
    with refused("ValidationError", status=400):
        sts.get_session_token(DurationSeconds=129601)


def test_sessions_in_bucket_policies(everybody, server, iam, bucket):
    user = User(server, iam, "in-policy")
    arn = role(iam, "in-policy", trust({"AWS": user.arn}))
    session = Session(server, user.client("sts").assume_role(RoleArn=arn, RoleSessionName="s1"))
    everybody.alpha.put_object(Bucket=bucket, Key="a", Body=b"x")
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    for principal, is_let in ((arn, True), (f"arn:aws:sts::{ALPHA.id}:assumed-role/in-policy/s1", True), (f"arn:aws:sts::{ALPHA.id}:assumed-role/in-policy/s2", False)):
        set_policy(everybody.alpha, bucket, {**allow, "Principal": {"AWS": principal}})
        if is_let:
            session.s3.get_object(Bucket=bucket, Key="a")
        else:
            with refused("AccessDenied"):
                session.s3.get_object(Bucket=bucket, Key="a")


def test_a_session_outlives_a_restart_and_the_aws_command_line_uses_it(tmp_path):
    with Larder(directory=tmp_path) as server:
        iam = query("iam", server)
        user = User(server, iam, "lasting", statement("s3:*"))
        session = Session(server, user.client("sts").get_session_token())
        server.kill()
        server.start()
        session = Session(server, {"Credentials": session.answer})
        session.s3.list_buckets()
        environment = client_environment(server, tmp_path) | {
            "AWS_ACCESS_KEY_ID": session.pair["access_key"],
            "AWS_SECRET_ACCESS_KEY": session.pair["secret_key"],
            "AWS_SESSION_TOKEN": session.pair["token"],
        }
        aws = [tool("aws"), "--endpoint-url", server.endpoint]
        subprocess.run([*aws, "s3", "mb", "s3://by-session"], env=environment, check=True, capture_output=True)
        done = subprocess.run([*aws, "sts", "get-caller-identity"], env=environment, check=True, capture_output=True, text=True)
        assert json.loads(done.stdout)["Arn"] == user.arn
        assert session.pair["token"] not in server.log_path.read_text() and session.pair["secret_key"] not in server.log_path.read_text()
