"""Triton's models may have names that no package has, with dots for one: which names they get, and who joins them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.package.config import FILE, parsed
from tritonpm.package.paths import is_name, name_from

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

_ROOM = 56  # characters, that a number still fits behind a name


def package_names(models: Iterable[str]) -> dict[str, str]:
    """A package's name for each model of a repository: its own where that is one, else the nearest that is free."""
    names = {model: model for model in models if is_name(model)}
    for model in sorted(set(models) - set(names)):
        plain = name_from(model) or "model"
        nearest = (plain if number == 1 else f"{plain[:_ROOM]}-{number}" for number in count(1))
        names[model] = next(name for name in nearest if name not in names.values())
    return names


@contextmanager
def joining_packages(context: Context, folder: Path, joined: Mapping[str, str]) -> Iterator[Path]:
    """The model folder, or of an ensemble whose members have other names as packages (`joined`) a copy with those."""
    if all(model == name for model, name in joined.items()):
        yield folder
        return
    from google.protobuf.text_format import MessageToString

    config = parsed((folder / FILE).read_text(encoding="utf-8", errors="replace"), str(folder))
    for step in config.ensemble_scheduling.step:
        step.model_name = joined[step.model_name]
    with context.workspace.scratch("adopt") as scratch:
        copy = scratch / folder.name
        shutil.copytree(folder, copy, symlinks=True)
        (copy / FILE).write_text(MessageToString(config), encoding="utf-8")
        yield copy
