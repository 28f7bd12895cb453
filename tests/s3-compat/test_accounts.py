"""Accounts: tenants of one server, each with its own credentials and buckets, from a file and through `larder account`."""

import json
import os
import subprocess

import pytest
from larderlib.clients import boto, unique_bucket
from larderlib.expect import refused, status
from larderlib.server import Larder, larder_binary, poll

CANONICAL = "ab" * 32
ALPHA = {"access_key": "ALPHAKEY", "secret_key": "secret/of+alpha"}
BETA = {"access_key": "BETAKEY", "secret_key": "secret/of+beta"}


def table(id, name, access_key, secret_key, **more):
    fields = {"id": id, "name": name, "email": f"{name}@example.com", "access_key": access_key, "secret_key": secret_key, **more}
    return "[[account]]\n" + "".join(f'{key} = "{value}"\n' for key, value in fields.items())


TWO = table("111111111111", "alpha", **ALPHA, canonical_id=CANONICAL) + table("222222222222", "beta", **BETA)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("accounts")
    (directory / "accounts.toml").write_text(TWO)
    with Larder(directory=directory, extra_args=["--accounts", str(directory / "accounts.toml")]) as server:
        yield server
        assert "secret/of" not in server.log_path.read_text()


@pytest.fixture
def rewrite(server):
    """Puts another file of accounts in place, as an editor or Kubernetes does; the first one comes back afterwards."""
    path = server.directory / "accounts.toml"

    def rewrite(text):
        aside = path.with_suffix(".new")
        aside.write_text(text)
        os.replace(aside, path)

    yield rewrite
    rewrite(TWO)
    poll(lambda: works(server, **ALPHA) and works(server, **BETA), 20, "the first accounts again")


@pytest.fixture
def alpha(server):
    return boto(server, **ALPHA)


@pytest.fixture
def beta(server):
    return boto(server, **BETA)


def works(server, **pair):
    try:
        boto(server, **pair).list_buckets()
    except boto(server).exceptions.ClientError as error:
        assert error.response["Error"]["Code"] in ("InvalidAccessKeyId", "SignatureDoesNotMatch")
        return False
    return True


def names(client):
    return [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]


def test_each_account_lists_its_own_buckets_and_itself_as_owner(server, alpha, beta):
    of_alpha, of_beta, of_root = unique_bucket(), unique_bucket(), unique_bucket()
    root = boto(server)
    for client, name in ((alpha, of_alpha), (beta, of_beta), (root, of_root)):
        client.create_bucket(Bucket=name)
    for client, name, others in ((alpha, of_alpha, (of_beta, of_root)), (beta, of_beta, (of_alpha, of_root)), (root, of_root, (of_alpha, of_beta))):
        assert name in names(client) and not set(others) & set(names(client))
    owner = alpha.list_buckets()["Owner"]
    assert owner["ID"] == CANONICAL and owner.get("DisplayName", "alpha") == "alpha"
    assert len({client.list_buckets()["Owner"]["ID"] for client in (alpha, beta, root)}) == 3
    alpha.put_object(Bucket=of_alpha, Key="k", Body=b"x")
    assert alpha.list_objects(Bucket=of_alpha)["Contents"][0]["Owner"]["ID"] == CANONICAL
    assert alpha.list_objects_v2(Bucket=of_alpha, FetchOwner=True)["Contents"][0]["Owner"]["ID"] == CANONICAL


def test_pages_of_buckets_hold_an_accounts_own(alpha, beta):
    prefix = unique_bucket("mixed")
    for number in range(6):
        (alpha if number % 2 else beta).create_bucket(Bucket=f"{prefix}-{number}")
    first = alpha.list_buckets(Prefix=prefix, MaxBuckets=2)
    assert [b["Name"] for b in first["Buckets"]] == [f"{prefix}-1", f"{prefix}-3"]
    second = alpha.list_buckets(Prefix=prefix, MaxBuckets=2, ContinuationToken=first["ContinuationToken"])
    assert [b["Name"] for b in second["Buckets"]] == [f"{prefix}-5"]
    assert "ContinuationToken" not in second


def test_nobody_reaches_the_bucket_of_another_account(server, alpha, beta):
    name = unique_bucket()
    alpha.create_bucket(Bucket=name)
    alpha.put_object(Bucket=name, Key="k", Body=b"secret")
    upload = alpha.create_multipart_upload(Bucket=name, Key="u")["UploadId"]
    own = unique_bucket()
    beta.create_bucket(Bucket=own)
    where, what = {"Bucket": name}, {"Bucket": name, "Key": "k"}
    part = {"Bucket": name, "Key": "u", "UploadId": upload}
    source = {"Bucket": name, "Key": "k"}
    attempts = [
        lambda c: c.list_objects(**where),
        lambda c: c.list_objects_v2(**where),
        lambda c: c.list_object_versions(**where),
        lambda c: c.list_multipart_uploads(**where),
        lambda c: c.get_bucket_location(**where),
        lambda c: c.get_bucket_versioning(**where),
        lambda c: c.put_bucket_versioning(**where, VersioningConfiguration={"Status": "Enabled"}),
        lambda c: c.get_bucket_acl(**where),
        lambda c: c.delete_bucket(**where),
        lambda c: c.get_object(**what),
        lambda c: c.get_object_tagging(**what),
        lambda c: c.get_object_attributes(**what, ObjectAttributes=["ETag"]),
        lambda c: c.put_object(**what, Body=b"other"),
        lambda c: c.put_object_tagging(**what, Tagging={"TagSet": []}),
        lambda c: c.delete_object(**what),
        lambda c: c.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k"}]}),
        lambda c: c.create_multipart_upload(**what),
        lambda c: c.upload_part(**part, PartNumber=1, Body=b"x"),
        lambda c: c.upload_part_copy(**part, PartNumber=1, CopySource=source),
        lambda c: c.list_parts(**part),
        lambda c: c.complete_multipart_upload(**part, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": '"x"'}]}),
        lambda c: c.abort_multipart_upload(**part),
        lambda c: c.copy_object(Bucket=own, Key="stolen", CopySource=source),
        lambda c: c.copy_object(**what, CopySource={"Bucket": own, "Key": "k"}),
    ]
    for client in (beta, boto(server)):
        for attempt in attempts if client is beta else attempts[:-2]:
            with refused("AccessDenied"):
                attempt(client)
        for head in (lambda c: c.head_object(**what), lambda c: c.head_bucket(**where)):
            with status(403):
                head(client)
    assert alpha.get_object(**what)["Body"].read() == b"secret"
    alpha.abort_multipart_upload(**part)
    with refused("NoSuchBucket"):
        beta.list_objects(Bucket=unique_bucket())


def test_bucket_names_are_global(alpha, beta):
    name = unique_bucket()
    alpha.create_bucket(Bucket=name)
    with refused("BucketAlreadyExists"):
        beta.create_bucket(Bucket=name)
    alpha.create_bucket(Bucket=name)
    alpha.delete_bucket(Bucket=name)
    beta.create_bucket(Bucket=name)
    assert name in names(beta) and name not in names(alpha)


def test_the_owner_that_a_client_expects(alpha, beta):
    name, other = unique_bucket(), unique_bucket()
    alpha.create_bucket(Bucket=name)
    alpha.create_bucket(Bucket=other)
    alpha.put_object(Bucket=name, Key="k", Body=b"x", ExpectedBucketOwner="111111111111")
    for attempt in (
        lambda: alpha.put_object(Bucket=name, Key="k", Body=b"y", ExpectedBucketOwner="222222222222"),
        lambda: alpha.list_objects_v2(Bucket=name, ExpectedBucketOwner="000000000000"),
        lambda: alpha.copy_object(Bucket=other, Key="k", CopySource=f"{name}/k", ExpectedSourceBucketOwner="222222222222"),
    ):
        with refused("AccessDenied"):
            attempt()
    alpha.copy_object(Bucket=other, Key="k", CopySource=f"{name}/k", ExpectedSourceBucketOwner="111111111111", ExpectedBucketOwner="111111111111")
    with refused("InvalidBucketOwnerAWSAccountID"):
        alpha.list_objects_v2(Bucket=name, ExpectedBucketOwner="alpha")


def test_the_file_is_read_again_when_it_changes(server, alpha, rewrite):
    name = unique_bucket()
    alpha.create_bucket(Bucket=name)
    new = {"access_key": "GAMMAKEY", "secret_key": "secret/of+gamma"}
    changed = {"access_key": "ALPHAKEY", "secret_key": "secret/of+alpha+2"}
    rewrite(table("111111111111", "alpha", **changed) + table("333333333333", "gamma", **new))
    poll(lambda: works(server, **new), 20, "the new account")
    assert works(server, **changed) and name in names(boto(server, **changed))
    assert not works(server, **ALPHA) and not works(server, **BETA)

    rewrite("[[account]]\nid = 'what is this'")
    poll(lambda: "the accounts stay as they were" in server.log_path.read_text(), 20, "a warning")
    assert works(server, **new), "what was read before stays"


def account(server, *arguments):
    return json.loads(server.run("account", *arguments, "--json"))


def test_accounts_that_the_server_keeps(server):
    made = account(server, "add", "reports", "--email", "reports@example.com")
    pair = {"access_key": made["account"]["access_key"], "secret_key": made["secret_key"]}
    id, name = made["account"]["id"], unique_bucket()
    assert len(id) == 12 and id.isdigit()
    client = boto(server, **pair)
    client.create_bucket(Bucket=name)
    assert names(client) == [name]

    listed = {entry["id"]: entry for entry in account(server, "list")["accounts"]}
    assert listed[id]["origin"] == "store" and listed["111111111111"]["origin"] == "file" and listed["000000000000"]["origin"] == "root"
    assert made["secret_key"] not in server.run("account", "list", "--json") + server.run("account", "list")
    assert client.list_buckets()["Owner"]["ID"] == listed[id]["canonical_id"]

    turned = account(server, "rotate-key", id)
    new = {"access_key": turned["account"]["access_key"], "secret_key": turned["secret_key"]}
    assert works(server, **new) and not works(server, **pair)
    server.kill()
    server.start()
    assert names(boto(server, **new)) == [name], "it is on the disks"

    assert "owns buckets" in failure(server, "remove", id)
    boto(server, **new).delete_bucket(Bucket=name)
    assert account(server, "remove", id)["id"] == id
    assert not works(server, **new)
    assert f"there is no account {id}" in failure(server, "remove", id)


def failure(server, *arguments):
    """What `larder account` says on stderr, in one line, when it fails."""
    command = [larder_binary(), "account", *arguments, "--endpoint", server.endpoint]
    done = subprocess.run(command, env={**os.environ, **server.environment}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    return done.stderr


def test_accounts_that_cannot_be(server):
    assert "from the file of --accounts" in failure(server, "remove", "111111111111")
    assert "the server's own" in failure(server, "rotate-key", "000000000000")
    assert "another account has this id" in failure(server, "add", "twin", "--id", "111111111111")
    assert "twelve digits" in failure(server, "add", "short", "--id", "1234")
    assert "1 to 128 characters" in failure(server, "add", "")


def test_only_the_operator_administers(server):
    tenant = {"LARDER_ROOT_ACCESS_KEY": ALPHA["access_key"], "LARDER_ROOT_SECRET_KEY": ALPHA["secret_key"]}
    for words in (["status"], ["account", "list"], ["account", "add", "mine"]):
        command = [larder_binary(), *words, "--endpoint", server.endpoint]
        done = subprocess.run(command, env={**os.environ, **tenant}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "root credentials" in done.stderr, done.stderr


def test_a_wrong_file_is_told_before_anything_starts(tmp_path):
    file = tmp_path / "accounts.toml"
    file.write_text(TWO.replace("222222222222", "22"))
    server = Larder(directory=tmp_path / "server", extra_args=["--accounts", str(file)])
    with pytest.raises(RuntimeError, match="account `22`: the id must have twelve digits"):
        server.start()
    server.extra_args[1] = str(tmp_path / "missing.toml")
    with pytest.raises(RuntimeError, match="accounts file .*missing.toml"):
        server.start()


def test_secrets_of_kept_accounts_lie_on_no_disk_in_the_clear(tmp_path):
    with Larder(directory=tmp_path) as server:
        made = account(server, "add", "sealed")
        turned = account(server, "rotate-key", made["account"]["id"])
        new = {"access_key": turned["account"]["access_key"], "secret_key": turned["secret_key"]}
        server.kill()
        server.start()
        assert works(server, **new)
        server.stop()
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        for secret in (made["secret_key"], turned["secret_key"]):
            assert not [path for path in files if secret.encode() in path.read_bytes()]
        assert [path for path in files if new["access_key"].encode() in path.read_bytes()], "the search would find it"
        server.start()
