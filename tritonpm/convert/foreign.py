"""The process in which another distribution's converter runs: `python -m tritonpm.convert.foreign FOLDER`.

FOLDER/request.json names the entry point, the file that is read and the folder that is written to.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from tritonpm.core import sandbox
from tritonpm.core.errors import TritonpmError
from tritonpm.core.files import write_atomically
from tritonpm.core.plugins import CONVERTERS, loaded, plugins


class ForeignConversion(msgspec.Struct, frozen=True):
    """What is asked for; `memory` in bytes."""

    name: str
    source: str
    folder: str
    memory: int


class ForeignAnswer(msgspec.Struct, frozen=True):
    """The model's path, or why there is none."""

    model: str = ""
    reason: str = ""


def answer(request: ForeignConversion) -> ForeignAnswer:
    """Run the converter; whatever it raises is a reason."""
    folder = Path(request.folder)
    try:
        model = Path(loaded(plugins(CONVERTERS)[request.name])(Path(request.source), folder))
    except TritonpmError as error:
        return ForeignAnswer(reason=str(error))
    except Exception as error:  # of code that is not ours
        return ForeignAnswer(reason=" ".join(f"{type(error).__name__}: {error}".split())[:400])
    if not model.is_file() or not model.resolve().is_relative_to(folder.resolve()):
        return ForeignAnswer(reason="it wrote no model into its folder")
    return ForeignAnswer(model=str(model))


def main() -> None:
    """Answer the request in the folder named on the command line."""
    folder = Path(sys.argv[1])
    request = msgspec.json.decode((folder / "request.json").read_bytes(), type=ForeignConversion)
    sandbox.enter(request.memory)
    write_atomically(folder / "answer.json", msgspec.json.encode(answer(request)))


if __name__ == "__main__":
    main()
