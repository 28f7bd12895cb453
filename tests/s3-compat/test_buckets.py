"""Buckets: making, finding, naming and removing them."""

import pytest
from larderlib.clients import boto, unique_bucket
from larderlib.expect import answered, refused, status
from larderlib.iam import User, query, statement
from larderlib.rawhttp import Raw
from larderlib.server import Larder


def test_a_created_bucket_is_listed_with_its_date(s3):
    name = unique_bucket()
    answer = s3.create_bucket(Bucket=name)
    assert answer["Location"] == f"/{name}"
    listed = {b["Name"]: b["CreationDate"] for b in s3.list_buckets()["Buckets"]}
    assert listed[name].year >= 2020
    assert list(listed) == sorted(listed), "buckets are listed in order of name"


def created_with_tags(s3, name, *tags):
    tags = [{"Key": key, "Value": value} for key, value in tags]
    return s3.create_bucket(Bucket=name, CreateBucketConfiguration={"Tags": tags})


def test_a_bucket_has_tags_from_the_moment_it_is_made(s3):
    name = unique_bucket()
    created_with_tags(s3, name, ("team", "db"), ("env", ""))
    tags = {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=name)["TagSet"]}
    assert tags == {"team": "db", "env": ""}


def test_tags_that_are_not_allowed_make_no_bucket(s3):
    name = unique_bucket()
    with refused("InvalidTag"):
        created_with_tags(s3, name, ("a", "1"), ("a", "2"))
    with refused("InvalidTag"):
        created_with_tags(s3, name, ("a" * 129, "1"))
    with status(404):
        s3.head_bucket(Bucket=name)


def test_a_user_needs_a_permission_of_its_own_for_tags_of_a_new_bucket(server):
    name = unique_bucket()
    user = User(server, query("iam", server), "tagger", statement("s3:CreateBucket"))
    with refused("AccessDenied"):
        created_with_tags(user.s3, name, ("team", "db"))
    user.s3.create_bucket(Bucket=name)
    user.allow(statement(["s3:CreateBucket", "s3:TagResource"]))
    created_with_tags(user.s3, name + "-2", ("team", "db"))


def test_list_buckets_names_the_owner(s3):
    assert s3.list_buckets()["Owner"]["ID"]


def test_list_buckets_with_prefix_and_pages(s3):
    prefix = unique_bucket("paged")
    names = [f"{prefix}-{n}" for n in range(5)]
    for name in names:
        s3.create_bucket(Bucket=name)
    listed, token = [], {}
    while True:
        page = s3.list_buckets(Prefix=prefix, MaxBuckets=2, **token)
        listed += [b["Name"] for b in page["Buckets"]]
        assert len(page["Buckets"]) <= 2
        if "ContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["ContinuationToken"]}
    assert listed == names


def test_head_bucket_answers_with_the_region(s3, bucket, server):
    answer = s3.head_bucket(Bucket=bucket)
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == server.region


def test_head_of_a_bucket_that_is_not_there(s3):
    with status(404):
        s3.head_bucket(Bucket=unique_bucket())


def test_head_bucket_with_a_wrong_region_hint_tells_the_right_one(server, bucket):
    answer = Raw(server, region="eu-west-3").request("HEAD", f"/{bucket}")
    assert answer.status in (200, 301, 400, 403), answer
    assert answer.headers["x-amz-bucket-region"] == server.region


def test_another_region_in_the_signature_is_refused_by_name(server, bucket):
    answer = Raw(server, region="eu-west-3").request("GET", f"/{bucket}")
    assert answer.status == 400 and answer.code == "AuthorizationHeaderMalformed", answer
    assert answer.text("Region") == server.region


def test_location_of_us_east_1_is_empty(s3, bucket):
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None


def test_location_of_a_bucket_that_is_not_there(s3):
    with refused("NoSuchBucket"):
        s3.get_bucket_location(Bucket=unique_bucket())


def test_creating_ones_own_bucket_again_in_us_east_1_succeeds(s3, bucket):
    s3.put_object(Bucket=bucket, Key="kept", Body=b"x")
    assert s3.create_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"x"


def test_creating_with_a_location_constraint_of_another_region_is_refused(s3):
    with refused("IllegalLocationConstraintException", status=400):
        s3.create_bucket(Bucket=unique_bucket(), CreateBucketConfiguration={"LocationConstraint": "eu-west-3"})


def test_creating_with_a_location_constraint_that_is_no_region_is_refused(s3):
    with refused("InvalidLocationConstraint", status=400):
        s3.create_bucket(Bucket=unique_bucket(), CreateBucketConfiguration={"LocationConstraint": "mars-1"})


@pytest.mark.parametrize("size", ["0", "-1", "10001", "many"])
def test_a_page_of_buckets_out_of_range_is_refused(raw, size):
    answered(raw.request("GET", "/", [("max-buckets", size)]), "InvalidArgument")


def test_creating_with_a_list_where_lists_do_not_count_is_refused_rather_than_ignored(s3, raw):
    s3.create_bucket(Bucket=unique_bucket(), ObjectOwnership="BucketOwnerEnforced", ACL="private")
    name = unique_bucket()
    for open_to_others in ({"ACL": "public-read"}, {"ACL": "authenticated-read"}, {"GrantRead": "id=somebody"}):
        with refused("InvalidBucketAclWithObjectOwnership", status=400):
            s3.create_bucket(Bucket=name, **open_to_others)
    answered(raw.request("PUT", f"/{name}", headers={"x-amz-object-ownership": "Nobody"}), "InvalidArgument")
    with status(404):
        s3.head_bucket(Bucket=name)


def test_creating_with_a_body_that_is_not_xml(raw):
    answered(raw.request("PUT", f"/{unique_bucket()}", body=b"<CreateBucketConfiguration><oops>"), "MalformedXML")


@pytest.mark.parametrize(
    "name",
    ["ab", "a" * 64, "Upper", "under_score", "-begins", "ends-", "two..dots", "192.168.1.1", ".dot", "dot.", "sp%20ace", "xn--a", "a-s3alias"],
)
def test_bucket_names_that_are_not_allowed(raw, name):
    answered(raw.request("PUT", f"/{name}"), "InvalidBucketName")


@pytest.mark.parametrize("name", ["abc", "a" * 63, "with.dots.inside", "0starts-with-digit", "1.2.3"])
def test_bucket_names_that_are_allowed(s3, name):
    s3.create_bucket(Bucket=name)
    s3.head_bucket(Bucket=name)
    s3.delete_bucket(Bucket=name)


def test_delete_bucket(s3, bucket):
    answer = s3.delete_bucket(Bucket=bucket)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused("NoSuchBucket"):
        s3.list_objects_v2(Bucket=bucket)
    with refused("NoSuchBucket"):
        s3.delete_bucket(Bucket=bucket)


def test_a_bucket_with_objects_is_not_deleted(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    with refused("BucketNotEmpty"):
        s3.delete_bucket(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)


def test_a_deleted_bucket_made_again_is_empty(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="k")


def test_operations_on_a_bucket_that_is_not_there(s3):
    name = unique_bucket()
    for call in (
        lambda: s3.put_object(Bucket=name, Key="k", Body=b""),
        lambda: s3.get_object(Bucket=name, Key="k"),
        lambda: s3.delete_object(Bucket=name, Key="k"),
        lambda: s3.list_objects(Bucket=name),
        lambda: s3.list_objects_v2(Bucket=name),
        lambda: s3.list_object_versions(Bucket=name),
        lambda: s3.list_multipart_uploads(Bucket=name),
        lambda: s3.create_multipart_upload(Bucket=name, Key="k"),
        lambda: s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k"}]}),
    ):
        with refused("NoSuchBucket"):
            call()


def test_two_buckets_hold_the_same_key_apart(s3, bucket):
    other = unique_bucket()
    s3.create_bucket(Bucket=other)
    s3.put_object(Bucket=bucket, Key="k", Body=b"one")
    s3.put_object(Bucket=other, Key="k", Body=b"two")
    s3.delete_object(Bucket=other, Key="k")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"one"


@pytest.mark.parametrize("domain", ["s3.localhost", "s3.example.test"])
def test_host_style_addressing(server, domain):
    client = boto(server, style="virtual", endpoint=f"http://{domain}:{server.port}")
    name = unique_bucket("host")
    client.create_bucket(Bucket=name)
    client.head_bucket(Bucket=name)
    for key in ("plain", "a/b//c", "ü +%"):
        client.put_object(Bucket=name, Key=key, Body=key.encode())
        assert client.get_object(Bucket=name, Key=key)["Body"].read() == key.encode()
    assert client.list_objects_v2(Bucket=name)["KeyCount"] == 3
    assert boto(server).list_objects_v2(Bucket=name)["KeyCount"] == 3, "path style sees the same bucket"
    assert name in [b["Name"] for b in client.list_buckets()["Buckets"]]


def test_host_style_with_a_bucket_name_with_dots(server):
    client = boto(server, style="virtual", endpoint=f"http://s3.localhost:{server.port}")
    name = unique_bucket("dots").replace("-", ".")
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key="k", Body=b"x")
    assert boto(server).get_object(Bucket=name, Key="k")["Body"].read() == b"x"


def test_host_style_is_case_insensitive_in_the_host(server, bucket):
    raw = Raw(server, host_header=f"{bucket}.S3.LocalHost:{server.port}")
    assert raw.request("PUT", "/k", body=b"x").status == 200
    assert raw.request("GET", "/k").body == b"x"


def test_path_style_under_a_configured_domain(server, bucket):
    raw = Raw(server, host_header=f"s3.example.test:{server.port}")
    assert raw.request("PUT", f"/{bucket}/k", body=b"x").status == 200
    assert raw.request("GET", f"/{bucket}/k").body == b"x"


# --- Another region ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def abroad(tmp_path_factory):
    class Abroad(Larder):
        region = "eu-central-1"

    with Abroad(directory=tmp_path_factory.mktemp("abroad")) as server:
        yield boto(server)


def test_a_bucket_of_another_region_says_where_it_is(abroad):
    abroad.create_bucket(Bucket="here", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    assert abroad.get_bucket_location(Bucket="here")["LocationConstraint"] == "eu-central-1"
    headers = abroad.head_bucket(Bucket="here")["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-bucket-region"] == "eu-central-1"


def test_creating_ones_own_bucket_again_elsewhere_is_refused(abroad):
    """Only us-east-1 lets its owner; everywhere else AWS says that it is there."""
    location = {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}
    abroad.create_bucket(Bucket="twice", **location)
    with refused("BucketAlreadyOwnedByYou"):
        abroad.create_bucket(Bucket="twice", **location)
    with refused("IllegalLocationConstraintException", status=400):
        abroad.create_bucket(Bucket="other", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
