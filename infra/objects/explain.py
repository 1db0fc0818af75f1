"""What boto3 says when something goes wrong, as one sentence with the next action."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from infra.errors import ObjectError

_CREDENTIALS = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE"
_ENDPOINT = "check NIGHTSHIFT_S3_ENDPOINT, the network and that the server runs"
_OVERLOADED = ("the server is overloaded or down, after several tries", "look at the server, then start again")

# S3's code: what it means, what to do
_REASONS = {
    "NoSuchBucket": ("there is no such bucket", "create the bucket, or correct its name"),
    "InvalidAccessKeyId": ("the server doesn't know the access key", _CREDENTIALS),
    "SignatureDoesNotMatch": ("the secret key is wrong", _CREDENTIALS),
    "ExpiredToken": ("the session token has expired", "log in again"),
    "AccessDenied": ("these credentials may not do that", "give their account the permission, or use another"),
    "403": ("these credentials are refused", _CREDENTIALS),
    **dict.fromkeys(("503", "SlowDown", "ServiceUnavailable", "500", "InternalError", "502", "504"), _OVERLOADED),
    "PermanentRedirect": ("the bucket is in another region", "set AWS_DEFAULT_REGION to the bucket's region"),
    "RequestTimeTooSkewed": ("this machine's clock differs from the server's", "set this machine's clock"),
    "BadDigest": ("the bytes were changed on their way", "try again; check the network if it happens again"),
    "InvalidPart": ("another upload of this name sent other parts", "run it again when no other upload runs"),
    "NoSuchUpload": ("the upload was ended by somebody else", "run it again when no other upload runs"),
}


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def retries_of(error: ClientError) -> int:
    """How often the request was sent again: then an earlier one may have succeeded unseen."""
    return error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Every error of boto3's as an ObjectError that names the object, and no credentials."""
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        reason, do = _REASONS.get(code, (f"the server answers {code}", "look this code up in the server's manual"))
        raise ObjectError(f"{error.operation_name} of {name} failed: {reason}", do=do) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise ObjectError(f"there are no credentials for {name}", do=_CREDENTIALS) from error
    except (ConnectionError, HTTPClientError) as error:
        raise ObjectError(f"the server of {name} can't be reached ({type(error).__name__})", do=_ENDPOINT) from error
    except BotoCoreError as error:
        raise ObjectError(f"{name} can't be used: {error}", do=_CREDENTIALS) from error
