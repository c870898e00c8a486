"""What is traced: every package of a folder is imported, and what was let in is loaded on a server of its own.

`python -m tests.support.hostile.run ROOT`: ROOT/in.json names the packages and those that may run code.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.workspaces import QUICKLY, opened
from tritonpm.core.errors import TritonpmError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.remove import remove
from tritonpm.operations.serve import serve
from tritonpm.operations.stop import stop
from tritonpm.operations.unload import unload


def main() -> None:
    """Write ROOT/out.json: what came of each package."""
    root = Path(sys.argv[1])
    wanted = json.loads((root / "in.json").read_text())
    init(root / "workspace")
    context = opened(root / "workspace")
    outcomes: dict[str, str] = {}
    written: set[str] = set()
    arguments = ("--disable-auto-complete-config", "--model-config-name=cpu")
    serve(context, None, **{**QUICKLY, "arguments": arguments})
    try:
        for number, (name, source) in enumerate(wanted["packages"].items()):
            trusted = name in wanted["trusted"]
            outcomes[name], files = _tried(context, Path(source), f"p{number}", allow_code=trusted)
            written |= set() if trusted else files
    finally:
        stop(context, 15)
        (root / "out.json").write_text(json.dumps({"outcomes": outcomes, "written": sorted(written)}))


def _tried(context: Context, source: Path, name: str, *, allow_code: bool) -> tuple[str, set[str]]:
    """What came of a package, and what of it lay in its model folder."""
    try:
        import_package(context, source, name=name, allow_code=allow_code)
    except TritonpmError as error:
        return f"refused: {error}", set()
    try:
        load(context, name)
        outcome = "served"
    except TritonpmError as error:
        outcome = f"not served: {error}"
    folder = context.workspace.repository / name
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    if outcome == "served":
        unload(context, name)
    remove(context, name)
    return outcome, files


if __name__ == "__main__":
    main()
