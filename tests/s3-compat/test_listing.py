"""Listing, versions 1 and 2 and object versions, compared with a model over the same keys."""

import random
from urllib.parse import unquote

import pytest
from larderlib.clients import unique_bucket
from larderlib.expect import answered, refused

FIXED = ["a", "a/", "a//b", "a/b", "a/c/d", "b", "b-", "b/1", "b/2", "c/x/1", "c/x/2", "c/y", "d", "é", "日本", "z/"]


def fill(s3, keys):
    name = unique_bucket("listing")
    s3.create_bucket(Bucket=name)
    for key in keys:
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    return name


@pytest.fixture(scope="module")
def fixed(s3):
    return fill(s3, FIXED)


# --- The model: what a listing is, written as plainly as it can be -----------------------------------------------------


def model_entries(keys, prefix="", delimiter="", after=""):
    """All entries of a listing in order, each a key or a common prefix, that come after `after`."""
    entries = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix) or key.encode() <= after.encode():
            continue
        rest = key[len(prefix) :]
        if delimiter and delimiter in rest:
            common = prefix + rest[: rest.index(delimiter) + len(delimiter)]
            # A common prefix that `after` already covers is not shown again.
            if ("prefix", common) not in entries and not after.startswith(common):
                entries.append(("prefix", common))
        else:
            entries.append(("key", key))
    return entries


def entries_of(page):
    entries = [("key", o["Key"]) for o in page.get("Contents", [])]
    entries += [("prefix", p["Prefix"]) for p in page.get("CommonPrefixes", [])]
    return sorted(entries, key=lambda entry: entry[1].encode())


def pages_v2(s3, bucket, **options):
    token = {}
    while True:
        page = s3.list_objects_v2(Bucket=bucket, **options, **token)
        yield page
        if not page["IsTruncated"]:
            assert "NextContinuationToken" not in page
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def pages_v1(s3, bucket, **options):
    marker = {}
    while True:
        page = s3.list_objects(Bucket=bucket, **options, **marker)
        yield page
        if not page["IsTruncated"]:
            return
        # NextMarker is only sent with a delimiter; without one the last key is the marker.
        last = page["NextMarker"] if "Delimiter" in options else page["Contents"][-1]["Key"]
        marker = {"Marker": last}


def pages_versions(s3, bucket, **options):
    marker = {}
    while True:
        page = s3.list_object_versions(Bucket=bucket, **options, **marker)
        yield {"Contents": page.get("Versions", []), "CommonPrefixes": page.get("CommonPrefixes", []), "IsTruncated": page["IsTruncated"]}
        if not page["IsTruncated"]:
            return
        marker = {"KeyMarker": page["NextKeyMarker"]}
        if page.get("NextVersionIdMarker"):
            marker["VersionIdMarker"] = page["NextVersionIdMarker"]


def compare(pages, expected, max_keys):
    """Every page but the last is full, the last is not marked truncated, and together they are what the model says."""
    got = []
    pages = list(pages)
    for page in pages:
        entries = entries_of(page)
        assert len(entries) <= max_keys
        assert len(entries) == max_keys or not page["IsTruncated"], "a truncated page is full"
        assert page.get("KeyCount", len(entries)) == len(entries), "KeyCount counts keys and common prefixes"
        got += entries
    assert got == expected
    assert len(pages) == max(1, -(-len(expected) // max_keys)), "no empty last page"


CASES = [
    {},
    {"Prefix": "a"},
    {"Prefix": "a/"},
    {"Prefix": "b"},
    {"Prefix": "nothing"},
    {"Delimiter": "/"},
    {"Delimiter": "/", "Prefix": "a"},
    {"Delimiter": "/", "Prefix": "a/"},
    {"Delimiter": "/", "Prefix": "c/"},
    {"Delimiter": "x/"},
    {"Delimiter": "x"},
    {"Delimiter": "//"},
    {"Delimiter": "本"},
    {"Delimiter": "nowhere"},
]


@pytest.mark.parametrize("max_keys", [1, 2, 3, 1000])
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("pages", [pages_v1, pages_v2, pages_versions])
def test_listing_equals_the_model(s3, fixed, pages, case, max_keys):
    expected = model_entries(FIXED, case.get("Prefix", ""), case.get("Delimiter", ""))
    compare(pages(s3, fixed, MaxKeys=max_keys, **case), expected, max_keys)


@pytest.mark.parametrize("after", ["", "a", "a/", "a/b", "a/zzz", "b-", "b/", "c/x/1", "zzz", "0", "é"])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_start_after_and_marker(s3, fixed, after, delimiter):
    options = {"Delimiter": delimiter} if delimiter else {}
    expected = model_entries(FIXED, "", delimiter, after)
    assert entries_of(s3.list_objects_v2(Bucket=fixed, StartAfter=after, **options)) == expected
    assert entries_of(s3.list_objects(Bucket=fixed, Marker=after, **options)) == expected


@pytest.mark.parametrize("seed", range(6))
def test_random_keys_and_questions_equal_the_model(s3, seed):
    rng = random.Random(seed)
    alphabet = ["a", "b", "/", "//", "-", "é", "0", "~", " ", "+"]
    keys = {"".join(rng.choices(alphabet, k=rng.randint(1, 7))) for _ in range(60)}
    bucket = fill(s3, keys)
    for _ in range(25):
        options = {}
        if rng.random() < 0.6:
            options["Prefix"] = "".join(rng.choices(alphabet, k=rng.randint(1, 2)))
        if rng.random() < 0.6:
            options["Delimiter"] = "".join(rng.choices(alphabet, k=rng.choice([1, 1, 1, 2])))
        after = "".join(rng.choices(alphabet, k=rng.randint(1, 4))) if rng.random() < 0.4 else ""
        expected = model_entries(keys, options.get("Prefix", ""), options.get("Delimiter", ""), after)
        max_keys = rng.choice([1, 2, 7, 1000])
        start = {"StartAfter": after} if after else {}
        print(seed, options, repr(after), max_keys)
        compare(pages_v2(s3, bucket, MaxKeys=max_keys, **start, **options), expected, max_keys)


@pytest.mark.parametrize("lister", ["list_objects", "list_objects_v2"])
def test_max_keys_of_zero(s3, fixed, lister):
    page = getattr(s3, lister)(Bucket=fixed, MaxKeys=0)
    assert page["IsTruncated"] is False and "Contents" not in page
    assert page.get("KeyCount", 0) == 0


def test_max_keys_beyond_a_thousand_gives_a_thousand(s3):
    bucket = unique_bucket("listing")
    s3.create_bucket(Bucket=bucket)
    from concurrent.futures import ThreadPoolExecutor

    keys = [f"k{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b""), keys))
    for asked in ({}, {"MaxKeys": 1000}, {"MaxKeys": 5000}):
        page = s3.list_objects_v2(Bucket=bucket, **asked)
        assert page["KeyCount"] == 1000 and page["IsTruncated"]
        assert [o["Key"] for o in page["Contents"]] == keys[:1000]
        rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=page["NextContinuationToken"], **asked)
        assert [o["Key"] for o in rest["Contents"]] == keys[1000:] and not rest["IsTruncated"]


@pytest.mark.parametrize("value", ["-1", "abc", "99999999999999999999"])
@pytest.mark.parametrize(
    "path, query, name",
    [
        ("/{}", [], "max-keys"),
        ("/{}", [("list-type", "2")], "max-keys"),
        ("/{}", [("versions", "")], "max-keys"),
        ("/{}", [("uploads", "")], "max-uploads"),
        ("/", [], "max-buckets"),
    ],
)
def test_page_sizes_that_are_no_number(raw, fixed, path, query, name, value):
    answer = raw.request("GET", path.format(fixed), [*query, (name, value)])
    answered(answer, "InvalidArgument")
    assert (answer.text("ArgumentName"), answer.text("ArgumentValue")) == (name, value)
    if value == "-1":
        assert answer.text("Message") == f"Argument {name} must be an integer between 0 and 2147483647"
    else:
        assert answer.text("Message") == f"Provided {name} not an integer or within integer range"


def test_a_wrong_continuation_token_is_refused(s3, fixed):
    with refused("InvalidArgument"):
        s3.list_objects_v2(Bucket=fixed, ContinuationToken="this is not a token")


@pytest.mark.parametrize("value", ["", "0", "1", "3", "bogus"])
def test_a_list_type_other_than_2_is_the_first(raw, fixed, value):
    """As AWS has it: the parameter selects version 2, and whatever else it says selects nothing."""
    answer = raw.request("GET", f"/{fixed}", [("list-type", value)])
    assert answer.status == 200 and answer.text("KeyCount") is None, answer
    assert b"<Marker" in answer.body


def test_an_unknown_encoding_type_is_refused(raw, fixed):
    answered(raw.request("GET", f"/{fixed}", [("list-type", "2"), ("encoding-type", "base64")]), "InvalidArgument")


def test_what_a_listing_says_of_an_object(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"12345")
    for page in (s3.list_objects(Bucket=bucket), s3.list_objects_v2(Bucket=bucket, FetchOwner=True)):
        entry = page["Contents"][0]
        assert entry["Key"] == "k" and entry["Size"] == 5 and entry["ETag"] == put["ETag"]
        assert entry["StorageClass"] == "STANDARD" and entry["Owner"]["ID"]
    assert "Owner" not in s3.list_objects_v2(Bucket=bucket)["Contents"][0]


def test_a_listing_names_the_checksum_algorithm(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ChecksumAlgorithm="SHA1")
    entry = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert entry["ChecksumAlgorithm"] == ["SHA1"]
    assert entry.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"


def test_the_request_is_echoed(s3, fixed):
    page = s3.list_objects_v2(Bucket=fixed, Prefix="a", Delimiter="/", StartAfter="a", MaxKeys=7)
    assert (page["Name"], page["Prefix"], page["Delimiter"], page["StartAfter"], page["MaxKeys"]) == (fixed, "a", "/", "a", 7)
    page = s3.list_objects(Bucket=fixed, Prefix="a", Delimiter="/", Marker="a", MaxKeys=7)
    assert (page["Name"], page["Prefix"], page["Delimiter"], page["Marker"], page["MaxKeys"]) == (fixed, "a", "/", "a", 7)


def test_an_empty_token_and_an_empty_start_come_back_and_start_at_the_beginning(raw, fixed):
    everything = raw.request("GET", f"/{fixed}", [("list-type", "2")])
    query = [("list-type", "2"), ("continuation-token", ""), ("start-after", "")]
    answer = raw.request("GET", f"/{fixed}", query)
    assert answer.status == 200, answer
    assert (answer.text("ContinuationToken") or "", answer.text("StartAfter") or "") == ("", "")
    assert b"<ContinuationToken>" in answer.body and b"<StartAfter>" in answer.body
    assert answer.text("KeyCount") == everything.text("KeyCount")


def test_encoding_type_url(raw, s3, bucket):
    keys = ["a b/c+d", "ü&<é>", "x\ny", "100%", "ctrl\x01char"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    for query in ([("encoding-type", "url")], [("list-type", "2"), ("encoding-type", "url")]):
        answer = raw.request("GET", f"/{bucket}", [*query, ("prefix", ""), ("delimiter", "/")])
        assert answer.text("EncodingType") == "url"
        found = [e.text for e in answer.xml.iter() if e.tag.endswith("}Key")]
        prefixes = [e.text for c in answer.xml.iter() if c.tag.endswith("}CommonPrefixes") for e in c]
        assert sorted(unquote(key.replace("+", " ")) for key in found + prefixes) == sorted([k for k in keys if "/" not in k] + ["a b/"])
        assert all(" " not in key and "\n" not in key for key in found + prefixes), "encoded as in a URL"


def test_without_encoding_type_keys_are_plain_xml(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a b/<&>é", Body=b"")
    answer = raw.request("GET", f"/{bucket}", [("list-type", "2")])
    assert answer.text("Key") == "a b/<&>é" and answer.text("EncodingType") is None


def test_listings_are_in_the_s3_namespace(raw, fixed):
    for query, root in (
        ([], "ListBucketResult"),
        ([("list-type", "2")], "ListBucketResult"),
        ([("versions", "")], "ListVersionsResult"),
        ([("uploads", "")], "ListMultipartUploadsResult"),
    ):
        answer = raw.request("GET", f"/{fixed}", query)
        assert answer.xml.tag == "{http://s3.amazonaws.com/doc/2006-03-01/}" + root
        assert answer.headers["content-type"] == "application/xml"


def test_versions_of_a_bucket_that_never_had_versioning(s3, fixed):
    page = s3.list_object_versions(Bucket=fixed)
    assert [v["Key"] for v in page["Versions"]] == sorted(FIXED, key=str.encode)
    for version in page["Versions"]:
        assert version["VersionId"] == "null" and version["IsLatest"] is True
        assert version["Size"] == len(version["Key"].encode()) and version["StorageClass"] == "STANDARD"
    assert "DeleteMarkers" not in page


def test_versions_from_a_key_marker(s3, fixed):
    page = s3.list_object_versions(Bucket=fixed, KeyMarker="b/1")
    assert [v["Key"] for v in page["Versions"]] == [k for k in sorted(FIXED, key=str.encode) if k.encode() > b"b/1"]


def test_version_id_null_names_the_object(s3, fixed):
    assert s3.get_object(Bucket=fixed, Key="d", VersionId="null")["Body"].read() == b"d"
    assert s3.head_object(Bucket=fixed, Key="d", VersionId="null")["ContentLength"] == 1


def test_a_listing_sees_writes_and_deletes_at_once(s3, bucket):
    for number in range(50):
        s3.put_object(Bucket=bucket, Key=f"k{number % 7}", Body=b"x")
        s3.delete_object(Bucket=bucket, Key=f"k{(number + 3) % 7}")
        listed = {o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}
        assert f"k{number % 7}" in listed and f"k{(number + 3) % 7}" not in listed
