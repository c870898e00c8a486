"""Where a repository lies: a folder, or an object store by the URL that Triton is given for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tritonpm.core.errors import UsageError
from tritonpm.core.plugins import STORES, plugins

FORMS = "s3://BUCKET/PREFIX, s3://http://HOST:PORT/BUCKET/PREFIX, gs://BUCKET/PREFIX, as://ACCOUNT/CONTAINER/PREFIX"
_PART = r"[0-9A-Za-z_-][0-9A-Za-z._-]*"  # what Triton takes in a path, and no part that is a dot or two
_ENDPOINT = re.compile(r"(?:(https?)://)?([0-9A-Za-z.-]+:[0-9]+)/+")


@dataclass(frozen=True)
class Location:
    """A repository's place. `bucket` is S3's or Google's, Azure's container, or of a folder the one it lies in."""

    scheme: str  # file, s3, gs, as, or a plugin's
    bucket: str
    prefix: str  # the repository inside of it, without slashes around it
    endpoint: str = ""  # of an S3 that is not Amazon's: http://HOST:PORT
    account: str = ""  # Azure's

    @property
    def url(self) -> str:
        """As Triton's `--model-repository` takes it."""
        if self.scheme == "file":
            return f"{self.bucket}/{self.prefix}"
        parts = (self.endpoint, self.account, self.bucket, self.prefix)
        return f"{self.scheme}://" + "/".join(part for part in parts if part)


def located(text: str, where: str = "--repository", *, whole: bool = False) -> Location:
    """The place that a URL, or a folder's path, names; `whole`: a bucket alone is one, which is only read.

    Raises UsageError, which repeats no secret.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme == "file":
        folder = Path(rest if separator else text).expanduser().absolute()
        return Location("file", str(folder.parent), folder.name)
    if "@" in rest or "?" in rest:
        do = "put them into the environment (AWS_ACCESS_KEY_ID, GOOGLE_SERVICE_ACCOUNT, AZURE_STORAGE_ACCOUNT_KEY, …)"
        raise UsageError("credentials do not belong in a URL", where=where, do=do)
    endpoint = account = ""
    if scheme == "s3" and (match := _ENDPOINT.match(rest)):
        endpoint, rest = f"{match[1] or 'http'}://{match[2]}", rest[match.end() :]
    if scheme == "as":
        account, _, rest = rest.partition("/")
    bucket, _, prefix = re.sub("/+", "/", rest).strip("/").partition("/")
    known = scheme in ("s3", "gs", "as") or scheme in plugins(STORES)
    if not known or (scheme == "as" and not _is_path(account)) or not _is_path(bucket):
        raise UsageError(f"{text} is not a repository", where=where, do=f"name a folder, or {FORMS}")
    if not _is_path(prefix) and not (whole and not prefix):
        do = "letters, digits, '.', '_' and '-'; its records lie beside it, so a bucket alone is not enough"
        raise UsageError(f"{text} has no prefix that Triton can read", where=where, do=do)
    return Location(scheme, bucket, prefix, endpoint, account)


def _is_path(text: str) -> bool:
    return re.fullmatch(rf"{_PART}(?:/{_PART})*", text) is not None
