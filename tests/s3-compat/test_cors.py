"""Cross-origin rules: set, read and removed; preflights; and what browsers look for in other answers."""

import pytest
from larderlib.clients import unique_bucket
from larderlib.expect import answered, refused

PAGE = "https://www.example.com"
RULES = [
    {
        "ID": "uploads",
        "AllowedOrigins": [PAGE, "https://*.example.org"],
        "AllowedMethods": ["PUT", "POST", "DELETE"],
        "AllowedHeaders": ["x-amz-*", "Content-Type"],
        "ExposeHeaders": ["ETag", "x-amz-version-id"],
        "MaxAgeSeconds": 3000,
    },
    {"AllowedOrigins": ["*"], "AllowedMethods": ["GET", "HEAD"]},
]


@pytest.fixture
def shared(s3, bucket):
    """A bucket that pages may use."""
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    return bucket


def preflight(raw, path, origin=PAGE, method="PUT", headers=None):
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    asked |= {"Access-Control-Request-Headers": headers} if headers is not None else {}
    return raw.send("OPTIONS", path, headers={name: value for name, value in asked.items() if value is not None})


def test_rules_are_set_read_and_removed(s3, bucket):
    with refused("NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket=bucket)
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES[1:]})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES[1:]
    for _ in range(2):
        assert s3.delete_bucket_cors(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused("NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket=bucket)
    with refused("NoSuchBucket"):
        s3.put_bucket_cors(Bucket=unique_bucket(), CORSConfiguration={"CORSRules": RULES})


def test_as_many_rules_as_there_may_be(s3, raw, bucket):
    rules = [{"AllowedOrigins": [f"https://{number}.example.com/" + "x" * 400], "AllowedMethods": ["GET"]} for number in range(100)]
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == rules
    assert preflight(raw, f"/{bucket}/k", origin=rules[99]["AllowedOrigins"][0], method="GET").status == 200


@pytest.mark.parametrize(
    "rule, code, words",
    [
        ({"AllowedMethods": ["PATCH"]}, "InvalidRequest", "Unsupported method is PATCH"),
        ({"AllowedMethods": ["get"]}, "InvalidRequest", "Unsupported method is get"),
        ({"AllowedOrigins": ["http://*.*"]}, "InvalidRequest", "can not have more than one wildcard"),
        ({"AllowedHeaders": ["x-*-*"]}, "InvalidRequest", "can not have more than one wildcard"),
        ({"ExposeHeaders": ["x-*"]}, "InvalidRequest", "ExposeHeader"),
        ({"AllowedOrigins": []}, "MalformedXML", ""),
        ({"ID": "x" * 256}, "MalformedXML", ""),
    ],
)
def test_rules_that_cannot_be(s3, bucket, rule, code, words):
    with refused(code) as error:
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [RULES[1] | rule]})
    assert words in error["Message"]


def test_what_is_no_configuration(s3, raw, bucket):
    for body in (b"", b"<CORSConfiguration/>", b"<x/>", b"<CORSConfiguration><CORSRule></CORSConfiguration>"):
        answered(raw.request("PUT", f"/{bucket}", [("cors", "")], body=body), "MalformedXML")
    with refused("MalformedXML"):
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES[1:] * 101})


def test_a_preflight_that_a_rule_allows(raw, shared):
    answer = preflight(raw, f"/{shared}/key", headers="Content-Type, X-Amz-Date")
    assert answer.status == 200 and answer.body == b""
    headers = answer.headers
    assert headers["access-control-allow-origin"] == PAGE and headers["access-control-allow-credentials"] == "true"
    assert headers["access-control-allow-methods"] == "PUT, POST, DELETE"
    assert headers["access-control-allow-headers"] == "content-type, x-amz-date"
    assert headers["access-control-expose-headers"] == "ETag, x-amz-version-id"
    assert headers["access-control-max-age"] == "3000"
    assert "Origin" in headers["vary"]
    assert preflight(raw, f"/{shared}/key", origin="https://a.example.org").headers["access-control-allow-origin"] == "https://a.example.org"
    assert preflight(raw, f"/{shared}", headers="").status == 200


def test_a_rule_for_everybody(raw, shared):
    headers = preflight(raw, f"/{shared}/key", origin="https://elsewhere.test", method="GET").headers
    assert headers["access-control-allow-origin"] == "*" and "access-control-allow-credentials" not in headers


def test_a_preflight_that_no_rule_allows(raw, bucket, shared):
    for asked in ({"origin": "https://elsewhere.test"}, {"headers": "authorization"}, {"method": "PUT", "origin": PAGE + ":8080"}):
        answer = preflight(raw, f"/{shared}/key", **asked)
        answered(answer, "AccessForbidden")
        assert answer.text("Message").startswith("CORSResponse: This CORS request is not allowed")
        assert "access-control-allow-origin" not in answer.headers


def test_a_preflight_where_there_are_no_rules(raw, bucket):
    answer = preflight(raw, f"/{bucket}/key")
    answered(answer, "AccessForbidden")
    assert answer.text("Message") == "CORSResponse: CORS is not enabled for this bucket."
    assert (answer.text("Method"), answer.text("ResourceType")) == ("PUT", "OBJECT")
    answered(preflight(raw, f"/{unique_bucket()}/key"), "NoSuchBucket")


def test_what_is_no_preflight(raw, shared):
    answer = preflight(raw, f"/{shared}/key", origin=None)
    answered(answer, "BadRequest")
    assert answer.text("Message") == "Insufficient information. Origin request header needed."
    answer = preflight(raw, f"/{shared}/key", method=None)
    answered(answer, "BadRequest")
    assert answer.text("Message") == "Invalid Access-Control-Request-Method: null"
    answered(preflight(raw, f"/{shared}/key", method="PATCH"), "BadRequest")


def test_what_a_page_asks_carries_what_browsers_look_for(s3, raw, shared):
    s3.put_object(Bucket=shared, Key="k", Body=b"x")
    got = raw.request("GET", f"/{shared}/k", headers={"Origin": PAGE})
    assert got.status == 200 and got.headers["access-control-allow-origin"] == "*"
    put = raw.request("PUT", f"/{shared}/k", headers={"Origin": PAGE}, body=b"y")
    assert put.status == 200 and put.headers["access-control-allow-origin"] == PAGE
    assert put.headers["access-control-expose-headers"] == "ETag, x-amz-version-id"
    missing = raw.request("GET", f"/{shared}/none", headers={"Origin": PAGE})
    assert missing.status == 404 and missing.headers["access-control-allow-origin"] == "*", "a page gets to see errors, too"
    for headers, method in (({}, "GET"), ({"Origin": "https://elsewhere.test"}, "DELETE")):
        assert "access-control-allow-origin" not in raw.request(method, f"/{shared}/k", headers=headers).headers


def test_a_preflight_in_host_style(server, raw, shared):
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "PUT", "Host": f"{shared}.s3.localhost"}
    assert raw.send("OPTIONS", "/key", headers=headers).headers["access-control-allow-origin"] == PAGE
