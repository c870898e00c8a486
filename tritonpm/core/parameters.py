"""Parameters of Triton, its backends and their runtimes that name files: what a server would load, write or follow.

Source: the documents of Triton's backends, of ONNX Runtime's execution providers and session options, of OpenVINO.
"""

from __future__ import annotations

import re

_PLACE = re.compile(
    r"(^|[_.])(path|file|dir|directory|directorie|folder|filepath|filename|lib|library|librarie|plugin)s?($|[_.])"
)
_PART = re.compile(r"[;,:=|\s\"'{}\[\]()]+")
_ELSEWHERE = re.compile(r"[/\\]\S|~|\$")
_FILE = re.compile(
    r"\.(so|dll|dylib|pyd|py|pyc|sh|exe|plan|engine|pt|pt2|pkl|onnx|xml|bin|blob|cache|json|ya?ml|toml|ini|cfg|conf|txt|"
    r"gz|tgz|tar|zip)(\.[0-9.]+)?$",
    re.IGNORECASE,
)


def names_a_file(name: str, value: str) -> bool:
    """Whether a parameter would make a server load, write or follow a file: by its name, or by what it is set to."""
    if _PLACE.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()):
        return bool(value.strip())
    return any(
        _ELSEWHERE.match(part) or ".." in re.split(r"[/\\]", part) or _FILE.search(part) for part in _PART.split(value)
    )
