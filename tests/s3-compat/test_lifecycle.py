"""Lifecycle rules: what may be configured, what answers say of it, and that objects expire, with a day of a few seconds."""

import datetime
import email.utils
import urllib.parse

import pytest
from larderlib.clients import boto, unique_bucket
from larderlib.expect import refused
from larderlib.rawhttp import Raw
from larderlib.server import Larder, poll

DAY_SECONDS = 2


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    """A server whose day is short."""
    directory = tmp_path_factory.mktemp("hasty")
    with Larder(directory=directory / "server", extra_args=["--lifecycle-day", f"{DAY_SECONDS}s"]) as server:
        yield server


@pytest.fixture
def quick(hasty):
    return boto(hasty)


@pytest.fixture
def quick_bucket(quick):
    name = unique_bucket()
    quick.create_bucket(Bucket=name)
    return name


def configure(s3, bucket, *rules):
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)})


def rule(name="rule", **parts):
    return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": ""}} | parts


def rules_of(s3, bucket):
    return s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]


def keys(s3, bucket):
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def versions(s3, bucket):
    page = s3.list_object_versions(Bucket=bucket)
    return page.get("Versions", []), page.get("DeleteMarkers", [])


def until(condition, what):
    return poll(condition, 90, what)


MIDNIGHT = datetime.datetime(2030, 1, 2, tzinfo=datetime.timezone.utc)
FULL = [
    rule("days", Expiration={"Days": 3}),
    rule("date", Filter={}, Status="Disabled", Expiration={"Date": MIDNIGHT}),
    rule("markers", Filter={"Prefix": "a/"}, Expiration={"ExpiredObjectDeleteMarker": True}),
    rule("tag", Filter={"Tag": {"Key": "k", "Value": "v"}}, Expiration={"Days": 1}),
    rule("sizes", Filter={"ObjectSizeGreaterThan": 500}, NoncurrentVersionExpiration={"NoncurrentDays": 2, "NewerNoncurrentVersions": 3}),
    rule(
        "and",
        Filter={
            "And": {
                "Prefix": "p",
                "Tags": [{"Key": "k", "Value": "v"}, {"Key": "l", "Value": ""}],
                "ObjectSizeGreaterThan": 1,
                "ObjectSizeLessThan": 1000,
            }
        },
        Expiration={"Days": 1},
    ),
    rule("uploads", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7}),
]


def test_rules_come_back_as_they_were_set(s3, bucket):
    configure(s3, bucket, *FULL)
    assert rules_of(s3, bucket) == FULL
    configure(s3, bucket, FULL[0])
    assert rules_of(s3, bucket) == FULL[:1], "they are replaced as a whole"
    s3.delete_bucket_lifecycle(Bucket=bucket)
    with refused("NoSuchLifecycleConfiguration"):
        rules_of(s3, bucket)
    s3.delete_bucket_lifecycle(Bucket=bucket)


def test_rules_with_prefixes_of_their_own_come_back_as_such(s3, bucket):
    old = [{"ID": f"r{n}", "Prefix": prefix, "Status": "Enabled", "Expiration": {"Days": n}} for n, prefix in ((1, "a/"), (2, ""))]
    configure(s3, bucket, *old)
    assert rules_of(s3, bucket) == old


def test_rules_without_a_name_get_one(s3, bucket):
    nameless = {key: value for key, value in rule(Expiration={"Days": 1}).items() if key != "ID"}
    configure(s3, bucket, nameless, nameless)
    names = [found["ID"] for found in rules_of(s3, bucket)]
    assert len(set(names)) == 2 and all(names)


def test_a_thousand_rules_and_no_more(s3, bucket):
    many = [rule(f"r{n}", Filter={"Prefix": f"p{n}"}, Expiration={"Days": 1}) for n in range(1001)]
    configure(s3, bucket, *many[:1000])
    assert len(rules_of(s3, bucket)) == 1000
    with refused("InvalidRequest", message="The number of lifecycle rules must not exceed the allowed limit of 1000 rules."):
        configure(s3, bucket, *many)


TAG = {"Tag": {"Key": "k", "Value": "v"}}
SIZE = {"ObjectSizeLessThan": 5}
DAYS = {"Expiration": {"Days": 1}}
OLD = {"ID": "old", "Prefix": "p", "Status": "Enabled", "Expiration": {"Days": 1}}


@pytest.mark.parametrize(
    "wrong, code, message",
    [
        ([rule(Expiration={"Days": 0})], "InvalidArgument", "'Days' for Expiration action must be a positive integer"),
        ([rule(Expiration={"Days": -1})], "InvalidArgument", "'Days' for Expiration action must be a positive integer"),
        ([rule(Expiration={"Date": MIDNIGHT + datetime.timedelta(hours=1)})], "InvalidArgument", "'Date' must be at midnight GMT"),
        ([rule("x" * 256, **DAYS)], "InvalidArgument", "ID length should not exceed allowed limit of 255"),
        ([rule(**DAYS), rule(**DAYS)], "InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule"),
        (
            [rule(NoncurrentVersionExpiration={"NoncurrentDays": 0})],
            "InvalidArgument",
            "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer",
        ),
        (
            [rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 0})],
            "InvalidArgument",
            "'NewerNoncurrentVersions' for NoncurrentVersionExpiration action must be a positive integer",
        ),
        (
            [rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 0})],
            "InvalidArgument",
            "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer",
        ),
        ([rule()], "InvalidRequest", "At least one action needs to be specified in a rule"),
        (
            [rule(Filter=TAG, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1})],
            "InvalidRequest",
            "AbortIncompleteMultipartUpload cannot be specified with Tags.",
        ),
        (
            [rule(Filter=SIZE, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1})],
            "InvalidRequest",
            "AbortIncompleteMultipartUpload cannot be specified with Object Size.",
        ),
        (
            [rule(Filter=SIZE, Expiration={"ExpiredObjectDeleteMarker": False})],
            "InvalidRequest",
            "ExpiredObjectDeleteMarker cannot be specified with Object Size.",
        ),
        ([rule(Filter={"ObjectSizeLessThan": 0}, **DAYS)], "InvalidRequest", "'ObjectSizeLessThan' should be between 1 and 1099511627776000."),
        (
            [rule(Filter={"And": {"ObjectSizeGreaterThan": 5, "ObjectSizeLessThan": 5}}, **DAYS)],
            "InvalidRequest",
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.",
        ),
        ([rule(Filter={"And": {"Tags": [TAG["Tag"], TAG["Tag"]]}}, **DAYS)], "InvalidRequest", "Duplicate Tag Keys are not allowed."),
        ([OLD, rule(**DAYS)], "InvalidRequest", "Filter element can only be used in Lifecycle V2."),
        (
            [rule(**DAYS), OLD],
            "InvalidRequest",
            "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the Filter.",
        ),
        (
            [OLD | {"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1}}],
            "InvalidRequest",
            "NewerNoncurrentVersions element can only be used in Lifecycle V2.",
        ),
        ([rule(Expiration={"Days": 1, "ExpiredObjectDeleteMarker": True})], "MalformedXML", None),
        ([rule(Expiration={})], "MalformedXML", None),
        ([rule(NoncurrentVersionExpiration={})], "MalformedXML", None),
        ([rule(Status="enabled", **DAYS)], "MalformedXML", None),
        ([rule(Filter={"Prefix": "a", **SIZE}, **DAYS)], "MalformedXML", None),
        ([rule(Filter={"And": {"Prefix": "a"}}, **DAYS)], "MalformedXML", None),
        ([OLD | {"Filter": {"Prefix": "a"}}], "MalformedXML", None),
        ([{"ID": "r", "Status": "Enabled", **DAYS}], "MalformedXML", None),
        ([rule(Transitions=[{"Days": 1, "StorageClass": "GLACIER"}])], "NotImplemented", None),
        ([rule(NoncurrentVersionTransitions=[{"NoncurrentDays": 1, "StorageClass": "GLACIER"}])], "NotImplemented", None),
    ],
)
def test_what_is_no_rule(s3, bucket, wrong, code, message):
    with refused(code, message=message):
        configure(s3, bucket, *wrong)
    with refused("NoSuchLifecycleConfiguration"):
        rules_of(s3, bucket)


@pytest.mark.parametrize("document", ["", "<x/>", "<LifecycleConfiguration/>", "<LifecycleConfiguration><Rule>"])
def test_what_is_no_configuration(raw, bucket, document):
    assert raw.request("PUT", f"/{bucket}", [("lifecycle", "")], body=document.encode()).code == "MalformedXML"


def test_a_bucket_that_is_not_there_has_no_rules(s3):
    with refused("NoSuchBucket"):
        rules_of(s3, unique_bucket())
    with refused("NoSuchBucket"):
        configure(s3, unique_bucket(), rule(**DAYS))


def expiry(answer):
    """The time and the rule of `x-amz-expiration`."""
    date, name = answer["Expiration"].removeprefix('expiry-date="').removesuffix('"').split('", rule-id="')
    return email.utils.parsedate_to_datetime(date), urllib.parse.unquote(name)


def test_answers_say_when_an_object_expires(s3, bucket):
    configure(s3, bucket, rule("a rule/1", Filter={"Prefix": "a/"}, Expiration={"Days": 3}), rule("late", Expiration={"Date": MIDNIGHT}))
    put = s3.put_object(Bucket=bucket, Key="a/k", Body=b"x")
    written = s3.head_object(Bucket=bucket, Key="a/k")
    midnight = (written["LastModified"] + datetime.timedelta(days=3)).replace(hour=0, minute=0, second=0) + datetime.timedelta(days=1)
    assert 'rule-id="a%20rule/1"' in put["Expiration"]
    copied = s3.copy_object(Bucket=bucket, Key="a/copy", CopySource=f"{bucket}/a/k")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a/up")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="a/up", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    completed = s3.complete_multipart_upload(Bucket=bucket, Key="a/up", UploadId=upload, MultipartUpload=parts)
    for answer in (put, written, copied, completed, s3.get_object(Bucket=bucket, Key="a/k")):
        assert expiry(answer) == (midnight, "a rule/1")
    assert expiry(s3.put_object(Bucket=bucket, Key="b", Body=b"x")) == (MIDNIGHT, "late")
    s3.delete_bucket_lifecycle(Bucket=bucket)
    assert "Expiration" not in s3.head_object(Bucket=bucket, Key="a/k")


def test_expiry_follows_tags(s3, bucket):
    configure(s3, bucket, rule("tagged", Filter=TAG, **DAYS))
    assert "Expiration" not in s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [TAG["Tag"]]})
    assert expiry(s3.head_object(Bucket=bucket, Key="k"))[1] == "tagged"
    assert expiry(s3.put_object(Bucket=bucket, Key="l", Body=b"x", Tagging="k=v&l=w"))[1] == "tagged"


def test_answers_say_when_an_upload_is_given_up(s3, bucket):
    configure(s3, bucket, rule("up", Filter={"Prefix": "a/"}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 2}))
    begun = s3.create_multipart_upload(Bucket=bucket, Key="a/k")
    listed = s3.list_parts(Bucket=bucket, Key="a/k", UploadId=begun["UploadId"])
    for answer in (begun, listed):
        assert answer["AbortRuleId"] == "up"
        assert (answer["AbortDate"].hour, answer["AbortDate"].minute) == (0, 0)
    assert "AbortDate" not in s3.create_multipart_upload(Bucket=bucket, Key="b")


def test_objects_expire(quick, quick_bucket):
    for key in ("old/1", "old/2", "kept"):
        quick.put_object(Bucket=quick_bucket, Key=key, Body=b"x" * 700_000)
    configure(quick, quick_bucket, rule(Filter={"Prefix": "old/"}, Expiration={"Days": 1}))
    until(lambda: keys(quick, quick_bucket) == ["kept"], "expiry")
    quick.delete_object(Bucket=quick_bucket, Key="kept")
    quick.delete_bucket(Bucket=quick_bucket)


def test_dates_of_the_past_apply_at_once(quick, quick_bucket):
    quick.put_object(Bucket=quick_bucket, Key="k", Body=b"x")
    configure(quick, quick_bucket, rule(Expiration={"Date": datetime.datetime(2020, 1, 1)}))
    until(lambda: not keys(quick, quick_bucket), "expiry")


def test_a_versioned_object_gets_a_marker_then_loses_its_versions_then_the_marker(quick, quick_bucket):
    quick.put_bucket_versioning(Bucket=quick_bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"two"):
        quick.put_object(Bucket=quick_bucket, Key="k", Body=body)
    configure(quick, quick_bucket, rule("first", Expiration={"Days": 1}))
    until(lambda: len(versions(quick, quick_bucket)[1]) == 1, "the delete marker")
    assert len(versions(quick, quick_bucket)[0]) == 2
    noncurrent = rule("second", NoncurrentVersionExpiration={"NoncurrentDays": 1})
    configure(quick, quick_bucket, noncurrent)
    until(lambda: not versions(quick, quick_bucket)[0], "the versions' end")
    assert len(versions(quick, quick_bucket)[1]) == 1
    configure(quick, quick_bucket, rule("third", Expiration={"ExpiredObjectDeleteMarker": True}))
    until(lambda: versions(quick, quick_bucket) == ([], []), "the marker's end")
    quick.delete_bucket(Bucket=quick_bucket)


def test_so_many_noncurrent_versions_stay(quick, quick_bucket):
    quick.put_bucket_versioning(Bucket=quick_bucket, VersioningConfiguration={"Status": "Enabled"})
    ids = [quick.put_object(Bucket=quick_bucket, Key="k", Body=b"%d" % n)["VersionId"] for n in range(6)]
    configure(quick, quick_bucket, rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 2}))
    left = list(reversed(ids[-3:]))
    until(lambda: [v["VersionId"] for v in versions(quick, quick_bucket)[0]] == left, "the older versions' end")


def test_locked_versions_outlive_rules(quick):
    bucket = unique_bucket()
    quick.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    held = quick.put_object(Bucket=bucket, Key="k", Body=b"held", ObjectLockLegalHoldStatus="ON")["VersionId"]
    quick.put_object(Bucket=bucket, Key="k", Body=b"free")
    now = quick.put_object(Bucket=bucket, Key="k", Body=b"now")["VersionId"]
    configure(quick, bucket, rule(NoncurrentVersionExpiration={"NoncurrentDays": 1}))
    until(lambda: [v["VersionId"] for v in versions(quick, bucket)[0]] == [now, held], "the end of what is not held")
    assert quick.get_object(Bucket=bucket, Key="k", VersionId=held)["Body"].read() == b"held"


def test_uploads_are_given_up(quick, quick_bucket):
    upload = quick.create_multipart_upload(Bucket=quick_bucket, Key="k")["UploadId"]
    quick.upload_part(Bucket=quick_bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    configure(quick, quick_bucket, rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}))
    until(lambda: "Uploads" not in quick.list_multipart_uploads(Bucket=quick_bucket), "the upload's end")
    with refused("NoSuchUpload"):
        quick.list_parts(Bucket=quick_bucket, Key="k", UploadId=upload)


def test_a_kill_in_the_middle_stops_no_expiry(tmp_path):
    """What is due goes after the next start, and what is not due stays, wherever the kill came."""
    with Larder(directory=tmp_path / "server", extra_args=["--lifecycle-day", "2s"]) as server:
        s3 = boto(server)
        s3.create_bucket(Bucket="killed")
        for n in range(300):
            s3.put_object(Bucket="killed", Key=f"old/{n:03}", Body=b"x" * (n * 10))
        s3.put_object(Bucket="killed", Key="kept", Body=b"kept")
        configure(s3, "killed", rule(Filter={"Prefix": "old/"}, Expiration={"Days": 1}))
        poll(lambda: len(keys(s3, "killed")) < 301, 90, "the first expiry")
        server.kill()
        server.start()
        s3 = boto(server)
        poll(lambda: keys(s3, "killed") == ["kept"], 90, "the rest of the expiry")
        assert s3.get_object(Bucket="killed", Key="kept")["Body"].read() == b"kept"


def test_metrics_count_what_expired(hasty, quick, quick_bucket):
    def metric(name):
        text = Raw(hasty).request("GET", "/_larder/metrics").body.decode()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))

    before = metric("larder_lifecycle_expired_objects_total")
    quick.put_object(Bucket=quick_bucket, Key="k", Body=b"x")
    configure(quick, quick_bucket, rule(Expiration={"Days": 1}))
    until(lambda: not keys(quick, quick_bucket), "expiry")
    until(lambda: metric("larder_lifecycle_expired_objects_total") > before, "the metric")
    assert metric("larder_lifecycle_passes_total") > 0
    assert metric("larder_lifecycle_last_pass_timestamp_seconds") > 0
