"""CopyObject: directives, conditions, and copies onto itself."""

import datetime
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from larderlib.checksums import checksum, etag
from larderlib.clients import boto, random_bytes, unique_bucket
from larderlib.expect import answered, refused

OTHER = '"00000000000000000000000000000000"'


@pytest.fixture
def source(s3, bucket):
    s3.put_object(
        Bucket=bucket,
        Key="source",
        Body=b"source bytes",
        Metadata={"origin": "source"},
        ContentType="text/source",
        CacheControl="no-store",
        Tagging="tag=source",
    )
    return bucket


def copy(s3, bucket, key="target", source="source", **options):
    return s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": source}, **options)


def tags(s3, bucket, key):
    return {t["Key"]: t["Value"] for t in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}


def test_copy_takes_bytes_metadata_and_tags(s3, source):
    answer = copy(s3, source)
    assert answer["CopyObjectResult"]["ETag"] == etag(b"source bytes")
    assert answer["CopyObjectResult"]["LastModified"]
    got = s3.get_object(Bucket=source, Key="target")
    assert got["Body"].read() == b"source bytes"
    assert got["Metadata"] == {"origin": "source"}
    assert got["ContentType"] == "text/source" and got["CacheControl"] == "no-store"
    assert tags(s3, source, "target") == {"tag": "source"}


def test_a_copy_lives_on_when_its_source_is_overwritten_and_deleted(s3, bucket):
    data = random_bytes(3_000_000, 7)
    s3.put_object(Bucket=bucket, Key="source", Body=data)
    copy(s3, bucket)
    s3.put_object(Bucket=bucket, Key="source", Body=b"other")
    s3.delete_object(Bucket=bucket, Key="source")
    assert s3.get_object(Bucket=bucket, Key="target")["Body"].read() == data


def test_copy_to_another_bucket(s3, source):
    other = unique_bucket()
    s3.create_bucket(Bucket=other)
    s3.copy_object(Bucket=other, Key="k", CopySource={"Bucket": source, "Key": "source"})
    assert s3.get_object(Bucket=other, Key="k")["Body"].read() == b"source bytes"


def test_replace_directive_takes_the_metadata_of_the_request(s3, source):
    copy(s3, source, MetadataDirective="REPLACE", Metadata={"fresh": "yes"}, ContentType="text/new")
    head = s3.head_object(Bucket=source, Key="target")
    assert head["Metadata"] == {"fresh": "yes"} and head["ContentType"] == "text/new"
    assert "CacheControl" not in head, "REPLACE takes nothing from the source"


def test_copy_directive_ignores_the_metadata_of_the_request(s3, source):
    copy(s3, source, MetadataDirective="COPY", Metadata={"fresh": "yes"})
    assert s3.head_object(Bucket=source, Key="target")["Metadata"] == {"origin": "source"}


def test_tagging_directive(s3, source):
    copy(s3, source, key="kept", TaggingDirective="COPY")
    assert tags(s3, source, "kept") == {"tag": "source"}
    copy(s3, source, key="new", TaggingDirective="REPLACE", Tagging="a=1&b=2")
    assert tags(s3, source, "new") == {"a": "1", "b": "2"}
    copy(s3, source, key="none", TaggingDirective="REPLACE")
    assert tags(s3, source, "none") == {}


def test_an_unknown_directive_is_refused(raw, source):
    headers = {"x-amz-copy-source": f"/{source}/source", "x-amz-metadata-directive": "MOVE"}
    answered(raw.request("PUT", f"/{source}/target", headers=headers), "InvalidArgument")


def test_copy_onto_itself_without_a_change_is_refused(s3, source):
    with refused("InvalidRequest"):
        copy(s3, source, key="source")


def test_copy_onto_itself_with_a_storage_class_writes_it_anew(s3, source):
    """The class may be the one that it has: that is how clients ask for a checksum of what is there already."""
    copy(s3, source, "source", StorageClass="STANDARD", ChecksumAlgorithm="SHA256")
    head = s3.head_object(Bucket=source, Key="source", ChecksumMode="ENABLED")
    assert head["Metadata"] == {"origin": "source"} and head["ContentType"] == "text/source"
    assert head["ChecksumSHA256"] == checksum("SHA256", b"source bytes")
    copy(s3, source, "source", StorageClass="STANDARD")
    assert s3.get_object(Bucket=source, Key="source")["Body"].read() == b"source bytes"
    assert tags(s3, source, "source") == {"tag": "source"}


def test_copy_onto_itself_with_new_metadata(s3, source):
    copy(s3, source, key="source", MetadataDirective="REPLACE", Metadata={"changed": "1"})
    got = s3.get_object(Bucket=source, Key="source")
    assert got["Body"].read() == b"source bytes" and got["Metadata"] == {"changed": "1"}


@pytest.mark.parametrize("options", [{}, {"ChecksumAlgorithm": "SHA256"}], ids=["as it is", "written anew"])
def test_a_copy_onto_itself_is_of_what_its_condition_named(server, s3, bucket, options):
    """New metadata for one version of the bytes never ends up with another, and no overwrite is undone."""
    steps = 60

    def put(client, number):
        client.put_object(Bucket=bucket, Key="k", Body=str(number).encode(), Metadata={"of": str(number)}, Tagging=f"of={number}")

    def describe(client):
        head = client.head_object(Bucket=bucket, Key="k")
        replace = {"MetadataDirective": "REPLACE", "Metadata": {**head["Metadata"], "copied": "yes"}}
        try:
            copy(client, bucket, "k", "k", CopySourceIfMatch=head["ETag"], **replace, **options)
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("PreconditionFailed", "ServiceUnavailable"), error

    def check():
        got = s3.get_object(Bucket=bucket, Key="k")
        assert got["Body"].read().decode() == got["Metadata"]["of"]
        return got

    def copy_on(client):
        while not done.is_set():
            describe(client)

    put(s3, 0)
    done = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        copying = [pool.submit(copy_on, boto(server)) for _ in range(3)]
        try:
            for number in range(1, steps):
                put(s3, number)
                assert check()["Metadata"]["of"] == str(number), "an overwrite was undone"
        finally:
            done.set()
        for one in copying:
            one.result()
    assert check()["Metadata"]["of"] == str(steps - 1)
    assert tags(s3, bucket, "k") == {"of": str(steps - 1)}


def test_copies_of_a_source_that_keeps_changing(server, s3, bucket):
    """Each copy is of one version; that the next one came meanwhile is no error."""
    bodies = [random_bytes(20_000 + number, number) for number in range(8)]
    s3.put_object(Bucket=bucket, Key="source", Body=bodies[0])
    done = threading.Event()

    def overwrite(client):
        for body in itertools.cycle(bodies):
            client.put_object(Bucket=bucket, Key="source", Body=body)
            if done.is_set():
                return

    with ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(overwrite, boto(server)) for _ in range(2)]
        try:
            for _ in range(40):
                copy(s3, bucket)
                assert s3.get_object(Bucket=bucket, Key="target")["Body"].read() in bodies
        finally:
            done.set()
        for one in writing:
            one.result()


def test_copy_of_what_is_not_there(s3, source):
    with refused("NoSuchKey"):
        copy(s3, source, source="none")
    with refused("NoSuchBucket"):
        s3.copy_object(Bucket=source, Key="k", CopySource={"Bucket": unique_bucket(), "Key": "k"})
    with refused("NoSuchBucket"):
        s3.copy_object(Bucket=unique_bucket(), Key="k", CopySource={"Bucket": source, "Key": "source"})


@pytest.mark.parametrize("form", ["{bucket}/{key}", "/{bucket}/{key}"])
@pytest.mark.parametrize("key, escaped", [("a b+c%d", "a%20b%2Bc%25d"), ("ü/日", "%C3%BC%2F%E6%97%A5"), ("x//y", "x//y"), ("q?r", "q%3Fr")])
def test_the_copy_source_is_url_decoded(raw, s3, bucket, form, key, escaped):
    s3.put_object(Bucket=bucket, Key=key, Body=b"odd")
    headers = {"x-amz-copy-source": form.format(bucket=bucket, key=escaped)}
    answer = raw.request("PUT", f"/{bucket}/target", headers=headers)
    assert answer.status == 200, answer
    assert s3.get_object(Bucket=bucket, Key="target")["Body"].read() == b"odd"


def test_a_copy_source_in_plain_utf_8_means_itself(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="d/é ü", Body=b"plain")
    source = f"/{bucket}/d/é ü"
    assert raw.request("PUT", f"/{bucket}/t", headers={"x-amz-copy-source": source}).status == 200
    assert raw.request("GET", f"/{bucket}/t").body == b"plain"


@pytest.mark.parametrize("value", ["", "/", "nokey", "bucket-only/"])
def test_an_unreadable_copy_source_is_refused(raw, bucket, value):
    answer = raw.request("PUT", f"/{bucket}/k", headers={"x-amz-copy-source": value or " "})
    assert answer.status in (400, 404), answer


def test_copy_source_with_version_id_null(raw, source):
    headers = {"x-amz-copy-source": f"/{source}/source?versionId=null"}
    assert raw.request("PUT", f"/{source}/target", headers=headers).status == 200


def test_copy_conditions(s3, source):
    modified = s3.head_object(Bucket=source, Key="source")["LastModified"]
    day = datetime.timedelta(days=1)
    tag = etag(b"source bytes")
    for condition in (
        {"CopySourceIfMatch": tag},
        {"CopySourceIfNoneMatch": OTHER},
        {"CopySourceIfModifiedSince": modified - day},
        {"CopySourceIfUnmodifiedSince": modified + day},
        {"CopySourceIfMatch": tag, "CopySourceIfUnmodifiedSince": modified - day},
    ):
        copy(s3, source, **condition)
    for condition in (
        {"CopySourceIfMatch": OTHER},
        {"CopySourceIfNoneMatch": tag},
        {"CopySourceIfModifiedSince": modified},
        {"CopySourceIfUnmodifiedSince": modified - day},
        {"CopySourceIfNoneMatch": tag, "CopySourceIfModifiedSince": modified - day},
    ):
        with refused("PreconditionFailed"):
            copy(s3, source, key="not-made", **condition)
    with refused("NoSuchKey"):
        s3.get_object(Bucket=source, Key="not-made")


CONDITIONS = {
    "x-amz-copy-source-If-Match": '"0123456789abcdef0123456789abcdef"',
    "x-amz-copy-source-If-None-Match": "*",
    "x-amz-copy-source-If-Modified-Since": "Wed, 21 Oct 2099 07:28:00 GMT",
    "x-amz-copy-source-If-Unmodified-Since": "Wed, 21 Oct 2015 07:28:00 GMT",
}


@pytest.mark.parametrize("name, value", CONDITIONS.items())
def test_the_refusal_names_the_condition_of_the_copy(raw, source, name, value):
    headers = {"x-amz-copy-source": f"{source}/source", name: value}
    answer = raw.request("PUT", f"/{source}/target", headers=headers)
    answered(answer, "PreconditionFailed")
    assert answer.text("Condition") == name


def test_copy_with_a_condition_on_the_target(s3, source):
    copy(s3, source, IfNoneMatch="*")
    with refused("PreconditionFailed"):
        copy(s3, source, IfNoneMatch="*")


def test_copy_computes_the_checksum_asked_for(s3, source):
    from larderlib.checksums import checksum

    answer = copy(s3, source, ChecksumAlgorithm="SHA256")
    assert answer["CopyObjectResult"]["ChecksumSHA256"] == checksum("SHA256", b"source bytes")
    head = s3.head_object(Bucket=source, Key="target", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == checksum("SHA256", b"source bytes")


def test_copy_keeps_the_checksum_of_the_source(s3, bucket):
    from larderlib.checksums import checksum

    s3.put_object(Bucket=bucket, Key="source", Body=b"sum", ChecksumAlgorithm="CRC32C")
    copy(s3, bucket)
    head = s3.head_object(Bucket=bucket, Key="target", ChecksumMode="ENABLED")
    assert head["ChecksumCRC32C"] == checksum("CRC32C", b"sum")
