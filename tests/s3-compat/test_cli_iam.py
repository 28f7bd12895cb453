"""`larder user`, `key`, `group`, `policy`, `role`, `provider` and `sts`: as an account's root, as a user, and as who may not."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from larderlib.account_fixtures import bucket, everybody, iam, server  # noqa: F401
from larderlib.cli import Shell, environment, exported
from larderlib.clients import boto, unique_bucket
from larderlib.expect import refused
from larderlib.iam import User, policy, query, statement
from larderlib.oidc import Provider
from larderlib.server import free_port
from larderlib.tenants import ALPHA, BETA

SERVER_ARGUMENTS = ["--oidc-http"]
APPEND_ONLY = "arn:aws:iam::aws:policy/LarderAppendOnly"


@pytest.fixture
def alpha(server):
    return Shell(server, **ALPHA.pair)


@pytest.fixture
def provider():
    provider = Provider()
    yield provider
    provider.close()


def s3_of(server, found):
    """A client with the credentials of an environment."""
    client = boto(server, access_key=found["AWS_ACCESS_KEY_ID"], secret_key=found["AWS_SECRET_ACCESS_KEY"])
    client._request_signer._credentials.token = found.get("AWS_SESSION_TOKEN")
    return client


def test_one_command_makes_a_user_with_a_key_for_one_bucket_and_prefix(server, alpha, bucket):
    made = alpha("user", "add", "backup", "--bucket", bucket, "--prefix", "db1/", "--policy", "append-only", "--key")
    assert f"s3://{bucket}/db1/" in made and "LarderAppendOnly" in made and "not shown again" in made
    assert f"    aws s3 ls s3://{bucket}/db1/\n" in made and "no bucket" not in made and "no slash" not in made
    lines = "\n".join(line for line in made.splitlines() if line.startswith("    export "))
    found = exported(lines)
    assert (found["AWS_ENDPOINT_URL"], found["AWS_REGION"]) == (server.endpoint, server.region)
    s3 = s3_of(server, found)
    s3.put_object(Bucket=bucket, Key="db1/a", Body=b"1")
    assert s3.list_objects_v2(Bucket=bucket, Prefix="db1/")["KeyCount"] == 1
    with refused("PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="db1/a", Body=b"2")
    for call in (lambda: s3.delete_object(Bucket=bucket, Key="db1/a"), lambda: s3.put_object(Bucket=bucket, Key="db2/a")):
        with refused("AccessDenied"):
            call()


def test_a_new_key_goes_straight_into_a_shell(server, alpha, bucket):
    found = exported(alpha("user", "add", "in-shell", "--bucket", bucket, "--policy", "write-only", "--env"))
    s3_of(server, found).put_object(Bucket=bucket, Key="x", Body=b"1")
    other = exported(alpha("key", "add", "in-shell", "--env"))
    assert other["AWS_ACCESS_KEY_ID"] != found["AWS_ACCESS_KEY_ID"]
    # Larder's own commands take them as well, and say whose they are.
    shell = Shell(server, env=other | {"PATH": "/usr/bin"})
    who = shell.json("sts", "whoami")
    assert who["arn"] == f"arn:aws:iam::{ALPHA.id}:user/in-shell" and who["origin"] == "AWS_ACCESS_KEY_ID"


def test_what_is_likely_not_meant_is_said(alpha):
    missing = unique_bucket("missing")
    made = alpha("user", "add", "hasty", "--bucket", missing, "--prefix", "db1", "--policy", "read-write")
    assert f"larder bucket add {missing}" in made and "no slash" in made and "larder key add hasty" in made
    assert "may do nothing yet" in alpha("user", "add", "idle")
    assert "for one bucket" in alpha.fails("user", "add", "lost", "--policy", "append-only", code=2)
    assert "--policy" in alpha.fails("user", "add", "lost", "--bucket", missing, code=2)
    assert "there is no policy Nonsense" in alpha.fails("user", "add", "lost", "--policy", "Nonsense")
    assert "lost" not in [user["name"] for user in alpha.json("user", "list")["users"]]


def test_a_user_is_made_whole_or_not_at_all(alpha, iam):
    error = alpha.fails("user", "add", "halves", "--policy", "AdministratorAccess", "--group", "none", "--key")
    assert "larder group list" in error and "nothing was made" in error
    with refused("NoSuchEntity", status=404):
        iam.get_user(UserName="halves")


def test_users_are_listed_shown_and_tagged(alpha, iam):
    alpha("user", "add", "shown", "--path", "/ops/", "--tag", "team=db", "--policy", "AmazonS3ReadOnlyAccess", "--boundary", "AmazonS3FullAccess")
    iam.put_user_policy(UserName="shown", PolicyName="inline", PolicyDocument=policy(statement("s3:*")))
    assert [user["name"] for user in alpha.json("user", "list", "--path", "/ops/")["users"]] == ["shown"]
    assert f"arn:aws:iam::{ALPHA.id}:user/ops/shown" in alpha("user", "list")
    text = alpha("user", "show", "shown")
    for word in ("team=db", "AmazonS3ReadOnlyAccess", "inline", "policy/AmazonS3FullAccess", "larder key add shown"):
        assert word in text
    alpha("user", "tag", "shown", "team=ops", "cost=7", "--remove", "none")
    assert alpha.json("user", "tag", "shown", "--remove", "cost")["tags"] == {"team": "ops"}
    shown = alpha.json("user", "show", "shown")
    assert shown["policies"] == [{"name": "AmazonS3ReadOnlyAccess", "arn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}]
    assert (shown["inline_policies"], shown["groups"], shown["keys"]) == (["inline"], [], [])


def test_what_hangs_on_a_user_is_said_before_it_goes(alpha, iam):
    alpha("group", "add", "hangers")
    made = alpha.json("user", "add", "laden", "--policy", "AdministratorAccess", "--group", "hangers", "--key")
    key = made["key"]["access_key"]
    error = alpha.fails("user", "remove", "laden")
    for word in (key, "hangers", "AdministratorAccess", "larder user remove laden --force"):
        assert word in error
    assert alpha.json("user", "show", "laden")["keys"][0]["access_key"] == key, "nothing was removed"
    assert key in alpha("user", "remove", "laden", "--force")
    with refused("NoSuchEntity", status=404):
        iam.get_user(UserName="laden")
    assert "larder user list" in alpha.fails("user", "remove", "laden")


def test_keys_are_rotated_disabled_and_removed(server, alpha):
    old = alpha.json("user", "add", "rotated", "--policy", "AmazonS3ReadOnlyAccess", "--key")["key"]
    turned = alpha("key", "rotate", "rotated")
    assert f"larder key disable {old['access_key']}" in turned
    keys = {key["access_key"]: key for key in alpha.json("key", "list", "rotated")["keys"]}
    assert len(keys) == 2 and all(key["last_used"] is None for key in keys.values())
    boto(server, access_key=old["access_key"], secret_key=old["secret_key"]).list_buckets()
    error = alpha.fails("key", "rotate", "rotated")
    assert "two already" in error and "last used" in error and "never used" in error
    assert "larder key remove" in alpha.fails("key", "add", "rotated")
    assert "enable" in alpha("key", "disable", old["access_key"])
    with refused("InvalidAccessKeyId"):
        boto(server, access_key=old["access_key"], secret_key=old["secret_key"]).list_buckets()
    alpha("key", "enable", old["access_key"])
    boto(server, access_key=old["access_key"], secret_key=old["secret_key"]).list_buckets()
    alpha("key", "remove", old["access_key"], "--user", "rotated")
    assert old["access_key"] not in alpha("key", "list")
    assert "larder key list" in alpha.fails("key", "disable", old["access_key"])
    assert "name a user" in alpha.fails("key", "add")


def test_a_user_keeps_its_own_keys(server, alpha):
    alpha("policy", "set", "own-keys", "-", input=policy(statement(["iam:*AccessKey*"], "arn:aws:iam::*:user/${aws:username}")))
    key = alpha.json("user", "add", "self", "--policy", "own-keys", "--key")["key"]
    own = Shell(server, access_key=key["access_key"], secret_key=key["secret_key"])
    assert [found["access_key"] for found in own.json("key", "list")["keys"]] == [key["access_key"]]
    new = own.json("key", "add")
    assert new["access_key"] != key["access_key"] and len(own.json("key", "list")["keys"]) == 2


def test_policies_are_set_shown_attached_and_removed(alpha, tmp_path):
    file = tmp_path / "p.json"
    file.write_text(policy(statement("s3:GetObject", "arn:aws:s3:::a/*")))
    assert "larder policy attach reader" in alpha("policy", "add", "reader", file)
    assert "larder policy set" in alpha.fails("policy", "add", "reader", file)
    alpha("user", "add", "reading")
    assert "has policy reader" in alpha("policy", "attach", "reader", "--user", "reading")
    for number in range(2, 9):
        file.write_text(policy(statement("s3:GetObject", f"arn:aws:s3:::a/{number}")))
        assert f"now v{number}: it counts for user reading" in alpha("policy", "set", "reader", file)
    shown = alpha.json("policy", "show", "reader")
    assert shown["document"]["Statement"][0]["Resource"] == "arn:aws:s3:::a/8"
    assert shown["holders"] == [{"kind": "user", "name": "reading"}] and not shown["built_in"]
    assert json.loads(alpha("policy", "show", "reader", "--document")) == shown["document"]
    assert "reader" in alpha("policy", "list", "--own") and "LarderAppendOnly" not in alpha("policy", "list", "--own")
    error = alpha.fails("policy", "remove", "reader")
    assert "user reading" in error and "--force" in error
    alpha("policy", "remove", "reader", "--force")
    assert "there is no policy reader" in alpha.fails("policy", "show", "reader")
    assert alpha.json("user", "show", "reading")["policies"] == []


def test_built_in_policies_have_short_names(alpha):
    listed = {found["name"]: found for found in alpha.json("policy", "list")["policies"]}
    assert listed["LarderAppendOnly"]["built_in"] and "append-only" in alpha("policy", "list")
    assert alpha.json("policy", "show", "append-only")["arn"] == APPEND_ONLY
    alpha("user", "add", "untagged")
    text = alpha("policy", "attach", "append-only", "--user", "untagged")
    assert "larder user tag untagged bucket=" in text
    alpha("policy", "detach", "append-only", "--user", "untagged")
    for force in ([], ["--force"]):
        assert "one of the server's own" in alpha.fails("policy", "remove", "LarderReadOnly", *force)
    assert "--user" in alpha.fails("policy", "attach", "append-only", code=2)


def test_what_is_no_policy_is_refused(alpha, tmp_path):
    file = tmp_path / "p.json"
    assert "No such file" in alpha.fails("policy", "set", "wrong", file)
    for text, word in [("{", "JSON"), ("{}", "MalformedPolicyDocument"), ("x" * 70_000, "65536 bytes")]:
        file.write_text(text)
        assert word in alpha.fails("policy", "set", "wrong", file)
    assert "wrong" not in alpha("policy", "list", "--own")


def test_groups(alpha):
    assert "larder policy attach" in alpha("group", "add", "ops")
    alpha("user", "add", "member", "--group", "ops")
    alpha("policy", "attach", "AmazonS3ReadOnlyAccess", "--group", "ops")
    shown = alpha.json("group", "show", "ops")
    assert shown["users"] == ["member"] and shown["policies"][0]["name"] == "AmazonS3ReadOnlyAccess"
    assert "member" in alpha("group", "show", "ops") and "ops" in alpha("group", "list")
    error = alpha.fails("group", "remove", "ops")
    assert "member" in error and "AmazonS3ReadOnlyAccess" in error
    alpha("group", "remove-user", "ops", "member")
    alpha("group", "add-user", "ops", "member")
    alpha("group", "remove", "ops", "--force")
    assert alpha.json("user", "show", "member")["groups"] == []


def test_a_role_is_taken_on_by_a_user(server, alpha, bucket):
    key = alpha.json("user", "add", "actor", "--key")["key"]
    made = alpha("role", "add", "acted", "--user", "actor", "--bucket", bucket, "--policy", "read-write")
    assert "larder sts assume-role" in made
    actor = Shell(server, access_key=key["access_key"], secret_key=key["secret_key"])
    found = exported(actor("sts", "assume-role", "acted", "--session-name", "job", "--duration", "900"))
    s3_of(server, found).put_object(Bucket=bucket, Key="a", Body=b"1")
    session = Shell(server, env=found | {"PATH": "/usr/bin"})
    assert session.json("sts", "whoami")["arn"] == f"arn:aws:sts::{ALPHA.id}:assumed-role/acted/job"
    given = actor.json("sts", "assume-role", f"arn:aws:iam::{ALPHA.id}:role/acted")
    assert given["arn"].endswith(":assumed-role/acted/larder") and given["expiration"].endswith("Z")
    own = exported(actor("sts", "session"))
    assert Shell(server, env=own | {"PATH": "/usr/bin"}).json("sts", "whoami")["arn"].endswith(":user/actor")
    assert "Roles may not be assumed by root accounts" in alpha.fails("sts", "assume-role", "acted")
    shown = alpha.json("role", "show", "acted")
    assert shown["trust"]["Statement"][0]["Principal"] == {"AWS": f"arn:aws:iam::{ALPHA.id}:user/actor"}
    assert bucket in alpha("role", "show", "acted") and "acted" in alpha("role", "list")
    assert "LarderReadWrite" in alpha.fails("role", "remove", "acted")
    alpha("role", "remove", "acted", "--force")
    assert "InvalidClientTokenId" in session.fails("sts", "whoami")


def test_a_service_account_takes_a_role_on_without_a_key(server, alpha, provider, bucket, tmp_path):
    added = alpha("provider", "add", provider.url, "--audience", "larder")
    assert "larder role add" in added and provider.name in alpha("provider", "list")
    scope = ["--bucket", bucket, "--policy", "append-only"]
    of_provider = ["role", "add", "pods", "--provider", provider.url, "--audience", "larder"]
    assert "everybody whom the provider vouches for" in alpha.fails(*of_provider, *scope, code=2)
    made = alpha(*of_provider, "--service-account", "db/backup", *scope)
    arn = f"arn:aws:iam::{ALPHA.id}:role/pods"
    assert f"AWS_ROLE_ARN={arn}" in made
    token = tmp_path / "token"
    token.write_text(provider.token() + "\n")
    nobody = Shell(server, env={"LARDER_ENDPOINT": server.endpoint, "AWS_ROLE_ARN": arn, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)})
    found = exported(nobody("sts", "web-identity"))
    s3_of(server, found).put_object(Bucket=bucket, Key="a", Body=b"1")
    token.write_text(provider.token(subject="system:serviceaccount:db:other"))
    assert "trust policy" in nobody.fails("sts", "web-identity")
    token.write_text(provider.token(seconds=-1))
    assert "too old" in nobody.fails("sts", "web-identity")
    token.unlink()
    assert "No such file" in nobody.fails("sts", "web-identity")
    alpha("provider", "remove", provider.url)
    assert "larder provider list" in alpha.fails("provider", "remove", provider.url)


def test_a_trust_policy_from_a_file(alpha, tmp_path):
    trust = policy({"Effect": "Allow", "Principal": {"AWS": BETA.arn}, "Action": "sts:AssumeRole"})
    alpha("role", "add", "from-file", "--trust", "-", "--description", "for beta", "--max-session", "7200", input=trust)
    shown = alpha.json("role", "show", "from-file")
    assert (shown["trust"], shown["description"], shown["max_session_seconds"]) == (json.loads(trust), "for beta", 7200)
    assert "--trust" in alpha.fails("role", "add", "nobody", code=2)


def test_who_may_not_is_told_what_to_do(server, alpha, iam):
    user = User(server, iam, "powerless")
    shell = Shell(server, **user.pair)
    for command in (["user", "list"], ["user", "add", "x"], ["user", "remove", "powerless"], ["policy", "list"], ["key", "add"], ["role", "list"]):
        error = shell.fails(*command)
        assert "is not authorized to perform: iam:" in error and "sign as somebody who may" in error, error
        assert user.pair["access_key"] in error and user.pair["secret_key"] not in error
    assert shell.json("sts", "whoami")["arn"] == user.arn, "that needs no permission"
    alpha("user", "remove", "powerless", "--force")
    assert "no key that counts here" in shell.fails("sts", "whoami")


def test_wrong_credentials_are_told_in_one_line(server, iam):
    wrong = Shell(server, access_key=ALPHA.pair["access_key"], secret_key="not the secret")
    assert "look at the secret that belongs to ALPHAKEY of LARDER_ACCESS_KEY" in wrong.fails("user", "list")
    assert "no credentials" in Shell(server, env={"LARDER_ENDPOINT": server.endpoint}).fails("user", "list")
    half = {"LARDER_ENDPOINT": server.endpoint, "LARDER_ACCESS_KEY": "x", "AWS_ACCESS_KEY_ID": "y", "AWS_SECRET_ACCESS_KEY": "z"}
    assert "LARDER_SECRET_KEY is not" in Shell(server, env=half).fails("user", "list")
    elsewhere = Shell(server, **ALPHA.pair)
    assert "--region" in elsewhere.fails("user", "list", "--region", "eu-north-9")
    user = User(server, iam, "ended")
    broken = query("sts", server, **user.pair).get_session_token()["Credentials"]
    stale = Shell(server, access_key=broken["AccessKeyId"], secret_key=broken["SecretAccessKey"], token=broken["SessionToken"][:-4] + "AAAA")
    assert "InvalidClientTokenId" in stale.fails("sts", "whoami")


def test_wrong_endpoints_are_told_in_one_line(server):
    for endpoint, word in [
        (f"http://127.0.0.1:{free_port()}", "look whether the server runs there"),
        (f"https://{server.address}", "try http:// instead"),
        (server.address, "no http:// or https:// address"),
        ("http://no-such-host.invalid:9000", "look at the name"),
    ]:
        for command in (["user", "list"], ["status"], ["bucket", "versioning", "b"]):
            assert word in Shell(server).fails(*command, "--endpoint", endpoint), endpoint


def test_a_secret_may_be_in_a_file(server, tmp_path):
    file = tmp_path / "secret"
    file.write_text(ALPHA.pair["secret_key"] + "\n")
    env = environment(server, access_key=ALPHA.pair["access_key"], secret_key="") | {"LARDER_SECRET_KEY_FILE": str(file)}
    del env["LARDER_SECRET_KEY"]
    assert Shell(server, env=env).json("sts", "whoami")["account"] == ALPHA.id


@contextmanager
def answering(status, body):
    """An endpoint that gives everybody this answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    http.shutdown()
    http.server_close()


def test_an_ended_session_says_how_to_get_another(server):
    """As the server answers it, which no test waits a quarter of an hour for (`test_sts.py` has its end)."""
    error = b"<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>The security token included in the request is expired</Message></Error></ErrorResponse>"
    with answering(403, error) as endpoint:
        said = Shell(server, **ALPHA.pair).fails("sts", "whoami", "--endpoint", endpoint)
        assert "larder sts assume-role" in said and "larder sts session" in said


@pytest.mark.parametrize("status, body", [(200, b"<html><body>hello</body></html>"), (404, b"not found"), (200, b""), (200, b"<a>" * 100_000), (500, b"<a/>")])
def test_whatever_another_server_answers_is_told_in_one_line(server, status, body):
    shell = Shell(server, **ALPHA.pair)
    with answering(status, body) as endpoint:
        for command in (["user", "list"], ["sts", "whoami"]):
            assert "look at --endpoint" in shell.fails(*command, "--endpoint", endpoint)
        assert "look at --endpoint" in shell.fails("status", "--endpoint", endpoint)
