"""The process in which Optimum exports a model: `python -m tritonpm.registry.hub_export FOLDER`.

FOLDER/request.json names the model and its commit; the export is written to FOLDER/export. Code of the model's own is
never run: what needs some is refused by transformers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from tritonpm.core import sandbox
from tritonpm.core.files import write_atomically


class ExportRequest(msgspec.Struct, frozen=True):
    """What is exported: a model of the Hub at a commit; `memory` in bytes."""

    model: str
    commit: str
    memory: int


def exported(request: ExportRequest, folder: Path) -> str:
    """Why there is no export; "" where there is one."""
    try:
        from optimum.exporters.onnx import main_export

        main_export(request.model, output=folder, revision=request.commit, trust_remote_code=False)
    except Exception as error:  # of any of the libraries that it calls
        return " ".join(f"{type(error).__name__}: {error}".split())[:400]
    return ""


def main() -> None:
    """Answer the request in the folder named on the command line."""
    folder = Path(sys.argv[1])
    request = msgspec.json.decode((folder / "request.json").read_bytes(), type=ExportRequest)
    sandbox.enter(request.memory)
    write_atomically(folder / "answer.json", msgspec.json.encode(exported(request, folder / "export")))


if __name__ == "__main__":
    main()
