"""Connections to buckets, made when they are first needed from what the environment says."""

from __future__ import annotations

import functools
import os
import posixpath
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from penstock.storage import waiting
from penstock.storage.waiting import StorageError, patiently

SCHEMES = ("s3", "gs")
# Google's client tries again by itself; how often is decided here for both alike.
_GOOGLE_RETRY_SECONDS = 10
_CONNECT_SECONDS = 10.0

_reached: set[str] = set()


def is_object(uri: str) -> bool:
    """Whether an address is one of an object store."""
    return uri.startswith(("s3://", "gs://"))


def locate(uri: str) -> tuple[Any, str]:
    """Returns Arrow's file system for an address, and the path `BUCKET/KEY` in it.

    Raises:
        StorageError: the address names no bucket.
    """
    scheme, _, rest = uri.partition("://")
    if scheme not in SCHEMES:
        raise StorageError(f"{uri}: is no address of an object store; they begin with s3:// or gs://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise StorageError(f"{uri}: names no bucket; write {scheme}://BUCKET/FOLDER")
    path = posixpath.normpath(f"{bucket}/{key}")
    return (_s3(bucket) if scheme == "s3" else _google()), path


def check(uri: str) -> None:
    """Makes sure, once in a process, that the bucket of an address can be reached.

    Raises:
        StorageError: it does not exist, or may not be listed.
        StorageAwayError: the store did not answer.
    """
    bucket = waiting.bucket_uri(uri)
    if bucket in _reached:
        return
    system, path = locate(uri)

    from pyarrow import fs

    def ask() -> None:
        if _is_missing(system, bucket.partition("://")[2]):
            raise waiting.no_bucket(uri)
        # Who may use a folder of the bucket only is refused word of the bucket, and not this.
        system.get_file_info(fs.FileSelector(path, allow_not_found=True))

    patiently(uri, ask)
    _reached.add(bucket)


def _is_missing(system: Any, bucket: str) -> bool:
    from pyarrow import fs

    try:
        return bool(system.get_file_info(bucket).type == fs.FileType.NotFound)
    except OSError as error:
        if waiting.is_refused(error):
            return False
        raise


@functools.cache
def _s3(bucket: str) -> Any:
    from pyarrow import fs

    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    options: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS}
    address = waiting.endpoint("s3")
    if address:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        options.update(scheme=parts.scheme, endpoint_override=parts.netloc, region=region or "us-east-1")
    else:
        options["region"] = region or patiently(f"s3://{bucket}", lambda: fs.resolve_s3_region(bucket))
    # In the background Arrow would hold a file in memory that is read faster than it is sent.
    return fs.S3FileSystem(background_writes=False, **options)


@functools.cache
def _google() -> Any:
    from pyarrow import fs

    options: dict[str, Any] = {"retry_time_limit": timedelta(seconds=_GOOGLE_RETRY_SECONDS)}
    address = waiting.endpoint("gs")
    if address:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        options.update(scheme=parts.scheme, endpoint_override=parts.netloc, anonymous=True)
    return fs.GcsFileSystem(**options)
