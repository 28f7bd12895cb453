"""IAM and STS clients, and users of an account."""

import json

import boto3
import urllib3
from botocore.config import Config

from larderlib.clients import boto

_pool = urllib3.PoolManager(retries=False, timeout=60)


def get(url, headers=None):
    return _pool.request("GET", url, headers=headers)


def post(url, body, headers):
    return _pool.request("POST", url, body=body, headers=headers)


def post_form(form, content):
    """Uploads `content` by a form that boto3 presigned; gives the status."""
    return _pool.request("POST", form["url"], fields={**form["fields"], "file": ("name", content)}).status


def query(service, server, access_key=None, secret_key=None, token=None, region=None, **config):
    """A boto3 client of `iam` or `sts`, as it comes but for the endpoint; without retries."""
    return boto3.session.Session().client(
        service,
        endpoint_url=server.endpoint,
        aws_access_key_id=access_key or server.access_key,
        aws_secret_access_key=secret_key or server.secret_key,
        aws_session_token=token,
        region_name=region or server.region,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=60, max_pool_connections=64, **config),
    )


def statement(actions, resources="*", effect="Allow", **more):
    return {"Effect": effect, "Action": actions, "Resource": resources, **more}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


class User:
    """A user with one access key, and clients that sign with it."""

    def __init__(self, server, iam, name, *statements, **options):
        self.server, self.iam, self.name = server, iam, name
        self.arn = iam.create_user(UserName=name, **options)["User"]["Arn"]
        if statements:
            self.allow(*statements)
        self.key = iam.create_access_key(UserName=name)["AccessKey"]
        self.pair = {"access_key": self.key["AccessKeyId"], "secret_key": self.key["SecretAccessKey"]}

    def allow(self, *statements, name="inline"):
        self.iam.put_user_policy(UserName=self.name, PolicyName=name, PolicyDocument=policy(*statements))

    @property
    def s3(self):
        return boto(self.server, **self.pair)

    def client(self, service):
        return query(service, self.server, **self.pair)
