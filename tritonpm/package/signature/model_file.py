"""What a reader of a format that tells its tensors finds in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tritonpm.core.types import Needs, Signature


@dataclass(frozen=True)
class ReadModel:
    """`others` are the files that it needs beside itself, `softmax` whether an output is that of one."""

    signature: Signature
    others: tuple[str, ...]
    metadata: Mapping[str, str]
    softmax: bool
    needs: Needs = field(default_factory=Needs)
