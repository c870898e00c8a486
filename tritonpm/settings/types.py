"""The types that settings are made of, as msgspec checks them wherever settings come in; a digest is a type, too."""

from __future__ import annotations

from typing import Annotated, TypeVar

from msgspec import Meta

from tritonpm.core.files import DIGEST
from tritonpm.core.text import UNSEEN

T = TypeVar("T")

MOST_CHARACTERS = 4096  # of one text
DIGEST_IN_WORDS = "a digest, which is sha256: and 64 hexadecimal digits"
TEXT_IN_WORDS = f"a text of at most {MOST_CHARACTERS} characters, each of which can be seen"

Digest = Annotated[str, Meta(pattern=rf"\A{DIGEST.pattern}\Z")]
Text = Annotated[str, Meta(max_length=MOST_CHARACTERS, pattern=rf"\A[^{UNSEEN}]*\Z")]
Few = Annotated[tuple[T, ...], Meta(max_length=128)]
Many = Annotated[tuple[T, ...], Meta(max_length=1 << 20)]
