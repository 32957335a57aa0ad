"""What an object store's answer means, and patience with one that cannot answer for a while."""

from __future__ import annotations

import logging
import os
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

from penstock.errors import PenstockError

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")

# How long a store may be away before what needs it fails.
PATIENCE_SECONDS = 300.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0
# How soon a wait is over once it is no longer wanted.
_SLICE_SECONDS = 0.2

# Names and numbers of errors as Arrow's S3 and Google Cloud Storage file systems put them into their messages.
_REFUSED = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|INVALID_SIGNATURE|EXPIRED_TOKEN|INVALID_CLIENT_TOKEN_ID"
    r"|UNRECOGNIZED_CLIENT|MISSING_AUTHENTICATION_TOKEN|INVALID_TOKEN|ExpiredToken|InvalidToken|HTTP status 40[13]\b"
    r"|PERMISSION_DENIED|UNAUTHENTICATED|[Cc]redentials"
)
_NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|specified bucket does not exist|Bucket '[^']*' not found")
_UNTRUSTED = re.compile(r"curlCode: (35|51|58|60|77)\b")
_AWAY = re.compile(
    r"HTTP status (408|429|5\d\d)\b|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIMEOUT|THROTTLING"
    r"|NETWORK_CONNECTION|curlCode: \d+|SlowDown|ServiceUnavailable|TooManyRequests|InternalError|RequestTimeout"
    r"|\bUNAVAILABLE\b|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|\bABORTED\b|\bINTERNAL\b|Retry policy exhausted"
)
_VARIABLES = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS",),
}
_ELSEWHERE = {
    "s3": "a profile in ~/.aws, or the role of the machine or pod",
    "gs": "`gcloud auth application-default login`, or the service account of the machine or pod",
}

_hurried = False
# Buckets that were waited for in vain; the next who wants something there asks once.
_away: set[str] = set()


class StorageError(PenstockError, OSError):
    """Indicates that an object store refuses what was asked, or that its bucket does not exist."""


class StorageAwayError(OSError):
    """Indicates that an object store did not answer for longer than anybody waits. Trying again later can help."""


def hurry() -> None:
    """Lets whatever waits for a store in this process give up, now and from here on. Signal-safe."""
    global _hurried
    _hurried = True


def patiently(uri: str, action: Callable[[], _Result]) -> _Result:
    """Calls `action`, again and again while the store that `uri` is in is away or overloaded.

    Args:
        uri: what it is about, for messages.
        action: does the same however often it is called.

    Raises:
        StorageError: the store refuses it, or has no such bucket.
        StorageAwayError: the store was away for too long.
        OSError: whatever else `action` raised.
    """
    began, pause, told = time.monotonic(), _FIRST_PAUSE_SECONDS, False
    bucket = bucket_uri(uri)
    while True:
        try:
            result = action()
            _away.discard(bucket)
            return result
        except FileNotFoundError:
            raise
        except OSError as error:
            if not is_away(error):
                raise _explained(uri, error) from error
            waited = time.monotonic() - began
            if waited > PATIENCE_SECONDS or bucket in _away or _hurried:
                _away.add(bucket)
                raise StorageAwayError(
                    f"{uri}: the storage has not answered for {waited:.0f} s: {_cause(error)}. Check that it can be"
                    f" reached{_endpoint_hint(uri)}, and run again"
                ) from error
            if not told:
                _LOG.warning("%s: %s; trying again for up to %.0f s", uri, _cause(error), PATIENCE_SECONDS)
                told = True
        _sleep(pause * random.uniform(1.0, 1.25))
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def is_away(error: OSError) -> bool:
    """Whether an error says that the store cannot answer now, and might later."""
    if isinstance(error, PermissionError | StorageError | StorageAwayError):
        return isinstance(error, StorageAwayError)
    message = str(error)
    if any(known.search(message) for known in (_NO_BUCKET, _UNTRUSTED)):
        return False
    return bool(_AWAY.search(message)) or (isinstance(error, ConnectionError | TimeoutError))


def is_refused(error: OSError) -> bool:
    """Whether an error says that the store does not let us do it."""
    return isinstance(error, PermissionError) or bool(_REFUSED.search(str(error)))


def no_bucket(uri: str) -> StorageError:
    """Returns the error that says that there is no such bucket."""
    return StorageError(
        f"{bucket_uri(uri)}: there is no such bucket{_at_endpoint(uri)}. Make it, or name another one, in pipeline_root"
        " or where this address stands"
    )


def bucket_uri(uri: str) -> str:
    """Returns the address of the bucket that something is in."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def endpoint(scheme: str) -> str | None:
    """Returns the address that the environment names for a kind of store; None for the provider's own."""
    if scheme == "s3":
        return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    return os.environ.get("STORAGE_EMULATOR_HOST") or None


def _explained(uri: str, error: OSError) -> OSError:
    message = str(error)
    if isinstance(error, StorageError):
        return error
    if _NO_BUCKET.search(message):
        return no_bucket(uri)
    scheme = uri.partition("://")[0]
    if is_refused(error):
        variables = [f"{name} is {'set' if os.environ.get(name) else 'not set'}" for name in _VARIABLES[scheme]]
        return StorageError(
            f"{bucket_uri(uri)}: the storage refuses access{_at_endpoint(uri)} ({_cause(error)})."
            f" {', '.join(variables)}; without them {_ELSEWHERE[scheme]} would count. Give them the right to list,"
            f" read, write and delete in this bucket. Asked for: {uri}"
        )
    if _UNTRUSTED.search(message):
        return StorageError(
            f"{bucket_uri(uri)}: no trusted connection{_at_endpoint(uri)} ({_cause(error)}). Check the address, and the"
            " certificates of this machine"
        )
    return error


def _cause(error: OSError) -> str:
    """What the store said, in short and without what is secret."""
    text = " ".join(str(error).split())
    for name in (name for names in _VARIABLES.values() for name in names):
        if secret := os.environ.get(name):
            text = text.replace(secret, "…")
    _, marked, said = text.partition("AWS Error ")
    return (said if marked else text)[:300].rstrip(". ")


def _at_endpoint(uri: str) -> str:
    address = endpoint(uri.partition("://")[0])
    return f" at {_without_password(address)}" if address else ""


def _endpoint_hint(uri: str) -> str:
    address = _at_endpoint(uri)
    return f"{address} (AWS_ENDPOINT_URL)" if address and uri.startswith("s3:") else address


def _without_password(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//", address)


def _sleep(seconds: float) -> None:
    end = time.monotonic() + seconds
    while not _hurried and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _SLICE_SECONDS))
