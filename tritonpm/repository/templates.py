"""config.pbtxt through Jinja2, read back and compared: a template can never publish something else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from tritonpm.core.errors import RenderError
from tritonpm.core.types import Package
from tritonpm.repository.config import messages

TEMPLATE = "config.pbtxt.j2"


def config_text(
    config: Any, package: Package, notes: tuple[str, ...], own: Path | None, *, member: bool = False
) -> str:
    """The text of a config by the workspace's template, or ours; a `member` may be shared by cascades.

    Raises RenderError where it says something else.
    """
    from google.protobuf import text_format
    from jinja2 import TemplateError

    fields = {descriptor.name: _field(config, descriptor) for descriptor, _ in config.ListFields()}
    try:
        template = _environment(own if own and own.is_dir() else None).get_template(TEMPLATE)
        known = {"ensemble": config.platform == "ensemble", "member": member}
        text: str = template.render(package=package, notes=notes, fields=fields, **known)
    except TemplateError as error:
        raise RenderError(f"cannot be rendered ({error})", where=TEMPLATE, do="correct the template") from None
    try:
        parsed = text_format.Parse(text, messages().ModelConfig())
    except text_format.ParseError as error:
        raise RenderError(
            f"renders no model configuration ({error})", where=TEMPLATE, do="correct the template"
        ) from None
    if parsed != config:
        wrong = sorted(d.name for d in config.DESCRIPTOR.fields if _field(parsed, d) != _field(config, d))
        raise RenderError(
            f"says something other than what was asked for in {', '.join(wrong)}",
            where=TEMPLATE,
            do="correct the template",
        )
    return text


def _field(config: Any, descriptor: Any) -> str:
    """One field in protobuf's text format, maps sorted by key."""
    from google.protobuf import text_format

    alone = messages().ModelConfig()
    value = getattr(config, descriptor.name)
    if descriptor.message_type is not None and descriptor.message_type.GetOptions().map_entry:
        getattr(alone, descriptor.name).MergeFrom(value)
    elif hasattr(value, "extend"):
        getattr(alone, descriptor.name).extend(value)
    elif descriptor.message_type is not None:
        if config.HasField(descriptor.name):
            getattr(alone, descriptor.name).CopyFrom(value)
    else:
        setattr(alone, descriptor.name, value)
    return str(text_format.MessageToString(alone, as_utf8=True, use_short_repeated_primitives=True)).rstrip()


@cache
def _environment(own: Path | None) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folders = [str(folder) for folder in (own, packaged()) if folder]
    return Environment(  # noqa: S701  # protobuf text is no HTML; strings are escaped by protobuf itself
        loader=FileSystemLoader(folders), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip


def packaged() -> Path:
    """Our templates: inside the wheel, or in the checkout where the install is editable."""
    here = Path(__file__).resolve().parents[1]
    inside = here / "_templates"
    return inside if inside.is_dir() else here.parent / "templates"
