"""`larder bucket` through S3, on a server with TLS as well; and what a shell completes."""

import subprocess

import pytest
from larderlib.cli import Shell, environment
from larderlib.clients import boto, unique_bucket
from larderlib.expect import refused
from larderlib.need import tool
from larderlib.server import Larder, larder_binary
from larderlib.tls import Authority


@pytest.fixture
def root(server):
    return Shell(server)


def test_buckets_are_made_and_removed(root, s3):
    name = unique_bucket("made")
    assert f"--bucket {name}" in root("bucket", "add", name)
    s3.put_object(Bucket=name, Key="k", Body=b"1")
    error = root.fails("bucket", "remove", name)
    assert "BucketNotEmpty" in error and f"aws s3 rm --recursive s3://{name}/" in error
    s3.delete_object(Bucket=name, Key="k")
    assert root.json("bucket", "remove", name) == {"removed": name}
    with refused("NoSuchBucket"):
        s3.list_objects_v2(Bucket=name)
    assert f"larder bucket add {name}" in root.fails("bucket", "remove", name)
    assert "small letters" in root.fails("bucket", "add", "Not_A_Bucket")


def test_versioning_is_shown_and_set(root, s3, bucket):
    assert "off" in root("bucket", "versioning", bucket)
    assert root.json("bucket", "versioning", bucket, "enable") == {"bucket": bucket, "versioning": "enabled"}
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert "versions of before stay" in root("bucket", "versioning", bucket, "suspend")
    made = unique_bucket("versions")
    root("bucket", "add", made, "--versioning")
    assert s3.get_bucket_versioning(Bucket=made)["Status"] == "Enabled"
    assert "maybe" in root.fails("bucket", "versioning", bucket, "maybe", code=2)


def test_locks_are_shown_and_set(root, s3, bucket):
    assert f"larder bucket versioning {bucket} enable" in root("bucket", "lock", bucket)
    assert root.json("bucket", "lock", bucket) == {"bucket": bucket, "object_lock": False, "default_retention": None}
    assert "larder bucket versioning" in root.fails("bucket", "lock", bucket, "--retain", "30d")
    locked = unique_bucket("locked")
    root("bucket", "add", locked, "--retain", "1d", "--compliance")
    shown = root.json("bucket", "lock", locked)
    assert shown["default_retention"] == {"mode": "COMPLIANCE", "days": 1, "years": None}
    version = s3.put_object(Bucket=locked, Key="k", Body=b"1")["VersionId"]
    with refused("AccessDenied"):
        s3.delete_object(Bucket=locked, Key="k", VersionId=version)
    assert "7 years, governance" in root("bucket", "lock", locked, "--retain", "7y")
    rule = s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert rule == {"Mode": "GOVERNANCE", "Years": 7}
    assert "for no time" in root("bucket", "lock", locked, "--none")
    assert "Rule" not in s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]
    for wrong in (["--retain", "30"], ["--retain", "0d"], ["--compliance"], ["--none", "--retain", "1d"]):
        root.fails("bucket", "lock", locked, *wrong, code=2)


def test_encryption_is_shown_and_set(root, s3, bucket):
    assert f"larder bucket encryption {bucket} aes256" in root("bucket", "encryption", bucket)
    assert root.json("bucket", "encryption", bucket, "aes256") == {"bucket": bucket, "algorithm": "AES256", "kms_key": None}
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ServerSideEncryption"] == "AES256"
    assert root.json("bucket", "encryption", bucket, "kms")["algorithm"] == "aws:kms"
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ServerSideEncryption"] == "aws:kms"
    assert root.json("bucket", "encryption", bucket, "kms", "--kms-key", "alias/aws/s3")["kms_key"] == "alias/aws/s3"
    assert "--kms-key" in root.fails("bucket", "encryption", bucket, "aes256", "--kms-key", "k", code=2)
    assert root.json("bucket", "encryption", bucket, "none")["algorithm"] is None
    assert "larder bucket list" in root.fails("bucket", "encryption", unique_bucket("none"))


def test_who_is_told_is_shown(root, bucket):
    assert f"larder bucket notify {bucket} --target" in root("bucket", "notify", bucket)
    assert root.json("bucket", "notify", bucket) == {"bucket": bucket, "notifications": []}
    error = root.fails("bucket", "notify", bucket, "--target", "no-such-target", "--event", "s3:ObjectCreated:*")
    assert "NotImplemented" in error or "--notify-targets" in error
    assert "nothing is called x" in root.fails("bucket", "notify", bucket, "--remove", "x")
    root.fails("bucket", "notify", bucket, "--target", "hook", code=2)


def test_all_of_it_works_over_tls_and_in_another_region(tmp_path):
    authority = Authority(tmp_path / "ca")
    server = Larder(directory=tmp_path / "server", tls=authority.issue(), authority=authority)
    server.region = "eu-central-1"
    with server:
        root = Shell(server, env=environment(server, LARDER_REGION=server.region))
        root("bucket", "add", "over-tls", "--lock")
        assert "over-tls" in root("bucket", "list")
        made = root("user", "add", "u", "--bucket", "over-tls", "--policy", "read-only", "--key")
        assert f"export AWS_CA_BUNDLE={authority.certificate}" in made and "export AWS_REGION=eu-central-1" in made
        other = str(Authority(tmp_path / "other").certificate)
        for command in (["status"], ["user", "list"], ["bucket", "lock", "over-tls"]):
            assert "--ca-file" in root.fails(*command, "--ca-file", other)
        plain = server.endpoint.replace("https:", "http:")
        assert "http:// or https://" in root.fails("user", "list", "--endpoint", plain)


def completed(tmp_path, words):
    """What bash offers after these words."""
    script = subprocess.run([larder_binary(), "completion", "bash"], capture_output=True, text=True, timeout=30)
    assert script.returncode == 0
    (tmp_path / "larder.bash").write_text(script.stdout)
    ask = f"""
        source {tmp_path}/larder.bash
        COMP_WORDS=({' '.join(words)}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        COMP_LINE="${{COMP_WORDS[*]}}"; COMP_POINT=${{#COMP_LINE}}
        complete -p larder | grep -q _larder
        _larder larder "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run([tool("bash"), "-euc", ask], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


def test_bash_completes_commands_flags_and_values(tmp_path):
    assert {"user", "key", "policy", "bucket", "sts", "account"} <= set(completed(tmp_path, ["larder", '""']))
    assert completed(tmp_path, ["larder", "us"]) == ["user"]
    assert "assume-role" in completed(tmp_path, ["larder", "sts", "as"])
    assert "--append-only" not in completed(tmp_path, ["larder", "user", "add", "--"])
    assert {"--bucket", "--prefix", "--policy", "--key"} <= set(completed(tmp_path, ["larder", "user", "add", "--"]))
    assert completed(tmp_path, ["larder", "completion", "z"]) == ["zsh"]


@pytest.mark.parametrize("shell, word", [("zsh", "#compdef larder"), ("fish", "complete -c larder")])
def test_other_shells_get_a_script(shell, word):
    script = subprocess.run([larder_binary(), "completion", shell], capture_output=True, text=True, timeout=30)
    assert script.returncode == 0 and word in script.stdout and "append" not in script.stderr


def test_help_teaches_with_examples():
    def help_of(*command):
        return subprocess.run([larder_binary(), *command, "--help"], capture_output=True, text=True, timeout=30).stdout

    assert "--policy append-only --key" in help_of("user", "add")
    assert "larder key rotate backup" in help_of("key", "rotate")
    assert "--service-account db/backup" in help_of("role", "add")
    assert "--retain 7y --compliance" in help_of("bucket", "lock")
    for command, word in [("user", "may do what its policies"), ("key", "nobody can read it again"), ("policy", "AWS's policy language"), ("bucket", "the operator's")]:
        assert word in help_of(command)
