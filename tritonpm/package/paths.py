"""Names and paths inside a package: which are allowed, and which two may not lie side by side.

A path must mean the same file on every file system and object store that a package may pass through.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from tritonpm.core.errors import PackageError, UnsafeError
from tritonpm.package.limits import Limits

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
NAME_RULE = "1 to 64 letters, digits, '_' and '-', beginning with a letter or digit"
_NOT_PORTABLE = set('<>:"|?*')
_RESERVED = re.compile(
    r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\..*)?", re.IGNORECASE
)  # by Windows
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format (bidi), surrogate (undecodable bytes), separators


def is_name(name: str) -> bool:
    """Whether `name` may name a package or a stage."""
    return re.fullmatch(NAME_PATTERN[1:-1], name) is not None


def require_name(name: str) -> None:
    """Raise PackageError for what may not name a package."""
    if not is_name(name):
        raise PackageError(f"{name!r} is not a package name", do=f"use {NAME_RULE}")
    if _RESERVED.fullmatch(name):  # its export could not be written there
        raise PackageError(f"{name!r} is a name that Windows reserves", do="choose another name")


def name_from(file_name: str) -> str:
    """A package name made from a file's: what is not allowed becomes '-'. "" where no letter of it is left."""
    plain = unicodedata.normalize("NFKD", file_name).encode("ascii", "ignore").decode()
    if not re.search("[A-Za-z]", plain) and any(map(str.isalpha, file_name)):
        return ""  # of a Chinese name the numbers alone say nothing
    return re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-_")[:64]


def problem(path: str, limits: Limits) -> str:
    """Why `path` may not be a file's path inside a package, as the end of a sentence; "" where it may."""
    parts = path.split("/")
    if not path:
        return "has no name"
    if any(unicodedata.category(c) in _UNSEEN for c in path):
        return "has control, bidirectional or undecodable characters in its name"
    if path.startswith("/") or ".." in parts:
        return "leads out of the package"
    if "\\" in path or _NOT_PORTABLE & set(path):
        return 'has a backslash, a drive letter or one of <>:"|?* in its name'
    if "" in parts or "." in parts:
        return "is not written in its shortest form"
    if any(part[-1] in ". " or _RESERVED.fullmatch(part) for part in parts):
        return "has a name that other systems reserve, or that ends in a dot or blank"
    if len(path.encode()) > limits.path or any(len(part.encode()) > limits.component for part in parts):
        return f"has a path of more than {limits.path} bytes, or a name of more than {limits.component}"
    if len(parts) - 1 > limits.depth:
        return f"lies more than {limits.depth} folders deep"
    return ""


class Paths:
    """The paths of one tree as they are found, each checked against the rules and against all before it."""

    def __init__(self, where: str, limits: Limits) -> None:
        self.where, self.limits = where, limits
        self.files: set[str] = set()
        self.folders: set[str] = set()
        self._claimed: set[str] = set()
        self._spellings: dict[str, str] = {}

    def add(self, path: str, *, folder: bool = False) -> None:
        """Claim a path. Raises UnsafeError: it leads out, it clashes, or there are too many."""
        if reason := problem(path, self.limits):
            raise self._refusal(path, reason)
        parents = [str(parent) for parent in PurePosixPath(path).parents][:-1]
        for prefix in (*parents, path):
            self._spell(prefix)
        others = self.files if folder else self.folders
        if path in others or any(parent in self.files for parent in parents):
            raise self._refusal(path, "is both a file and a folder")
        if path in self._claimed:
            raise self._refusal(path, "is there twice")
        self._claimed.add(path)
        self.folders.update(parents)
        (self.folders if folder else self.files).add(path)

    def _refusal(self, path: str, reason: str) -> PackageError:
        shown = path if len(path) < 100 else f"{path[:90]}…"
        return UnsafeError(f"{shown!r} {reason}", where=self.where, do="rename or remove it")

    def _spell(self, path: str) -> None:
        key = unicodedata.normalize("NFKC", unicodedata.normalize("NFC", path).casefold())
        other = self._spellings.setdefault(key, path)
        if other != path:
            raise self._refusal(path, f"and {other!r} are one name where case or Unicode form is not told apart")
        if len(self._spellings) > self.limits.entries:
            raise UnsafeError(
                f"holds more than {self.limits.entries} files and folders", where=self.where, do="provide fewer"
            )
