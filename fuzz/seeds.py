"""What the fuzzers start from: `python -m fuzz.seeds` writes corpus/."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from onnx import TensorProto, helper, numpy_helper

from tritonpm.registry.attestation import ProofRecord, attest
from tritonpm.registry.signing import Signer

CORPUS = Path(__file__).parent / "corpus"

MANIFEST = b"""schema: 1
name: p
version: "1"
exporter: {name: pytorch, version: "2.8"}
stages:
  - name: s
    model: m.onnx
    task: image-classification
    signature:
      inputs: [{name: x, dtype: FP32, shape: [batch, 4]}]
      outputs: [{name: y, dtype: FP32, shape: [batch, 4]}]
    samples: [{inputs: i.npz}]
"""
CONFIG = b"""name: "p"
backend: "onnxruntime"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] reshape { shape: [ 2, 2 ] } }
output { name: "y" data_type: TYPE_STRING dims: [ -1 ] label_filename: "labels.txt" }
instance_group { count: 2 kind: KIND_CPU }
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }
model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: 4 input_data_file: "f" } } }
parameters { key: "k" value { string_value: "v" } }
version_policy { specific { versions: [ 1, 3 ] } }
"""
IR = b"""<?xml version="1.0"?>
<net name="m" version="11"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"><data shape="?,4" element_type="f32"/>
<output><port id="0" precision="FP32" names="x"><dim>-1</dim><dim>4</dim></port></output></layer>
<layer id="1" name="c" type="Const" version="opset1"><data element_type="f32" shape="4" offset="0" size="16"/>
<output><port id="0" precision="FP32"><dim>4</dim></port></output></layer>
<layer id="2" name="y" type="Result" version="opset1">
<input><port id="0" precision="FP32"><dim>-1</dim><dim>4</dim></port></input></layer>
</layers><edges><edge from-layer="0" from-port="0" to-layer="2" to-port="0"/></edges></net>
"""
DECLARATION = b"""packages:
  bolts: {source: bolts.zip, digest: sha256:00, loaded: true, settings: {max_batch_size: 4, device: cpu}}
  nuts: {source: 'https://files.site/nuts.zip', loaded: false, stages: {first: {priority: 2}}}
"""
POLICY = b"require-signature:\n  keys: [line.pub]  # beside this file\n  certificates: [ca.pem]\n"


def model(*, outside: bool = False) -> bytes:
    """y = x * w, of [batch, 4]; the weights `outside`, in another file."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy")
    weights = numpy_helper.from_array(np.ones(4, np.float32), "w")
    if outside:
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        for key, value in {"location": "model.bin", "offset": "0", "length": "16"}.items():
            weights.external_data.add(key=key, value=value)
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def samples(**arrays: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    """An .npz."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def package() -> bytes:
    """A package as a .zip."""
    text = b'schema: 1\nname: p\nversion: "1"\nstages: [{name: s, model: m.onnx, samples: [{inputs: i.npz}]}]\n'
    ones = samples(x=np.ones((2, 4), np.float32))
    return zipped({"package.yaml": text, "m.onnx": model(), "i.npz": ones})


ATTESTED = b"PK, as far as an attestation knows"


def private_key() -> bytes:
    """A key that everybody knows."""
    key = ec.derive_private_key(20_261_129, ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_key() -> bytes:
    """Its public half."""
    public = ec.derive_private_key(20_261_129, ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def attestation() -> bytes:
    """What that key says of ATTESTED."""
    record = ProofRecord("p", "1", "sha256:" + "2" * 64, "3" * 64, "26.06", "2.70.0", "answered 1 sample", 1.0, ())
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "p.zip").write_bytes(ATTESTED)
        (Path(folder) / "line.pem").write_bytes(private_key())
        return attest(Path(folder) / "p.zip", record, Signer(Path(folder) / "line.pem")).read_bytes()


def pack() -> bytes:
    """A manifest of a ModelPack with two files."""
    layers = [
        {
            "mediaType": f"application/vnd.cncf.model.{kind}.v1.raw",
            "digest": "sha256:" + digit * 64,
            "size": 10,
            "annotations": {"org.cncf.model.filepath": path},
        }
        for kind, digit, path in (("weight.config", "1", "package.yaml"), ("weight", "2", "models/m.onnx"))
    ]
    manifest = {"schemaVersion": 2, "artifactType": "application/vnd.cncf.model.manifest.v1+json", "layers": layers}
    return json.dumps(manifest).encode()


def tarred(form: int) -> bytes:
    """A layer of a ModelPack: a folder with a file whose name needs a header of its own, and another."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, content in (("weights", None), (f"weights/{'m' * 120}.onnx", model()), ("labels.txt", b"bolt\n")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = (tarfile.DIRTYPE, 0) if content is None else (tarfile.REGTYPE, len(content))
            archive.addfile(entry, io.BytesIO(content or b""))
    return stream.getvalue()


def seeds() -> dict[str, list[bytes]]:
    """What each target starts from."""
    texts = samples(t=np.array(["bolt", "nut"]), n=np.arange(3), b=np.array([True]), e=np.zeros((0, 2), np.float16))
    ones = samples(x=np.ones((1, 4), np.float32))
    bodies = [
        b'\0{"changes": {"max_batch_size": 4, "device": "cpu"}}',
        b'\1{"changes": {"priority": 2}, "unset": ["device"]}',
        b'\1{"changes": {"tolerances": {"max_abs": 0.1}, "plugins": [], "instances": 2}, "stage": "s"}',
        b'\2{"ttl": 60}',
        *(bytes([route]) + content for route, content in enumerate((ones, package(), model(), ones), 3)),
    ]
    folders = zipped({"p/": b"", "p/package.yaml": MANIFEST, "p/1/": b"", "p/1/m.onnx": model()}, zipfile.ZIP_STORED)
    adopted = zipped({"p/config.pbtxt": CONFIG, "p/1/model.onnx": model(), "p/labels.txt": b"a\nb\n"})
    gnu = tarred(tarfile.GNU_FORMAT)
    torch = zipped({"m/data.pkl": b"\x80\x02.", "m/version": b"3\n", "m/constants.pkl": b"\x80\x02)."})
    return {
        "manifest": [MANIFEST, b'{"schema": 1, "name": "p"}'], "onnx": [model(), model(outside=True)], "ir": [IR],
        "npz": [samples(x=np.ones((2, 4), np.float32)), texts], "zip": [package(), folders],
        "package": [package(), folders, adopted], "config": [CONFIG, b'platform: "tensorrt_plan"'],
        "policy": [POLICY, b"require-signature: ~"], "plan": [b"ftrt" + bytes(60), torch],
        "declaration": [DECLARATION], "rest": bodies, "attestation": [attestation()], "pack": [pack()],
        "tar": [tarred(tarfile.PAX_FORMAT), gnu, gzip.compress(gnu, mtime=0)],
    }  # fmt: skip


if __name__ == "__main__":
    for target, contents in seeds().items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(contents):
            (CORPUS / target / str(number)).write_bytes(content)
