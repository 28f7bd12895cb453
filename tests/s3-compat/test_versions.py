"""Buckets with versions: enabled, suspended, read, listed, copied, tagged and deleted by version."""

import pytest
from larderlib.clients import boto
from larderlib.expect import refused
from larderlib.server import Larder


def set_versioning(s3, bucket, status):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


@pytest.fixture
def versioned(s3, bucket):
    set_versioning(s3, bucket, "Enabled")
    return bucket


def put(s3, bucket, key, body, **options):
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **options)["VersionId"]


def body(s3, bucket, key, version=None):
    options = {"VersionId": version} if version else {}
    return s3.get_object(Bucket=bucket, Key=key, **options)["Body"].read()


def versions(s3, bucket, **options):
    """All versions and delete markers of a bucket as (key, version, is latest, is a delete marker), page by page in the order of AWS."""
    found, marker = [], {}
    while True:
        page = s3.list_object_versions(Bucket=bucket, **options, **marker)
        entries = [(v, False) for v in page.get("Versions", [])] + [(m, True) for m in page.get("DeleteMarkers", [])]
        found += [(entry["Key"], entry["VersionId"], entry["IsLatest"], is_marker) for entry, is_marker in entries]
        if not page["IsTruncated"]:
            return found
        marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}


def test_a_new_bucket_says_nothing_of_versions(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    answer = s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert "VersionId" not in answer
    assert "VersionId" not in s3.get_object(Bucket=bucket, Key="k")
    assert "VersionId" not in s3.delete_object(Bucket=bucket, Key="k")


def test_versioning_is_enabled_and_suspended(s3, bucket):
    for status in ("Enabled", "Suspended", "Suspended", "Enabled"):
        set_versioning(s3, bucket, status)
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status


@pytest.mark.parametrize(
    "document, code",
    [
        ("<VersioningConfiguration/>", "IllegalVersioningConfigurationException"),
        ("<VersioningConfiguration><Status>Off</Status></VersioningConfiguration>", "MalformedXML"),
        ("<VersioningConfiguration><Status>enabled</Status></VersioningConfiguration>", "MalformedXML"),
        ("<Versioning/>", "MalformedXML"),
        ("", "MalformedXML"),
        ("<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>", "NotImplemented"),
    ],
)
def test_what_is_no_state_of_versioning(raw, s3, bucket, document, code):
    answer = raw.request("PUT", f"/{bucket}", [("versioning", "")], body=document.encode())
    assert answer.code == code
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)


def test_versioning_of_a_bucket_that_is_not_there(s3):
    with refused("NoSuchBucket"):
        s3.get_bucket_versioning(Bucket="no-such-bucket")
    with refused("NoSuchBucket"):
        set_versioning(s3, "no-such-bucket", "Enabled")


def test_each_write_is_kept_and_read_by_its_version(s3, versioned):
    bodies = [b"one", b"", b"three" * 200_000]
    ids = [put(s3, versioned, "k", content) for content in bodies]
    assert len(set(ids)) == 3
    assert body(s3, versioned, "k") == bodies[-1]
    for version, content in zip(ids, bodies, strict=True):
        assert body(s3, versioned, "k", version) == content
        head = s3.head_object(Bucket=versioned, Key="k", VersionId=version)
        assert (head["VersionId"], head["ContentLength"]) == (version, len(content))
    part = s3.get_object(Bucket=versioned, Key="k", VersionId=ids[2], Range="bytes=5-9")
    assert part["Body"].read() == b"three"
    assert s3.get_object(Bucket=versioned, Key="k")["VersionId"] == ids[-1]


def test_an_object_from_before_is_the_null_version(s3, bucket):
    before = {"small": b"before", "large": b"b" * 2_000_000, "empty": b""}
    for key, content in before.items():
        s3.put_object(Bucket=bucket, Key=key, Body=content)
    set_versioning(s3, bucket, "Enabled")
    for key, content in before.items():
        assert s3.head_object(Bucket=bucket, Key=key)["VersionId"] == "null"
        newer = put(s3, bucket, key, b"after")
        assert body(s3, bucket, key) == b"after"
        assert body(s3, bucket, key, "null") == content
        s3.delete_object(Bucket=bucket, Key=key, VersionId=newer)
        assert body(s3, bucket, key) == content
        assert s3.head_object(Bucket=bucket, Key=key)["VersionId"] == "null"


def test_while_suspended_each_write_replaces_the_null_version(s3, versioned):
    kept = put(s3, versioned, "k", b"kept")
    set_versioning(s3, versioned, "Suspended")
    assert put(s3, versioned, "k", b"first") == "null"
    assert put(s3, versioned, "k", b"second") == "null"
    assert body(s3, versioned, "k", "null") == b"second" == body(s3, versioned, "k")
    assert body(s3, versioned, "k", kept) == b"kept"
    assert [v[1:3] for v in versions(s3, versioned)] == [("null", True), (kept, False)]
    set_versioning(s3, versioned, "Enabled")
    newest = put(s3, versioned, "k", b"newest")
    assert [v[1:3] for v in versions(s3, versioned)] == [(newest, True), ("null", False), (kept, False)]


def test_a_deletion_leaves_a_marker(s3, raw, versioned):
    kept = put(s3, versioned, "k", b"kept")
    answer = s3.delete_object(Bucket=versioned, Key="k")
    marker = answer["VersionId"]
    assert answer["DeleteMarker"] is True and marker != kept
    for method in ("GET", "HEAD"):
        gone = raw.request(method, f"/{versioned}/k")
        assert gone.status == 404
        assert gone.headers["x-amz-delete-marker"] == "true" and gone.headers["x-amz-version-id"] == marker
    with refused("NoSuchKey"):
        s3.get_object(Bucket=versioned, Key="k")
    assert "Contents" not in s3.list_objects_v2(Bucket=versioned)
    assert body(s3, versioned, "k", kept) == b"kept"
    # A second one, and one where nothing ever was, leave markers as well.
    assert s3.delete_object(Bucket=versioned, Key="k")["VersionId"] != marker
    assert s3.delete_object(Bucket=versioned, Key="never")["DeleteMarker"] is True
    assert [is_marker for *_, is_marker in versions(s3, versioned)].count(True) == 3


def test_a_delete_marker_is_no_object(s3, raw, versioned):
    put(s3, versioned, "k", b"kept")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    for method in ("GET", "HEAD"):
        answer = raw.request(method, f"/{versioned}/k", [("versionId", marker)])
        assert answer.status == 405
        assert answer.headers["x-amz-delete-marker"] == "true" and "last-modified" in answer.headers
    with refused("MethodNotAllowed"):
        s3.get_object_tagging(Bucket=versioned, Key="k", VersionId=marker)
    with refused("InvalidRequest"):
        s3.copy_object(Bucket=versioned, Key="copy", CopySource={"Bucket": versioned, "Key": "k", "VersionId": marker})
    with refused("NoSuchKey"):
        s3.copy_object(Bucket=versioned, Key="copy", CopySource={"Bucket": versioned, "Key": "k"})


def test_a_deleted_marker_brings_the_object_back(s3, versioned):
    kept = put(s3, versioned, "k", b"kept")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    answer = s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)
    assert (answer["VersionId"], answer["DeleteMarker"]) == (marker, True)
    assert s3.get_object(Bucket=versioned, Key="k")["VersionId"] == kept


def test_a_version_is_deleted_for_good(s3, versioned):
    ids = [put(s3, versioned, "k", content) for content in (b"1", b"2", b"3")]
    answer = s3.delete_object(Bucket=versioned, Key="k", VersionId=ids[1])
    assert answer["VersionId"] == ids[1] and "DeleteMarker" not in answer
    with refused("NoSuchVersion"):
        s3.get_object(Bucket=versioned, Key="k", VersionId=ids[1])
    assert body(s3, versioned, "k") == b"3"
    s3.delete_object(Bucket=versioned, Key="k", VersionId=ids[2])
    assert body(s3, versioned, "k") == b"1"
    s3.delete_object(Bucket=versioned, Key="k", VersionId=ids[0])
    with refused("NoSuchKey"):
        s3.get_object(Bucket=versioned, Key="k")
    assert versions(s3, versioned) == []
    # What is not there is deleted without an error.
    s3.delete_object(Bucket=versioned, Key="k", VersionId=ids[0])


def test_a_version_of_another_key_or_of_none(s3, versioned):
    other = put(s3, versioned, "other", b"x")
    put(s3, versioned, "k", b"x")
    with refused("NoSuchVersion"):
        s3.get_object(Bucket=versioned, Key="k", VersionId=other)
    with refused("NoSuchVersion"):
        s3.get_object(Bucket=versioned, Key="k", VersionId="null")
    with refused("InvalidArgument"):
        s3.get_object(Bucket=versioned, Key="k", VersionId="bogus")


def test_while_suspended_a_deletion_leaves_a_null_marker(s3, versioned):
    kept = put(s3, versioned, "k", b"kept")
    set_versioning(s3, versioned, "Suspended")
    put(s3, versioned, "k", b"goes")
    answer = s3.delete_object(Bucket=versioned, Key="k")
    assert (answer["VersionId"], answer["DeleteMarker"]) == ("null", True)
    assert [v[1:] for v in sorted(versions(s3, versioned), key=lambda v: v[3])] == [(kept, False, False), ("null", True, True)]


def test_many_deletions_at_once(s3, versioned):
    old = put(s3, versioned, "a", b"1")
    put(s3, versioned, "a", b"2")
    put(s3, versioned, "b", b"3")
    objects = [{"Key": "a", "VersionId": old}, {"Key": "b"}, {"Key": "c"}, {"Key": "a", "VersionId": "bogus"}]
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": objects})
    deleted = {(d["Key"], d.get("VersionId")): d for d in answer["Deleted"]}
    assert "DeleteMarker" not in deleted["a", old]
    assert deleted["b", None]["DeleteMarker"] is True and deleted["c", None]["DeleteMarker"] is True
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [("a", "InvalidArgument")]
    marker = deleted["b", None]["DeleteMarkerVersionId"]
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "b", "VersionId": marker}]})
    assert answer["Deleted"] == [{"Key": "b", "VersionId": marker, "DeleteMarker": True, "DeleteMarkerVersionId": marker}]
    assert body(s3, versioned, "b") == b"3"


def test_versions_are_listed_newest_first_and_page_by_page(s3, versioned):
    expected = {}
    for key in ("a", "b/1", "b/2", "c"):
        expected[key] = [put(s3, versioned, key, b"%d" % n) for n in range(5)][::-1]
    everything = [(key, version, n == 0, False) for key, ids in expected.items() for n, version in enumerate(ids)]
    for size in (1, 2, 3, 7, 1000):
        assert versions(s3, versioned, MaxKeys=size) == everything
    assert versions(s3, versioned, Prefix="b/", MaxKeys=4) == [v for v in everything if v[0].startswith("b/")]
    page = s3.list_object_versions(Bucket=versioned, Delimiter="/")
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["b/"]
    assert [v["Key"] for v in page["Versions"]] == ["a"] * 5 + ["c"] * 5
    after = s3.list_object_versions(Bucket=versioned, KeyMarker="a", VersionIdMarker=expected["a"][2])
    assert [v["VersionId"] for v in after["Versions"][:2]] == expected["a"][3:]
    assert s3.list_object_versions(Bucket=versioned, KeyMarker="a")["Versions"][0]["Key"] == "b/1"


def test_a_prefix_of_deleted_objects_only_is_not_listed(s3, versioned):
    put(s3, versioned, "gone/1", b"x")
    put(s3, versioned, "here/1", b"x")
    put(s3, versioned, "here/2", b"x")
    for key in ("gone/1", "here/1"):
        s3.delete_object(Bucket=versioned, Key=key)
    page = s3.list_objects_v2(Bucket=versioned, Delimiter="/", MaxKeys=1)
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["here/"]
    assert page["IsTruncated"] is False


def test_copies_are_of_the_version_that_is_named(s3, versioned):
    old = put(s3, versioned, "k", b"old", Metadata={"a": "1"})
    new = put(s3, versioned, "k", b"new")
    answer = s3.copy_object(Bucket=versioned, Key="copy", CopySource={"Bucket": versioned, "Key": "k", "VersionId": old})
    assert answer["CopySourceVersionId"] == old
    assert body(s3, versioned, "copy", answer["VersionId"]) == b"old"
    # An old version is brought back by copying it onto its own key.
    answer = s3.copy_object(Bucket=versioned, Key="k", CopySource={"Bucket": versioned, "Key": "k", "VersionId": old})
    assert body(s3, versioned, "k") == b"old" and s3.head_object(Bucket=versioned, Key="k")["Metadata"] == {"a": "1"}
    assert [v[1] for v in versions(s3, versioned, Prefix="k")] == [answer["VersionId"], new, old]
    # New metadata is a new version, and the one before keeps its own.
    s3.copy_object(Bucket=versioned, Key="k", CopySource=f"{versioned}/k", MetadataDirective="REPLACE", Metadata={"b": "2"})
    assert s3.head_object(Bucket=versioned, Key="k")["Metadata"] == {"b": "2"}
    assert s3.head_object(Bucket=versioned, Key="k", VersionId=answer["VersionId"])["Metadata"] == {"a": "1"}
    with refused("InvalidRequest"):
        s3.copy_object(Bucket=versioned, Key="k", CopySource=f"{versioned}/k")


def test_parts_are_copied_from_a_version_and_completed_to_one(s3, versioned):
    old = put(s3, versioned, "source", b"o" * 5_300_000)
    put(s3, versioned, "source", b"new")
    upload = s3.create_multipart_upload(Bucket=versioned, Key="whole")["UploadId"]
    source = {"Bucket": versioned, "Key": "source", "VersionId": old}
    copied = s3.upload_part_copy(Bucket=versioned, Key="whole", UploadId=upload, PartNumber=1, CopySource=source)
    assert copied["CopySourceVersionId"] == old
    last = s3.upload_part(Bucket=versioned, Key="whole", UploadId=upload, PartNumber=2, Body=b"end")
    parts = [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}, {"PartNumber": 2, "ETag": last["ETag"]}]
    first = s3.complete_multipart_upload(Bucket=versioned, Key="whole", UploadId=upload, MultipartUpload={"Parts": parts})
    put(s3, versioned, "whole", b"later")
    assert body(s3, versioned, "whole", first["VersionId"]) == b"o" * 5_300_000 + b"end"
    part = s3.get_object(Bucket=versioned, Key="whole", VersionId=first["VersionId"], PartNumber=2)
    assert part["Body"].read() == b"end"


def test_tags_are_those_of_a_version(s3, versioned):
    old = put(s3, versioned, "k", b"1", Tagging="n=1")
    new = put(s3, versioned, "k", b"2", Tagging="n=2")

    def tags(**options):
        answer = s3.get_object_tagging(Bucket=versioned, Key="k", **options)
        return answer["VersionId"], {t["Key"]: t["Value"] for t in answer["TagSet"]}

    assert (tags(), tags(VersionId=old)) == ((new, {"n": "2"}), (old, {"n": "1"}))
    s3.put_object_tagging(Bucket=versioned, Key="k", VersionId=old, Tagging={"TagSet": [{"Key": "m", "Value": "3"}]})
    assert (tags(), tags(VersionId=old)) == ((new, {"n": "2"}), (old, {"m": "3"}))
    s3.delete_object_tagging(Bucket=versioned, Key="k")
    assert (tags(), tags(VersionId=old)) == ((new, {}), (old, {"m": "3"}))


def test_attributes_of_a_version(s3, versioned):
    old = put(s3, versioned, "k", b"123")
    put(s3, versioned, "k", b"4")
    answer = s3.get_object_attributes(Bucket=versioned, Key="k", VersionId=old, ObjectAttributes=["ObjectSize"])
    assert (answer["VersionId"], answer["ObjectSize"]) == (old, 3)


def test_conditions_are_about_the_latest_version(s3, versioned):
    first = s3.put_object(Bucket=versioned, Key="k", Body=b"1")
    put(s3, versioned, "k", b"2", IfMatch=first["ETag"])
    with refused("PreconditionFailed"):
        put(s3, versioned, "k", b"3", IfMatch=first["ETag"])
    with refused("PreconditionFailed"):
        put(s3, versioned, "k", b"3", IfNoneMatch="*")
    s3.delete_object(Bucket=versioned, Key="k")
    with refused("NoSuchKey"):
        put(s3, versioned, "k", b"3", IfMatch=first["ETag"])
    put(s3, versioned, "k", b"4", IfNoneMatch="*")
    with refused("PreconditionFailed"):
        s3.delete_object(Bucket=versioned, Key="k", IfMatch=first["ETag"])
    assert body(s3, versioned, "k") == b"4"


def test_a_bucket_is_empty_without_any_version(s3, versioned):
    version = put(s3, versioned, "k", b"x")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    for gone in (version, marker):
        with refused("BucketNotEmpty"):
            s3.delete_bucket(Bucket=versioned)
        s3.delete_object(Bucket=versioned, Key="k", VersionId=gone)
    s3.delete_bucket(Bucket=versioned)


@pytest.mark.timeout(120)
def test_versions_survive_lost_disks_and_a_rebuilt_view(tmp_path):
    with Larder(directory=tmp_path) as server:
        s3 = boto(server, retries=3)
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="k", Body=b"before")
        set_versioning(s3, "bucket", "Enabled")
        ids = [put(s3, "bucket", "k", content) for content in (b"1", b"2" * 2_000_000)]
        s3.delete_object(Bucket="bucket", Key="k")
        expected = versions(s3, "bucket")
        server.stop()
        server.empty_disk(1)
        server.empty_disk(3)
        server.start()
        s3 = boto(server, retries=3)
        assert versions(s3, "bucket") == expected
        assert [body(s3, "bucket", "k", version) for version in ("null", *ids)] == [b"before", b"1", b"2" * 2_000_000]
        server.until_healed()
        server.run("verify", "s3://bucket")
