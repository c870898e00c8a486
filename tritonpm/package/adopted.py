"""A model folder in Triton's own layout, taken in as it is.

Source: Triton's `model_repository` document; the version rules are stricter than its own, which reads `01`, `-1` or
`2.0` as it can and falls over numbers of 2^63 and more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from tritonpm.core.errors import PackageError, UnsafeError
from tritonpm.core.types import Format, Signature
from tritonpm.core.units import human
from tritonpm.package import config as configs
from tritonpm.package import manifest as manifests
from tritonpm.package.code import allow, code_in_file
from tritonpm.package.limits import Limits
from tritonpm.package.signature import SPEAKING, format_of, inspect_model
from tritonpm.package.tree import Tree

_LIKE_A_NUMBER = re.compile(r"\s*[+-]?\s*\d")  # what Triton's parser would take a number from
_DEFAULT_FILES = {
    Format.ONNX: ("model.onnx",), Format.OPENVINO: ("model.xml",), Format.TENSORRT: ("model.plan",),
    Format.TORCHSCRIPT: ("model.pt", "model.pt2"), Format.TORCH_EXPORT: ("model.pt2",),
}  # fmt: skip


@dataclass(frozen=True)
class Adopted:
    """What an adopted folder is; paths are package paths."""

    format: Format
    model: str
    files: tuple[str, ...]
    signature: Signature
    config: str


def looks_adopted(tree: Tree) -> bool:
    """Whether the folder has a config.pbtxt or a version folder with a model in it."""
    if configs.FILE in tree.files:
        return True
    parts = (path.split("/") for path in tree.files)
    return any(len(p) > 1 and _LIKE_A_NUMBER.match(p[0]) and p[1].startswith("model.") for p in parts)


def holds_repository(tree: Tree) -> bool:
    """Whether the tree is a whole model repository: folders with a config.pbtxt each."""
    return any(path.count("/") == 1 and path.endswith(f"/{configs.FILE}") for path in tree.files)


def name_of(tree: Tree) -> str:
    """What the folder's config calls the model, which must be its folder's name; "" where it leaves that open."""
    config = _config(tree, "", Limits()) if configs.FILE in tree.files else None
    name = str(config.name) if config else ""
    if name and tree.folder and name != tree.folder:
        raise PackageError(f"names the model {name!r}, and its folder is {tree.folder!r}",
                           where=f"{tree.where}: {configs.FILE}", do="rename one of them")  # fmt: skip
    return name


def newest_model(tree: Tree, root: str, allow_code: bool, limits: Limits) -> str:
    """The newest version's model file in a folder without config.pbtxt, after all its versions were checked."""
    _check_code(tree, root, allow_code)
    models = [_model_file(tree, f"{root}{version}/", None, "") for version in _versions(tree, root)]
    for path in filter(None, models):
        inspect_model(tree.root / path, f"{tree.where}: {path}", limits)
    if not models[-1]:
        raise PackageError("has no model in its newest version", where=tree.where, do="add model.onnx or model.xml")
    return models[-1]


def adopt(tree: Tree, root: str, allow_code: bool, limits: Limits) -> Adopted:
    """Check the folder at `root` ("" or ending in "/") and describe it. Raises PackageError, UnsafeError."""
    where = f"{tree.where}: {root}{configs.FILE}"
    config = _config(tree, root, limits)
    versions = _versions(tree, root)
    configs.check_files(config, root, set(tree.files), where, limits)
    for reason in configs.code_in(config):
        allow(f"names the {reason}, which is code", where, allow_code)
    _check_code(tree, root, allow_code)
    format, model, own = configs.format_of(config), "", None
    for version in versions:
        model = _model_file(tree, f"{root}{version}/", format, config.default_model_filename)
        own = _inspected(tree, model, format, limits)
    format = format or format_of(model) or Format.OTHER
    signature = configs.signature(config, own, format, where)
    apart = (root + configs.FILE, manifests.FILE)
    files = tuple(sorted(path for path in tree.files if path.startswith(root) and path not in apart))
    return Adopted(format, model, files, signature, root + configs.FILE)


def _inspected(tree: Tree, model: str, format: Format | None, limits: Limits) -> Signature | None:
    format = format or format_of(model)
    if not model or format is Format.OTHER or format is None:
        return None
    return inspect_model(tree.root / model, f"{tree.where}: {model}", limits, format).signature


def _config(tree: Tree, root: str, limits: Limits) -> Any:
    where = f"{tree.where}: {root}{configs.FILE}"
    file = tree.files.get(root + configs.FILE)
    if file is None:
        raise PackageError("is not there", where=where, do="add it, or name the model file as `model`")
    if file.size > limits.config:
        raise UnsafeError(f"is longer than {human(limits.config)}", where=where, do="shorten it")
    return configs.parse((tree.root / file.path).read_bytes(), where)


def _versions(tree: Tree, root: str) -> list[int]:
    """The folder's versions, oldest first."""
    inside = {f[len(root) :].split("/")[0] for f in tree.folders if f.startswith(root) and f != root.rstrip("/")}
    versions = []
    for name in sorted(name for name in inside if _LIKE_A_NUMBER.match(name)):
        if not re.fullmatch(r"[1-9][0-9]{0,18}", name) or int(name) >= 1 << 63:
            raise PackageError(f"the folder {name!r} is no version", where=tree.where,
                               do="name it 1, 2, 3 … (below 2^63)")  # fmt: skip
        versions.append(int(name))
    if not versions:
        raise PackageError("has no version folder", where=tree.where, do="put the model into a folder named 1")
    return sorted(versions)


def _model_file(tree: Tree, folder: str, format: Format | None, named: str) -> str:
    """The model file of one version; a folder of that name (ONNX with external data) holds a file of that name."""
    wanted = (named,) if named else _DEFAULT_FILES.get(format, ()) if format else sum(_DEFAULT_FILES.values(), ())
    for name in wanted:
        for path in (folder + name, f"{folder}{name}/{name}"):
            if path in tree.files:
                return path
    if format in SPEAKING or named:
        raise PackageError(f"has no {' or '.join(wanted)} in version {PurePosixPath(folder).name}", where=tree.where,
                           do="add it, or name it in default_model_filename")  # fmt: skip
    return ""


def _check_code(tree: Tree, root: str, allow_code: bool) -> None:
    for path in sorted(path for path in tree.files if path.startswith(root)):
        with (tree.root / path).open("rb") as stream:
            reason = code_in_file(path, stream.read(4))
        allow(reason, f"{tree.where}: {path}", allow_code)
