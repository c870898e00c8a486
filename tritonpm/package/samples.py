"""Sample inputs and expected outputs: .npz files that must be readable without pickle and name the model's tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tritonpm.core.errors import PackageError
from tritonpm.core.tensors import load_npz, triton_dtype
from tritonpm.core.types import Tensor


def check(root: Path, path: str, tensors: Sequence[Tensor] | None, where: str) -> None:
    """Raises PackageError where the file is no .npz or, where `tensors` are given, holds others than these."""
    place = f"{where}: {path}"
    try:
        arrays = load_npz(root / path)
    except PackageError as error:
        raise PackageError(error.what, where=place, do=error.do) from None
    known = None if tensors is None else {tensor.name: tensor for tensor in tensors}
    for name, array in arrays.items():
        if known is None:
            continue
        if name not in known:
            raise PackageError(f"holds {name!r}, and the model has {', '.join(sorted(known))}", where=place,
                               do="name its arrays for the tensors")  # fmt: skip
        wanted = "FP32" if known[name].dtype == "BF16" else known[name].dtype
        try:
            dtype = triton_dtype(array.dtype)
        except KeyError:
            dtype = str(array.dtype)
        if dtype != wanted:
            raise PackageError(f"holds {name!r} as {dtype}, and the model takes or gives {wanted}", where=place,
                               do="write it with that type")  # fmt: skip
