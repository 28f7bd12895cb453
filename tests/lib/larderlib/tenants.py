"""A server with two accounts besides the operator's, and clients for each of them and for nobody."""

import json
from contextlib import contextmanager

from botocore import UNSIGNED

from larderlib.clients import boto, unique_bucket
from larderlib.rawhttp import Raw
from larderlib.server import Larder


class Tenant:
    """An account: its number, its credentials, what lists call it."""

    def __init__(self, number, name, canonical_id):
        self.id = str(number) * 12
        self.name = name
        self.email = f"{name}@example.com"
        self.canonical_id = canonical_id * 64
        self.pair = {"access_key": f"{name.upper()}KEY", "secret_key": f"secret of {name}"}
        self.arn = f"arn:aws:iam::{self.id}:root"

    def table(self):
        fields = {"id": self.id, "name": self.name, "email": self.email, "canonical_id": self.canonical_id, **self.pair}
        return "[[account]]\n" + "".join(f'{key} = "{value}"\n' for key, value in fields.items())


ALPHA = Tenant(1, "alpha", "a")
BETA = Tenant(2, "beta", "b")


class Tenants:
    def __init__(self, server):
        self.server = server
        self.root = boto(server)
        self.alpha = boto(server, **ALPHA.pair)
        self.beta = boto(server, **BETA.pair)
        self.anyone = boto(server, signature_version=UNSIGNED)
        self.raw = Raw(server)

    def bucket(self, **more):
        """A bucket of alpha's."""
        name = unique_bucket()
        self.alpha.create_bucket(Bucket=name, **more)
        return name


@contextmanager
def tenants(directory, *extra_args):
    (directory / "accounts.toml").write_text(ALPHA.table() + BETA.table())
    with Larder(directory=directory, extra_args=["--accounts", str(directory / "accounts.toml"), *extra_args]) as server:
        yield Tenants(server)


def statement(bucket, action, effect="Allow", principal="*", key=None, **more):
    """A statement about the bucket, or where there is a key, about objects."""
    resource = f"arn:aws:s3:::{bucket}" if key is None else f"arn:aws:s3:::{bucket}/{key}"
    return {"Effect": effect, "Principal": principal, "Action": action, "Resource": resource, **more}


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def set_policy(client, bucket, *statements):
    client.put_bucket_policy(Bucket=bucket, Policy=document(*statements))
