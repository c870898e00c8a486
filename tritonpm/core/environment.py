"""The variables that a program of others gets: what it needs to run, and none of the secrets that stand beside it.

What a package may run, it runs in the server; so the server's environment is read by whoever packed it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MORE = "TRITONPM_SERVER_ENV"  # names further variables, divided by commas or blanks
_NAMES = frozenset(
    ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "HOSTNAME", "VIRTUAL_ENV",
     "CONDA_PREFIX", "GLIBC_TUNABLES")
)  # fmt: skip
_PREFIXES = (
    "LC_", "LD_", "XDG_", "PYTHON", "MALLOC_", "TCMALLOC_", "FAKETIME", "COVERAGE",
    "CUDA", "CUDNN_", "CUBLAS_", "NVIDIA_", "NV_", "NCCL_", "TENSORRT_", "TRT_",
    "OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "OPENBLAS_", "TBB_",
    "ORT_", "ONNX", "OPENVINO_", "OV_", "TF_", "TORCH", "PYTORCH_",
)  # fmt: skip
# What a server needs to read its repository from an object store, by the address's scheme.
_OF_STORES = {
    "s3": ("AWS_", "TRITON_AWS_", "TRITON_CLOUD_CREDENTIAL_PATH"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS", "TRITON_GCS_", "TRITON_CLOUD_CREDENTIAL_PATH"),
    "as": ("AZURE_STORAGE_", "TRITON_AZURE_", "TRITON_CLOUD_CREDENTIAL_PATH"),
}
_STORE = re.compile(r"--(?:model-repository|model-store)=(\w+)://")
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|APIKEY|(^|_)KEY|AUTH")


def without_secrets(variables: Mapping[str, str], arguments: Iterable[str] = ()) -> dict[str, str]:
    """Those of `variables` that programs and runtimes are known to need, and those that TRITONPM_SERVER_ENV names.

    Where a server's `arguments` name a repository in an object store, those that it is read with go along.
    """
    more = set(re.split(r"[\s,]+", variables.get(MORE, "")))
    found = (_STORE.match(argument) for argument in arguments)
    stores = tuple(prefix for match in found if match for prefix in _OF_STORES.get(match[1], ()))
    return {
        name: value
        for name, value in variables.items()
        if name in more or _is_needed(name) or (stores and name.startswith(stores))
    }


def _is_needed(name: str) -> bool:
    return name in _NAMES or (name.startswith(_PREFIXES) and not _SECRET.search(name.upper()))
