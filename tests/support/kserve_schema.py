"""A JSON Schema of KServe's two objects, made from the types that KServe's own SDK declares.

    pip download --no-deps kserve==0.21.0 ; python -m tests.support.kserve_schema kserve-0.21.0-py3-none-any.whl

writes kserve.json. The SDK needs too much to be installed for the tests, and KServe publishes its CRDs on no registry
of ours; what the SDK declares are names and types, none of the patterns and defaults of the CRDs.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

PLACE = Path(__file__).with_name("kserve.json")
ROOTS = ("V1alpha1ServingRuntime", "V1beta1InferenceService")
SIMPLE = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "object": "object"}
# What our objects never have is left out, so that it would be refused.
LEFT_OUT = re.compile(
    r"V1(alpha1|beta1)(?!InferenceServiceSpec|Predictor|Model|Serving|Supported).*|list\[V1beta1.*|.*WorkerSpec"
)


def declared(wheel: Path) -> dict[str, dict[str, str]]:
    """Of every class of the SDK: the JSON name and the type of each field."""
    found = {}
    with zipfile.ZipFile(wheel) as archive:
        for path in archive.namelist():
            if PurePosixPath(path).match("kserve/models/v1*.py"):
                for node in ast.parse(archive.read(path)).body:
                    if isinstance(node, ast.ClassDef):
                        found[node.name] = _fields(node)
    return found


def _fields(node: ast.ClassDef) -> dict[str, str]:
    tables = {}
    for each in node.body:
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            tables[each.targets[0].id] = ast.literal_eval(each.value)
    return {tables["attribute_map"][name]: kind for name, kind in tables["openapi_types"].items()}


def schema_of(kind: str, classes: dict[str, dict[str, str]], made: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type; those of the classes that it needs are put into `made`."""
    if listed := re.fullmatch(r"list\[(.*)\]", kind):
        return {"type": "array", "items": schema_of(listed[1], classes, made)}
    if mapped := re.fullmatch(r"dict\(str, (.*)\)", kind):
        return {"type": "object", "additionalProperties": schema_of(mapped[1], classes, made)}
    if kind in SIMPLE:
        return {"type": SIMPLE[kind]}
    if kind not in classes:
        name = re.sub(r"^(V1|K8sIoApi\w+?V1)(?=[A-Z])", "", kind)
        return {"$kubernetes": name}
    if kind not in made:
        made[kind] = {}  # it may need itself
        fields = {name: each for name, each in sorted(classes[kind].items()) if not LEFT_OUT.fullmatch(each)}
        made[kind] = {
            "type": "object",
            "properties": {name: schema_of(each, classes, made) for name, each in fields.items()},
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{kind}"}


def main(wheel: Path) -> None:
    classes: dict[str, dict[str, str]] = declared(wheel)
    made: dict[str, Any] = {}
    for root in ROOTS:
        schema_of(root, classes, made)
    PLACE.write_text(json.dumps({"$comment": f"from {wheel.name}, Apache-2.0", "$defs": made}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
