"""The helpers themselves, where a mistake would let every suite pass: signatures, checksums, log reading. And the pages that name tests."""

import ast
import re

import pytest
from larderlib.checksums import ALGORITHMS, checksum, composite, multipart_etag
from larderlib.logs import unexpected_errors
from larderlib.need import REPOSITORY
from larderlib.rawhttp import EMPTY_SHA256, Signer


def test_the_signer_gives_the_signature_of_the_documentation():
    """AWS's example "GET Object" with a range, of the chapter on signing in the Authorization header."""
    signer = Signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    headers = {
        "Host": "examplebucket.s3.amazonaws.com",
        "Range": "bytes=0-9",
        "x-amz-content-sha256": EMPTY_SHA256,
        "x-amz-date": "20130524T000000Z",
    }
    signed = sorted(name.lower() for name in headers)
    signature = signer.request_signature("GET", "/test.txt", [], headers, signed, EMPTY_SHA256, "20130524T000000Z")
    assert signature == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"


@pytest.mark.parametrize(
    "algorithm, expected",
    [
        ("CRC32", "cbf43926"),
        ("CRC32C", "e3069283"),
        ("CRC64NVME", "ae8b14860a799888"),
        ("SHA1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        ("SHA256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
    ],
)
def test_the_checksums_of_the_check_string(algorithm, expected):
    import base64

    assert base64.b64decode(checksum(algorithm, b"123456789")).hex() == expected
    assert algorithm in ALGORITHMS


def test_composites_count_their_parts():
    assert composite("SHA256", [b"a", b"b"]).endswith("-2")
    assert multipart_etag([b"a", b"b", b"c"]).endswith('-3"')


@pytest.mark.parametrize(
    "line, bad",
    [
        ("2026-11-21T05:43:00Z ERROR larder: disk gone", True),
        ("\x1b[2m2026-11-21T05:43:00Z\x1b[0m \x1b[31mERROR\x1b[0m larder: disk gone", True),
        ('{"timestamp":"x","level":"ERROR","message":"disk gone"}', True),
        ("thread 'main' panicked at src/main.rs:1:1", True),
        ("2026-11-21T05:43:00Z  WARN larder: ERRORS were none", False),
        ("2026-11-21T05:43:00Z  INFO larder: NoSuchKey error answered", False),
    ],
)
def test_error_lines_are_found(tmp_path, line, bad):
    log = tmp_path / "log"
    log.write_text(f"fine\n{line}\nfine\n")
    assert bool(unexpected_errors(log)) == bad
    assert unexpected_errors(log, ["disk gone", "panicked"]) == []


@pytest.mark.parametrize("name_of_page", ["compatibility.md", "security.md"])
def test_every_test_named_on_a_page_exists(name_of_page):
    page = (REPOSITORY / "docs" / name_of_page).read_text()
    named = re.findall(r"`((?:tests/)?[\w/-]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 50
    for path, name in named:
        file = REPOSITORY / path if path.startswith("tests/") else REPOSITORY / "tests" / "s3-compat" / path
        functions = {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert not name or name in functions, f"{path}::{name}"
