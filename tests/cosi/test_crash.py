"""The driver is killed between each write of the server's and its answer, at every such point; the same call again ends as if nothing had happened."""

import pytest
from larderlib.clients import boto
from larderlib.cosi import Driver, Proxy, Refused, answer_of
from larderlib.iam import query

PARAMETERS = {"quotaBytes": "1Gi", "versioning": "Enabled", "lifecycleExpireDays": "30", "tags": "team=db"}
MOST_REQUESTS = 60


class Cut:
    """Kills the driver when the server has answered its n-th request, and has the answer get lost."""

    def __init__(self, driver, number):
        self.driver, self.left, self.last = driver, number, None

    def __call__(self, method, path):
        self.left -= 1
        if self.left == 0:
            self.last = f"{method} {path}"
            self.driver.process.kill()
        return self.left > 0


def killed_at_every_point(server, prepare, method, check):
    """`prepare(driver, n)` gives the n-th request of `method`, which is cut at its n-th request to the server; `check(driver, request, first)` is
    given what the call answered afterwards. Gives the requests at which it was cut."""
    points = []
    with Proxy(server) as proxy:
        for number in range(1, MOST_REQUESTS):
            with Driver(server, endpoint=proxy.endpoint) as driver:
                request = prepare(driver, number)
                # A driver that has just started, so that it knows nothing of what was prepared.
                driver.kill()
                driver.start()
                cut = proxy.after = Cut(driver, number)
                call = driver.begin(method, **request)
                try:
                    answer_of(call)
                except Refused as refused:
                    assert refused.code == "UNAVAILABLE", refused
                proxy.after = None
                if cut.last is None:
                    return points
                points.append(cut.last)
                driver.process.wait()
                driver.start()
                first = driver.call(method, **request)
                assert driver.call(method, **request) == first, f"after {cut.last}"
                check(driver, request, first)
    raise AssertionError(f"more than {MOST_REQUESTS} requests for one call: {points}")


@pytest.mark.timeout(600)
def test_create_killed_at_every_point(server, s3, name):
    def check(driver, request, first):
        bucket = first["bucket_id"]
        assert bucket == request["name"]
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert {"Key": "team", "Value": "db"} in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
        driver.delete(bucket, **PARAMETERS)

    points = killed_at_every_point(server, lambda _, n: {"name": f"{name}-{n}", "parameters": PARAMETERS}, "DriverCreateBucket", check)
    assert any(point.startswith("PUT") for point in points), points


@pytest.mark.timeout(600)
def test_grant_killed_at_every_point(server, name, account):
    iam = query("iam", server)

    def prepare(driver, number):
        return {"bucket_id": driver.create(name), "name": f"{account}-{number}", "parameters": {"accessMode": "ReadWrite"}}

    def check(driver, request, first):
        granted = first["credentials"]["s3"]["secrets"]
        keys = iam.list_access_keys(UserName=request["name"])["AccessKeyMetadata"]
        assert [key["AccessKeyId"] for key in keys] == [granted["accessKeyID"]]
        client = boto(server, access_key=granted["accessKeyID"], secret_key=granted["accessSecretKey"])
        client.put_object(Bucket=name, Key="works", Body=b"x")
        client.delete_object(Bucket=name, Key="works")
        driver.revoke(name, first["account_id"])

    points = killed_at_every_point(server, prepare, "DriverGrantBucketAccess", check)
    assert len(points) >= 3, points


@pytest.mark.timeout(600)
def test_revoke_killed_at_every_point(server, name, account):
    iam = query("iam", server)

    def prepare(driver, number):
        driver.create(name)
        return {"bucket_id": name, "account_id": driver.grant(name, f"{account}-{number}").account}

    def check(driver, request, first):
        with pytest.raises(iam.exceptions.NoSuchEntityException):
            iam.get_user(UserName=request["account_id"])

    points = killed_at_every_point(server, prepare, "DriverRevokeBucketAccess", check)
    assert len(points) >= 2, points


@pytest.mark.timeout(600)
def test_delete_killed_at_every_point(server, s3, name):
    def prepare(driver, number):
        bucket = driver.create(f"{name}-{number}", onDelete="Empty")
        s3.put_object(Bucket=bucket, Key="gone", Body=b"x")
        return {"bucket_id": bucket, "delete_context": {"onDelete": "Empty"}}

    def check(driver, request, first):
        with pytest.raises(s3.exceptions.ClientError) as refused:
            s3.head_bucket(Bucket=request["bucket_id"])
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404

    points = killed_at_every_point(server, prepare, "DriverDeleteBucket", check)
    assert any(point.startswith("DELETE") for point in points), points
