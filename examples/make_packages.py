"""Train the example packages on scikit-learn's digits, in seconds: `python examples/make_packages.py [FOLDER]`.

digits.zip          one model: the digit on an 8x8 image
digits-cascade.zip  two models in series: the first takes the noise off the image, the second reads it
Beside each lies NAME.json (accuracies measured with scikit-learn) and NAME-test.npz (the images they were measured on).
Images are [batch, 1, 8, 8] FP32 with ink from 0 to 16, as the data set has them.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor

INK = 16.0  # the darkest pixel
NOISE = 8.0  # standard deviation, in units of ink
SHOWN = 4  # images in a package's sample
Images = NDArray[np.float32]


@dataclass(frozen=True)
class Digits:
    """The data set, split for good: images [n, 1, 8, 8] and the digits on them."""

    train: Images
    train_digits: NDArray[np.int64]
    test: Images
    test_digits: NDArray[np.int64]


def digits() -> Digits:
    """scikit-learn's bundled digits, three quarters for training."""
    images, numbers = load_digits(return_X_y=True)
    train, test, train_digits, test_digits = train_test_split(
        images.astype(np.float32).reshape(-1, 1, 8, 8), numbers, test_size=0.25, random_state=0, stratify=numbers
    )
    return Digits(train, train_digits, test, test_digits)


def noisy(images: Images, seed: int) -> Images:
    """The images as a bad sensor would give them."""
    noise = np.random.default_rng(seed).normal(0, NOISE, images.shape)
    return np.clip(images + noise, 0, INK).astype(np.float32)


def flat(images: Images) -> NDArray[np.float32]:
    """What the estimators see: [n, 64], ink from 0 to 1."""
    return images.reshape(len(images), -1) / np.float32(INK)


def train_classifier(data: Digits) -> MLPClassifier:
    """Reads clean digits."""
    return MLPClassifier(hidden_layer_sizes=(64,), random_state=0, max_iter=60).fit(flat(data.train), data.train_digits)


def train_denoiser(data: Digits) -> MLPRegressor:
    """Maps noisy images to clean ones; sees each training image under several noises."""
    copies = [noisy(data.train, seed) for seed in range(1, 9)]
    clean = np.concatenate([flat(data.train)] * len(copies))
    return MLPRegressor(hidden_layer_sizes=(128,), random_state=0, max_iter=25).fit(flat(np.concatenate(copies)), clean)


def to_onnx(
    estimator: MLPClassifier | MLPRegressor, name: str, source: str, result: str, shape: list[int], scale: float
) -> bytes:
    """A fitted perceptron as an ONNX graph: image in, `result` of [batch, *shape] out, times `scale`."""
    weights = [
        numpy_helper.from_array(array.astype(np.float32), f"{kind}{layer}")
        for layer, pair in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True))
        for kind, array in zip(("weights", "bias"), pair, strict=True)
    ]
    constants = {"ink": np.float32(1 / INK), "scale": np.float32(scale), "shape": np.array([-1, *shape], np.int64)}
    nodes = [helper.make_node("Flatten", [source], ["flat"]), helper.make_node("Mul", ["flat", "ink"], ["x0"])]
    last = len(estimator.coefs_) - 1
    for layer in range(last + 1):
        out = "raw" if layer == last else f"x{layer + 1}"
        nodes.append(helper.make_node("Gemm", [f"x{layer}", f"weights{layer}", f"bias{layer}"], [f"sum{layer}"]))
        activation = "Relu" if layer < last else "Softmax" if isinstance(estimator, MLPClassifier) else "Identity"
        nodes.append(helper.make_node(activation, [f"sum{layer}"], [out]))
    nodes += [
        helper.make_node("Mul", ["raw", "scale"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "shape"], [result]),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, ["batch", *shape])],
        weights + [numpy_helper.from_array(np.asarray(array), key) for key, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def npz(**arrays: NDArray[Any]) -> bytes:
    """Arrays as an .npz that is the same every time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), stream.getvalue())
    return buffer.getvalue()


def package(manifest: dict[str, Any], files: dict[str, bytes], destination: Path) -> None:
    """Write a package's .zip, the same bytes every time."""
    text = yaml.safe_dump(
        {"schema": 1, "version": "1.0.0", "exporter": {"name": "examples"}, **manifest}, sort_keys=False
    )
    with zipfile.ZipFile(destination, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in {"package.yaml": text.encode(), **files}.items():
            archive.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)


def stage(name: str, task: str, **more: Any) -> dict[str, Any]:
    """A stage's entry in package.yaml, with its files named for it."""
    sample = {"inputs": f"{name}/inputs.npz", "outputs": f"{name}/outputs.npz"}
    return {"name": name, "task": task, "model": f"{name}/model.onnx", **more, "samples": [sample]}


def stage_files(name: str, model: bytes, inputs: bytes, outputs: bytes) -> dict[str, bytes]:
    """A stage's files, by their paths in the package."""
    return {f"{name}/model.onnx": model, f"{name}/inputs.npz": inputs, f"{name}/outputs.npz": outputs}


def make(folder: Path) -> None:
    """Train both packages and write them into `folder`, with what is expected of them beside."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # the few rounds are enough
    folder.mkdir(parents=True, exist_ok=True)
    data = digits()
    classifier, denoiser = train_classifier(data), train_denoiser(data)

    def scores(images: Images) -> NDArray[np.float32]:
        return classifier.predict_proba(flat(images)).astype(np.float32)

    def cleaned(images: Images) -> Images:
        return (denoiser.predict(flat(images)) * INK).astype(np.float32).reshape(-1, 1, 8, 8)

    def accuracy(answers: NDArray[np.float32]) -> float:
        return float((answers.argmax(axis=1) == data.test_digits).mean())

    labels = [str(digit) for digit in range(10)]
    classify_model = to_onnx(classifier, "classify", "image", "scores", [10], 1.0)
    shown = data.test[:SHOWN]
    package(
        {"name": "digits", "stages": [stage("classify", "image-classification", labels=labels)]},
        stage_files("classify", classify_model, npz(image=shown), npz(scores=scores(shown))),
        folder / "digits.zip",
    )
    expect(folder / "digits", npz(image=data.test, digit=data.test_digits), {"accuracy": accuracy(scores(data.test))})

    rough = noisy(data.test, seed=0)
    seen, clean = rough[:SHOWN], cleaned(rough[:SHOWN])
    denoise_model = to_onnx(denoiser, "denoise", "noisy", "image", [1, 8, 8], INK)
    package(
        {
            "name": "digits-cascade",
            "stages": [
                stage("denoise", "preprocessing"),
                stage("classify", "image-classification", labels=labels),
            ],
            "samples": [{"inputs": "inputs.npz", "outputs": "outputs.npz"}],
        },
        {
            **stage_files("denoise", denoise_model, npz(noisy=seen), npz(image=clean)),
            **stage_files("classify", classify_model, npz(image=clean), npz(scores=scores(clean))),
            "inputs.npz": npz(noisy=seen),
            "outputs.npz": npz(scores=scores(clean)),
        },
        folder / "digits-cascade.zip",
    )
    measured = {"accuracy": accuracy(scores(cleaned(rough))), "accuracy_without_denoise": accuracy(scores(rough))}
    expect(folder / "digits-cascade", npz(noisy=rough, digit=data.test_digits), measured)


def expect(stem: Path, test: bytes, measured: dict[str, float]) -> None:
    """Write what is expected beside a package, and say it."""
    stem.with_name(f"{stem.name}-test.npz").write_bytes(test)
    stem.with_name(f"{stem.name}.json").write_text(json.dumps(measured, indent=2) + "\n")
    print(f"{stem}.zip: " + ", ".join(f"{name.replace('_', ' ')} {value:.1%}" for name, value in measured.items()))


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "packages")
