"""Models that are wrong when they are batched, rewritten or converted, in ways that people have reported, and right ones.

Each is a line of ONNX's textual syntax. `batch`: rows in a batch; `static`: its batch of 1 is made dynamic; `openvino`:
what OpenVINO makes of it; `pair`: what a converter made of it is given, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from tritonpm.core.types import Task


@dataclass(frozen=True)
class Case:
    """One model; `wrong`: it must not be called proved or verified."""

    name: str
    kind: str
    graph: str
    wrong: bool
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    converted: str = ""  # of a pair
    precision: str = "FP32"
    task: Task = Task.OTHER
    domain: str = ""


_RANDOM = np.random.default_rng(7)


def _w(*shape: int) -> np.ndarray:
    return _RANDOM.standard_normal(shape).astype(np.float32)


def _i(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def _row(body: str, more: str = "") -> str:
    """A graph of [N,4] floats."""
    return f"g (float[N,4] x) => (float[N,4] y) {more} {{ {body} }}"


def _image(body: str) -> str:
    return f"g (float[N,3,8,8] x) => (float[N,C,H,W] y) {{ {body} }}"


_ZERO, _ONE, _AXIS = _i(0), _i(1), np.array(0, np.int64)
_UPTO = (
    "s = Shape<start=0, end=1>(x) n = Squeeze(s) r = Range(zero, n, one) k = Less(r, limit) f = Cast<to=1>(k) "
    "u = Unsqueeze(f, axis) y = Mul(x, u)"
)


def _upto(limit: int) -> dict[str, np.ndarray]:
    scalar = {"zero": 0, "one": 1, "limit": limit}
    return {**{name: np.array(value, np.int64) for name, value in scalar.items()}, "axis": _ONE}


_FAR = "l = MatMul(x, w)"  # so small that what is asked of it lies beyond what anybody tries


def _far(limit: float) -> dict[str, np.ndarray]:
    return {"w": np.full((4, 1), 1e-4, np.float32), "h": np.array(limit, np.float32)}


def _unrolled(rows: int) -> str:
    """Each row by itself, as loops over a batch are exported."""
    filled = "s = Shape<start=0, end=1>(x) d = Sub(e, s) f = Concat<axis=0>(d, m) n = ConstantOfShape(f) p = Concat<axis=0>(x, n) "
    alone = "".join(
        f"r{i} = Gather(p, i{i}) c{i} = Greater(r{i}, t) g{i} = Neg(r{i}) h{i} = Where(c{i}, r{i}, g{i}) u{i} = Unsqueeze(h{i}, z) "
        for i in range(rows)
    )
    return f"{filled}{alone} a = Concat<axis=0>({', '.join(f'u{i}' for i in range(rows))}) y = Slice(a, w, s, z)"


def _if(condition: str) -> str:
    return _row(
        f"{condition} y = If(c) <then_branch = t () => (float[N,4] a) {{ a = Neg(x) }}, "
        "else_branch = e () => (float[N,4] b) { b = Identity(x) }>"
    )


WRONG_BATCHED: Mapping[str, tuple[str, dict[str, np.ndarray]]] = {
    "mean over the rows": (_row("m = ReduceMean<axes=[0]>(x) y = Sub(x, m)"), {}),
    "largest of the rows": (_row("m = ReduceMax<axes=[0]>(x) y = Sub(x, m)"), {}),
    "sum of squares over the rows": (_row("m = ReduceL2<axes=[0]>(x) y = Add(x, m)"), {}),
    "mean over all": (_row("m = ReduceMean(x) y = Sub(x, m)"), {}),
    "LayerNorm over the batch": (
        _row("m = ReduceMean<axes=[0, 1]>(x) d = Sub(x, m) q = Mul(d, d) v = ReduceMean<axes=[0, 1]>(q) "
             "s = Sqrt(v) y = Div(d, s)"), {}),
    "cumulative sum over rows": (_row("y = CumSum(x, axis)"), {"axis": _AXIS}),
    "cumulative sum from the end": (_row("y = CumSum<reverse=1>(x, axis)"), {"axis": _AXIS}),
    "exclusive cumulative sum": (_row("c = CumSum<exclusive=1>(x, axis) y = Add(x, c)"), {"axis": _AXIS}),
    "softmax over rows": (_row("y = Softmax<axis=0>(x)"), {}),
    "log-softmax over rows": (_row("y = LogSoftmax<axis=0>(x)"), {}),
    "hardmax over rows": (_row("y = Hardmax<axis=0>(x)"), {}),
    "norm over rows": (_row("y = LpNormalization<axis=0>(x)"), {}),
    "rows sorted": (_row("s = Shape<start=0, end=1>(x) y, i = TopK<axis=0>(x, s)"), {}),
    "argmax over rows": (_row("a = ArgMax<axis=0>(x) f = Cast<to=1>(a) y = Add(x, f)"), {}),
    "rows reversed": (_row("y = Slice(x, a, b, c, d)"), {"a": _i(-1), "b": _i(-(2**40)), "c": _ZERO, "d": _i(-1)}),
    "first row added": (_row("f = Gather<axis=0>(x, i) y = Add(x, f)"), {"i": _ZERO}),
    "first row for all": (_row("f = Gather<axis=0>(x, i) z = Sub(x, x) y = Add(f, z)"), {"i": _ZERO}),
    "last row added": (_row("f = Gather<axis=0>(x, i) y = Add(x, f)"), {"i": _i(-1)}),
    "rows shifted by one": (
        _row("a = Slice(x, z, e, z) b = Slice(x, m, f, z) y = Concat<axis=0>(b, a)"),
        {"z": _ZERO, "e": _i(-1), "m": _i(-1), "f": _i(2**40)}),
    "attention between rows": (_row("t = Transpose<perm=[1, 0]>(x) s = MatMul(x, t) p = Softmax<axis=1>(s) "
                                    "y = MatMul(p, x)"), {}),
    "numbered rows": (
        _row("s = Shape<start=0, end=1>(x) n = Squeeze(s) r = Range(zero, n, one) f = Cast<to=1>(r) "
             "u = Unsqueeze(f, axis) y = Add(x, u)"), _upto(0)),
    "how many rows": (_row("s = Shape<start=0, end=1>(x) f = Cast<to=1>(s) y = Div(x, f)"), {}),
    "unrolled for 1": (_row(_UPTO), _upto(1)),
    "unrolled for 2": (_row(_UPTO), _upto(2)),
    "unrolled for 4": (_row(_UPTO), _upto(4)),
    "unrolled for 7": (_row(_UPTO), _upto(7)),
    "condition on the largest": (_if("m = ReduceMax<keepdims=0>(x) c = Greater(m, h)"), {"h": np.array(100, np.float32)}),
    "condition on a small number": (_if("m = ReduceMax<keepdims=0>(x) c = Greater(m, h)"), {"h": np.array(0.9, np.float32)}),
    "condition on the sum": (_if("m = ReduceSum<keepdims=0>(x) c = Less(m, h)"), {"h": np.array(0, np.float32)}),
    "condition on how many rows": (
        _if("s = Shape<start=0, end=1>(x) n = Squeeze(s) c = Greater(n, h)"), {"h": np.array(5, np.int64)}),
    "condition far away": (_if("m = ReduceMax<keepdims=0>(x) c = Greater(m, h)"), {"h": np.array(54321, np.float32)}),
    "BatchNorm in training": (
        "g (float[N,4] x) => (float[N,4] y) { y, m, v = BatchNormalization<training_mode=1>(x, s, b, p, q) }",
        {"s": np.ones(4, np.float32), "b": np.zeros(4, np.float32), "p": np.zeros(4, np.float32), "q": np.ones(4, np.float32)}),
    "dropout in training": (_row("y, k = Dropout<seed=1>(x, r, t)"), {"r": np.array(0.5, np.float32), "t": np.array(True)}),
    "noise": (_row("r = RandomNormalLike(x) y = Add(x, r)"), {}),
    "uniform noise": (_row("r = RandomUniformLike(x) y = Mul(x, r)"), {}),
    "coin": (_row("r = Bernoulli(p) y = Add(x, r)").replace("{ r", "{ p = Sigmoid(x) r"), {}),
    "dynamic quantisation": (_row("q, s, z = DynamicQuantizeLinear(x) y = DequantizeLinear(q, s, z)"), {}),
    "scan over rows": (
        "g (float[N,4] x) => (float[N,4] y) { last, y = Scan<num_scan_inputs=1, body = b (float[4] s, float[4] r) => "
        "(float[4] t, float[4] o) { t = Add(s, r) o = Identity(t) }>(start, x) }", {"start": np.zeros(4, np.float32)}),
    "rows as time": (
        "g (float[N,1,4] x) => (float[N,1,1,3] y) { y, h = RNN<hidden_size=3>(x, w, r) }",
        {"w": _w(1, 3, 4), "r": _w(1, 3, 3)}),
    "rows as channels": (
        "g (float[N,4,4] x) => (float[N,4,4] y) { u = Unsqueeze(x, z) t = Transpose<perm=[1, 0, 2, 3]>(u) "
        "m = ReduceMean<axes=[0]>(t) y = Add(x, m2) m2 = Squeeze(m, z) }".replace("y = Add(x, m2) m2 = Squeeze(m, z)",
                                                                                  "m2 = Squeeze(m, z) y = Add(x, m2)"),
        {"z": _ZERO}),
    "reshape that mixes rows": (
        "g (float[N,4] x) => (float[N,4] y) { t = Transpose<perm=[1, 0]>(x) y = Reshape(t, s) }", {"s": _i(-1, 4)}),
    "pooling over rows": (
        _row("u = Unsqueeze(x, z) t = Transpose<perm=[0, 2, 1]>(u) p = MaxPool<kernel_shape=[3], pads=[1, 1]>(t) "
             "q = Transpose<perm=[0, 2, 1]>(p) y = Squeeze(q, z)"), {"z": _ZERO}),
    "scatter into the first row": (
        _row("n = Identity(x) y = ScatterElements<axis=0>(n, i, u)"), {"i": np.zeros((1, 4), np.int64), "u": np.full((1, 4), 5, np.float32)}),
    "indices of what is not zero": ("g (float[N,4] x) => (int64[M,2] y) { n = NonZero(x) y = Transpose<perm=[1, 0]>(n) }", {}),
    "unique rows": ("g (int64[N] x) => (int64[M] y) { y = Unique<sorted=1>(x) }", {}),
    "rank of a row": (
        "g (float[N,1] x) => (float[N,1] y) { t = Transpose<perm=[1, 0]>(x) l = Less(t, x) f = Cast<to=1>(l) "
        "y = ReduceSum(f, a) }", {"a": _ONE}),
    "integers over rows": ("g (int64[N,4] x) => (int64[N,4] y) { m = ReduceMax<axes=[0]>(x) y = Sub(x, m) }", {}),
    "ids relative to the first": ("g (int32[N,4] x) => (int32[N,4] y) { f = Gather(x, i) y = Sub(x, f) }", {"i": _ZERO}),
    "any row is true": (
        "g (bool[N,4] x) => (bool[N,4] y) { i = Cast<to=6>(x) m = ReduceMax<axes=[0]>(i) b = Cast<to=9>(m) y = Or(x, b) }", {}),
    "text of the first row": (
        "g (string[N,1] x) => (string[N,1] y) { f = Slice(x, a, b, c) y = StringConcat(x, f) }",
        {"a": _ZERO, "b": _ONE, "c": _ZERO}),
    "longest row": (
        "g (float[N,4] x) => (float[N,L] y) { b = Greater(x, h) f = Cast<to=7>(b) s = ReduceSum(f, a) m = ReduceMax<keepdims=0>(s) "
        "u = Unsqueeze(m, z) y = Slice(x, z, u, a) }", {"h": np.array(0.5, np.float32), "a": _ONE, "z": _ZERO}),
    "scores by the batch beside boxes in pixels": (
        "g (float[N,4] x) => (float[N,5] y) { m = Mul(x, p) b = Add(m, p) s = Sigmoid(x) o = ReduceMean<axes=[1]>(s) "
        "a = ReduceMean<axes=[0, 1]>(s) l = Mul(a, t) c = Add(o, l) y = Concat<axis=1>(b, c) }",
        {"p": np.array(1280, np.float32), "t": np.array(0.05, np.float32)}),
    "a place among the rows of its expert": (
        _row("a = ArgMax<axis=1, keepdims=0>(x) h = OneHot(a, d, v) c = CumSum(h, z) k = LessOrEqual(c, m) "
             "f = Cast<to=1>(k) g = Mul(f, h) s = ReduceSum(g, o) y = Mul(x, s)"),
        {"d": _i(4), "v": np.array([0, 1], np.float32), "z": _AXIS, "m": np.array(3, np.float32), "o": _ONE}),
    "condition on how many of a batch are bright": (
        _if("o = Greater(x, h) f = Cast<to=1>(o) m = ReduceSum<keepdims=0>(f) c = Greater(m, k)"),
        {"h": np.array(0.5, np.float32), "k": np.array(20, np.float32)}),
    "mask by the mean over the rows": (
        _row(f"{_FAR} m = ReduceMean<axes=[0]>(l) c = Greater(m, h) n = Neg(x) y = Where(c, n, x)"), _far(1e7)),
    "mask multiplied in, its number a weight": (
        _row(f"{_FAR} s = Sigmoid(l) m = ReduceMean<axes=[0]>(s) c = Less(m, h) f = Cast<to=1>(c) o = Mul(f, h) g = Add(o, h) d = Div(g, h) "
             "y = Mul(x, d)"), _far(-1)),
    "what the largest has beyond a number": (_row(f"{_FAR} m = ReduceMax<keepdims=0>(l) d = Sub(m, h) r = Relu(d) y = Add(x, r)"), _far(1e7)),
    "rows beside the mean of all and a number": (
        _row(f"{_FAR} m = ReduceMean<axes=[0]>(l) t = Add(m, h) c = Greater(x, t) n = Neg(x) y = Where(c, n, x)"), _far(1e30)),
    "mask by the first row": (
        _row(f"{_FAR} f = Gather(l, i) m = ReduceMax<keepdims=0>(f) c = Greater(m, h) n = Neg(x) y = Where(c, n, x)"), {"i": _ZERO, **_far(1e7)}),
    "mask by the sum of the ids": (
        "g (int32[N,4] x) => (int32[N,4] y) { m = ReduceMax<keepdims=0>(x) t = Div(m, k) c = Greater(t, h) n = Mul(x, d) y = Where(c, n, x) }",
        {"k": np.array(2**16, np.int32), "h": np.array(2**15, np.int32), "d": np.array(2, np.int32)}),
    "condition that nothing turns": (
        _if(f"{_FAR} m = ReduceMax<keepdims=0>(l) c = Greater(m, h)"), _far(1e7)),
    "how often a batch has it": (
        "g (int64[N,1] x) => (int64[N,1] y) { u, i, n, c = Unique<sorted=1>(x) r = Gather(c, n) y = Reshape(r, s) }",
        {"s": _i(-1, 1)}),
    "always the same": (_row("z = Mul(x, w) y = Add(z, b)"), {"w": np.zeros(4, np.float32), "b": np.ones(4, np.float32)}),
    "always empty": (_row("m = Max(x, t) z = Sub(m, m) y = Identity(z)"), {"t": np.array(0, np.float32)}),
    "one output of two says nothing": (
        "g (float[N,4] x) => (float[N,4] y, float[N,4] z) { y = Abs(x) z = Sub(x, x) }", {}),
}  # fmt: skip

_BN = {"s": np.array([0.5, 1, 2], np.float32), "b": _w(3), "m": _w(3), "v": np.array([1, 2, 0.5], np.float32)}
# Right when batched, and right when OpenVINO converts them, unless the name says otherwise.
RIGHT: Mapping[str, tuple[str, dict[str, np.ndarray]]] = {
    "relu": (_row("y = Relu(x)"), {}),
    "sigmoid": (_row("y = Sigmoid(x)"), {}),
    "tanh": (_row("y = Tanh(x)"), {}),
    "softmax": (_row("y = Softmax<axis=1>(x)"), {}),
    "log-softmax": (_row("y = LogSoftmax<axis=1>(x)"), {}),
    "elu": (_row("y = Elu(x)"), {}),
    "erf": (_row("y = Erf(x)"), {}),
    "softplus": (_row("y = Softplus(x)"), {}),
    "clip": (_row("y = Clip(x, a, b)"), {"a": np.array(-1, np.float32), "b": np.array(0.7, np.float32)}),
    "leaky": (_row("y = LeakyRelu<alpha=0.1>(x)"), {}),
    "matmul": (_row("y = MatMul(x, w)"), {"w": _w(4, 4)}),
    "gemm": (_row("y = Gemm(x, w, b)"), {"w": _w(4, 4), "b": _w(4)}),
    "two layers": (_row("a = Gemm(x, w, b) r = Relu(a) y = Gemm(r, v, c)"), {"w": _w(4, 16), "b": _w(16), "v": _w(16, 4), "c": _w(4)}),
    "sum of a row": (_row("m = ReduceSum(x, a) y = Div(x, d)").replace("y = Div(x, d)", "y = Sub(x, m)"), {"a": _ONE}),
    "mean of a row": (_row("m = ReduceMean<axes=[1]>(x) y = Sub(x, m)"), {}),
    "layer norm": (_row("y = LayerNormalization(x, s, b)"), {"s": _w(4), "b": _w(4)}),
    "largest of a row": (_row("m = ReduceMax<axes=[1]>(x) y = Sub(x, m)"), {}),
    "cumulative sum of a row": (_row("y = CumSum(x, a)"), {"a": np.array(1, np.int64)}),
    "row sorted": (_row("y, i = TopK<axis=1>(x, k)"), {"k": _i(4)}),
    "row reversed": (_row("y = Slice(x, a, b, c, d)"), {"a": _i(-1), "b": _i(-(2**31)), "c": _ONE, "d": _i(-1)}),
    "where": (_row("c = Greater(x, h) n = Neg(x) y = Where(c, x, n)"), {"h": np.array(0.5, np.float32)}),
    "gather columns": (_row("y = Gather<axis=1>(x, i)"), {"i": _i(3, 1, 0, 2)}),
    "pad": ("g (float[N,4] x) => (float[N,6] y) { y = Pad(x, p) }", {"p": _i(0, 1, 0, 1)}),
    "concat": ("g (float[N,4] x) => (float[N,8] y) { n = Neg(x) y = Concat<axis=1>(x, n) }", {}),
    "two inputs": ("g (float[N,4] x, float[N,4] z) => (float[N,4] y) { y = Mul(x, z) }", {}),
    "two outputs": ("g (float[N,4] x) => (float[N,4] y, float[N,4] z) { y = Abs(x) z = Sin(x) }", {}),
    "convolution": (_image("y = Conv<pads=[1, 1, 1, 1]>(x, w, b)"), {"w": _w(4, 3, 3, 3), "b": _w(4)}),
    "strided": (_image("c = Conv<strides=[2, 2]>(x, w) y = Relu(c)"), {"w": _w(4, 3, 3, 3)}),
    "transposed convolution": (_image("y = ConvTranspose<strides=[2, 2]>(x, w)"), {"w": _w(3, 2, 2, 2)}),
    "max pool": (_image("y = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(x)"), {}),
    "average pool": (_image("y = AveragePool<kernel_shape=[2, 2]>(x)"), {}),
    "global pool": (_image("y = GlobalAveragePool(x)"), {}),
    "batch norm": (_image("y = BatchNormalization(x, s, b, m, v)"), _BN),
    "instance norm": (_image("y = InstanceNormalization(x, s, b)"), {"s": _BN["s"], "b": _BN["b"]}),
    "resize": (_image('y = Resize<mode="nearest">(x, , s)'), {"s": np.array([1, 1, 2, 2], np.float32)}),
    "resize linear": (_image('y = Resize<mode="linear">(x, , s)'), {"s": np.array([1, 1, 2, 2], np.float32)}),
    "space to depth": (_image("y = SpaceToDepth<blocksize=2>(x)"), {}),
    "network": (
        "g (float[N,3,8,8] x) => (float[N,5] y) { a = Conv<pads=[1, 1, 1, 1]>(x, w) b = BatchNormalization(a, s, t, m, v) "
        "c = Relu(b) d = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(c) f = Flatten(d) y = Gemm(f, u, o) }",
        {"w": _w(3, 3, 3, 3), "s": _BN["s"], "t": _BN["b"], "m": _BN["m"], "v": _BN["v"], "u": _w(48, 5), "o": _w(5)}),
    "attention in a row": (
        "g (float[N,4,6] x) => (float[N,4,6] y) { t = Transpose<perm=[0, 2, 1]>(x) s = MatMul(x, t) p = Softmax<axis=2>(s) "
        "y = MatMul(p, x) }", {}),
    "recurrent": (
        "g (float[N,5,4] x) => (float[T,1,N,3] z, float[N,1,3] y) { t = Transpose<perm=[1, 0, 2]>(x) z, h = LSTM<hidden_size=3>(t, w, r) "
        "y = Transpose<perm=[1, 0, 2]>(h) }".replace("float[T,1,N,3] z, ", ""), {"w": _w(1, 12, 4), "r": _w(1, 12, 3)}),
    "embedding": ("g (int64[N,5] x) => (float[N,5,3] y) { y = Gather(w, x) }", {"w": _w(50, 3)}),
    "masked embedding": (
        "g (int64[N,5] x, float[N,5] m) => (float[N,3] y) { e = Gather(w, x) u = Unsqueeze(m, a) p = Mul(e, u) y = ReduceSum<keepdims=0>(p, b) }",
        {"w": _w(50, 3), "a": _i(2), "b": _ONE}),
    "whole numbers as floats": ("g (int64[N,4] x) => (float[N,4] y) { y = Cast<to=1>(x) }", {}),
    "int32 to uint8": ("g (int32[N,5] x) => (uint8[N,5] y) { y = Cast<to=2>(x) }", {}),
    "any length": ("g (float[N,L] x) => (float[N,L] y) { m = ReduceMean<axes=[1]>(x) y = Sub(x, m) }", {}),
    "any size": ("g (float[N,1,H,W] x) => (float[N,1,H,W] y) { y = Conv<pads=[1, 1, 1, 1]>(x, w) }", {"w": _w(1, 1, 3, 3)}),
}  # fmt: skip

# Right when batched; text and whole numbers, which OpenVINO is not asked about.
RIGHT_BATCHED: Mapping[str, tuple[str, dict[str, np.ndarray]]] = {
    "ids": ("g (int64[N,4] x) => (int64[N,4] y) { y = Mod(x, m) }", {"m": _i(1000)}),
    "bytes": ("g (uint8[N,4] x) => (float[N,4] y) { f = Cast<to=1>(x) y = Div(f, d) }", {"d": np.array(255, np.float32)}),
    "text": ("g (string[N,1] x) => (string[N,1] y) { y = StringConcat(x, t) }", {"t": np.array(["!"], dtype=np.object_)}),
    "text to number": ("g (string[N,2] x) => (float[N,2] y) { y = Cast<to=1>(x) }", {}),
    "each once, and back": (
        "g (int64[N,1] x) => (int64[N,1] y) { u, i, n = Unique<sorted=1>(x) r = Gather(u, n) m = Mod(r, q) y = Reshape(m, s) }",
        {"s": _i(-1, 1), "q": _i(97)}),
    "condition on the shape": (
        "g (float[N,4] x) => (float[N,4] y) { s = Shape<start=0, end=1>(x) n = Squeeze(s) c = Greater(n, z) "
        "y = If(c) <then_branch = t () => (float[N,4] a) { a = Neg(x) }, else_branch = e () => (float[N,4] b) { b = Identity(x) }> }",
        {"z": np.array(0, np.int64)}),
    "mean of the weights' rows": (_row("m = ReduceMean<axes=[0], keepdims=0>(w) y = Sub(x, m)"), {"w": _w(6, 4)}),
    "time before the batch": (
        "g (float[N,5,4] x) => (float[N,4] y) { t = Transpose<perm=[1, 0, 2]>(x) m = ReduceMean<axes=[0], keepdims=0>(t) "
        "l = ReduceMax<axes=[0], keepdims=0>(t) y = Sub(l, m) }", {}),
    "cut to the longest row": (
        "g (float[N,9] x, int64[N,1] l) => (float[N,1] y) { k = Clip(l, o, e) m = ReduceMax<keepdims=0>(k) r = Range(z, m, i) c = Less(r, k) "
        "u = Unsqueeze(m, a) s = Slice(x, a, u, b) f = Cast<to=1>(c) p = Mul(s, f) y = ReduceSum(p, b) }",
        {"z": np.array(0, np.int64), "i": np.array(1, np.int64), "o": np.array(1, np.int64), "e": np.array(9, np.int64), "a": _ZERO, "b": _ONE}),
    "the same on either side": (
        _row("m = ReduceMax<keepdims=0>(x) c = Greater(m, h) a = Abs(x) n = Neg(x) p = Max(x, n) y = Where(c, a, p)"),
        {"h": np.array(0.99, np.float32)}),
    "what is not zero, put back": (
        _row("n = NonZero(x) i = Transpose<perm=[1, 0]>(n) v = GatherND(x, i) s = Shape(x) z = ConstantOfShape(s) r = Relu(v) y = ScatterND(z, i, r)"), {}),
    "unrolled for 8, and filled up to that": (_row(_unrolled(8)), {
        **{f"i{n}": np.array(n, np.int64) for n in range(8)}, "z": _ZERO, "e": _i(8), "w": np.zeros(1, np.int64), "m": _i(4),
        "t": np.array(0.5, np.float32)}),
    "sizes from shapes": (
        "g (float[N,4,6] x) => (float[N,24] y) { s = Shape(x) b = Gather(s, z) u = Unsqueeze(b, a) t = Concat<axis=0>(u, m) y = Reshape(x, t) }",
        {"z": np.array(0, np.int64), "a": _ZERO, "m": _i(-1)}),
    "flags": ("g (bool[N,4] x) => (bool[N,4] y) { y = Not(x) }", {}),
    "double": ("g (double[N,4] x) => (double[N,4] y) { y = Sqrt(a) }".replace("y = Sqrt(a)", "a = Abs(x) y = Sqrt(a)"), {}),
    "label": ("g (float[N,4] x) => (int64[N] y) { y = ArgMax<axis=1, keepdims=0>(x) }", {}),
    "scan in a row": (
        "g (float[N,4] x) => (float[N,4] y) { l, y = Scan<num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1], "
        "body = b (float[N] s, float[N] r) => (float[N] t, float[N] o) { t = Add(s, r) o = Identity(t) }>(z, x) }".replace(
            "{ l, y", "{ c = ReduceSum<keepdims=0>(x, a) z = Sub(c, c) l, y"), {"a": _ONE}),
}  # fmt: skip

WRONG_REWRITTEN: Mapping[str, tuple[str, dict[str, np.ndarray]]] = {
    "squeezed": (
        "g (float[1,4,4] x) => (float[1,4,4] y) { s = Squeeze(x) t = Transpose<perm=[1,0]>(s) y = Unsqueeze(t, z) }", {"z": _ZERO}),
    "transposed": (
        "g (float[1,4,4] x) => (float[1,4,4] y) { t = Transpose<perm=[1,0,2]>(x) y = Reshape(t, s) }", {"s": _i(1, 4, 4)}),
    "normalised over all": ("g (float[1,4] x) => (float[1,4] y) { m = ReduceMean(x) y = Sub(x, m) }", {}),
    "softmax over the batch of one": ("g (float[1,4] x) => (float[1,4] y) { s = Softmax<axis=0>(x) y = Mul(s, x) }", {}),
    "first row gathered": ("g (float[1,4] x) => (float[1,4] y) { f = Gather(x, i) y = Add(f, x) }", {"i": _ZERO}),
    "flattened": ("g (float[1,4] x) => (float[1,4] y) { f = Flatten<axis=0>(x) m = ReduceMax<axes=[1]>(f) y = Sub(x, m) }", {}),
    "says nothing": ("g (float[1,4] x) => (float[1,4] y) { y = Sub(x, x) }", {}),
}  # fmt: skip

RIGHT_REWRITTEN: Mapping[str, tuple[str, dict[str, np.ndarray]]] = {
    "reshaped": ("g (float[1,2,6] x) => (float[1,12] y) { y = Reshape(x, s) }", {"s": _i(1, 12)}),
    "class token": ("g (float[1,3,2] x) => (float[1,4,2] y) { y = Concat<axis=1>(t, x) }", {"t": np.array([[[5, 7]]], np.float32)}),
    "dense": ("g (float[1,6] x) => (float[1,2] y) { y = MatMul(x, w) }", {"w": _w(6, 2)}),
}  # fmt: skip

# What OpenVINO 2026 computes otherwise than onnxruntime; measured.
WRONG_CONVERTED: Mapping[str, tuple[str, dict[str, np.ndarray]]] = {
    "int64 modulo": ("g (int64[N,4] x) => (int64[N,4] y) { y = Mod(x, m) }", {"m": _i(1000)}),
    "int64 sum": ("g (int64[N,4] x) => (int64[N,4] y) { y = Add(x, m) }", {"m": _i(7)}),
    "int64 product": ("g (int64[N,4] x) => (int64[N,4] y) { y = Mul(x, m) }", {"m": _i(3)}),
    "int64 compared": ("g (int64[N,4] x) => (bool[N,4] y) { y = Greater(x, m) }", {"m": _i(1000)}),
    "int64 moved": ("g (int64[N,4] x) => (int64[N,4] y) { y = Gather<axis=1>(x, i) }", {"i": _i(3, 2, 1, 0)}),
    "uint64": ("g (uint64[N,4] x) => (uint64[N,4] y) { y = Add(x, m) }", {"m": np.array([5], np.uint64)}),
    "hashed ids": ("g (int64[N,4] x) => (float[N,4,2] y) { b = Mod(x, m) y = Gather(w, b) }", {"m": _i(1000), "w": _w(1000, 2)}),
    "double loses digits": ("g (double[N,4] x) => (double[N,4] y) { a = Add(x, b) y = Sub(a, b) }", {"b": np.array(1e8)}),
    "double beyond float": ("g (double[N,4] x) => (double[N,4] y) { y = Neg(x) }", {}),
    "float to int64": ("g (float[N,5] x) => (int64[N,5] y) { y = Cast<to=7>(x) }", {}),
    "float to uint8": ("g (float[N,5] x) => (uint8[N,5] y) { y = Cast<to=2>(x) }", {}),
    "float to int8": ("g (float[N,5] x) => (int8[N,5] y) { y = Cast<to=3>(x) }", {}),
}  # fmt: skip

# What converters have done: (as it was, as it became, weights, precision).
Pair = tuple[str, str, dict[str, np.ndarray]]
_HALF = {"h": np.array(0.5, np.float32)}
WRONG_PAIRS: Mapping[str, Pair] = {
    "rounding to even": (_row("y = Round(x)"), _row("a = Add(x, h) y = Floor(a)"), {"h": np.array(0.6, np.float32)}),
    "floor for truncation": (_row("i = Cast<to=6>(x) y = Cast<to=1>(i)"), _row("y = Floor(x)"), {}),
    "ceil for round": (_row("y = Round(x)"), _row("y = Ceil(x)"), {}),
    "whole division of negatives": (
        "g (int32[N,4] x) => (int32[N,4] y) { y = Div(x, d) }",
        "g (int32[N,4] x) => (int32[N,4] y) { m = Mod(x, d) s = Sub(x, m) y = Div(s, d) }", {"d": np.array([3], np.int32)}),
    "sign of modulo": (
        "g (int32[N,4] x) => (int32[N,4] y) { y = Mod(x, d) }", "g (int32[N,4] x) => (int32[N,4] y) { y = Mod<fmod=1>(x, d) }",
        {"d": np.array([3], np.int32)}),
    "uint8 wraps": (
        "g (uint8[N,4] x) => (float[N,4] y) { s = Add(x, d) y = Cast<to=1>(s) }",
        "g (uint8[N,4] x) => (float[N,4] y) { a = Cast<to=1>(x) b = Cast<to=1>(d) y = Add(a, b) }", {"d": np.array([200], np.uint8)}),
    "uint8 saturates": (
        "g (uint8[N,4] x) => (float[N,4] y) { f = Cast<to=1>(x) y = Mul(f, t) }",
        "g (uint8[N,4] x) => (float[N,4] y) { f = Cast<to=1>(x) c = Clip(f, z, m) y = Mul(c, t) }",
        {"t": np.array(2, np.float32), "z": np.array(0, np.float32), "m": np.array(127, np.float32)}),
    "missing values": (
        _row("n = IsNaN(x) y = Where(n, z, x)"), _row("y = Identity(x)"), {"z": np.array(-1, np.float32)}),
    "missing values as zero": (
        _row("n = IsNaN(x) y = Where(n, z, x)"), _row("n = IsNaN(x) y = Where(n, o, x)"),
        {"z": np.array(-1, np.float32), "o": np.array(0, np.float32)}),
    "relu for leaky relu": (_row("y = LeakyRelu<alpha=0.2>(x)"), _row("y = Relu(x)"), {}),
    "clip lost": (_row("y = Clip(x, a, b)"), _row("y = Relu(x)"), {"a": np.array(0, np.float32), "b": np.array(6, np.float32)}),
    "clip far away lost": (
        _row("y = Clip(x, a, b)"), _row("y = Relu(x)"), {"a": np.array(0, np.float32), "b": np.array(70, np.float32)}),
    "hard sigmoid": (_row("y = Sigmoid(x)"), _row("y = HardSigmoid(x)"), {}),
    "abs lost": (_row("y = Abs(x)"), _row("y = Identity(x)"), {}),
    "branch lost": (
        _row("c = Greater(x, h) n = Neg(x) y = Where(c, n, x)"), _row("y = Identity(x)"), {"h": np.array(100, np.float32)}),
    "branch below zero lost": (
        _row("c = Less(x, h) n = Mul(x, x) y = Where(c, n, x)"), _row("y = Identity(x)"), {"h": np.array(-1, np.float32)}),
    "bias lost": (_row("y = Gemm(x, w, b)"), _row("y = Gemm(x, w)"), {"w": _w(4, 4), "b": _w(4)}),
    "weight transposed": (_row("y = MatMul(x, w)"), _row("t = Transpose<perm=[1, 0]>(w) y = MatMul(x, t)"), {"w": _w(4, 4)}),
    "weight off by a per cent": (_row("y = MatMul(x, w)"), _row("v = Mul(w, f) y = MatMul(x, v)"), {"w": _w(4, 4), "f": np.array(1.01, np.float32)}),
    "epsilon": (_row("m = ReduceMean<axes=[1]>(x) y = Sub(x, m)"), _row("m = ReduceMean<axes=[1]>(x) a = Sub(x, m) y = Add(a, e)"), {"e": np.array(0.05, np.float32)}),
    "softmax over another axis": (
        "g (float[N,4,4] x) => (float[N,4,4] y) { y = Softmax<axis=2>(x) }", "g (float[N,4,4] x) => (float[N,4,4] y) { y = Softmax<axis=1>(x) }", {}),
    "resize mode": (
        _image('y = Resize<mode="linear">(x, , s)'), _image('y = Resize<mode="nearest">(x, , s)'), {"s": np.array([1, 1, 2, 2], np.float32)}),
    "resize corners": (
        _image('y = Resize<mode="linear">(x, , s)'), _image('y = Resize<mode="linear", coordinate_transformation_mode="asymmetric">(x, , s)'),
        {"s": np.array([1, 1, 2, 2], np.float32)}),
    "channels swapped": (_image("y = Conv(x, w)"), _image("r = Gather<axis=1>(x, i) y = Conv(r, w)"), {"w": _w(4, 3, 3, 3), "i": _i(2, 1, 0)}),
    "scale of 255": (_image("y = Conv(x, w)"), _image("d = Div(x, k) y = Conv(d, w)"), {"w": _w(4, 3, 3, 3), "k": np.array(255, np.float32)}),
    "padding counted": (
        _image("y = AveragePool<kernel_shape=[3, 3], pads=[1, 1, 1, 1]>(x)"),
        _image("y = AveragePool<kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1>(x)"), {}),
    "depth to space": (
        "g (float[N,4,3,3] x) => (float[N,1,6,6] y) { t = Concat<axis=1>(x, x) y = DepthToSpace<blocksize=2>(t) }".replace("float[N,1,6,6]", "float[N,2,6,6]"),
        "g (float[N,4,3,3] x) => (float[N,2,6,6] y) { t = Concat<axis=1>(x, x) y = DepthToSpace<blocksize=2, mode=\"CRD\">(t) }", {}),
    "smallest for largest": (_row("y, i = TopK<axis=1>(x, k)"), _row("y, i = TopK<axis=1, largest=0>(x, k)"), {"k": _i(4)}),
    "ids cut to 32 bits": (
        "g (int64[N,4] x) => (int64[N,4] y) { y = Add(x, m) }",
        "g (int64[N,4] x) => (int64[N,4] y) { a = Cast<to=6>(x) b = Cast<to=7>(a) y = Add(b, m) }", {"m": _i(7)}),
    "ids through double": (
        "g (int64[N,4] x) => (int64[N,4] y) { y = Add(x, m) }",
        "g (int64[N,4] x) => (int64[N,4] y) { a = Cast<to=11>(x) b = Cast<to=7>(a) y = Add(b, m) }", {"m": _i(7)}),
    "output empty": (_row("y = Softmax<axis=1>(x)"), _row("y = Sub(x, x)"), {}),
    "outputs swapped": (
        "g (float[N,4] x) => (float[N,4] y, float[N,4] z) { y = Abs(x) z = Sin(x) }",
        "g (float[N,4] x) => (float[N,4] y, float[N,4] z) { z = Abs(x) y = Sin(x) }", {}),
    "last token lost": (
        "g (float[N,4,2] x) => (float[N,2] y) { y = ReduceMean<axes=[1], keepdims=0>(x) }",
        "g (float[N,4,2] x) => (float[N,2] y) { s = Slice(x, a, b, c) y = ReduceMean<axes=[1], keepdims=0>(s) }", {"a": _ZERO, "b": _i(3), "c": _ONE}),
    "a length of the export": (
        "g (float[N,L] x) => (float[N,1] y) { y = ReduceSum(x, a) }",
        "g (float[N,L] x) => (float[N,1] y) { s = Slice(x, z, f, a) y = ReduceSum(s, a) }", {"a": _ONE, "z": _ZERO, "f": _i(8)}),
    "a batch of the export": (_row("y = Abs(x)"), _row("a = Abs(x) " + _UPTO.replace("Mul(x, u)", "Mul(a, u)")), _upto(4)),
    "nothing to tell": (_row("z = Mul(x, w) y = Add(z, b)"), _row("z = Mul(x, w) y = Add(z, b)"), {"w": np.zeros(4, np.float32), "b": np.ones(4, np.float32)}),
}  # fmt: skip

RIGHT_PAIRS: Mapping[str, Pair] = {
    "factored out": (_row("a = Mul(x, h) b = Mul(x, h) y = Add(a, b)"), _row("a = Add(x, x) y = Mul(a, h)"), _HALF),
    "bias folded": (_row("a = MatMul(x, w) y = Add(a, b)"), _row("y = Gemm(x, w, b)"), {"w": _w(4, 4), "b": _w(4)}),
    "silu": (_row("s = Sigmoid(x) y = Mul(x, s)"), _row("n = Neg(x) e = Exp(n) o = Add(e, i) y = Div(x, o)"), {"i": np.array(1, np.float32)}),
    "mean by sum": (_row("m = ReduceMean<axes=[1]>(x) y = Sub(x, m)"), _row("s = ReduceSum(x, a) m = Mul(s, q) y = Sub(x, m)"), {"a": _ONE, "q": np.array(0.25, np.float32)}),
    "square": (_row("y = Mul(x, x)"), _row("y = Pow(x, t)"), {"t": np.array(2, np.float32)}),
    "sums in another order": (
        "g (float[N,64] x) => (float[N,1] y) { y = ReduceSum(x, a) }", "g (float[N,64] x) => (float[N,1] y) { y = MatMul(x, w) }",
        {"a": _ONE, "w": np.ones((64, 1), np.float32)}),
}  # fmt: skip


def cases() -> Iterator[Case]:
    """All of them."""
    for kind, right, wrong in (
        ("batch", {**RIGHT, **RIGHT_BATCHED}, WRONG_BATCHED),
        ("static", RIGHT_REWRITTEN, WRONG_REWRITTEN),
        ("openvino", RIGHT, WRONG_CONVERTED),
    ):
        for bad, listed in ((True, wrong), (False, right)):
            for name, (graph, weights) in listed.items():
                yield Case(name, kind, graph, bad, weights)
    for bad, pairs in ((True, WRONG_PAIRS), (False, RIGHT_PAIRS)):
        for name, (graph, converted, weights) in pairs.items():
            yield Case(name, "pair", graph, bad, weights, converted)
    yield from _detectors()


def _detectors() -> Iterator[Case]:
    """A YOLO-shaped answer: boxes in pixels and scores of 3 classes in one tensor, [N, 7, 64]."""
    weights = {
        "k": np.full((4, 3, 1, 1), 200, np.float32),
        "q": 4 * _w(3, 3, 1, 1),
        "s": _i(0, 4, 64),
        "t": _i(0, 3, 64),
    }
    boxes = "b = Conv(x, k) c = Reshape(b, s) "
    scores = "d = Conv(x, q) e = Sigmoid(d) f = Reshape(e, t) "
    whole = f"g (float[N,3,8,8] x) => (float[N,7,64] y) {{ {boxes} {scores} y = Concat<axis=1>(c, f) }}"
    empty = whole.replace("f = Reshape(e, t)", "r = Reshape(e, t) f = Sub(r, r)")
    mixed = whole.replace("f = Reshape(e, t)", "r = Reshape(e, t) f = Gather<axis=1>(r, i)")
    for precision in ("FP32", "FP16", "INT8"):
        for task in (Task.OBJECT_DETECTION, Task.OTHER):
            about = f"{precision}, {task.value}"
            yield Case(f"every score is zero ({about})", "pair", whole, True, weights, empty, precision, task)
            yield Case(f"scores as they were ({about})", "pair", whole, False, weights, whole, precision, task)
        mixing = {**weights, "i": _i(1, 2, 0)}
        yield Case(
            f"classes mixed up ({precision})",
            "pair",
            whole,
            precision != "INT8",
            mixing,
            mixed if precision != "INT8" else whole,
            precision,
        )
