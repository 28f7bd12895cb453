"""What a server has acknowledged, and the comparison with what it holds."""

import hashlib
import random

from .clients import boto, unique_bucket

MIB = 1024 * 1024


def body_of(tag, size):
    """Bytes that follow from a short tag, so that a test remembers tags and not bodies."""
    return random.Random(str(tag)).randbytes(size)


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Model:
    """A bucket of its own, and per key the digest of what was acknowledged last."""

    def __init__(self, server):
        self.server = server
        self.client = boto(server)
        self.bucket = unique_bucket("model")
        self.client.create_bucket(Bucket=self.bucket)
        self.sure = {}
        self.sizes = {}

    def put(self, name, size, tag=None):
        data = body_of(tag or name, size)
        self.client.put_object(Bucket=self.bucket, Key=name, Body=data)
        self.sure[name], self.sizes[name] = digest(data), size

    def put_in_parts(self, name, sizes):
        where = {"Bucket": self.bucket, "Key": name}
        where["UploadId"] = self.client.create_multipart_upload(**where)["UploadId"]
        parts, whole = [], []
        for number, size in enumerate(sizes, 1):
            whole.append(body_of(f"{name}/{number}", size))
            answer = self.client.upload_part(**where, PartNumber=number, Body=whole[-1])
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self.client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
        self.sure[name], self.sizes[name] = digest(b"".join(whole)), sum(sizes)

    def delete(self, name):
        self.client.delete_object(Bucket=self.bucket, Key=name)
        del self.sure[name], self.sizes[name]

    def live_bytes(self):
        return sum(self.sizes.values())

    def compare(self):
        """Reads everything back, also after a restart."""
        self.client = boto(self.server)
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        listed = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}
        assert listed == self.sizes
        for name, sure in self.sure.items():
            data = self.client.get_object(Bucket=self.bucket, Key=name)["Body"].read()
            assert digest(data) == sure, f"{name} is not what was acknowledged"
