"""A class's name means one thing in all of tritonpm."""

import ast
from collections import defaultdict
from pathlib import Path

import tritonpm

ROOT = Path(tritonpm.__file__).parent
IN_TRITON = ROOT / "backends"  # copied beside a model each: what Triton looks for there has a name that Triton gave


def test_no_two_classes_share_a_name() -> None:
    modules = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        if IN_TRITON not in path.parents:
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    modules[node.name].append(str(path.relative_to(ROOT)))
    assert len(modules) > 300
    assert {name: places for name, places in modules.items() if len(places) > 1} == {}
