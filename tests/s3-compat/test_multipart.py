"""Multipart uploads: parts of any order and size, what Complete refuses, and listings of what is under way."""

import pytest
from larderlib.checksums import etag, multipart_etag
from larderlib.clients import random_bytes, unique_bucket
from larderlib.expect import answered, refused

MIB = 1024 * 1024
PARTS = [random_bytes(5 * MIB, 1), random_bytes(5 * MIB + 4321, 2), random_bytes(7 * MIB + 1, 3), random_bytes(99, 4)]


class Upload:
    """An upload that a test is making."""

    def __init__(self, s3, bucket, key="k", **options):
        self.s3, self.where = s3, {"Bucket": bucket, "Key": key}
        self.id = s3.create_multipart_upload(**self.where, **options)["UploadId"]
        self.done = {}

    def part(self, number, body, **options):
        answer = self.s3.upload_part(**self.where, UploadId=self.id, PartNumber=number, Body=body, **options)
        self.done[number] = answer["ETag"]
        return answer

    def complete(self, parts=None, **options):
        if parts is None:
            parts = [{"PartNumber": n, "ETag": tag} for n, tag in sorted(self.done.items())]
        return self.s3.complete_multipart_upload(**self.where, UploadId=self.id, MultipartUpload={"Parts": parts}, **options)

    def parts(self, **options):
        return self.s3.list_parts(**self.where, UploadId=self.id, **options)

    def read(self):
        return self.s3.get_object(**self.where)["Body"].read()


def test_unequal_parts_make_one_object(s3, bucket):
    upload = Upload(s3, bucket, Metadata={"m": "1"}, ContentType="text/x", Tagging="t=1")
    for number, data in enumerate(PARTS, 1):
        assert upload.part(number, data)["ETag"] == etag(data)
    answer = upload.complete()
    assert answer["ETag"] == multipart_etag(PARTS)
    assert answer["Bucket"] == bucket and answer["Key"] == "k" and answer["Location"]
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentLength"] == sum(map(len, PARTS)) and head["ETag"] == multipart_etag(PARTS)
    assert head["Metadata"] == {"m": "1"} and head["ContentType"] == "text/x"
    assert upload.read() == b"".join(PARTS)
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "t", "Value": "1"}]
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["ETag"] == multipart_etag(PARTS)


def test_parts_sent_out_of_order_with_gaps_in_their_numbers(s3, bucket):
    upload = Upload(s3, bucket)
    for number, data in ((10_000, PARTS[3]), (7, PARTS[1]), (2, PARTS[0])):
        upload.part(number, data)
    upload.complete()
    assert upload.read() == PARTS[0] + PARTS[1] + PARTS[3]


def test_one_small_part_is_enough(s3, bucket):
    upload = Upload(s3, bucket)
    upload.part(1, b"small")
    assert upload.complete()["ETag"] == multipart_etag([b"small"])
    assert upload.read() == b"small"


def test_one_empty_part(s3, bucket):
    upload = Upload(s3, bucket)
    upload.part(1, b"")
    upload.complete()
    assert upload.read() == b""


def test_nothing_is_seen_before_complete(s3, bucket):
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    with refused("NoSuchKey"):
        upload.read()


def test_a_part_sent_again_replaces_the_first(s3, bucket):
    upload = Upload(s3, bucket)
    first = upload.part(1, b"first")["ETag"]
    upload.part(1, b"second")
    assert [p["ETag"] for p in upload.parts()["Parts"]] == [etag(b"second")]
    with refused("InvalidPart"):
        upload.complete([{"PartNumber": 1, "ETag": first}])
    upload.complete()
    assert upload.read() == b"second"


def test_only_the_named_parts_are_used(s3, bucket):
    upload = Upload(s3, bucket)
    for number in (1, 2, 3):
        upload.part(number, PARTS[number - 1])
    upload.complete([{"PartNumber": 1, "ETag": upload.done[1]}, {"PartNumber": 3, "ETag": upload.done[3]}])
    assert upload.read() == PARTS[0] + PARTS[2]


def test_a_small_part_that_is_not_the_last_is_refused(s3, bucket):
    upload = Upload(s3, bucket)
    upload.part(1, b"s" * (5 * MIB - 1))
    upload.part(2, b"tail")
    with refused("EntityTooSmall"):
        upload.complete()
    upload.part(1, PARTS[0])
    upload.complete()
    assert upload.read() == PARTS[0] + b"tail", "a refused Complete leaves the upload as it was"


def test_complete_refuses_wrong_lists(s3, bucket):
    upload = Upload(s3, bucket)
    upload.part(1, PARTS[0])
    upload.part(2, PARTS[1])
    one, two = ({"PartNumber": n, "ETag": upload.done[n]} for n in (1, 2))
    with refused("InvalidPart"):
        upload.complete([one, {"PartNumber": 2, "ETag": etag(b"other")}])
    with refused("InvalidPart"):
        upload.complete([one, {"PartNumber": 3, "ETag": upload.done[2]}])
    with refused("InvalidPartOrder"):
        upload.complete([two, one])
    with refused("InvalidPartOrder", "InvalidPart"):
        upload.complete([one, one])
    with refused("MalformedXML"):
        upload.complete([])
    upload.complete([one, two])


def test_etags_in_complete_may_come_without_quotes(s3, bucket):
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    upload.complete([{"PartNumber": 1, "ETag": upload.done[1].strip('"')}])


@pytest.mark.parametrize("begun, said", [("FULL_OBJECT", "COMPOSITE"), ("COMPOSITE", "FULL_OBJECT")])
def test_a_checksum_type_in_complete_other_than_begun_with_is_refused(s3, bucket, begun, said):
    upload = Upload(s3, bucket, ChecksumAlgorithm="CRC32", ChecksumType=begun)
    part = upload.part(1, b"data", ChecksumAlgorithm="CRC32")
    parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}]
    with refused("BadDigest"):
        upload.complete(parts, ChecksumType=said)
    assert upload.complete(parts, ChecksumType=begun)["ChecksumType"] == begun


def test_complete_is_idempotent(s3, bucket):
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    first = upload.complete()
    again = upload.complete()
    assert again["ETag"] == first["ETag"]


@pytest.mark.parametrize("number", [0, -1, 10_001, "x", ""])
def test_part_numbers_that_are_not_allowed(raw, s3, bucket, number):
    upload = Upload(s3, bucket)
    query = [("partNumber", str(number)), ("uploadId", upload.id)]
    answered(raw.request("PUT", f"/{bucket}/k", query, body=b"x"), "InvalidArgument")


@pytest.mark.parametrize("headers", [{}, {"x-amz-copy-source": "{bucket}/k"}], ids=["data", "copy"])
def test_a_part_without_its_upload_replaces_nothing(raw, s3, bucket, headers):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    headers = {name: value.format(bucket=bucket) for name, value in headers.items()}
    answered(raw.request("PUT", f"/{bucket}/k", [("partNumber", "1")], headers, b"" if headers else b"part"), "InvalidArgument")
    assert raw.request("GET", f"/{bucket}/k", [("partNumber", "1")]).body == b"old"


@pytest.mark.parametrize("upload_id", ["no-such-upload", "../../etc", "ü", "x" * 2000])
def test_an_upload_that_is_not_there(s3, bucket, upload_id):
    where = {"Bucket": bucket, "Key": "k", "UploadId": upload_id}
    with refused("NoSuchUpload"):
        s3.upload_part(**where, PartNumber=1, Body=b"x")
    with refused("NoSuchUpload"):
        s3.list_parts(**where)
    with refused("NoSuchUpload"):
        s3.abort_multipart_upload(**where)
    with refused("NoSuchUpload"):
        s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag(b"x")}]})


def test_an_upload_belongs_to_its_key(s3, bucket):
    upload = Upload(s3, bucket)
    with refused("NoSuchUpload"):
        s3.upload_part(Bucket=bucket, Key="other", UploadId=upload.id, PartNumber=1, Body=b"x")


def test_abort(s3, bucket):
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    answer = s3.abort_multipart_upload(**upload.where, UploadId=upload.id)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused("NoSuchUpload"):
        upload.part(2, b"y")
    with refused("NoSuchUpload"):
        upload.complete()
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_an_open_upload_does_not_touch_the_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    upload = Upload(s3, bucket)
    upload.part(1, b"new")
    assert upload.read() == b"old"
    s3.abort_multipart_upload(**upload.where, UploadId=upload.id)
    assert upload.read() == b"old"


def test_list_parts_in_pages(s3, bucket):
    upload = Upload(s3, bucket)
    for number in (1, 3, 5, 7, 9):
        upload.part(number, bytes([number]) * number)
    page = upload.parts(MaxParts=2)
    assert [p["PartNumber"] for p in page["Parts"]] == [1, 3]
    assert page["IsTruncated"] and page["NextPartNumberMarker"] == 3 and page["MaxParts"] == 2
    page = upload.parts(MaxParts=3, PartNumberMarker=3)
    assert [(p["PartNumber"], p["Size"]) for p in page["Parts"]] == [(5, 5), (7, 7), (9, 9)]
    assert not page["IsTruncated"]
    assert all(p["LastModified"] for p in page["Parts"])
    assert page["Initiator"]["ID"] and page["Owner"]["ID"] and page["StorageClass"] == "STANDARD"


def test_list_multipart_uploads_in_pages(s3, bucket):
    keys = ["a", "a", "a/b", "b", "c/d", "c/e"]
    made = sorted((key, Upload(s3, bucket, key).id) for key in keys)
    page = s3.list_multipart_uploads(Bucket=bucket)
    assert sorted((u["Key"], u["UploadId"]) for u in page["Uploads"]) == made
    assert [u["Key"] for u in page["Uploads"]] == keys and not page["IsTruncated"]
    assert all(u["Initiated"] for u in page["Uploads"])
    found, markers = [], {}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=1, **markers)
        assert len(page["Uploads"]) == 1
        found += [(u["Key"], u["UploadId"]) for u in page["Uploads"]]
        if not page["IsTruncated"]:
            break
        markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert sorted(found) == made and len(found) == len(made)
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [u["Key"] for u in page["Uploads"]] == ["a", "a", "b"]
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["a/", "c/"]
    page = s3.list_multipart_uploads(Bucket=bucket, Prefix="c/")
    assert [u["Key"] for u in page["Uploads"]] == ["c/d", "c/e"]
    page = s3.list_multipart_uploads(Bucket=bucket, KeyMarker="a/b")
    assert [u["Key"] for u in page["Uploads"]] == ["b", "c/d", "c/e"]


def test_a_bucket_with_an_open_upload(s3, bucket):
    """AWS refuses to delete it only when it holds objects; both answers are known of S3 stores, losing parts silently is not."""
    upload = Upload(s3, bucket)
    s3.abort_multipart_upload(**upload.where, UploadId=upload.id)
    s3.delete_bucket(Bucket=bucket)


def test_upload_part_copy(s3, bucket):
    source = random_bytes(12 * MIB + 5, 9)
    s3.put_object(Bucket=bucket, Key="source", Body=source)
    upload = Upload(s3, bucket)
    where = {**upload.where, "UploadId": upload.id, "CopySource": {"Bucket": bucket, "Key": "source"}}
    first = s3.upload_part_copy(**where, PartNumber=1, CopySourceRange=f"bytes=0-{5 * MIB - 1}")["CopyPartResult"]
    assert first["ETag"] == etag(source[: 5 * MIB]) and first["LastModified"]
    middle = s3.upload_part_copy(**where, PartNumber=2, CopySourceRange=f"bytes=777-{6 * MIB}")["CopyPartResult"]
    whole = s3.upload_part_copy(**where, PartNumber=3)["CopyPartResult"]
    upload.done = {1: first["ETag"], 2: middle["ETag"], 3: whole["ETag"]}
    upload.part(4, b"sent")
    upload.complete()
    assert upload.read() == source[: 5 * MIB] + source[777 : 6 * MIB + 1] + source + b"sent"


def test_upload_part_copy_refuses_wrong_ranges(s3, bucket):
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    upload = Upload(s3, bucket)
    where = {**upload.where, "UploadId": upload.id, "PartNumber": 1, "CopySource": {"Bucket": bucket, "Key": "source"}}
    for text in ("bytes=0-10", "bytes=5-20", "bytes=10-11"):
        with refused("InvalidRange", "InvalidArgument", "InvalidRequest"):
            s3.upload_part_copy(**where, CopySourceRange=text)
    for text in ("bytes=-5", "bytes=5-", "0-5", "bytes=5-2"):
        with refused("InvalidArgument", "InvalidRange", "InvalidRequest"):
            s3.upload_part_copy(**where, CopySourceRange=text)


def test_upload_part_copy_conditions(s3, bucket):
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    upload = Upload(s3, bucket)
    where = {**upload.where, "UploadId": upload.id, "PartNumber": 1, "CopySource": {"Bucket": bucket, "Key": "source"}}
    with refused("PreconditionFailed"):
        s3.upload_part_copy(**where, CopySourceIfMatch=etag(b"other"))
    with refused("PreconditionFailed"):
        s3.upload_part_copy(**where, CopySourceIfNoneMatch=etag(b"0123456789"))
    s3.upload_part_copy(**where, CopySourceIfMatch=etag(b"0123456789"))
    with refused("NoSuchKey"):
        s3.upload_part_copy(**{**where, "CopySource": {"Bucket": bucket, "Key": "none"}})


def test_the_transfer_manager(s3, bucket, tmp_path):
    data = random_bytes(33 * MIB + 11, 11)
    (tmp_path / "up").write_bytes(data)
    s3.upload_file(str(tmp_path / "up"), bucket, "k")
    s3.download_file(bucket, "k", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data
    s3.copy({"Bucket": bucket, "Key": "k"}, bucket, "copied")
    assert s3.get_object(Bucket=bucket, Key="copied")["Body"].read() == data


def test_many_parts(s3, raw, bucket):
    """Only the last may be small, so the list is long but the object is one part; ListParts pages over a thousand."""
    from concurrent.futures import ThreadPoolExecutor

    upload = Upload(s3, bucket)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: upload.part(n, b"%d" % n), range(1, 1102)))
    page = upload.parts()
    assert len(page["Parts"]) == 1000 and page["IsTruncated"] and page["NextPartNumberMarker"] == 1000
    assert len(upload.parts(PartNumberMarker=1000)["Parts"]) == 101
    upload.complete([{"PartNumber": 1101, "ETag": upload.done[1101]}])
    assert upload.read() == b"1101"


def test_multipart_under_odd_keys(s3):
    bucket = unique_bucket()
    s3.create_bucket(Bucket=bucket)
    for key in ("a b+c", "ü/日//x/", "x&<>\"'", "k" * 1024):
        upload = Upload(s3, bucket, key)
        upload.part(1, key.encode())
        assert upload.complete()["Key"] == key
        assert upload.read() == key.encode()


@pytest.mark.parametrize("body", [b"", b"nonsense", b"<CompleteMultipartUpload>", b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>"])
def test_complete_with_a_malformed_body(raw, s3, bucket, body):
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    answered(raw.request("POST", f"/{bucket}/k", [("uploadId", upload.id)], body=body), "MalformedXML", "InvalidRequest")
