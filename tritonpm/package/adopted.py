"""A model folder in Triton's own layout, taken in as it is.

Source: Triton's `model_repository` document; the version rules are stricter than its own, which reads `01`, `-1` or
`2.0` as it can and falls over numbers of 2^63 and more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from tritonpm.core.errors import PackageError, UnsafeError
from tritonpm.core.types import BACKENDS, Format, Signature
from tritonpm.core.units import human
from tritonpm.package import config as configs
from tritonpm.package import manifest as manifests
from tritonpm.package.code import allow, code_in_file
from tritonpm.package.external import inspected
from tritonpm.package.limits import Limits
from tritonpm.package.members import FILE, is_ours
from tritonpm.package.signature import SPEAKING, format_of, inspect_model
from tritonpm.package.tree import Tree

_LIKE_A_NUMBER = re.compile(r"\s*[+-]?\s*\d")  # what Triton's parser would take a number from
_DEFAULT_FILES = {
    Format.ONNX: ("model.onnx",), Format.OPENVINO: ("model.xml",), Format.TENSORRT: ("model.plan",),
    Format.TORCHSCRIPT: ("model.pt", "model.pt2"), Format.TORCH_EXPORT: ("model.pt2",),
}  # fmt: skip
_DATA = {".onnx", ".xml", ".bin", ".json", ".ubj", ".txt", ".csv", ".model", ".tl", ".pb", ".weights", ".safetensors"}


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
    config = _config(tree, configs.FILE, Limits()) if configs.FILE in tree.files else None
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
        if f"{root}{_versions(tree, root)[-1]}/model.py" in tree.files:
            raise configs.completed_by_itself(tree.where)
        raise PackageError("has no model in its newest version", where=tree.where, do="add model.onnx or model.xml")
    return models[-1]


def adopt(tree: Tree, root: str, allow_code: bool, limits: Limits) -> Adopted:
    """Check the folder at `root` ("" or ending in "/") and describe it. Raises PackageError, UnsafeError.

    What Triton reads of it are its configs, its models and what they name: all else stays out of the model folder,
    unless code is allowed, which may need it.
    """
    main = root + configs.FILE
    variants = [path for path in tree.files if path.startswith(root) and configs.variant_of(path.removeprefix(root))]
    config = _config(tree, main, limits)
    if root and configs.is_ensemble(config):
        raise PackageError("is an ensemble, whose members are not in its folder", where=f"{tree.where}: {main}",
                           do="make each of its members a stage")  # fmt: skip
    _check_code(tree, root, allow_code)
    served = [_served(tree, root, path, allow_code, limits) for path in (main, *sorted(variants))]
    format, model, own, _ = served[0]
    signature = configs.signature(config, own, f"{tree.where}: {main}")
    kept = set(variants).union(*(one.files for one in served))
    if allow_code:
        kept |= {path for path in tree.files if path.startswith(root)} - {manifests.FILE} - tree.renamed
    return Adopted(format, model, tuple(sorted(kept - {main})), signature, main)


class _Served(NamedTuple):
    """What one config makes Triton serve: the newest version's model, and every file that is read for it."""

    format: Format
    model: str
    signature: Signature | None
    files: set[str]


def _served(tree: Tree, root: str, path: str, allow_code: bool, limits: Limits) -> _Served:
    """Hold a config to the rules, which are the same for all of a folder's, and every version to what it says."""
    where = f"{tree.where}: {path}"
    config = _config(tree, path, limits)
    versions = _versions(tree, root)
    files = configs.named_files(config, root, set(tree.files), where, limits)
    for reason in () if _runs_ours(tree, root, config, versions) else configs.code_in(config):
        allow(f"names the {reason}, which is code", where, allow_code)
    format, model, own = configs.format_of(config), "", None
    for name in filter(None, configs.model_files(config)):
        if format in SPEAKING and format_of(name) not in (format, _read_as(format, name)) and not allow_code:
            raise UnsafeError(f"names the model file {name!r}, whose ending is not that of {format.value}", where=where,
                              do="rename the file")  # fmt: skip
    served = configs.served_versions(config, versions)
    if not served:
        raise PackageError("serves only versions that are not there", where=where, do="correct its version_policy")
    if configs.is_ensemble(config):
        return _Served(Format.OTHER, "", None, files)
    for version in versions:
        try:
            for name in configs.model_files(config):
                path, signature, needed = _version(tree, f"{root}{version}/", name, config, allow_code, limits)
                files |= needed
                model, own = (path, signature) if version in served else (model, own)
        except UnsafeError:
            raise
        except PackageError:
            if version in served:  # what is not served may be anything
                raise
    format = _read_as(format, model) or format_of(model)
    if not (config.backend or config.platform) and format not in SPEAKING:
        allow("names no backend, so that a file's name would choose one,", where, allow_code)
    return _Served(format or Format.OTHER, model, own, files)


def _read_as(format: Format | None, name: str) -> Format | None:
    """The format of a model file that a backend of `format` is given: OpenVINO reads ONNX, by the file's ending."""
    return Format.ONNX if format is Format.OPENVINO and format_of(name) is Format.ONNX else format


def _runs_ours(tree: Tree, root: str, config: Any, versions: list[int]) -> bool:
    """Whether all that the Python backend would run is a program of ours: each version is that one file."""
    if configs.code_in(config) != ["backend python"] or configs.model_files(config) not in ([""], [FILE]):
        return False
    programs = {f"{root}{version}/{FILE}" for version in versions}
    beside = {path for path in tree.files for version in versions if path.startswith(f"{root}{version}/")}
    return beside == programs and all(is_ours(tree.root / path) for path in programs)


def _version(
    tree: Tree, folder: str, named: str, config: Any, allow_code: bool, limits: Limits
) -> tuple[str, Signature | None, set[str]]:
    """The model file in a version folder, its signature and all its files, held against the config."""
    model = _model_file(tree, folder, configs.format_of(config), named)
    format = _read_as(configs.format_of(config), model)
    signature, files = _inspected(tree, model, format, allow_code, limits)
    if format is Format.OTHER:
        files |= _data(tree, folder, allow_code)
    backend = configs.backend_of(config) or BACKENDS.get(format_of(model) or Format.OTHER, ("",))[0]
    for _, sentence in configs.refusals(config, backend, signature):
        raise PackageError(sentence, where=f"{tree.where}: {folder}", do="correct the config")
    return model, signature, files


def _inspected(
    tree: Tree, model: str, format: Format | None, allow_code: bool, limits: Limits
) -> tuple[Signature | None, set[str]]:
    """A model's signature and all its files, by package path."""
    format = format or format_of(model)
    if not model or format is Format.OTHER or format is None:
        return None, set()
    own = inspected(tree, model, allow_code, limits, format)
    return own.signature, {str(PurePosixPath(model).parent / file) for file in own.files}


def _data(tree: Tree, folder: str, allow_code: bool) -> set[str]:
    """The files of a version whose backend is none that is known here."""
    files = {path for path in tree.files if path.startswith(folder)}
    for path in sorted(files):
        known = PurePosixPath(path).suffix.lower() in _DATA or is_ours(tree.root / path)
        if tree.files[path].size and not known:
            allow("is of a form that is not known, which may be a program,", f"{tree.where}: {path}", allow_code)
    return files


def _config(tree: Tree, path: str, limits: Limits) -> Any:
    where = f"{tree.where}: {path}"
    file = tree.files.get(path)
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
            raise PackageError(f"the folder {name!r} is not a version", where=tree.where,
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
        allow(code_in_file(path, tree.root / path), f"{tree.where}: {path}", allow_code)
