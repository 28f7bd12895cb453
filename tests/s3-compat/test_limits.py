"""Limits, and what somebody tries who means harm: every document that a request may have, against every trick with XML."""

import base64
import hashlib
import socket

import pytest
from larderlib.expect import answered
from larderlib.rawhttp import UNSIGNED

TAGGING = "<Tagging><TagSet><Tag><Key>k</Key><Value>{}</Value></Tag></TagSet></Tagging>"
ACL = "<AccessControlPolicy><Owner><ID>o</ID></Owner><AccessControlList><Grant><Grantee><ID>{}</ID></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>"
# A name, the method, what follows the bucket, the query, and the document, in which {} stands for a text.
DOCUMENTS = {
    "object tags": ("PUT", "/k", [("tagging", "")], TAGGING),
    "bucket tags": ("PUT", "", [("tagging", "")], TAGGING),
    "versioning": ("PUT", "", [("versioning", "")], "<VersioningConfiguration><Status>{}</Status></VersioningConfiguration>"),
    "cors": ("PUT", "", [("cors", "")], "<CORSConfiguration><CORSRule><AllowedOrigin>{}</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>"),
    "public access block": ("PUT", "", [("publicAccessBlock", "")], "<PublicAccessBlockConfiguration><BlockPublicAcls>{}</BlockPublicAcls></PublicAccessBlockConfiguration>"),
    "ownership controls": ("PUT", "", [("ownershipControls", "")], "<OwnershipControls><Rule><ObjectOwnership>{}</ObjectOwnership></Rule></OwnershipControls>"),
    "deletion": ("POST", "", [("delete", "")], "<Delete><Object><Key>{}</Key></Object></Delete>"),
    "object lock": ("PUT", "", [("object-lock", "")], "<ObjectLockConfiguration><ObjectLockEnabled>{}</ObjectLockEnabled></ObjectLockConfiguration>"),
    "retention": ("PUT", "/k", [("retention", "")], "<Retention><Mode>{}</Mode></Retention>"),
    "logging": ("PUT", "", [("logging", "")], "<BucketLoggingStatus><LoggingEnabled><TargetBucket>{}</TargetBucket></LoggingEnabled></BucketLoggingStatus>"),
    "legal hold": ("PUT", "/k", [("legal-hold", "")], "<LegalHold><Status>{}</Status></LegalHold>"),
    "lifecycle": ("PUT", "", [("lifecycle", "")], "<LifecycleConfiguration><Rule><ID>{}</ID><Filter/><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>"),
    "bucket list": ("PUT", "", [("acl", "")], ACL),
    "object list": ("PUT", "/k", [("acl", "")], ACL),
}
# As AWS has it, lists have a code of their own.
MALFORMED = {"bucket list": "MalformedACLError", "object list": "MalformedACLError"}
LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha">' + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij")) + "]>"


@pytest.fixture
def locked(s3, bucket):
    """A bucket with an object, in which everything else is allowed, so that only the document can be wrong."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    return bucket


def send(raw, bucket, name, body):
    method, below, query, _ = DOCUMENTS[name]
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    return raw.request(method, f"/{bucket}{below}", query, {"Content-MD5": md5}, body)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_tricks_with_xml(s3, raw, locked, name):
    document, malformed = DOCUMENTS[name][3], MALFORMED.get(name, "MalformedXML")
    plain = document.format("x")
    for body in (
        LAUGHS + document.format("&j;"),
        '<!DOCTYPE d SYSTEM "file:///etc/passwd">' + plain,
        '<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + document.format("&e;"),
        document.format("&unknown;"),
        document.format("&#xFFFFFFFF;"),
        document.format("x\0y"),
        document.format("&#0;"),
        plain + plain,
        plain[:-1],
        "<a>" * 5_000 + "</a>" * 5_000,
        plain.replace(">x<", "><x>" + "<y>" * 50 + "</y>" * 50 + "</x><"),
    ):
        answered(send(raw, locked, name, body.encode()), malformed)
    for body in (plain.encode("utf-16"), plain.replace("x", "\xff").encode("latin-1"), b"\0" * 1000):
        answered(send(raw, locked, name, body), malformed)
    assert s3.get_object(Bucket=locked, Key="k")["Body"].read() == b"x", "and nothing happened"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_beyond_their_bound(raw, locked, name):
    filler = b"<!--" + b"x" * (9 << 20) + b"-->"
    answer = send(raw, locked, name, DOCUMENTS[name][3].format("x").encode() + filler)
    assert answer.status == 400 and answer.code in ("MaxMessageLengthExceeded", "MalformedXML"), answer


def test_a_document_without_an_end_is_not_read_for_ever(raw, server, locked):
    """Sent in HTTP chunks, as long as the server takes them: it answers, or hangs up, long before 100 MB."""
    method, path, query = "PUT", f"/{locked}", [("tagging", "")]
    headers, _, _ = raw.signer.headers(method, path, query, {"Host": raw.host_header, "Transfer-Encoding": "chunked"}, UNSIGNED)
    sent = 0
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"{method} {path}?tagging HTTP/1.1\r\n{lines}\r\n".encode())
        try:
            while sent < 100 << 20:
                connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert sent < 100 << 20


def test_headers_up_to_their_bound(s3, raw, bucket):
    most = {"x-amz-meta-a": "x" * (2048 - 1)}
    assert raw.request("PUT", f"/{bucket}/k", headers=most, body=b"x").status == 200
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"a": "x" * 2047}
    answered(raw.request("PUT", f"/{bucket}/k", headers={"x-amz-meta-a": "x" * 2048}, body=b"x"), "MetadataTooLarge")
    many = {f"x-amz-meta-{number}": "v" for number in range(60)}
    assert raw.request("PUT", f"/{bucket}/many", headers=many, body=b"x").status == 200
    for huge in ({"x-long": "x" * 70_000}, {f"x-amz-meta-{number}": "x" * 20 for number in range(5_000)}):
        answer = raw.request("PUT", f"/{bucket}/huge", headers=huge, body=b"x")
        assert answer.status in (400, 431), answer
    assert raw.request("GET", f"/{bucket}/huge").status == 404


def test_addresses_beyond_their_bound(raw, bucket):
    for path in ("/" + "b" * 70_000, f"/{bucket}/" + "k" * 70_000, f"/{bucket}/" + "%61" * 30_000):
        assert raw.send("GET", path).status in (400, 414), len(path)
    answer = raw.request("GET", f"/{bucket}", [("prefix", "p" * 7_000)])
    assert answer.status in (200, 400), answer
