"""Repositories whose point is not the config's text: links, encodings, what is in the model file, agents and members."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.support.lint.cases import Case
from tests.support.lint.pieces import TYPES
from tests.support.repositories import BASE, ENSEMBLE, FIXED, MODEL, ensemble, model, onnx_graph

Build = Callable[[Path], None]


def folders() -> Iterator[Case]:
    """All of them."""
    for kind, builds in (("link", LINKS), ("bytes", BYTES), ("file", FILES)):
        for name, build in builds.items():
            yield Case(f"{kind}-{name}", build)
    for name, build in MEMBERS.items():
        yield Case(f"member-{name}", build, "e")


def _outside(root: Path) -> Path:
    """A folder beside the repository with a model file, labels and a config."""
    place = root.parent / "outside"
    (place / "1").mkdir(parents=True, exist_ok=True)
    for file in ("model.onnx", "1/model.onnx"):
        (place / file).write_bytes(MODEL)
    (place / "labels.txt").write_text("a\nb\nc\nd\n")
    (place / "config.pbtxt").write_text(BASE)
    return place


def _link(path: str, target: str, config: str | None = BASE) -> Build:
    """Model `m` with a link at `path` of the repository, instead of what is there."""

    def build(root: Path) -> None:
        _outside(root)
        model(root, BASE.replace('name: "m"', 'name: "n"'), "n")
        folder = model(root, config)
        place = root / path
        if place.is_file():
            place.unlink()
        elif place == folder / "1":
            (place / "model.onnx").unlink()
            place.rmdir()
        place.symlink_to(target)

    return build


def _whole(root: Path) -> None:
    """The whole model folder is a link."""
    (root / "m").symlink_to(_outside(root))


_LABELS = BASE.replace("dims: [ 4 ] }\ninstance", 'dims: [ 4 ] label_filename: "labels.txt" }\ninstance')
LINKS: dict[str, Build] = {
    "file-outside": _link("m/1/model.onnx", "../../../outside/model.onnx"),
    "file-of-another": _link("m/1/model.onnx", "../../n/1/model.onnx"),
    "file-inside": _link("m/2", "1"),
    "version-outside": _link("m/1", "../../outside/1"),
    "version-of-another": _link("m/1", "../n/1"),
    "config-outside": _link("m/config.pbtxt", "../../outside/config.pbtxt", None),
    "labels-outside": _link("m/labels.txt", "../../outside/labels.txt", _LABELS),
    "extra-outside": _link("m/extra", "../../outside"),
    "dangling-file": _link("m/1/model.onnx", "nothing"),
    "dangling-version": _link("m/1", "nothing"),
    "dangling-beside": _link("m/extra", "nothing"),
    "dangling-in-version": _link("m/1/extra", "nothing"),
    "whole-model": _whole,
    "root-file": _link("readme", "../outside/labels.txt"),
    "root-dangling": _link("gone", "nothing"),
}  # fmt: skip


def _raw(config: bytes) -> Build:
    def build(root: Path) -> None:
        (model(root, None) / "config.pbtxt").write_bytes(config)

    return build


_B = BASE.encode()
BYTES: dict[str, Build] = {
    "latin1-comment": _raw("# gr\xf6\xdfe\n".encode("latin1") + _B),
    "latin1-comment-behind": _raw(_B + b"# \xff\xfe"),
    "latin1-string": _raw(_B + b'parameters { key: "a" value { string_value: "\xf6" } }'),
    "latin1-key": _raw(_B + b'parameters { key: "\xf6" value { string_value: "a" } }'),
    "latin1-name": _raw(_B.replace(b'"x"', b'"\xf6"')),
    "latin1-tag": _raw(_B + b'metric_tags { key: "a" value: "\xf6" }'),
    "latin1-word": _raw(_B + b"\xf6"),
    "utf8-string": _raw(_B + 'parameters { key: "größe" value { string_value: "日本" } }'.encode()),
    "escaped-string": _raw(_B + b'parameters { key: "a" value { string_value: "\\366" } }'),
    "bom": _raw(b"\xef\xbb\xbf" + _B),
    "bom-16": _raw(BASE.encode("utf-16")),
    "nul": _raw(_B + b"\0"),
    "nul-in-comment": _raw(b"# \0\n" + _B),
    "nul-in-string": _raw(_B + b'parameters { key: "a" value { string_value: "\0" } }'),
    "control-in-comment": _raw(b"# \x01\n" + _B),
    "control-in-string": _raw(_B + b'parameters { key: "a" value { string_value: "\x01" } }'),
    "control": _raw(_B + b"\x01"),
    "letter-in-name": _raw(_B.replace(b"max_batch_size", "max_bätch_size".encode())),
    "escaped-latin1-hex": _raw(_B + b'parameters { key: "a" value { string_value: "\\xf6\\\\" } }'),
    "line-separator": _raw(_B + b"\xe2\x80\xa8"),
    "form-feed": _raw(_B + b"\f\v"),
    "no-break-space": _raw(_B + b"\xc2\xa0"),
    "carriage-returns": _raw(_B.replace(b"\n", b"\r\n")),
    "old-carriage-returns": _raw(_B.replace(b"\n", b"\r")),
    "newline-in-string": _raw(_B + b'parameters { key: "a\nb" value { } }'),
    "blank": _raw(b" \n"),
}  # fmt: skip


def _file(config: str, inputs: Sequence[tuple[str, int, object]], outputs: Sequence[tuple[str, int, object]]) -> Build:
    """A model file with these tensors; its outputs are its first input."""

    def build(root: Path) -> None:
        (model(root, config) / "1/model.onnx").write_bytes(onnx_graph(inputs, outputs, "Identity"))

    return build


def _config(batch: int, given: str, made: str) -> str:
    return "\n".join(
        [
            'backend: "onnxruntime"',
            f"max_batch_size: {batch}",
            f'input {{ name: "x" data_type: TYPE_FP32 {given} }}' if given else "",
            f'output {{ name: "y" data_type: TYPE_FP32 {made} }}' if made else "",
            "instance_group { count: 1 kind: KIND_CPU }",
        ]
    )


_F = 1  # FLOAT
_SHAPES: dict[str, tuple[object, object, int, str, str]] = {  # of x and y in the file, then the config
    "output-without-shape": (["b", 4], None, 8, "dims: [ 4 ]", "dims: [ 4 ]"),
    "output-without-shape-open": (["b", 4], None, 8, "dims: [ 4 ]", "dims: [ -1 ]"),
    "output-without-shape-rank": (["b", 4], None, 8, "dims: [ 4 ]", "dims: [ 4, 1 ]"),
    "output-open-in-file": (["b", 4], ["b", "n"], 8, "dims: [ 4 ]", "dims: [ 4 ]"),
    "output-open-in-both": (["b", 4], ["b", "n"], 8, "dims: [ 4 ]", "dims: [ -1 ]"),
    "output-open-in-config": (["b", 4], ["b", 4], 8, "dims: [ 4 ]", "dims: [ -1 ]"),
    "output-known-in-config": (["b", "n"], ["b", "n"], 8, "dims: [ -1 ]", "dims: [ 4 ]"),
    "input-open-in-config": (["b", 4], ["b", 4], 8, "dims: [ -1 ]", "dims: [ 4 ]"),
    "input-known-in-config": (["b", "n"], ["b", "n"], 8, "dims: [ 4 ]", "dims: [ -1 ]"),
    "input-without-shape": (None, None, 0, "dims: [ 4 ]", "dims: [ 4 ]"),
    "fixed-batch": ([1, 4], [1, 4], 8, "dims: [ 4 ]", "dims: [ 4 ]"),
    "fixed-batch-none": ([1, 4], [1, 4], 0, "dims: [ 1, 4 ]", "dims: [ 1, 4 ]"),
    "one-value-a-row": (["b"], ["b"], 8, "dims: [ 1 ] reshape { }", "dims: [ 1 ] reshape { }"),
    "one-value-without-reshape": (["b"], ["b"], 8, "dims: [ 1 ]", "dims: [ 1 ]"),
    "one-value-one-side": (["b"], ["b"], 8, "dims: [ 1 ] reshape { }", "dims: [ 1 ]"),
    "two-values-empty-reshape": (["b"], ["b"], 8, "dims: [ 2 ] reshape { }", "dims: [ 1 ] reshape { }"),
    "open-value-empty-reshape": (["b"], ["b"], 8, "dims: [ -1 ] reshape { }", "dims: [ 1 ] reshape { }"),
    "empty-reshape-no-batch": (["b"], ["b"], 0, "dims: [ 1 ] reshape { }", "dims: [ 1 ] reshape { }"),
    "scalar": ([], [], 0, "dims: [ 1 ]", "dims: [ 1 ]"),
    "scalar-batched": ([], [], 8, "dims: [ 1 ]", "dims: [ 1 ]"),
    "scalar-two": ([], [], 0, "dims: [ 2 ]", "dims: [ 2 ]"),
    "scalar-ones": ([], [], 0, "dims: [ 1, 1 ]", "dims: [ 1, 1 ]"),
    "ragged": (["n"], ["n"], 8, "dims: [ -1 ] allow_ragged_batch: true", "dims: [ -1 ]"),
    "ragged-fixed": ([4], [4], 8, "dims: [ 4 ] allow_ragged_batch: true", "dims: [ 4 ]"),
    "image": (["b", 3, 2, 2], ["b", 3, 2, 2], 8, "dims: [ 3, 2, 2 ] format: FORMAT_NCHW", "dims: [ 3, 2, 2 ]"),
    "image-last": (["b", 2, 2, 3], ["b", 2, 2, 3], 8, "dims: [ 2, 2, 3 ] format: FORMAT_NHWC", "dims: [ 2, 2, 3 ]"),
    "image-no-batch": (["b", 3, 2, 2], ["b", 3, 2, 2], 0, "dims: [ -1, 3, 2, 2 ] format: FORMAT_NCHW", "dims: [ -1, 3, 2, 2 ]"),
    "image-wrong-order": (["b", 3, 2, 2], ["b", 3, 2, 2], 8, "dims: [ 3, 2, 2 ] format: FORMAT_NHWC", "dims: [ 3, 2, 2 ]"),
    "completed": (["b", 4], ["b", 4], 0, "", ""),
    "completed-batched": (["b", 4], ["b", 4], 2, "", ""),
    "completed-output": (["b", 4], ["b", 4], 8, "dims: [ 4 ]", ""),
    "completed-input": (["b", 4], ["b", 4], 8, "", "dims: [ 4 ]"),
    "completed-output-none": (["b", 4], ["b", 4], 0, "dims: [ -1, 4 ]", ""),
    "completed-fixed": ([1, 4], [1, 4], 0, "", ""),
    "completed-fixed-batched": ([1, 4], [1, 4], 8, "", ""),
    "completed-no-rank": (None, None, 0, "", ""),
    "wide-reshape": (["b", 2, 2], ["b", 2, 2], 8, "dims: [ 4 ] reshape { shape: [ 2, 2 ] }", "dims: [ 4 ] reshape { shape: [ 2, 2 ] }"),
}  # fmt: skip
_NUMBER = {"BOOL": 9, "UINT8": 2, "UINT16": 4, "UINT32": 12, "UINT64": 13, "INT8": 3, "INT16": 5, "INT32": 6, "INT64": 7,
           "FP16": 10, "FP32": 1, "FP64": 11, "STRING": 8, "BF16": 16}  # fmt: skip
_TYPED = [name.removeprefix("TYPE_") for name in TYPES if name.removeprefix("TYPE_") in _NUMBER]
_TWO = [("x", _F, ["b", 4]), ("o", _F, ["b", 4])]
FILES: dict[str, Build] = {
    **{
        name: _file(_config(batch, given, made), [("x", _F, x)], [("y", _F, y)])
        for name, (x, y, batch, given, made) in _SHAPES.items()
    },
    **{
        f"type-{dtype}": _file(
            BASE.replace("TYPE_FP32", f"TYPE_{dtype}"), [("x", _NUMBER[dtype], ["b", 4])], [("y", _NUMBER[dtype], ["b", 4])]
        )
        for dtype in _TYPED
    },
    "two-inputs": _file(BASE, _TWO, [("y", _F, ["b", 4])]),
    "two-inputs-optional": _file(BASE + 'input { name: "o" data_type: TYPE_FP32 dims: [ 4 ] optional: true }', _TWO, [("y", _F, ["b", 4])]),
    "two-inputs-optional-no-batch": _file(
        FIXED + 'input { name: "o" data_type: TYPE_FP32 dims: [ -1, 4 ] optional: true }', _TWO, [("y", _F, ["b", 4])]
    ),
    "two-outputs-one-named": _file(BASE, [("x", _F, ["b", 4])], [("y", _F, ["b", 4]), ("z", _F, ["b", 4])]),
    "empty": lambda root: ((model(root) / "1/model.onnx").write_bytes(b""), None)[1],
    "text": lambda root: ((model(root) / "1/model.onnx").write_bytes(b"version https://git-lfs"), None)[1],
    "folder": lambda root: _in_folder(root, "model.onnx"),
    "folder-other-name": lambda root: _in_folder(root, "net.onnx"),
    "folder-empty": lambda root: _in_folder(root, ""),
    "warm-up-data": lambda root: _warmed(root, 16),
    "warm-up-data-short": lambda root: _warmed(root, 12),
    "warm-up-data-long": lambda root: _warmed(root, 20),
    "warm-up-data-empty": lambda root: _warmed(root, 0),
}  # fmt: skip


def _in_folder(root: Path, name: str) -> None:
    place = model(root) / "1/model.onnx"
    place.unlink()
    place.mkdir()
    if name:
        (place / name).write_bytes(MODEL)


def _warmed(root: Path, size: int) -> None:
    sample = 'inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 4 ] input_data_file: "data" } }'
    folder = model(root, f'{BASE}model_warmup {{ name: "w" batch_size: 1 {sample} }}')
    (folder / "warmup").mkdir()
    (folder / "warmup/data").write_bytes(bytes(size))


_DECOUPLED = BASE + "model_transaction_policy { decoupled: true }"
_JOINED = """platform: "ensemble" max_batch_size: 8
input { name: "in" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "out" data_type: TYPE_FP32 dims: [ 4 ] }
ensemble_scheduling {
  step { model_name: "m" model_version: -1 input_map { key: "x" value: "in" } output_map { key: "y" value: "a" } }
  step { model_name: "m" model_version: -1 input_map { key: "x" value: "in" } output_map { key: "y" value: "b" } }
  step { model_name: "two" model_version: -1
    input_map { key: "x" value: "a" } input_map { key: "o" value: "b" } output_map { key: "y" value: "out" } }
}
"""


def _joined(m: str) -> Build:
    def build(root: Path) -> None:
        ensemble(root, _JOINED, m=m)
        two = BASE.replace('name: "m"', 'name: "two"') + 'input { name: "o" data_type: TYPE_FP32 dims: [ 4 ] }'
        (model(root, two, "two") / "1/model.onnx").write_bytes(onnx_graph(_TWO, [("y", _F, ["b", 4])]))

    return build


_MORE = 'output { name: "mid" data_type: TYPE_FP32 dims: [ 4 ] }\n'
_BARE = 'name: "m"\nbackend: "onnxruntime"\n'
MEMBERS: dict[str, Build] = {
    "decoupled": lambda root: ensemble(root, m=_DECOUPLED),
    "joined": _joined(BASE),
    "joined-decoupled": _joined(_DECOUPLED),
    "completed": lambda root: ensemble(root, m=_BARE, m2=_BARE),
    "completed-first": lambda root: ensemble(root, m=_BARE),
    "completed-wrong-map": lambda root: ensemble(root, ENSEMBLE.replace('key: "y" value: "mid"', 'key: "z" value: "mid"'), m=_BARE),
    "completed-wrong-dims": lambda root: ensemble(root, ENSEMBLE.replace("[ 4 ] }\noutput", "[ 5 ] }\noutput"), m=_BARE, m2=_BARE),
    "completed-small-batch": lambda root: ensemble(root, m=_BARE + "max_batch_size: 2"),
    "small-batch": lambda root: ensemble(root, m=BASE.replace("max_batch_size: 8", "max_batch_size: 2")),
    "mid-is-output-too": lambda root: ensemble(root, ENSEMBLE.replace("output {", _MORE + "output {", 1)),
    "reshaped": lambda root: ensemble(root, m=BASE.replace("dims: [ 4 ] }\noutput", "dims: [ 2, 2 ] reshape { shape: [ 4 ] } }\noutput")),
    "reshaped-both": lambda root: ensemble(
        root, ENSEMBLE.replace("[ 4 ] }\noutput", "[ 2, 2 ] }\noutput"),
        m=BASE.replace("dims: [ 4 ] }\noutput", "dims: [ 2, 2 ] reshape { shape: [ 4 ] } }\noutput"),
    ),
    "optional-input": lambda root: ensemble(root, m=BASE + 'input { name: "o" data_type: TYPE_FP32 dims: [ 4 ] optional: true }'),
    "sequence": lambda root: ensemble(root, m=BASE + "sequence_batching { }"),
    "stateful": lambda root: ensemble(root, m=BASE + 'sequence_batching { state { input_name: "s" output_name: "y" } }'),
    "broken-config": lambda root: ensemble(root, m="nonsense"),
    "no-config": lambda root: ((ensemble(root), (root / "m/config.pbtxt").unlink()), None)[1],
    "no-model-file": lambda root: ((ensemble(root), (root / "m/1/model.onnx").unlink()), None)[1],
    "cached": lambda root: ensemble(root, ENSEMBLE + "response_cache { enable: true }", m=_DECOUPLED),
}  # fmt: skip
