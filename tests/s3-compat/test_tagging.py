"""Object tags: set with the object or after it, counted, copied, limited."""

import pytest
from larderlib.expect import answered, refused


def tag_set(**tags):
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


def tags(s3, bucket, key="k"):
    return {t["Key"]: t["Value"] for t in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}


@pytest.fixture
def tagged(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="team=db&env=test%20one&empty=")
    return bucket


def test_tags_of_the_put_request(s3, tagged):
    assert tags(s3, tagged) == {"team": "db", "env": "test one", "empty": ""}


def test_the_tags_are_counted(s3, raw, tagged):
    assert s3.get_object(Bucket=tagged, Key="k")["TagCount"] == 3
    assert raw.request("HEAD", f"/{tagged}/k").headers["x-amz-tagging-count"] == "3"


def test_an_object_without_tags(s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert tags(s3, bucket) == {}
    assert "x-amz-tagging-count" not in raw.request("GET", f"/{bucket}/k").headers


def test_put_replaces_all_tags_and_nothing_else(s3, tagged):
    before = s3.head_object(Bucket=tagged, Key="k")
    s3.put_object_tagging(Bucket=tagged, Key="k", Tagging=tag_set(new="1"))
    assert tags(s3, tagged) == {"new": "1"}
    after = s3.head_object(Bucket=tagged, Key="k")
    assert after["ETag"] == before["ETag"] and after["LastModified"] == before["LastModified"]
    assert s3.get_object(Bucket=tagged, Key="k")["Body"].read() == b"x"


def test_delete_tags(s3, tagged):
    answer = s3.delete_object_tagging(Bucket=tagged, Key="k")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags(s3, tagged) == {}


def test_an_overwrite_drops_the_tags(s3, tagged):
    s3.put_object(Bucket=tagged, Key="k", Body=b"y")
    assert tags(s3, tagged) == {}


def test_tags_of_what_is_not_there(s3, bucket):
    for call in (
        lambda: s3.get_object_tagging(Bucket=bucket, Key="none"),
        lambda: s3.put_object_tagging(Bucket=bucket, Key="none", Tagging=tag_set(a="1")),
        lambda: s3.delete_object_tagging(Bucket=bucket, Key="none"),
    ):
        with refused("NoSuchKey"):
            call()


def test_ten_tags_and_no_more(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set(**{f"t{n}": "v" for n in range(10)}))
    with refused("BadRequest", "InvalidTag", status=400):
        s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set(**{f"t{n}": "v" for n in range(11)}))
    assert len(tags(s3, bucket)) == 10


def test_lengths(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set(**{"k" * 128: "v" * 256}))
    for wrong in (tag_set(**{"k" * 129: "v"}), tag_set(k="v" * 257)):
        with refused("InvalidTag"):
            s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=wrong)


def test_a_tag_key_twice_is_refused(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    twice = {"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}
    with refused("InvalidTag"):
        s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=twice)
    with refused("InvalidTag", "InvalidArgument"):
        s3.put_object(Bucket=bucket, Key="k2", Body=b"x", Tagging="a=1&a=2")


def test_unicode_tags(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set(Größe="groß +-=._:/@"))
    assert tags(s3, bucket) == {"Größe": "groß +-=._:/@"}


@pytest.mark.parametrize("body", [b"", b"x", b"<Tagging>", b"<Tagging/>", b"<Tagging><TagSet><Tag></Tag></TagSet></Tagging>"])
def test_malformed_tagging(raw, s3, bucket, body):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    answer = raw.request("PUT", f"/{bucket}/k", [("tagging", "")], body=body)
    answered(answer, "MalformedXML", "InvalidTag", "MissingRequestBodyError")


def test_tags_of_a_bucket_are_set_replaced_and_removed(s3, bucket):
    with refused("NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)
    for set_ in (tag_set(team="db", env="test one", empty=""), tag_set(team="web"), tag_set(**{f"key{n}": "x" * 256 for n in range(50)})):
        s3.put_bucket_tagging(Bucket=bucket, Tagging=set_)
        assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == set_["TagSet"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert tags(s3, bucket) == {}, "an object has none of its bucket's"
    for _ in range(2):
        assert s3.delete_bucket_tagging(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused("NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)


def test_tags_that_no_bucket_can_have(s3, raw, bucket):
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set(team="db"))
    with refused("BadRequest"):
        s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set(**{f"key{n}": "x" for n in range(51)}))
    for wrong in (tag_set(**{"x" * 129: "v"}), tag_set(key="x" * 257), tag_set(**{"aws:key": "v"})):
        with refused("InvalidTag"):
            s3.put_bucket_tagging(Bucket=bucket, Tagging=wrong)
    with refused("InvalidTag"):
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]})
    answered(raw.request("PUT", f"/{bucket}", [("tagging", "")], body=b"<x/>"), "MalformedXML")
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tag_set(team="db")["TagSet"]
