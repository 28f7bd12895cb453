"""The five checksum algorithms of S3, in the form that travels (base64, big endian)."""

import base64
import hashlib
import zlib

from awscrt import checksums as crt

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
CRCS = ("CRC32", "CRC32C", "CRC64NVME")


def digest(algorithm, data):
    match algorithm:
        case "CRC32":
            return zlib.crc32(data).to_bytes(4, "big")
        case "CRC32C":
            return crt.crc32c(data).to_bytes(4, "big")
        case "CRC64NVME":
            return crt.crc64nvme(data).to_bytes(8, "big")
        case "SHA1":
            return hashlib.sha1(data).digest()
        case "SHA256":
            return hashlib.sha256(data).digest()
    raise ValueError(algorithm)


def checksum(algorithm, data):
    return base64.b64encode(digest(algorithm, data)).decode()


def composite(algorithm, parts):
    """The checksum of a multipart object that is made of its parts' checksums, with their number."""
    joined = b"".join(digest(algorithm, part) for part in parts)
    return f"{checksum(algorithm, joined)}-{len(parts)}"


def md5_header(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def etag(data):
    return f'"{hashlib.md5(data).hexdigest()}"'


def multipart_etag(parts):
    joined = b"".join(hashlib.md5(part).digest() for part in parts)
    return f'"{hashlib.md5(joined).hexdigest()}-{len(parts)}"'


def header(algorithm):
    return f"x-amz-checksum-{algorithm.lower()}"


def field(algorithm):
    """The name of the checksum's field in boto3's requests and answers."""
    return f"Checksum{algorithm}"
