"""What the errors of object stores mean, in sentences of ours: a store's own words may quote a signature."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class StoreFault:
    """What happened, and what to do; `passing`: the same request may do a moment later."""

    what: str
    do: str
    passing: bool = False


UNREACHABLE = StoreFault(
    "it cannot be reached, or does not answer",
    "check the URL and the connection, and run it again: what is there is not sent again",
    passing=True,
)

# (pattern in an error, what it means). The first that is found counts.
_FAULTS = (
    ("NoSuchBucket|ContainerNotFound|bucket does not exist",
     StoreFault("there is no such bucket", "make it, or correct the URL")),
    ("ExpiredToken|TokenRefreshRequired|RequestExpired|AuthenticationFailed.*expired",
     StoreFault("the credentials have expired",
                "renew them in the environment, and run it again: what is there is not sent again")),
    ("RequestTimeTooSkewed", StoreFault("this machine's clock is wrong", "set it")),
    ("latest/api/token|latest/meta-data|metadata.google.internal|oauth2/token",
     StoreFault("there are no credentials",
                "set them in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_SERVICE_ACCOUNT, "
                "AZURE_STORAGE_ACCOUNT_KEY)")),
    ("InvalidAccessKeyId|SignatureDoesNotMatch|AuthenticationFailed|InvalidToken|401 Unauthorized",
     StoreFault("it does not know the credentials", "check them in the environment")),
    ("AccessDenied|AuthorizationFailure|403 Forbidden",
     StoreFault("it does not allow this", "ask for the right to list, read, write and delete there")),
    ("SlowDown|TooManyRequests|ServerBusy|429 |503 ",
     StoreFault("it kept asking to slow down",
                "run it again later: what is there is not sent again", passing=True)),
    ("No space left", StoreFault("the disk is full", "make room, and run it again")),
    ("Permission denied|Read-only file system", StoreFault("it cannot be written", "check its permissions")),
    ("BadDigest|XAmzContentSHA256Mismatch|checksum",
     StoreFault("what arrived is not what was sent", "run it again", passing=True)),
)  # fmt: skip


def fault_of(error: Exception) -> StoreFault | None:
    """What a store's error means; None where it says nothing of the kind."""
    text = str(error)
    return next((fault for pattern, fault in _FAULTS if re.search(pattern, text, re.DOTALL)), None)
