"""Assertions on refusals: the code and the status that AWS documents, not just "some error"."""

from contextlib import contextmanager

from botocore.exceptions import ClientError

STATUS = {
    "AccessDenied": 403,
    "AccessForbidden": 403,
    "BadDigest": 400,
    "BadRequest": 400,
    "BucketAlreadyExists": 409,
    "BucketAlreadyOwnedByYou": 409,
    "BucketNotEmpty": 409,
    "EntityTooSmall": 400,
    "IllegalVersioningConfigurationException": 400,
    "IncompleteBody": 400,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "InvalidBucketName": 400,
    "InvalidBucketOwnerAWSAccountID": 400,
    "InvalidBucketState": 409,
    "InvalidDigest": 400,
    "InvalidEncryptionAlgorithmError": 400,
    "InvalidPart": 400,
    "InvalidPartNumber": 416,
    "InvalidPartOrder": 400,
    "InvalidRange": 416,
    "InvalidRequest": 400,
    "InvalidTag": 400,
    "InvalidToken": 400,
    "KMS.DisabledException": 400,
    "KMS.InvalidKeyUsageException": 400,
    "KMS.NotFoundException": 400,
    "KeyTooLongError": 400,
    "MalformedACLError": 400,
    "MalformedPolicy": 400,
    "MalformedXML": 400,
    "MetadataTooLarge": 400,
    "MethodNotAllowed": 405,
    "MissingSecurityHeader": 400,
    "MissingContentLength": 411,
    "NoSuchBucket": 404,
    "NoSuchBucketPolicy": 404,
    "NoSuchCORSConfiguration": 404,
    "NoSuchKey": 404,
    "NoSuchLifecycleConfiguration": 404,
    "NoSuchObjectLockConfiguration": 404,
    "NoSuchPublicAccessBlockConfiguration": 404,
    "NoSuchTagSet": 404,
    "NoSuchUpload": 404,
    "NoSuchVersion": 404,
    "NoSuchWebsiteConfiguration": 404,
    "NotImplemented": 501,
    "QuotaExceeded": 403,
    "ObjectLockConfigurationNotFoundError": 404,
    "OwnershipControlsNotFoundError": 404,
    "PreconditionFailed": 412,
    "ReplicationConfigurationNotFoundError": 404,
    "RequestTimeTooSkewed": 403,
    "ServerSideEncryptionConfigurationNotFoundError": 404,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "UnexpectedContent": 400,
    "XAmzContentSHA256Mismatch": 400,
}


@contextmanager
def refused(*codes, status=None, message=None):
    """The block must end with an S3 error of one of `codes`, with that code's status, and the message if one is given. Gives what will hold the error."""
    held = {}
    try:
        yield held
    except ClientError as error:
        held.update(error.response["Error"])
        got = error.response["Error"]["Code"]
        got_status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert got in codes, f"expected {codes}, got {got}: {error}"
        assert got_status == (status or STATUS.get(got, got_status)), f"{got} with status {got_status}"
        assert message in (None, error.response["Error"]["Message"]), error
        return
    raise AssertionError(f"expected {codes}, but it succeeded")


@contextmanager
def status(code):
    """The block must fail with that HTTP status; for HEAD, whose answers have no body and so no code."""
    try:
        yield
    except ClientError as error:
        got = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert got == code, f"expected {code}, got {got}: {error}"
        return
    raise AssertionError(f"expected {code}, but it succeeded")


def answered(answer, *codes):
    """The same for a request made by hand."""
    assert answer.status == STATUS[codes[0]], answer
    assert answer.code in codes, answer
