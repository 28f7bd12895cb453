"""Object lock: what protects versions, who may lift that, and what AWS answers to everybody else."""

import base64
import datetime
import hashlib

import pytest
from larderlib.checksums import checksum, header
from larderlib.clients import unique_bucket
from larderlib.expect import refused
from larderlib.server import poll

LOCKED = "Access Denied because object protected by object lock."


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def after(**delta):
    """A time from now, in the precision of a header."""
    return (now() + datetime.timedelta(**delta)).replace(microsecond=0)


@pytest.fixture
def locked(s3):
    """A bucket with object lock. What is retained for governance or held in it goes with the server."""
    name = unique_bucket()
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def answer_of(answer):
    return answer.code, answer.text("Message")


def put(s3, bucket, key="k", **options):
    return s3.put_object(Bucket=bucket, Key=key, Body=b"body", **options)["VersionId"]


def governed(**delta):
    return {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": after(**(delta or {"days": 1}))}


def configure(s3, bucket, retention=None):
    rule = {"Rule": {"DefaultRetention": retention}} if retention else {}
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", **rule})


def retain(s3, bucket, version, mode, until, **options):
    retention = {"Mode": mode, "RetainUntilDate": until} if mode else {}
    return s3.put_object_retention(Bucket=bucket, Key="k", VersionId=version, Retention=retention, **options)


def test_a_bucket_is_created_with_object_lock(s3, locked):
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    configuration = s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]
    assert configuration == {"ObjectLockEnabled": "Enabled"}


def test_versioning_of_a_bucket_with_object_lock_stays_enabled(s3, locked):
    with refused("InvalidBucketState", message="An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."):
        s3.put_bucket_versioning(Bucket=locked, VersioningConfiguration={"Status": "Suspended"})
    s3.put_bucket_versioning(Bucket=locked, VersioningConfiguration={"Status": "Enabled"})


def test_object_lock_is_enabled_later_where_versions_are_kept(s3, bucket):
    with refused("InvalidBucketState", message="Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"):
        configure(s3, bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    with refused("ObjectLockConfigurationNotFoundError"):
        s3.get_object_lock_configuration(Bucket=bucket)
    configure(s3, bucket, {"Mode": "COMPLIANCE", "Years": 1})
    configuration = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    assert configuration["Rule"]["DefaultRetention"] == {"Mode": "COMPLIANCE", "Years": 1}
    assert "ObjectLockMode" not in s3.head_object(Bucket=bucket, Key="k"), "what was there is not locked by that"
    configure(s3, bucket)
    assert "Rule" not in s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    s3.put_object_legal_hold(Bucket=bucket, Key="k", VersionId="null", LegalHold={"Status": "ON"})
    put(s3, bucket)
    with refused("AccessDenied", message=LOCKED):
        s3.delete_object(Bucket=bucket, Key="k", VersionId="null")


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_a_retained_version_is_not_deleted_but_hidden(s3, locked, mode):
    until = after(hours=1)
    version = put(s3, locked, ObjectLockMode=mode, ObjectLockRetainUntilDate=until)
    for ask in (s3.head_object, s3.get_object):
        answer = ask(Bucket=locked, Key="k")
        assert (answer["ObjectLockMode"], answer["ObjectLockRetainUntilDate"]) == (mode, until)
        assert "ObjectLockLegalHoldStatus" not in answer
    with refused("AccessDenied", message=LOCKED):
        s3.delete_object(Bucket=locked, Key="k", VersionId=version)
    deleted = s3.delete_object(Bucket=locked, Key="k")
    assert deleted["DeleteMarker"]
    with refused("AccessDenied", message=LOCKED):
        s3.delete_object(Bucket=locked, Key="k", VersionId=version)
    s3.delete_object(Bucket=locked, Key="k", VersionId=deleted["VersionId"])
    assert s3.get_object(Bucket=locked, Key="k")["Body"].read() == b"body"


def test_root_bypasses_governance_but_says_so(s3, locked):
    version = put(s3, locked, **governed())
    s3.delete_object(Bucket=locked, Key="k", VersionId=version, BypassGovernanceRetention=True)
    with refused("NoSuchVersion"):
        s3.get_object(Bucket=locked, Key="k", VersionId=version)


def test_nobody_bypasses_compliance(s3, locked):
    soon = after(hours=1)
    version = put(s3, locked, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=soon)
    bypass = {"BypassGovernanceRetention": True}
    with refused("AccessDenied", message=LOCKED):
        s3.delete_object(Bucket=locked, Key="k", VersionId=version, **bypass)
    for mode, until in [("COMPLIANCE", after(minutes=10)), ("GOVERNANCE", after(hours=9)), (None, None)]:
        with refused("AccessDenied", message=LOCKED):
            retain(s3, locked, version, mode, until, **bypass)
    later = after(hours=2)
    retain(s3, locked, version, "COMPLIANCE", later)
    found = s3.get_object_retention(Bucket=locked, Key="k", VersionId=version)["Retention"]
    assert found == {"Mode": "COMPLIANCE", "RetainUntilDate": later}


def test_governance_is_extended_by_all_and_changed_by_bypass(s3, locked):
    version = put(s3, locked, **governed(hours=1))
    longer = after(hours=2)
    retain(s3, locked, version, "GOVERNANCE", longer)
    for mode, until in [("GOVERNANCE", after(minutes=30)), ("COMPLIANCE", after(hours=3)), (None, None)]:
        with refused("AccessDenied", message=LOCKED):
            retain(s3, locked, version, mode, until)
    assert s3.get_object_retention(Bucket=locked, Key="k")["Retention"]["RetainUntilDate"] == longer
    retain(s3, locked, version, None, None, BypassGovernanceRetention=True)
    with refused("NoSuchObjectLockConfiguration", message="The specified object does not have a ObjectLock configuration"):
        s3.get_object_retention(Bucket=locked, Key="k")
    s3.delete_object(Bucket=locked, Key="k", VersionId=version)


def test_a_legal_hold_holds_until_it_is_released(s3, locked):
    version = put(s3, locked)
    with refused("NoSuchObjectLockConfiguration"):
        s3.get_object_legal_hold(Bucket=locked, Key="k")
    s3.put_object_legal_hold(Bucket=locked, Key="k", VersionId=version, LegalHold={"Status": "ON"})
    assert s3.get_object_legal_hold(Bucket=locked, Key="k")["LegalHold"] == {"Status": "ON"}
    assert s3.head_object(Bucket=locked, Key="k")["ObjectLockLegalHoldStatus"] == "ON"
    with refused("AccessDenied", message=LOCKED):
        s3.delete_object(Bucket=locked, Key="k", VersionId=version, BypassGovernanceRetention=True)
    s3.put_object_legal_hold(Bucket=locked, Key="k", LegalHold={"Status": "OFF"})
    assert s3.get_object_legal_hold(Bucket=locked, Key="k")["LegalHold"] == {"Status": "OFF"}
    s3.delete_object(Bucket=locked, Key="k", VersionId=version)


def test_delete_objects_answers_for_each_version(s3, locked):
    held = put(s3, locked, "held", ObjectLockLegalHoldStatus="ON")
    retained = put(s3, locked, "retained", **governed())
    free = put(s3, locked, "free")
    ids = [("held", held), ("retained", retained), ("free", free)]
    items = {"Objects": [{"Key": key, "VersionId": version} for key, version in ids] + [{"Key": "held"}]}
    answer = s3.delete_objects(Bucket=locked, Delete=items)
    errors = {(e["Key"], e["VersionId"]): (e["Code"], e["Message"]) for e in answer["Errors"]}
    assert errors == {("held", held): ("AccessDenied", LOCKED), ("retained", retained): ("AccessDenied", LOCKED)}
    assert {d["Key"] for d in answer["Deleted"]} == {"free", "held"}, "the object gets a delete marker"
    answer = s3.delete_objects(Bucket=locked, Delete=items, BypassGovernanceRetention=True)
    assert [e["Key"] for e in answer["Errors"]] == ["held"]


def test_what_comes_new_gets_the_buckets_retention(s3, locked):
    configure(s3, locked, {"Mode": "GOVERNANCE", "Days": 3})

    def retention(key):
        head = s3.head_object(Bucket=locked, Key=key)
        return head["ObjectLockMode"], head["ObjectLockRetainUntilDate"] - now()

    def is_default(key):
        mode, left = retention(key)
        assert mode == "GOVERNANCE"
        assert datetime.timedelta(days=3, minutes=-1) < left <= datetime.timedelta(days=3)

    put(s3, locked, "put")
    s3.copy_object(Bucket=locked, Key="copied", CopySource=f"{locked}/put")
    upload = s3.create_multipart_upload(Bucket=locked, Key="uploaded")["UploadId"]
    part = s3.upload_part(Bucket=locked, Key="uploaded", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=locked, Key="uploaded", UploadId=upload, MultipartUpload=parts)
    for key in ("put", "copied", "uploaded"):
        is_default(key)
    put(s3, locked, "own", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=after(seconds=60))
    assert retention("own")[0] == "COMPLIANCE"
    put(s3, locked, "held", ObjectLockLegalHoldStatus="ON")
    is_default("held")


def test_copies_and_uploads_take_a_lock_of_their_own(s3, locked):
    put(s3, locked, "source", **governed(hours=1))
    until = after(hours=5)
    own = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until, "ObjectLockLegalHoldStatus": "ON"}
    s3.copy_object(Bucket=locked, Key="plain", CopySource=f"{locked}/source")
    assert "ObjectLockMode" not in s3.head_object(Bucket=locked, Key="plain"), "a lock is not copied"
    s3.copy_object(Bucket=locked, Key="copied", CopySource=f"{locked}/source", **own)
    upload = s3.create_multipart_upload(Bucket=locked, Key="uploaded", **own)["UploadId"]
    part = s3.upload_part(Bucket=locked, Key="uploaded", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=locked, Key="uploaded", UploadId=upload, MultipartUpload=parts)
    for key in ("copied", "uploaded"):
        head = s3.head_object(Bucket=locked, Key=key)
        found = (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"], head["ObjectLockLegalHoldStatus"])
        assert found == ("COMPLIANCE", until, "ON")


def test_a_retention_ends(s3, locked):
    version = put(s3, locked, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=after(seconds=3))

    def is_deleted():
        try:
            s3.delete_object(Bucket=locked, Key="k", VersionId=version)
            return True
        except s3.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied"
            return False

    assert not is_deleted()
    poll(is_deleted, 60, "the end of the retention")


def test_a_bucket_with_a_locked_version_is_not_deleted(s3, locked):
    put(s3, locked, **governed())
    s3.delete_object(Bucket=locked, Key="k")
    with refused("BucketNotEmpty"):
        s3.delete_bucket(Bucket=locked)


def test_what_has_no_lock_in_a_bucket_without(s3, bucket):
    version = "null"
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    missing = "Bucket is missing Object Lock Configuration"
    with refused("InvalidRequest", message=missing):
        put(s3, bucket, "new", **governed())
    with refused("InvalidRequest", message=missing):
        put(s3, bucket, "new", ObjectLockLegalHoldStatus="ON")
    with refused("InvalidRequest", message=missing):
        s3.create_multipart_upload(Bucket=bucket, Key="new", **governed())
    with refused("InvalidRequest", message=missing):
        s3.copy_object(Bucket=bucket, Key="new", CopySource=f"{bucket}/k", **governed())
    with refused("InvalidRequest", message=missing):
        retain(s3, bucket, version, "GOVERNANCE", after(days=1))
    with refused("InvalidRequest", message=missing):
        s3.put_object_legal_hold(Bucket=bucket, Key="k", LegalHold={"Status": "ON"})
    with refused("InvalidRequest", message=missing):
        s3.get_object_retention(Bucket=bucket, Key="k")
    with refused("InvalidRequest", message=missing):
        s3.get_object_legal_hold(Bucket=bucket, Key="k")
    only = "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets."
    with refused("InvalidArgument", message=only):
        s3.delete_object(Bucket=bucket, Key="k", BypassGovernanceRetention=True)
    with refused("InvalidArgument", message=only):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]}, BypassGovernanceRetention=True)
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k"]


@pytest.mark.parametrize(
    "retention, code, message",
    [
        ({"Mode": "GOVERNANCE", "Days": 0}, "InvalidArgument", "Default retention period must be a positive integer value."),
        ({"Mode": "GOVERNANCE", "Years": -1}, "InvalidArgument", "Default retention period must be a positive integer value."),
        ({"Mode": "GOVERNANCE", "Days": 36501}, "InvalidArgument", "Default retention period too large."),
        ({"Mode": "GOVERNANCE", "Days": 1, "Years": 1}, "MalformedXML", None),
        ({"Mode": "GOVERNANCE"}, "MalformedXML", None),
        ({"Days": 1}, "MalformedXML", None),
        ({"Mode": "governance", "Days": 1}, "MalformedXML", None),
    ],
)
def test_what_is_no_default_retention(s3, locked, retention, code, message):
    with refused(code, message):
        configure(s3, locked, retention)
    assert "Rule" not in s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]


@pytest.mark.parametrize(
    "document",
    ["", "<ObjectLockConfiguration/>", "<ObjectLockConfiguration><ObjectLockEnabled>Disabled</ObjectLockEnabled></ObjectLockConfiguration>", "<x/>"],
)
def test_what_is_no_configuration(raw, locked, document):
    assert raw.request("PUT", f"/{locked}", [("object-lock", "")], body=document.encode()).code == "MalformedXML"


def test_object_lock_is_never_taken_away(raw, locked):
    answer = raw.request("DELETE", f"/{locked}", [("object-lock", "")])
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")


@pytest.mark.parametrize(
    "headers, message",
    [
        ({"x-amz-object-lock-mode": "GOVERNANCE"}, "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"),
        (
            {"x-amz-object-lock-retain-until-date": "2099-01-01T00:00:00Z"},
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
        ),
        ({"x-amz-object-lock-mode": "governance", "x-amz-object-lock-retain-until-date": "2099-01-01T00:00:00Z"}, "Unknown wormMode directive."),
        (
            {"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": "abc"},
            "The retain until date must be provided in ISO 8601 format",
        ),
        (
            {"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": "2020-01-01T00:00:00Z"},
            "The retain until date must be in the future!",
        ),
        ({"x-amz-object-lock-legal-hold": "on"}, "Legal Hold must be either of 'ON' or 'OFF'"),
    ],
)
def test_headers_that_ask_for_no_lock(raw, s3, locked, headers, message):
    for method, query in (("PUT", []), ("POST", [("uploads", "")])):
        answer = raw.request(method, f"/{locked}/k", query, headers=headers, body=b"x" if method == "PUT" else b"")
        assert (answer.status, answer.code, answer.text("Message")) == (400, "InvalidArgument", message)
    assert "Versions" not in s3.list_object_versions(Bucket=locked)


@pytest.mark.parametrize(
    "document, code",
    [
        ("", "MalformedXML"),
        ("<Retention><Mode>GOVERNANCE</Mode></Retention>", "MalformedXML"),
        ("<Retention><Mode>x</Mode><RetainUntilDate>2099-01-01T00:00:00Z</RetainUntilDate></Retention>", "MalformedXML"),
        ("<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>x</RetainUntilDate></Retention>", "MalformedXML"),
        ("<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2020-01-01T00:00:00Z</RetainUntilDate></Retention>", "InvalidArgument"),
        ("<Retention><EventHold>ON</EventHold></Retention>", "NotImplemented"),
    ],
)
def test_what_is_no_retention(raw, s3, locked, document, code):
    put(s3, locked)
    assert raw.request("PUT", f"/{locked}/k", [("retention", "")], body=document.encode()).code == code
    assert "ObjectLockMode" not in s3.head_object(Bucket=locked, Key="k")


def test_what_is_no_legal_hold(raw, s3, locked):
    put(s3, locked)
    for document in ("<LegalHold/>", "<LegalHold><Status>on</Status></LegalHold>"):
        assert raw.request("PUT", f"/{locked}/k", [("legal-hold", "")], body=document.encode()).code == "MalformedXML"


def test_versions_that_are_not_there_and_delete_markers_have_no_lock(s3, locked):
    put(s3, locked)
    marker = s3.delete_object(Bucket=locked, Key="k")["VersionId"]
    with refused("MethodNotAllowed"):
        retain(s3, locked, marker, "GOVERNANCE", after(days=1))
    with refused("NoSuchKey"):
        s3.put_object_legal_hold(Bucket=locked, Key="none", LegalHold={"Status": "ON"})
    with refused("NoSuchBucket"):
        s3.get_object_lock_configuration(Bucket=unique_bucket())


def test_what_is_to_be_locked_must_prove_that_it_arrived_whole(raw, s3, locked):
    """The signature's hash of the body does not count, as on AWS."""
    until = after(days=1).isoformat().replace("+00:00", "Z")
    lock = {"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": until}
    message = "Content-MD5 OR x-amz-checksum- HTTP header is required for {} requests with Object Lock parameters"

    def put_raw(headers):
        return raw.request("PUT", f"/{locked}/k", headers=headers, body=b"body")

    for asked in (lock, {"x-amz-object-lock-legal-hold": "ON"}, lock | {"x-amz-sdk-checksum-algorithm": "CRC32"}):
        answer = put_raw(asked)
        assert answer.status == 400 and answer.code == "InvalidRequest"
    assert answer_of(put_raw(lock)) == ("InvalidRequest", message.format("Put Object"))
    assert put_raw({}).status == 200
    md5 = base64.b64encode(hashlib.md5(b"body").digest()).decode()
    assert put_raw(lock | {"content-md5": md5}).status == 200
    for algorithm in ("CRC32", "CRC64NVME", "SHA256"):
        assert put_raw(lock | {header(algorithm): checksum(algorithm, b"body")}).status == 200
    configure(s3, locked, {"Mode": "GOVERNANCE", "Days": 1})
    assert put_raw({}).code == "InvalidRequest"
    upload = s3.create_multipart_upload(Bucket=locked, Key="up")["UploadId"]
    answer = raw.request("PUT", f"/{locked}/up", [("partNumber", "1"), ("uploadId", upload)], body=b"x")
    assert answer_of(answer) == ("InvalidRequest", message.format("Put Part"))
    s3.upload_part(Bucket=locked, Key="up", UploadId=upload, PartNumber=1, Body=b"x")
