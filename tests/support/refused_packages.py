"""Every input that is refused: how it is made, and the error and sentence it must get. One row of the threats each."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from tests.support.archives import (
    CONFIG,
    IR,
    MANIFEST,
    MODEL,
    PLAN,
    bomb,
    external,
    file,
    folder,
    good_zip,
    model,
    package,
    patched,
    raw_entry,
    raw_zip,
    renamed,
    triton,
    value,
    with_mode,
    zipped,
)
from tritonpm.core.errors import ManifestError, NotFoundError, PackageError, TritonpmError, UnsafeError
from tritonpm.package import Limits

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


@dataclass(frozen=True)
class Case:
    """`build` makes the source inside a folder and returns its path; `sentence` must be in what the error says."""

    id: str
    build: Callable[[Path], Path]
    error: type[TritonpmError]
    sentence: str
    limits: Limits = Limits()  # noqa: RUF009 (frozen)
    allow_code: bool = False


CASES: list[Case] = []


def case(id: str, error: type[TritonpmError], sentence: str, build: Callable[[Path], Path]) -> None:
    CASES.append(Case(id, build, error, sentence))


def archive(id: str, error: type[TritonpmError], sentence: str, raw: bytes) -> None:
    case(f"archive-{id}", error, sentence, file("bolts.zip", raw))


def in_folder(id: str, sentence: str, spoil: Callable[[Path], object]) -> None:
    def build(root: Path) -> Path:
        made = package(root)
        spoil(made)
        return made

    case(f"folder-{id}", UnsafeError, sentence, build)


def manifest(id: str, sentence: str, text: str | bytes) -> None:
    case(f"manifest-{id}", ManifestError, sentence, lambda root: package(root, **{"package.yaml": text}))


def adopted(
    id: str, error: type[TritonpmError], sentence: str, config: str | None = CONFIG, **files: bytes | str
) -> None:
    case(f"triton-{id}", error, sentence, triton("resnet", config, **files))


def onnx_file(id: str, error: type[TritonpmError], sentence: str, made: object, **beside: bytes) -> None:
    raw = made if isinstance(made, bytes) else made.SerializeToString()  # type: ignore[attr-defined]
    case(f"onnx-{id}", error, sentence, lambda root: folder(root, {"net.onnx": raw, **beside}) / "net.onnx")


# Archives: names -----------------------------------------------------------------------------------------------------
for id, name in {
    "parent": "../x", "parent-inside": "a/../../x", "absolute": "/etc/x",
}.items():  # fmt: skip
    archive(id, UnsafeError, "leads out of the package", good_zip((name, b"")))
for id, name in {"backslash": "a\\x", "drive-letter": "C:x", "device-name": "a|x"}.items():
    archive(id, UnsafeError, "a backslash, a drive letter or one of", good_zip((name, b"")))
for id, name in {"bidi": "a\u202ex", "control": "a\x07x", "escape": "a\x1b[2Jx"}.items():
    archive(id, UnsafeError, "control, bidirectional or undecodable", good_zip((name, b"")))
archive("nul", UnsafeError, "control, bidirectional or undecodable", renamed(good_zip(("aQx", b"")), b"aQx", b"a\0x"))
archive("dot", UnsafeError, "not written in its shortest form", good_zip(("a/./x", b"")))
archive("double-slash", UnsafeError, "not written in its shortest form", good_zip(("a//x", b"")))
archive("long-path", UnsafeError, "has a path of more than 512 bytes", good_zip(("/".join(["a" * 90] * 6), b"")))
archive("long-name", UnsafeError, "or a name of more than 240", good_zip(("a" * 241, b"")))
archive("deep", UnsafeError, "lies more than 16 folders deep", good_zip(("a/" * 17 + "x", b"")))
archive("duplicate", UnsafeError, "is there twice", renamed(good_zip(("m.onnQ", b"2")), b"m.onnQ", b"m.onnx"))
archive("case-clash", UnsafeError, "are one name where case or Unicode form", good_zip(("M.onnx", b"")))
archive("folder-case-clash", UnsafeError, "are one name", good_zip(("a/x", b""), ("A/y", b"")))
archive("unicode-clash", UnsafeError, "are one name", good_zip(("caf\u00e9", b""), ("cafe\u0301", b"")))
archive("compatibility-clash", UnsafeError, "are one name", good_zip(("\ufb01le", b""), ("file", b"")))
archive("file-and-folder", UnsafeError, "is both a file and a folder", good_zip(("a", b""), ("a/x", b"")))
archive("folder-and-file", UnsafeError, "is both a file and a folder", good_zip(("a/x", b""), ("a", b"")))
archive(
    "not-utf8",
    UnsafeError,
    "is a name that readers decode differently",
    renamed(good_zip(("aQx", b"")), b"aQx", b"a\xe9x"),
)

# Archives: kinds and modes
for id, mode, what in (
    ("symlink", stat.S_IFLNK, "is a symbolic link"), ("fifo", stat.S_IFIFO, "is a FIFO"),
    ("socket", stat.S_IFSOCK, "is a socket"), ("device", stat.S_IFCHR, "is a device"),
    ("block-device", stat.S_IFBLK, "is a device"), ("odd-kind", 0o170000, "is not a plain file"),
    ("setuid", stat.S_IFREG | 0o4755, "its setuid or setgid bit set"),
    ("setgid", stat.S_IFREG | 0o2755, "its setuid or setgid bit set"),
    ("folder-mode-on-file", stat.S_IFDIR | 0o755, "is both a file and a folder"),
):  # fmt: skip
    archive(id, UnsafeError, what, good_zip((with_mode("x", mode), b"m.onnx")))


def _extra(kind: int, content: bytes) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("x")
    entry.extra = struct.pack("<2H", kind, len(content)) + content
    return entry


archive(
    "hard-link", UnsafeError, "an extra field that is broken or renames it", good_zip((_extra(0x0D, bytes(20)), b""))
)
archive(
    "second-name",
    UnsafeError,
    "an extra field that is broken or renames it",
    good_zip((_extra(0x7075, b"\1abcd../x"), b"")),
)

# Archives: structure
GOOD = good_zip()
GAP = "has data before, between or after its entries"
archive(
    "name-differs", UnsafeError, "described in two ways that differ", renamed(GOOD, b"m.onnx", b"n.onnx", which="local")
)
archive("size-differs", UnsafeError, "described in two ways that differ", patched(GOOD, LOCAL, 22, "<L", 7))
archive("method-differs", UnsafeError, "described in two ways that differ", patched(GOOD, LOCAL, 8, "<H", 0))
archive("trailing", UnsafeError, GAP, GOOD + b"#!/bin/sh")
archive("prepended", UnsafeError, GAP, LOCAL + GOOD)
archive("concatenated", UnsafeError, GAP, GOOD + GOOD)
archive("comment-holds-zip", UnsafeError, GAP, patched(GOOD, END, 20, "<H", len(GOOD)) + GOOD)
archive("truncated", PackageError, "is not a zip, or is cut off", GOOD[:-30])
archive("only-a-header", PackageError, "is not a zip, or is cut off", GOOD[:40])
archive("encrypted", PackageError, "is encrypted", patched(patched(GOOD, CENTRAL, 8, "<H", 1), LOCAL, 6, "<H", 1))
archive("unknown-method", PackageError, "a method other than store or deflate", patched(GOOD, CENTRAL, 10, "<H", 99))
archive(
    "bzip2",
    PackageError,
    "a method other than store or deflate",
    zipped([("package.yaml", b"a" * 99)], zipfile.ZIP_BZIP2),
)
archive(
    "crc",
    PackageError,
    "is damaged (its CRC or size is wrong)",
    patched(patched(GOOD, CENTRAL, 16, "<L", 7), LOCAL, 14, "<L", 7),
)
archive("split", PackageError, "is one part of a split archive", patched(GOOD, END, 4, "<H", 1))
archive(
    "count-wrong",
    PackageError,
    "has a directory that is damaged",
    patched(patched(GOOD, END, 8, "<H", 1), END, 10, "<H", 1),
)
archive("record-broken", PackageError, "has a directory that is damaged", patched(GOOD, CENTRAL, 28, "<H", 9999))
archive("record-sign", PackageError, "has a directory that is damaged", patched(GOOD, CENTRAL, 0, "<L", 0))
archive("offset-wrong", UnsafeError, "is not where the directory says", patched(GOOD, LOCAL, 0, "<L", 0))
archive(
    "descriptor-missing",
    UnsafeError,
    "overlaps another entry, or leaves a gap",
    patched(patched(GOOD, CENTRAL, 8, "<H", 8), LOCAL, 6, "<H", 8),
)
archive(
    "zip64-size-missing",
    UnsafeError,
    "has a ZIP64 record that contradicts it",
    patched(GOOD, CENTRAL, 24, "<L", 0xFFFFFFFF),
)
_AT = GOOD.rfind(END)
_WIDE = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 9, 9, 9, 9) + struct.pack("<4sLQL", b"PK\6\7", 0, _AT, 1)
archive("zip64-contradicts", UnsafeError, "has a ZIP64 record that contradicts it", GOOD[:_AT] + _WIDE + GOOD[_AT:])
archive("zip64-elsewhere", UnsafeError, "has a ZIP64 record that contradicts it",
        GOOD[:_AT] + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1) + GOOD[_AT:])  # fmt: skip
archive(
    "folder-with-data",
    UnsafeError,
    "is a folder and has content",
    good_zip((with_mode("d/", stat.S_IFDIR | 0o755), b"12")),
)
_FOLDER, _IN_DIRECTORY = raw_entry(b"d/", b"hidden", 0, 0, offset=0, mode=stat.S_IFDIR | 0o755)
archive("folder-hides-data", UnsafeError, "is a folder and has content", raw_zip([_FOLDER], [_IN_DIRECTORY]))
_PAD = bytes.fromhex("0000 00ff ff") * 40 + b"\3\0"  # nothing, in very many pieces
_PADDED, _PADDED_ENTRY = raw_entry(b"a", _PAD, 0, 0, offset=0)
archive("file-hides-data", UnsafeError, "has sizes that contradict each other", raw_zip([_PADDED], [_PADDED_ENTRY]))
for id, name in {"con": "con", "nul-text": "a/NUL.txt", "com": "com¹", "dot": "a.", "blank": "a ", "dot-inside": "a./x",
                 "blank-before-ending": "aux .x"}.items():  # fmt: skip
    archive(f"reserved-{id}", UnsafeError, "has a name that other systems reserve", good_zip((name, b"")))
_ONE, _ENTRY = raw_entry(b"a", b"123", 3, 0x884863D2, offset=0, method=0)
archive("overlapping", UnsafeError, "overlaps another entry, or leaves a gap",
        raw_zip([_ONE], [_ENTRY, raw_entry(b"b", b"123", 3, 0x884863D2, offset=0, method=0)[1]]))  # fmt: skip
archive("gap", UnsafeError, "overlaps another entry, or leaves a gap", raw_zip([_ONE, b"hidden"], [_ENTRY]))
_PACKED = bomb(4 << 20)
_LIE, _LIE_ENTRY = raw_entry(b"a", _PACKED, 8000, 0, offset=0)
archive("false-size", UnsafeError, "is larger than the archive says", raw_zip([_LIE], [_LIE_ENTRY]))
_CUT, _CUT_ENTRY = raw_entry(b"a", _PACKED[:100], 4 << 20, 0, offset=0)
archive("deflate-cut-off", PackageError, "is damaged (its CRC or size is wrong)", raw_zip([_CUT], [_CUT_ENTRY]))


def ratio_bomb(root: Path) -> Path:
    local, central = raw_entry(b"a", bomb(300 << 20), 300 << 20, 0, offset=0)
    return file("bolts.zip", raw_zip([local], [central]))(root)


case("archive-ratio-bomb", UnsafeError, "times as much", ratio_bomb)
_HUGE, _HUGE_ENTRY = raw_entry(b"a", b"x", 0xFFFFFFFE, 0, offset=0)
archive("false-size-huge", UnsafeError, "times as much", raw_zip([_HUGE], [_HUGE_ENTRY]))
_MANY = [raw_entry(b"%d" % n, b"", 0, 0, offset=31 * n, method=0)[1] for n in range(20_000)]
archive("many-entries", UnsafeError, "holds more than 10000 files and folders", raw_zip([_ONE], _MANY))
case("no-such-file", NotFoundError, "there is no such file or folder", lambda root: root / "absent.zip")
case("neither", PackageError, "is neither a package (.zip or folder) nor a model", file("bolts.tar", b"ustar"))
case("only-converted", PackageError, "nothing here serves keras as it is", file("bolts.keras", GOOD))
case("saved-model", PackageError, "nothing here serves saved-model as it is",
     lambda root: folder(root / "d", {"saved_model.pb": b"\b\1", "variables/variables.index": b"\0"}))  # fmt: skip
case("paddle-3", PackageError, "is in PaddlePaddle 3's own format, which OpenVINO does not read",
     file("bolts.json", b'{"base_code":{"magic":"pir","trainable":true,"version":4},"program":{}}'))  # fmt: skip
case("mech-dlk", PackageError, "is an archive of Mech-DLK, which only its own SDK reads", file("bolts.dlkpackC", GOOD))
case("empty-zip-file", PackageError, "is neither a package", file("bolts.zip", b""))
case(
    "nothing-inside",
    PackageError,
    "holds neither package.yaml, nor one model",
    file("a.zip", zipped([("README", b"")])),
)
case(
    "nested-archive",
    PackageError,
    "holds neither package.yaml, nor one model",
    file("a.zip", zipped([("bolts.zip", GOOD)])),
)
case("two-models", PackageError, "holds neither package.yaml, nor one model",
     lambda root: folder(root / "d", {"a.onnx": MODEL, "b.onnx": MODEL}))  # fmt: skip
case("whole-repository", PackageError, "is a whole model repository", lambda root: triton("repo/resnet")(root).parent)
case("no-name", PackageError, "is not a package name", file("\u6a21.onnx", MODEL))

CASES.append(Case("total", file("bolts.zip", GOOD), UnsafeError, "unpacks to more than 100 bytes", Limits(total=100)))
CASES.append(
    Case("graph-size", file("m.onnx", MODEL), UnsafeError, "has a graph too large to be read", Limits(graph=20))
)
CASES.append(Case("graph-parts", file("m.onnx", MODEL), UnsafeError, "has too many parts", Limits(graph_parts=5)))

CASES.append(
    Case("plan-tells-nothing", file("a.plan", PLAN), PackageError, "does not describe its tensors", allow_code=True)
)

# Folders
in_folder("symlink", "is a symbolic link", lambda made: (made / "l").symlink_to("m.onnx"))
in_folder("symlink-out", "is a symbolic link", lambda made: (made / "l").symlink_to("/etc/passwd"))
in_folder("symlink-to-itself", "is a symbolic link", lambda made: (made / "l").symlink_to("l"))
in_folder("symlink-to-root", "is a symbolic link", lambda made: (made / "l").symlink_to("/"))
in_folder("fifo", "is a FIFO", lambda made: os.mkfifo(made / "f"))
in_folder("socket", "is a socket", lambda made: socket.socket(socket.AF_UNIX).bind(os.path.relpath(made / "s")))
in_folder("setuid", "setuid or setgid bit", lambda made: (made / "m.onnx").chmod(0o4755))
in_folder("undecodable", "undecodable", lambda made: Path(os.fsdecode(os.fsencode(made) + b"/\xff")).touch())
in_folder("case-clash", "are one name", lambda made: (made / "M.onnx").touch())
in_folder("deep", "lies more than 16 folders deep", lambda made: (made / ("d/" * 18)).mkdir(parents=True))
case("bare-fifo", UnsafeError, "is a FIFO", lambda root: os.mkfifo(root / "a.onnx") or root / "a.onnx")

# Manifests
manifest("tag", "uses a tag", MANIFEST + "samples: !!python/object/apply:os.system [id]\n")
manifest("duplicate-key", "is a second 'name'", MANIFEST + "name: other\n")
manifest("alias", "uses an anchor or alias", MANIFEST + "samples: &a []\nfiles: *a\n")
manifest("alias-bomb", "uses an anchor or alias", "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n")
manifest("merge-key", "uses an anchor or alias", "a: &a {x: 1}\nb: {<<: *a}\n")
manifest("deep", "is nested more than 16 deep", "[" * 100_000)
manifest("not-finite", "not a finite number", MANIFEST + "samples: .nan\n")
manifest("infinite", "not a finite number", MANIFEST + "samples: -.inf\n")
manifest("huge-number", "does not fit 64 bits", MANIFEST + f"samples: {'9' * 5000}\n")
manifest("huge-float", "does not fit 64 bits", MANIFEST + "samples: 1e400\n")
manifest("negative", "0 to 65536, not -1", MANIFEST.replace("m.onnx}", "m.onnx, serving: {max_batch_size: -1}}"))
manifest(
    "negative-inside",
    "counts and priority are 0 to 65536",
    MANIFEST.replace("m.onnx}", "m.onnx, serving: {rate_limiter: {r: -2}}}"),
)
manifest("wrong-type", "must be text (put it in quotes)", MANIFEST.replace('"1.0"', "1.0"))
manifest("unknown-field", "there is no such field", MANIFEST + "colour: red\n")
manifest("unknown-setting", "there is no such field", MANIFEST.replace("m.onnx}", "m.onnx, serving: {fast: true}}"))
manifest("missing-field", "is missing", MANIFEST.replace("name: bolts\n", ""))
manifest(
    "wrong-setting", "Input should be a valid integer", MANIFEST.replace("m.onnx}", "m.onnx, serving: {instances: x}}")
)
manifest("wrong-task", "Input should be", MANIFEST.replace("object-detection", "cooking"))
manifest("name", "does not match", MANIFEST.replace("bolts", "a.b"))
manifest("newer", "2 is newer than 1, update tritonpm", MANIFEST.replace("schema: 1", "schema: 2"))
manifest("weak-digest", "does not match", MANIFEST + "files: {m.onnx: 'md5:d41d8cd98f00b204e9800998ecf8427e'}\n")
manifest("digest-mismatch", "in the package", MANIFEST + f"files: {{m.onnx: 'sha256:{'0' * 64}'}}\n")
manifest("digest-missing", "'n.onnx' is not in the package", MANIFEST + f"files: {{n.onnx: 'sha256:{'0' * 64}'}}\n")
manifest("digest-unlisted", "is in the package and not listed", MANIFEST + "files: {}\n")
manifest("no-model-file", "'n.onnx' is not in the package", MANIFEST.replace("m.onnx", "n.onnx"))
manifest("model-outside", "leads out of the package", MANIFEST.replace("m.onnx", "../m.onnx"))
manifest("no-stages", "at least 1 item", MANIFEST.split("stages:")[0] + "stages: []\n")
manifest("stage-twice", "'detect' is there twice", MANIFEST + "  - {name: detect, model: m.onnx}\n")
manifest("neither-model-nor-folder", "needs either `model` or `folder`", MANIFEST.replace(", model: m.onnx", ""))
manifest("two-documents", "is a second document", MANIFEST + "---\n{}\n")
manifest("no-yaml", "is not YAML", "stages: [}\n")
manifest("not-a-mapping", "Input should be an object", "- 1\n")
manifest("empty", "Input should be an object", "")
manifest("not-utf8", "is not UTF-8", b"name: \xff\n")
manifest("control-characters", "it holds control characters", b"name: \x01\n")
manifest("key-no-word", "is a key that is not a word", "{[1]: 2}\n")
manifest("too-long", "is longer than 4 MiB", "#" * ((4 << 20) + 1))


def sample(id: str, sentence: str, content: dict[str, object] | bytes) -> None:
    def build(root: Path) -> Path:
        made = package(root, **{"package.yaml": MANIFEST.replace("m.onnx}", "m.onnx, samples: [{inputs: s.npz}]}")})
        if isinstance(content, bytes):
            (made / "s.npz").write_bytes(content)
        else:
            np.savez(made / "s.npz", **content)  # type: ignore[arg-type]
        return made

    case(f"sample-{id}", PackageError, sentence, build)


sample("no-npz", "is not a readable .npz", b"not an archive")
sample("pickled", "is not a readable .npz", {"x": np.array([{"a": 1}], dtype=object)})
sample("unknown-tensor", "holds 'z', and the model has x", {"z": np.zeros((1, 3), np.float32)})
sample("wrong-type", "holds 'x' as INT64", {"x": np.zeros((1, 3), np.int64)})
sample("no-such-type", "holds 'x' as complex128", {"x": np.zeros((1, 3), complex)})
LABELLED = {"package.yaml": MANIFEST.replace("m.onnx}", "m.onnx, labels: l.txt}")}
case("labels-not-utf8", PackageError, "is not UTF-8", lambda root: package(root, **LABELLED, **{"l.txt": b"\xff"}))
case(
    "labels-empty",
    PackageError,
    "holds no labels, or an empty",
    lambda root: package(root, **LABELLED, **{"l.txt": b"a\n\nb\n"}),
)
case(
    "labels-too-long",
    PackageError,
    "is longer than 4 MiB",
    lambda root: package(root, **LABELLED, **{"l.txt": b"a\n" * (3 << 20)}),
)
case("labels-in-the-way", PackageError, "is in the way of the stage's own labels",
     lambda root: package(root, **{"package.yaml": MANIFEST.replace("m.onnx}", "m.onnx, labels: [a, b]}"),
                                   "labels/detect.txt": b"c\n"}))  # fmt: skip

# Triton folders: layout
for id, version in {
    "leading-zero": "01", "negative": "-1", "decimal": "2.0", "zero": "0", "too-large": str(1 << 63), "suffix": "1-old",
}.items():  # fmt: skip
    adopted(f"version-{id}", PackageError, "is not a version", **{f"{version}/model.onnx": MODEL})
    adopted(f"version-{id}-no-config", PackageError, "is not a version", None, **{f"{version}/model.onnx": MODEL})
case(
    "triton-no-version",
    PackageError,
    "has no version folder",
    lambda root: folder(root / "r", {"config.pbtxt": CONFIG}),
)
adopted("name-differs", PackageError, "and its folder is 'resnet'", CONFIG + ' name: "other"')
for id, name in {"dot": ".", "dots": "..", "blank": " ", "slash": "a/b", "control": "a\\001"}.items():
    adopted(f"name-{id}", UnsafeError, "which is not a name", CONFIG + f' name: "{name}"')
case("triton-name-not-ours", PackageError, "is not a package name", triton("res.net"))
adopted("config-too-long", UnsafeError, "is longer than 1 MiB", "#" * ((1 << 20) + 1))
adopted("config-no-proto", PackageError, "is not a model configuration", "max_batch_size: many")
adopted("config-number-too-large", PackageError, "is not a model configuration", "max_batch_size: " + 80 * "6")
adopted("config-unknown-field", PackageError, "is not a model configuration", CONFIG + " colour: 1")
adopted("config-not-utf8", PackageError, "is not UTF-8", None, **{"config.pbtxt": b"\xff"})
adopted(
    "dims-overflow",
    PackageError,
    "dims that are 0, below -1 or too large",
    CONFIG.replace("[ 3 ]", f"[ {1 << 40}, {1 << 40} ]"),
)
adopted("dims-zero", PackageError, "dims that are 0, below -1 or too large", CONFIG.replace("[ 3 ]", "[ 0 ]"))
adopted(
    "negative-count", PackageError, "holds a negative count or batch size", CONFIG + " instance_group { count: -1 }"
)
adopted("unknown-type", PackageError, "gives data_type as 99", CONFIG.replace("TYPE_FP32", "99", 1))
adopted("unknown-kind", PackageError, "gives kind as 77", CONFIG + " instance_group { kind: 77 }")
adopted("negative-batch", PackageError, "holds a negative count or batch size", CONFIG.replace("size: 4", "size: -4"))
ENSEMBLE = 'platform: "ensemble" ensemble_scheduling { step { model_name: "../x" model_version: -1 } }'
adopted("ensemble-outside", UnsafeError, "names the member '../x', which is not a name", ENSEMBLE)
case(
    "folder-of-an-ensemble",
    PackageError,
    "is an ensemble, whose members are not in its folder",
    lambda root: package(
        root,
        **{
            "package.yaml": MANIFEST.replace("model: m.onnx", "folder: d"),
            "d/config.pbtxt": ENSEMBLE.replace("../x", "x"),
            "d/1/.keep": b"",
        },
    ),
)
LABEL = CONFIG.replace("dims: [ 3 ] }", 'dims: [ 3 ] label_filename: "PATH" }').replace("PATH", "../l", 2)
adopted(
    "label-outside",
    UnsafeError,
    "its label file '../l' leads out",
    CONFIG.removesuffix("}") + 'label_filename: "../l" }',
)
adopted(
    "label-absolute",
    UnsafeError,
    "its label file '/etc/passwd' leads out",
    CONFIG.removesuffix("}") + 'label_filename: "/etc/passwd" }',
)
adopted(
    "label-missing", PackageError, "its label file 'l' is not there", CONFIG.removesuffix("}") + 'label_filename: "l" }'
)
WARMUP = 'model_warmup { name: "w" inputs { key: "x" value { data_type: TYPE_FP32 dims: 3 input_data_file: "PATH" } } }'
adopted(
    "warmup-outside",
    UnsafeError,
    "its warmup file 'warmup/../../x' leads out",
    CONFIG + WARMUP.replace("PATH", "../../x"),
)
adopted("warmup-missing", PackageError, "its warmup file 'warmup/x' is not there", CONFIG + WARMUP.replace("PATH", "x"))
STATE = (
    'sequence_batching { state { input_name: "i" output_name: "o" data_type: TYPE_FP32 dims: 1 '
    'initial_state { name: "s" data_type: TYPE_FP32 dims: 1 data_file: "../s" } } }'
)
adopted("state-outside", UnsafeError, "its initial state file 'initial_state/../s' leads out", CONFIG + STATE)
adopted(
    "default-file-outside", UnsafeError, "its model file '../m' leads out", CONFIG + 'default_model_filename: "../m"'
)
adopted("no-model-file", PackageError, "has no m.onnx in version 1", CONFIG + 'default_model_filename: "m.onnx"')
adopted(
    "dtype-differs", PackageError, "is TYPE_INT8, but TYPE_FP32 in the model file", CONFIG.replace("FP32", "INT8", 1)
)
adopted("dims-differ", PackageError, "but [-1, 3] in the model file", CONFIG.replace("[ 3 ]", "[ 4 ]", 1))
adopted("input-unknown", PackageError, "'z' is not in the model file", CONFIG.replace('"x"', '"z"'))
adopted("input-missing", PackageError, "brings 1 inputs by the config", CONFIG,
        **{"1/model.onnx": model(inputs=[value("x"), value("z")]).SerializeToString()})  # fmt: skip
adopted("tensors-unknown", PackageError, "names no input, and the model file does not say", 'backend: "fil"')
case("triton-folder-without-config", PackageError, "is not there", lambda root: package(
    root, **{"package.yaml": MANIFEST.replace("model: m.onnx", "folder: d"), "d/1/model.onnx": MODEL}))  # fmt: skip
case("triton-no-model", PackageError, "has no model in its newest version",
     triton("r", None, **{"2/model.txt": b"x"}))  # fmt: skip

# Triton folders: code
CODE = "would run on the server"
for id, path in {"library": "libtriton_x.so", "versioned-library": "1/x.so.1", "batch-strategy": "1/batchstrategy.so",
                 "model-py": "1/model.py", "stub": "triton_python_backend_stub"}.items():  # fmt: skip
    adopted(f"code-{id}", UnsafeError, CODE, **{path: b"\x7fELF"})
adopted("code-plan-beside", UnsafeError, CODE, **{"2/model.onnx": MODEL, "1/old": PLAN})
adopted("code-plan", UnsafeError, CODE, CONFIG.replace("onnxruntime", "tensorrt"), **{"1/model.plan": PLAN})
for id, line in {
    "runtime": 'runtime: "model.py"', "python": 'backend: "python"',
    "agent": 'model_repository_agents { agents { name: "a" } }',
    "custom-op": 'model_operations { op_library_filename: "x.bin" }',
    "environment": 'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "/tmp/e.tar.gz" } }',
    "strategy": 'parameters { key: "TRITON_BATCH_STRATEGY_PATH" value { string_value: "/tmp/s" } }',
    "extension": 'parameters { key: "CPU_EXTENSION_PATH" value { string_value: "/tmp/e" } }',
}.items():  # fmt: skip
    adopted(f"code-{id}", UnsafeError, CODE, (CONFIG if id != "python" else CONFIG.split(" ", 2)[2]) + line)
SUGGESTED = MANIFEST.replace("m.onnx}", "m.onnx, serving: {parameters: {CPU_EXTENSION_PATH: x}}}")
case("code-suggested", UnsafeError, CODE, lambda root: package(root, **{"package.yaml": SUGGESTED}))
case("code-bare-plan", UnsafeError, CODE, file("a.plan", PLAN))
SCRIPT = zipped([(f"m/{name}", b"x") for name in ("data.pkl", "constants.pkl", "code/__torch__.py", "version")])
EXPORT = zipped([(name, b"x") for name in ("serialized_exported_program.json", "version")])
case("code-torchscript", UnsafeError, CODE, file("a.pt", SCRIPT))
case("code-torch-export", UnsafeError, CODE, file("a.pt2", EXPORT))

# By content, whatever the name
CONTENTS = {
    "elf": b"\x7fELF" + bytes(60), "mach-o": bytes.fromhex("cffaedfe") + bytes(60), "script": b"#!/bin/sh\nid\n",
    "windows": b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0", "bytecode": b"\xa7\x0d\r\n" + bytes(12),
    "plan": PLAN, "torch": SCRIPT, "pickle": pickle.dumps([1.5] * 9, 4), "old-pickle": pickle.dumps({"a": 1}, 2),
    "static-library": b"!<arch>\n" + bytes(60), "dos": b"MZ\x90\0\3\0\0\0" + bytes(60),
}  # fmt: skip
for id, content in CONTENTS.items():
    adopted(f"code-content-{id}", UnsafeError, CODE, **{"1/notes": content})
    onnx_file(f"external-code-{id}", UnsafeError, CODE, external("w"), w=content)
for name in (
    "libtriton_onnxruntime.so",
    "model.py",
    "w.so.1",
    "triton_python_backend_stub",
    "w.pkl",
    "d/w.pt",
    "d/w.plan",
):
    onnx_file(
        f"external-named-{name.replace(chr(47), chr(45))}", UnsafeError, CODE, external(name), **{name: bytes(12)}
    )
for id, name in {
    "out": "../../..",
    "absolute": "/opt/x",
    "slash": "a/b",
    "dot": ".",
    "blank": "a b",
    "long": "a" * 99,
}.items():
    wrong = CONFIG.replace("onnxruntime", name)
    adopted(f"backend-{id}", UnsafeError, "which is not a name", wrong)
    adopted(f"platform-{id}", UnsafeError, "which is not a name", wrong.replace("backend", "platform"))
adopted("host-policy", UnsafeError, "which is not a name", CONFIG + 'instance_group { host_policy: "../x" }')
ACCELERATED = CONFIG + "optimization { execution_accelerators { cpu_execution_accelerator { name: %s } } }"
adopted("accelerator", UnsafeError, "which is not a name", ACCELERATED % '"../x"')
for name in ("Python", "vllm", "tensorrtllm", "dali", "pytorch", "torch_aoti", "tensorrt", "tensorflow"):
    adopted(f"backend-runs-{name}", UnsafeError, CODE, CONFIG.replace("onnxruntime", name))
for name in ("tensorrt_plan", "pytorch_libtorch", "tensorflow_savedmodel", "tensorflow_graphdef", "custom"):
    adopted(
        f"platform-runs-{name}", UnsafeError, CODE, CONFIG.replace("backend", "platform").replace("onnxruntime", name)
    )
for name, text in {
    "trt_extra_plugin_lib_paths": "x", "trt_engine_cache_path": "cache", "CACHE_DIR": "c", "CONFIG_FILE": "c.json",
    "session.optimized_model_filepath": "o", "anything": "/etc/passwd", "more": "a;/x", "up": "a/../../b", "library": "x.so",
    "home": "~/x", "here": "$$TRITON_MODEL_DIRECTORY/e", "ep.context_file_path": "c", "modelDirectory": "d",
}.items():  # fmt: skip
    line = f'parameters {{ key: "{name}" value {{ string_value: "{text}" }} }}'
    adopted(f"parameter-{name}", UnsafeError, CODE, CONFIG + line)
    adopted(f"variant-parameter-{name}", UnsafeError, CODE, **{"configs/cpu.pbtxt": CONFIG + line})
    accelerator = f'"openvino" parameters {{ key: "{name}" value: "{text}" }}'
    adopted(f"accelerator-parameter-{name}", UnsafeError, CODE, ACCELERATED % accelerator)
for id, line in {"runtime": 'runtime: "x"', "agent": 'model_repository_agents { agents { name: "a" } }'}.items():
    adopted(f"variant-{id}", UnsafeError, CODE, **{"configs/cpu.pbtxt": CONFIG + line})
adopted("variant-backend", UnsafeError, "which is not a name",
        **{"configs/cpu.pbtxt": CONFIG.replace("onnxruntime", "../x")})  # fmt: skip
adopted("variant-python", UnsafeError, CODE, **{"configs/cpu.pbtxt": CONFIG.replace("onnxruntime", "python")})
adopted("variant-file-outside", UnsafeError, "leads out", **{"configs/cpu.pbtxt": 'default_model_filename: "../x"'})
adopted("backend-by-file-name", UnsafeError, CODE, CONFIG.split(" ", 2)[2] + 'default_model_filename: "model.vllm"',
        **{"1/model.vllm": b"x"})  # fmt: skip
adopted(
    "cc-model-file-missing", PackageError, "has no x.onnx", CONFIG + 'cc_model_filenames { key: "8.0" value: "x.onnx" }'
)
adopted("model-ending", UnsafeError, "whose ending is not that of onnx", CONFIG + 'default_model_filename: "w.bin"',
        **{"1/w.bin": MODEL})  # fmt: skip
case("code-labels", UnsafeError, CODE, lambda root: package(root, **LABELLED, **{"l.txt": "#!/bin/sh\na\n"}))
adopted("unknown-form", UnsafeError, CODE, CONFIG.replace("onnxruntime", "mine"), **{"1/model.mine": b"x"})
for id, name in {"torchscript": "model.pt", "export": "model.pt2"}.items():
    adopted(f"code-{id}", UnsafeError, CODE, **{f"1/{name}": SCRIPT})

# Models
CUT = "is not an ONNX model, or is cut off"
onnx_file("external-parent", UnsafeError, "leads out of the package", external("../w"))
onnx_file("external-absolute", UnsafeError, "leads out of the package", external("/etc/passwd"))
onnx_file("external-sparse", UnsafeError, "leads out of the package", external("../w", sparse=True))
onnx_file("external-memory", UnsafeError, "has a backslash, a drive letter or one of", external("*/_ORT_MEM_ADDR_/*"))
onnx_file("external-missing", PackageError, "'w.bin', is not there", external("w.bin"))
onnx_file("external-no-location", UnsafeError, "has no name", external(""))
onnx_file(
    "external-offset",
    PackageError,
    "ends past the end of 'w.bin'",
    external("w.bin", offset="13"),
    **{"w.bin": bytes(12)},
)
onnx_file(
    "external-length",
    PackageError,
    "ends past the end of 'w.bin'",
    external("w.bin", length="13"),
    **{"w.bin": bytes(12)},
)
onnx_file(
    "external-negative",
    PackageError,
    "ends past the end of 'w.bin'",
    external("w.bin", offset="-1"),
    **{"w.bin": bytes(12)},
)


def _linked(root: Path) -> Path:
    (root / "w.bin").symlink_to("/etc/passwd")
    return folder(root, {"net.onnx": external("w.bin").SerializeToString()}) / "net.onnx"


case("onnx-external-link", UnsafeError, "is a symbolic link", _linked)


def _linked_folder(root: Path) -> Path:
    (root / "w").symlink_to("/etc")
    return folder(root, {"net.onnx": external("w/passwd").SerializeToString()}) / "net.onnx"


case("onnx-external-linked-folder", UnsafeError, "is a symbolic link", _linked_folder)
onnx_file("external-in-attribute", UnsafeError, "leads out of the package", model(nodes=[
    helper.make_node("Constant", [], ["c"], value=external("../w").graph.initializer[0]),
    helper.make_node("Add", ["x", "c"], ["y"])]))  # fmt: skip
_TAKEN = f"weights-{hashlib.sha256(bytes(12)).hexdigest()[:32]}.bin"
case("external-name-taken", PackageError, "is in the way of the model's own weights",
     lambda root: package(root, **{"m.onnx": external("w").SerializeToString(), "w": bytes(12), _TAKEN: b"x"}))  # fmt: skip
onnx_file("external-too-short", PackageError, "ends past the end of 'w.bin'", external("w.bin"), **{"w.bin": bytes(11)})
onnx_file("external-length-too-short", PackageError, "ends past the end of 'w.bin'", external("w.bin", length="4"),
          **{"w.bin": bytes(12)})  # fmt: skip
TWICE = external("w.bin")
TWICE.graph.initializer[0].external_data.add(key="location", value="../w")
onnx_file("external-two-places", UnsafeError, "lies in two places", TWICE, **{"w.bin": bytes(12)})
OUTSIDE = external("../w").graph.initializer[0]
DEFAULTED = model(functions=[helper.make_function(
    "f", "F", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [helper.make_opsetid("", 17)],
    attribute_protos=[helper.make_attribute("c", OUTSIDE)])])  # fmt: skip
onnx_file("external-in-function-default", UnsafeError, "leads out of the package", DEFAULTED)
TRAINED = model()
TRAINED.training_info.add().algorithm.initializer.add().CopyFrom(OUTSIDE)
onnx_file("external-in-training", UnsafeError, "leads out of the package", TRAINED)
for name in ("EPContext", "PythonOp"):
    node = helper.make_node(name, ["x"], ["y"], domain="com.microsoft")
    onnx_file(f"operator-{name}", UnsafeError, CODE, model(nodes=[node]))
    branch = helper.make_graph([node], "b", [], [value("y")])
    onnx_file(f"operator-{name}-inside", UnsafeError, CODE, model(nodes=[
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)]))  # fmt: skip
onnx_file("wrong-magic", PackageError, CUT, b"GGUF" + bytes(99))
onnx_file("text", PackageError, CUT, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
onnx_file("empty", PackageError, "is empty", b"")
onnx_file("truncated", PackageError, CUT, MODEL[: len(MODEL) // 2])
onnx_file("no-graph", PackageError, CUT, b"\x08\x08")
onnx_file("newer-ir", PackageError, "has IR version 99, newer than", model(ir_version=99))
onnx_file(
    "newer-opset",
    PackageError,
    "has opset 999 of ai.onnx, newer than",
    model(opset_imports=[helper.make_opsetid("", 999)]),
)
CUSTOM = [helper.make_node("Foo", ["x"], ["y"], domain="my.ops")]
onnx_file("unknown-domain", PackageError, "uses the operator 'Foo' of the unknown domain 'my.ops'", model(nodes=CUSTOM))
BRANCH = helper.make_graph(CUSTOM, "b", [], [value("y")])
onnx_file("unknown-domain-inside", PackageError, "uses the operator 'Foo' of the unknown domain", model(nodes=[
    helper.make_node("If", ["c"], ["y"], then_branch=BRANCH, else_branch=BRANCH)]))  # fmt: skip
onnx_file("no-outputs", PackageError, "has no outputs", model(outputs=[]))
onnx_file("sequence", PackageError, "its output 'y' is of sequence type", model(
    outputs=[helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)]))  # fmt: skip
onnx_file("complex", PackageError, "its input 'x' is COMPLEX64, which Triton has no type for",
          model(inputs=[value("x", kind=TensorProto.COMPLEX64)]))  # fmt: skip
onnx_file(
    "name-not-utf8",
    PackageError,
    "has an input without a printable name",
    MODEL.replace(b"Z\x18\n\x01x", b"Z\x18\n\x01\x80"),
)
onnx_file("location-not-utf8", UnsafeError, "undecodable", external("QQ").SerializeToString().replace(b"QQ", b"Q\x80"))
onnx_file("unnamed", PackageError, "has an input without a printable name", model(inputs=[value("")]))


def nested(depth: int) -> bytes:
    """Subgraphs in subgraphs, written by hand: protobuf itself would refuse to."""

    def field(number: int, body: bytes) -> bytes:
        size, length = len(body), bytearray()
        while size > 0x7F:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        return bytes([number << 3 | 2]) + bytes([*length, size]) + body

    body = b""
    for _ in range(depth):
        body = field(1, field(5, field(6, body)))  # node { attribute { g { … } } }
    return b"\x08\x08" + field(7, body)


onnx_file("nested", UnsafeError, "is nested more than 100 deep", nested(200))


def ir(id: str, error: type[TritonpmError], sentence: str, text: str, weights: bytes | None = bytes(12)) -> None:
    files: dict[str, bytes | str] = {"net.xml": text} | ({} if weights is None else {"net.bin": weights})
    case(f"openvino-{id}", error, sentence, lambda root: folder(root, files) / "net.xml")


ir("without-bin", PackageError, "needs its .bin beside it", IR, None)
ir("weights-past-end", PackageError, "has weights past the end of its .bin", IR, bytes(11))
ir("entity-bomb", UnsafeError, "defines XML entities or a document type",
   '<!DOCTYPE net [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><net name="&b;" version="11"/>')  # fmt: skip
ir("external-entity", UnsafeError, "defines XML entities or a document type",
   '<!DOCTYPE net [<!ENTITY a SYSTEM "file:///etc/passwd">]><net version="11">&a;</net>')  # fmt: skip
for encoding in ("UTF-7", "UTF-32", "none-that-is-known"):
    ir(
        f"in-{encoding}", PackageError, "is not an OpenVINO model, or is cut off",
        f'<?xml version="1.0" encoding="{encoding}"?>' + IR[IR.index("<net") :],
    )  # fmt: skip
ir("truncated", PackageError, "is not an OpenVINO model, or is cut off", IR[: len(IR) // 2])
ir("wrong-root", PackageError, "is not an OpenVINO model of IR version 10 or 11", "<html/>")
ir(
    "wrong-version",
    PackageError,
    "is not an OpenVINO model of IR version 10 or 11",
    IR.replace('version="11"', 'version="7"'),
)
ir("empty", PackageError, "is empty", "")
ir(
    "extension",
    PackageError,
    "of the unknown domain 'extension'",
    IR.replace('type="Add" version="opset1"', 'type="Foo" version="extension"'),
)
ir("no-outputs", PackageError, "has no outputs", '<net name="n" version="11"><layers/></net>')
ir("unnamed", PackageError, "its input 'x' has no tensor name", IR.replace(' names="x"', ""))
ir(
    "type",
    PackageError,
    "its input 'x' is NF4, which Triton has no type for",
    IR.replace('"FP32" names="x"', '"NF4" names="x"'),
)
ir("weights-nowhere", PackageError, "has weights that are nowhere in its .bin", IR.replace('offset="0"', 'offset="-1"'))
case("plan-wrong-magic", PackageError, "is not a TensorRT plan", file("a.plan", b"x" * 99))
case(
    "torch-pickle",
    PackageError,
    "is a pickled checkpoint, not a TorchScript model",
    file("a.pt", zipped([("m/data.pkl", b"")])),
)
case("torch-other-zip", PackageError, "is not a TorchScript model", file("a.pt", zipped([("README", b"")])))
case("torch-no-zip", PackageError, "is not a zip, or is cut off", file("a.pt", b"\x80\x02ctorch"))
case("torch-no-export", PackageError, "is not a PyTorch export", file("a.pt2", zipped([("README", b"")])))
SIGNED = MANIFEST.replace("m.onnx}", "m.onnx, signature: {inputs: [T], outputs: [T]}}").replace(
    "T]", "{name: x, dtype: FP32, shape: [1]}]"
)
case(
    "signature-given-twice",
    PackageError,
    "describes its tensors itself",
    lambda root: package(root, **{"package.yaml": SIGNED}),
)
