"""What a user has written down once for all: each key of a file stands for an environment variable.

The file is ~/.config/tritonpm/config.toml (or under XDG_CONFIG_HOME, or what TRITONPM_CONFIG names): a key of `KEYS` a
line, such as `server = "https://triton.site:8000"`. A variable goes over it, and an option over both. Every command
reads it, so this module is quick to load; so do `tritonpm.open`, `tritonpm.client.use` and MLflow's deployments.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from tritonpm.core.errors import UsageError

FILE = "TRITONPM_CONFIG"  # names another file
# Key → its variable, and what it is. No secret is among them: those are in files of their own.
KEYS: Mapping[str, tuple[str, str]] = {
    "workspace": ("TRITONPM_WORKSPACE", "the workspace's folder"),
    "server": ("TRITON_URL", "an external Triton"),
    "server_token_file": ("TRITON_TOKEN_FILE", "a file with the bearer token for it"),
    "context": ("TRITONPM_CONTEXT", "the servers of a fleet"),
    "target": ("TRITONPM_TARGET", "the Triton release to render for"),
    "profile": ("TRITONPM_PROFILE", "the site's profile"),
    "tritonserver": ("TRITONPM_TRITONSERVER", "the server's binary"),
    "backends": ("TRITONPM_BACKENDS", "python: no compiled backends"),
    "memory_mb": ("TRITONPM_MEMORY_MB", "MiB of the machine's memory that models may use"),
    "server_env": ("TRITONPM_SERVER_ENV", "more variables to pass to the server"),
    "perf_analyzer": ("TRITONPM_PERF_ANALYZER", "perf_analyzer's binary"),
}


def config_file() -> Path:
    """Where the user's file is, whether it is there or not."""
    if named := os.environ.get(FILE):
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "tritonpm" / "config.toml"


def adopt(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables that the user's file says and the environment does not. Raises UsageError."""
    for key, value in read_config(config_file()).items():
        environment.setdefault(KEYS[key][0], value)


def said(key: str) -> str:
    """What holds of a key in this process, once the file was adopted; "" where nobody says it."""
    return os.environ.get(KEYS[key][0], "")


def read_config(file: Path) -> dict[str, str]:
    """What the file says, each as a variable has it. Raises UsageError."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot be read ({error})", where=str(file), do=f"correct it, or name another in {FILE}"
        ) from None
    return {key: _plain(file, key, value) for key, value in _parsed(file, text).items()}


def _parsed(file: Path, text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"is not TOML ({error})", where=str(file), do="correct it") from None
    return document


def _plain(file: Path, key: str, value: object) -> str:
    if key not in KEYS:
        raise UsageError(f"there is no key {key!r}", where=str(file), do=f"use one of {', '.join(KEYS)}")
    if isinstance(value, bool) or not isinstance(value, str | int) or "\0" in str(value):
        raise UsageError(f"gives {key} a value that is neither text nor a number", where=str(file), do="correct it")
    return str(Path(value).expanduser()) if isinstance(value, str) and value.startswith("~") else str(value)
