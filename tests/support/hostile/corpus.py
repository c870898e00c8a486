"""Hostile packages: what would run, under every name and in every place where something might run it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.archives import CONFIG, IR, MANIFEST, MODEL, external, folder, zipped
from tests.support.refused_packages import CASES
from tritonpm.package import Limits

# Names that mean something to Triton, its Python backend, ours, Python itself, or to nobody.
NAMES = (
    "libtriton_onnxruntime.so", "libtriton_python.so", "libtriton_openvino.so", "libtriton_x.so", "batchstrategy.so",
    "libonnxruntime.so.1", "openvino.cpython-311-x86_64-linux-gnu.so", "model.py", "onnxruntime.py", "numpy.py",
    "described.py", "joined.py", "triton_python_backend_utils.py", "sitecustomize.py", "usercustomize.py",
    "__init__.py", "onnxruntime/__init__.py", "triton_python_backend_stub", "x.pth", "w.pkl", "env.tar.gz",
    "w.bin", "model.onnx.data", "weights", "labels.txt", "config.pbtxt", "configs/cpu.pbtxt", "nested/w.bin",
)  # fmt: skip
BACKENDS = (
    "python", "vllm", "tensorrtllm", "dali", "pytorch", "torch_aoti", "tensorrt", "custom", "../../..", "../x", "x",
    "..", "onnxruntime/../../../x",
)  # fmt: skip
PLACES = (
    "EXECUTION_ENV_PATH", "TRITON_BATCH_STRATEGY_PATH", "CPU_EXTENSION_PATH", "trt_extra_plugin_lib_paths",
    "trt_engine_cache_path", "CACHE_DIR", "CONFIG_FILE", "ep.context_file_path", "session.optimized_model_filepath",
    "anything",
)  # fmt: skip


def corpus(root: Path, kinds: Mapping[str, bytes], bait: Path) -> dict[str, Path]:
    """Make them all below `root`, by name; `bait` is a folder outside of what they may reach, with things that run."""
    made = {}
    for name, files, main in _live(kinds, bait):
        made[name] = folder(root / name / "p", files) / main if main else folder(root / name / "p", files)
    for case in CASES:
        if case.limits == Limits() and not case.allow_code and case.id not in _SLOW:
            (root / case.id).mkdir(parents=True)
            made[case.id] = case.build(root / case.id)
    return made


_SLOW = ("archive-ratio-bomb", "bare-fifo", "folder-socket", "manifest-deep")  # of which nothing could run
_Files = dict[str, bytes | str]


def _live(kinds: Mapping[str, bytes], bait: Path) -> Iterator[tuple[str, _Files, str]]:
    yield from _weights(kinds)
    yield from _adopted(kinds)
    yield from _configs(kinds, bait)
    yield from _manifests(kinds, bait)


def _weights(kinds: Mapping[str, bytes]) -> Iterator[tuple[str, _Files, str]]:
    for name in NAMES:
        made = external(name).SerializeToString()
        for kind in ("library", "python"):
            yield f"bare-{kind}-{_word(name)}", {"m.onnx": made, name: kinds[kind]}, "m.onnx"
        packed = zipped([("package.yaml", MANIFEST.encode()), ("m.onnx", made), (name, kinds["python"])])
        yield f"zip-python-{_word(name)}", {"p.zip": packed}, "p.zip"
    for kind, content in kinds.items():
        made = external("w").SerializeToString()
        yield f"bare-{kind}", {"m.onnx": made, "w": content}, "m.onnx"
        yield f"ir-{kind}", {"net.xml": IR, "net.bin": content}, "net.xml"
        for name in ("m.pt", "m.pt2", "m.plan", "m.onnx", "m.xml"):
            yield f"model-{kind}-{_word(name)}", {name: content}, name


def _adopted(kinds: Mapping[str, bytes]) -> Iterator[tuple[str, _Files, str]]:
    model: _Files = {"config.pbtxt": CONFIG, "1/model.onnx": MODEL}
    for name in NAMES:
        kind = "python" if name.endswith(".py") else "library"
        for place in ("", "1/", "2/"):
            yield f"adopted-{_word(place + name)}", {**model, "2/model.onnx": MODEL, place + name: kinds[kind]}, ""
        made = external(name).SerializeToString()
        yield f"adopted-weights-{_word(name)}", {**model, "1/model.onnx": made, f"1/{name}": kinds["python"]}, ""
        text = f'{CONFIG} default_model_filename: "{name}"'
        yield f"adopted-model-{_word(name)}", {**model, "config.pbtxt": text, f"1/{name}": MODEL}, ""
    for kind, content in kinds.items():
        label = CONFIG.removesuffix("}") + ' label_filename: "labels.txt" }'
        yield f"adopted-labels-{kind}", {**model, "config.pbtxt": label, "labels.txt": content}, ""
        sample = 'inputs { key: "x" value { data_type: TYPE_FP32 dims: 3 input_data_file: "w" } }'
        warm = f'{CONFIG} model_warmup {{ name: "w" batch_size: 1 {sample} }}'
        yield f"adopted-warmup-{kind}", {**model, "config.pbtxt": warm, "warmup/w": content}, ""
        yield f"adopted-variant-{kind}", {**model, "configs/cpu.pbtxt": content}, ""


def _configs(kinds: Mapping[str, bytes], bait: Path) -> Iterator[tuple[str, _Files, str]]:
    """The same line in the config and in the one for other hardware, under which the server is started."""
    lines = {f"backend-{_word(name)}": CONFIG.replace("onnxruntime", name) for name in BACKENDS}
    lines |= {f"platform-{_word(n)}": CONFIG.replace("backend", "platform").replace("onnxruntime", n) for n in BACKENDS}
    for name in PLACES:
        for word, place in {"bait": f"{bait}/env.tar.gz", "own": "$$TRITON_MODEL_DIRECTORY/1/notes"}.items():
            line = f'parameters {{ key: "{name}" value {{ string_value: "{place}" }} }}'
            lines[f"parameter-{word}-{_word(name)}"] = f"{CONFIG} {line}"
    lines |= {
        "runtime": f'{CONFIG} runtime: "model.py"',
        "runtime-out": f'{CONFIG} runtime: "{bait}/model.py"',
        "agent": f'{CONFIG} model_repository_agents {{ agents {{ name: "../../..{bait}" }} }}',
        "operators": f'{CONFIG} model_operations {{ op_library_filename: "{bait}/libtriton_x.so" }}',
        "model-out": f'{CONFIG} default_model_filename: "../../..{bait}/model.py"',
        "model-for-gpu": f'{CONFIG} cc_model_filenames {{ key: "8.0" value: "../../..{bait}/model.py" }}',
        "nameless": CONFIG.replace('backend: "onnxruntime"', ""),
        "nameless-python": 'default_model_filename: "model.python"',
    }
    for name, text in lines.items():
        notes: _Files = {"1/model.onnx": MODEL, "1/notes": kinds["environment"], "1/model.python": "x"}
        yield f"config-{name}", {**notes, "config.pbtxt": text}, ""
        yield f"variant-{name}", {**notes, "config.pbtxt": CONFIG, "configs/cpu.pbtxt": text}, ""


def _manifests(kinds: Mapping[str, bytes], bait: Path) -> Iterator[tuple[str, _Files, str]]:
    for name in PLACES:
        serving = f"m.onnx, serving: {{parameters: {{{name}: '{bait}/env.tar.gz'}}}}}}"
        yield f"suggests-{_word(name)}", {"package.yaml": MANIFEST.replace("m.onnx}", serving), "m.onnx": MODEL}, ""
    for kind, content in kinds.items():
        for field, value in {"labels": "labels: f", "samples": "samples: [{inputs: f}]"}.items():
            text = MANIFEST.replace("m.onnx}", f"m.onnx, {value}}}")
            yield f"manifest-{field}-{kind}", {"package.yaml": text, "m.onnx": MODEL, "f": content}, ""
    beside = {name: kinds["python"] for name in NAMES if name != "config.pbtxt" and "/" not in name}
    yield "manifest-beside", {"package.yaml": MANIFEST, "m.onnx": MODEL, **beside}, ""


def _word(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)
