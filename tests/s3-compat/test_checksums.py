"""The five checksum algorithms: sent, checked, stored, returned; and GetObjectAttributes, which shows them."""

import base64
import hashlib

import pytest
from larderlib.checksums import ALGORITHMS, CRCS, checksum, composite, etag, field, header
from larderlib.clients import boto, random_bytes
from larderlib.expect import answered, refused
from larderlib.rawhttp import STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER

MIB = 1024 * 1024
PARTS = [random_bytes(5 * MIB, 1), random_bytes(5 * MIB + 3, 2), b"the last"]
WHOLE = b"".join(PARTS)


def stored(s3, bucket, key="k"):
    """The checksums that HEAD gives when asked."""
    head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    return {name: head[field(name)] for name in ALGORITHMS if field(name) in head}, head.get("ChecksumType")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_sdk_computes_it_in_a_trailer(s3, bucket, algorithm):
    answer = s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm=algorithm)
    assert answer[field(algorithm)] == checksum(algorithm, b"data")
    assert stored(s3, bucket) == ({algorithm: checksum(algorithm, b"data")}, "FULL_OBJECT")
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"data" and got[field(algorithm)] == checksum(algorithm, b"data")


@pytest.mark.parametrize("size", [0, 1, 4096, 3 * MIB + 1])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_in_a_header(raw, s3, bucket, algorithm, size):
    data = random_bytes(size)
    answer = raw.request("PUT", f"/{bucket}/k", headers={header(algorithm): checksum(algorithm, data)}, body=data)
    assert answer.status == 200 and answer.headers[header(algorithm)] == checksum(algorithm, data), answer
    assert stored(s3, bucket)[0] == {algorithm: checksum(algorithm, data)}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_wrong_header_is_refused(raw, s3, bucket, algorithm):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    answer = raw.request("PUT", f"/{bucket}/k", headers={header(algorithm): checksum(algorithm, b"other")}, body=b"data")
    answered(answer, "BadDigest")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_header_that_is_no_checksum_is_refused(raw, bucket, algorithm):
    for value in ("not base64!", "AAAA", ""):
        answer = raw.request("PUT", f"/{bucket}/k", headers={header(algorithm): value or " "}, body=b"data")
        assert answer.status == 400 and answer.code in ("InvalidRequest", "BadDigest", "InvalidDigest"), answer


@pytest.mark.parametrize("mode", [STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_in_a_trailer(raw, s3, bucket, algorithm, mode):
    chunks = [random_bytes(8192, 1), random_bytes(8192, 2), random_bytes(77, 3)]
    answer = raw.put_streaming(f"/{bucket}/k", chunks, mode, algorithm)
    assert answer.status == 200, answer
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"".join(chunks)
    assert stored(s3, bucket)[0] == {algorithm: checksum(algorithm, b"".join(chunks))}


@pytest.mark.parametrize("mode", [STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_wrong_trailer_is_refused(raw, s3, bucket, algorithm, mode):
    answer = raw.put_streaming(f"/{bucket}/k", [b"data"], mode, algorithm, trailer=checksum(algorithm, b"other"))
    answered(answer, "BadDigest")
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="k")


def test_two_checksums_at_once_are_refused(raw, bucket):
    headers = {header(name): checksum(name, b"data") for name in ("CRC32", "SHA256")}
    answered(raw.request("PUT", f"/{bucket}/k", headers=headers, body=b"data"), "InvalidRequest")


def test_an_algorithm_named_without_its_checksum_is_refused(raw, bucket):
    headers = {"x-amz-sdk-checksum-algorithm": "CRC32C"}
    answered(raw.request("PUT", f"/{bucket}/k", headers=headers, body=b"data"), "InvalidRequest")


def test_an_unknown_algorithm_is_refused(raw, bucket):
    headers = {"x-amz-sdk-checksum-algorithm": "CRC17", "x-amz-checksum-crc32": checksum("CRC32", b"data")}
    answered(raw.request("PUT", f"/{bucket}/k", headers=headers, body=b"data"), "InvalidRequest")


def test_checksums_are_returned_only_when_asked_for(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm="CRC32")
    assert header("CRC32") not in raw.request("GET", f"/{bucket}/k").headers
    assert header("CRC32") not in raw.request("HEAD", f"/{bucket}/k").headers
    assert header("CRC32") in raw.request("GET", f"/{bucket}/k", headers={"x-amz-checksum-mode": "ENABLED"}).headers


def test_a_range_comes_without_the_checksum_of_the_whole(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789", ChecksumAlgorithm="CRC32")
    answer = raw.request("GET", f"/{bucket}/k", headers={"x-amz-checksum-mode": "ENABLED", "Range": "bytes=0-4"})
    assert answer.status == 206 and header("CRC32") not in answer.headers
    got = s3.get_object(Bucket=bucket, Key="k", Range="bytes=2-5", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"2345", "the SDK would fail on a checksum of other bytes"


def test_clients_that_send_checksums_only_when_required(server, bucket):
    client = boto(server, request_checksum_calculation="when_required", response_checksum_validation="when_required")
    client.put_object(Bucket=bucket, Key="k", Body=b"data")
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})


DEFAULT = "CRC64NVME"


def crc64(data):
    return {DEFAULT: checksum(DEFAULT, data)}, "FULL_OBJECT"


@pytest.mark.parametrize("size", [0, 1, 4096, 3 * MIB + 1])
def test_an_object_sent_without_a_checksum_gets_one(raw, s3, bucket, size):
    data = random_bytes(size)
    answer = raw.request("PUT", f"/{bucket}/k", body=data)
    assert answer.headers[header(DEFAULT)] == checksum(DEFAULT, data)
    assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert stored(s3, bucket) == crc64(data)
    assert s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[field(DEFAULT)] == checksum(DEFAULT, data)
    assert header(DEFAULT) not in raw.request("GET", f"/{bucket}/k").headers
    entry = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert (entry["ChecksumAlgorithm"], entry["ChecksumType"]) == ([DEFAULT], "FULL_OBJECT")
    attributes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum"])
    assert attributes["Checksum"] == {field(DEFAULT): checksum(DEFAULT, data), "ChecksumType": "FULL_OBJECT"}


def test_content_md5_is_no_checksum_of_this_kind(raw, s3, bucket):
    md5 = base64.b64encode(hashlib.md5(b"data").digest()).decode()
    assert raw.request("PUT", f"/{bucket}/k", headers={"Content-MD5": md5}, body=b"data").status == 200
    assert stored(s3, bucket) == crc64(b"data")


def test_a_copy_has_the_default_checksum_of_its_source(raw, s3, bucket):
    raw.request("PUT", f"/{bucket}/k", body=b"data")
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})["CopyObjectResult"]
    assert (copied[field(DEFAULT)], copied["ChecksumType"]) == (checksum(DEFAULT, b"data"), "FULL_OBJECT")
    assert stored(s3, bucket, "copy") == crc64(b"data")


# --- Multipart ---------------------------------------------------------------------------------------------------------


def start(s3, bucket, **options):
    return {"Bucket": bucket, "Key": "k", "UploadId": s3.create_multipart_upload(Bucket=bucket, Key="k", **options)["UploadId"]}


def send(s3, where, algorithm, parts=PARTS):
    """Sends all parts; returns their list for Complete, with and without their checksums."""
    bare, full = [], []
    for number, data in enumerate(parts, 1):
        answer = s3.upload_part(**where, PartNumber=number, Body=data, ChecksumAlgorithm=algorithm)
        assert answer[field(algorithm)] == checksum(algorithm, data)
        bare.append({"PartNumber": number, "ETag": answer["ETag"]})
        full.append({**bare[-1], field(algorithm): answer[field(algorithm)]})
    return bare, full


@pytest.mark.parametrize("bare", [False, True], ids=["with part checksums", "without part checksums"])
@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_composite_checksums(s3, bucket, algorithm, bare):
    where = start(s3, bucket, ChecksumAlgorithm=algorithm, ChecksumType="COMPOSITE")
    lists = send(s3, where, algorithm)
    answer = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": lists[0 if bare else 1]})
    assert answer[field(algorithm)] == composite(algorithm, PARTS) and answer["ChecksumType"] == "COMPOSITE"
    assert stored(s3, bucket) == ({algorithm: composite(algorithm, PARTS)}, "COMPOSITE")


@pytest.fixture
def plain(server):
    """A client that sends no checksums of its own accord."""
    return boto(server, request_checksum_calculation="when_required")


def send_plain(plain, where, parts=PARTS):
    sent = [plain.upload_part(**where, PartNumber=number, Body=data) for number, data in enumerate(parts, 1)]
    assert [answer[field(DEFAULT)] for answer in sent] == [checksum(DEFAULT, data) for data in parts]
    return [{"PartNumber": number, "ETag": answer["ETag"]} for number, answer in enumerate(sent, 1)]


def test_parts_sent_without_a_checksum_make_an_object_with_one(s3, plain, bucket):
    where = start(plain, bucket)
    bare = send_plain(plain, where)
    listed = s3.list_parts(**where)
    assert "ChecksumAlgorithm" not in listed and field(DEFAULT) not in listed["Parts"][0]
    answer = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": bare})
    assert (answer[field(DEFAULT)], answer["ChecksumType"]) == (checksum(DEFAULT, WHOLE), "FULL_OBJECT")
    assert stored(s3, bucket) == crc64(WHOLE)


def test_parts_with_other_checksums_make_an_object_with_the_default(s3, bucket):
    """The upload names no algorithm, so each part may have another. They are verified, and count in Complete."""
    where = start(s3, bucket)
    named = []
    for number, (data, algorithm) in enumerate(zip(PARTS, ["CRC32", "SHA256", "CRC64NVME"]), 1):
        answer = s3.upload_part(**where, PartNumber=number, Body=data, ChecksumAlgorithm=algorithm)
        assert answer[field(algorithm)] == checksum(algorithm, data)
        named.append({"PartNumber": number, "ETag": answer["ETag"], field(algorithm): answer[field(algorithm)]})
    answer = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": named})
    assert (answer[field(DEFAULT)], answer["ChecksumType"]) == (checksum(DEFAULT, WHOLE), "FULL_OBJECT")
    assert stored(s3, bucket) == crc64(WHOLE)


def test_copied_parts_make_an_object_with_the_default_checksum(s3, bucket):
    s3.put_object(Bucket=bucket, Key="source", Body=PARTS[0])
    where = start(s3, bucket)
    source = {"Bucket": bucket, "Key": "source"}
    copied = s3.upload_part_copy(**where, PartNumber=1, CopySource=source)["CopyPartResult"]["ETag"]
    sent = s3.upload_part(**where, PartNumber=2, Body=b"the last")["ETag"]
    parts = [{"PartNumber": 1, "ETag": copied}, {"PartNumber": 2, "ETag": sent}]
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    assert stored(s3, bucket) == crc64(PARTS[0] + b"the last")


@pytest.mark.parametrize("algorithm", [DEFAULT, "CRC32"])
def test_a_checksum_of_the_whole_counts_though_none_was_announced(s3, plain, bucket, algorithm):
    where = start(plain, bucket)
    bare = send_plain(plain, where) if algorithm == DEFAULT else send(s3, where, algorithm)[0]
    complete = {**where, "MultipartUpload": {"Parts": bare}, "ChecksumType": "FULL_OBJECT"}
    with refused("BadDigest"):
        s3.complete_multipart_upload(**complete, **{field(algorithm): checksum(algorithm, b"other")})
    s3.complete_multipart_upload(**complete, **{field(algorithm): checksum(algorithm, WHOLE)})
    assert stored(s3, bucket) == ({algorithm: checksum(algorithm, WHOLE)}, "FULL_OBJECT")


def test_a_checksum_of_the_whole_that_nothing_can_be_compared_with_is_refused(s3, plain, bucket):
    where = start(plain, bucket)
    bare = send_plain(plain, where, [b"one part"])
    with refused("InvalidRequest"):
        s3.complete_multipart_upload(**where, MultipartUpload={"Parts": bare}, ChecksumCRC32=checksum("CRC32", b"one part"))
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": bare})


@pytest.mark.parametrize("algorithm", CRCS)
def test_full_object_checksums(s3, bucket, algorithm):
    where = start(s3, bucket, ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")
    bare, _ = send(s3, where, algorithm)
    whole = {field(algorithm): checksum(algorithm, WHOLE)}
    answer = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": bare}, ChecksumType="FULL_OBJECT", **whole)
    assert answer[field(algorithm)] == checksum(algorithm, WHOLE)
    assert stored(s3, bucket) == ({algorithm: checksum(algorithm, WHOLE)}, "FULL_OBJECT")


@pytest.mark.parametrize("algorithm, kind", [("CRC32", "COMPOSITE"), ("SHA256", "COMPOSITE"), ("CRC64NVME", "FULL_OBJECT")])
def test_the_default_type_of_an_algorithm(s3, bucket, algorithm, kind):
    where = start(s3, bucket, ChecksumAlgorithm=algorithm)
    bare, _ = send(s3, where, algorithm, [b"one part"])
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": bare})
    assert stored(s3, bucket)[1] == kind


@pytest.mark.parametrize("algorithm, kind", [("SHA1", "FULL_OBJECT"), ("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE")])
def test_types_that_an_algorithm_does_not_have(s3, bucket, algorithm, kind):
    with refused("InvalidRequest"):
        start(s3, bucket, ChecksumAlgorithm=algorithm, ChecksumType=kind)


def test_a_wrong_full_object_checksum_is_refused(s3, bucket):
    where = start(s3, bucket, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    bare, _ = send(s3, where, "CRC32", [b"one part"])
    with refused("BadDigest", "InvalidRequest"):
        s3.complete_multipart_upload(**where, MultipartUpload={"Parts": bare}, ChecksumType="FULL_OBJECT", ChecksumCRC32=checksum("CRC32", b"other"))
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="k")


def test_a_wrong_part_checksum_in_complete_is_refused(s3, bucket):
    where = start(s3, bucket, ChecksumAlgorithm="CRC32")
    _, full = send(s3, where, "CRC32", [b"one part"])
    full[0]["ChecksumCRC32"] = checksum("CRC32", b"other")
    with refused("InvalidPart", "BadDigest"):
        s3.complete_multipart_upload(**where, MultipartUpload={"Parts": full})


def test_a_wrong_checksum_of_a_part_is_refused(raw, s3, bucket):
    where = start(s3, bucket, ChecksumAlgorithm="CRC32")
    query = [("partNumber", "1"), ("uploadId", where["UploadId"])]
    answer = raw.request("PUT", f"/{bucket}/k", query, {header("CRC32"): checksum("CRC32", b"other")}, b"data")
    answered(answer, "BadDigest")
    assert "Parts" not in s3.list_parts(**where)


def test_list_parts_and_uploads_show_the_algorithm(s3, bucket):
    where = start(s3, bucket, ChecksumAlgorithm="SHA256")
    send(s3, where, "SHA256", [b"one part"])
    page = s3.list_parts(**where)
    assert page["ChecksumAlgorithm"] == "SHA256" and page["ChecksumType"] == "COMPOSITE"
    assert page["Parts"][0]["ChecksumSHA256"] == checksum("SHA256", b"one part")
    assert s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["ChecksumAlgorithm"] == "SHA256"


def test_the_object_size_given_to_complete_is_checked(s3, bucket):
    where = start(s3, bucket)
    bare, _ = send(s3, where, "CRC32", [b"one part"])
    with refused("InvalidRequest"):
        s3.complete_multipart_upload(**where, MultipartUpload={"Parts": bare}, MpuObjectSize=9)
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": bare}, MpuObjectSize=8)


# --- GetObjectAttributes -----------------------------------------------------------------------------------------------

ALL = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]


def test_attributes_of_an_object_put_at_once(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm="CRC32C")
    answer = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=ALL)
    assert answer["ETag"] == etag(b"data").strip('"')
    assert answer["Checksum"]["ChecksumCRC32C"] == checksum("CRC32C", b"data")
    assert answer["Checksum"]["ChecksumType"] == "FULL_OBJECT"
    assert answer["ObjectSize"] == 4 and answer["StorageClass"] == "STANDARD" and answer["LastModified"]
    assert "ObjectParts" not in answer


def test_attributes_only_as_asked(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    answer = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectSize"])
    assert answer["ObjectSize"] == 4 and not {"ETag", "Checksum", "StorageClass"} & set(answer)


def test_attributes_of_a_multipart_object(s3, bucket):
    where = start(s3, bucket, ChecksumAlgorithm="SHA256")
    _, full = send(s3, where, "SHA256")
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": full})
    answer = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=ALL)
    assert answer["Checksum"]["ChecksumSHA256"].split("-")[0] == composite("SHA256", PARTS).split("-")[0]
    parts = answer["ObjectParts"]
    assert parts["TotalPartsCount"] == 3 and not parts["IsTruncated"]
    assert [(p["PartNumber"], p["Size"]) for p in parts["Parts"]] == [(n, len(d)) for n, d in enumerate(PARTS, 1)]
    assert [p["ChecksumSHA256"] for p in parts["Parts"]] == [checksum("SHA256", d) for d in PARTS]
    page = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts"], MaxParts=1, PartNumberMarker=1)
    assert [p["PartNumber"] for p in page["ObjectParts"]["Parts"]] == [2]
    assert page["ObjectParts"]["IsTruncated"] and page["ObjectParts"]["NextPartNumberMarker"] == 2


def test_attributes_refusals(raw, s3, bucket):
    with refused("NoSuchKey"):
        s3.get_object_attributes(Bucket=bucket, Key="none", ObjectAttributes=["ETag"])
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    answered(raw.request("GET", f"/{bucket}/k", [("attributes", "")]), "InvalidArgument", "InvalidRequest")
    answer = raw.request("GET", f"/{bucket}/k", [("attributes", "")], {"x-amz-object-attributes": "Colour"})
    answered(answer, "InvalidArgument")


@pytest.mark.parametrize("name", ["x-amz-max-parts", "x-amz-part-number-marker"])
def test_attributes_of_parts_with_a_page_that_is_none(raw, s3, bucket, name):
    where = start(s3, bucket)
    bare, _ = send(s3, where, "CRC32", [b"one part"])
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": bare})
    for value in ("-1", "x"):
        answer = raw.request("GET", f"/{bucket}/k", [("attributes", "")], {"x-amz-object-attributes": "ObjectParts", name: value})
        answered(answer, "InvalidArgument")
