"""Text from the templates in templates/deploy/, the workspace's own first; what comes out is read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tritonpm.core.errors import RenderError


@dataclass(frozen=True)
class BundleFile:
    """A file of a deployment: its path in the folder that it is written to, and its text."""

    path: str
    text: str

    @cached_property
    def objects(self) -> list[Any]:
        """What it says: the YAML documents, or the one JSON value."""
        import yaml

        from tritonpm.package.document import loader

        return [document for document in yaml.load_all(self.text, Loader=loader()) if document is not None]


def render(template: str, path: str, values: Mapping[str, object], own: Path | None = None) -> BundleFile:
    """The file that a template makes. Raises RenderError where it makes no YAML or JSON."""
    import yaml
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

    from tritonpm.repository.templates import packaged

    folders = [str(folder / "deploy") for folder in (own, packaged()) if folder]
    environment = Environment(  # noqa: S701  # no HTML; values enter as JSON, which is YAML
        loader=FileSystemLoader(folders), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["json"] = _json
    try:
        file = BundleFile(path, environment.get_template(f"{template}.j2").render(values))
        if path.endswith(".json"):
            json.loads(file.text)
        elif not path.endswith("Dockerfile"):
            _ = file.objects
    except (TemplateError, yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RenderError(f"cannot be rendered ({reason})", where=f"{template}.j2", do="correct the template") from None
    return file


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
