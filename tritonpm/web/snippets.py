"""How a program asks a package, in a few languages: by Triton's own protocol, with the package's names and shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tritonpm.core.types import Tensor

_NUMPY = {"BOOL": "bool_", "FP16": "float16", "FP32": "float32", "FP64": "float64", "BYTES": "object_"}


def snippets(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], http: str) -> Mapping[str, str]:
    """By language; `http` is HOST:PORT."""
    asked = [{"name": one.name, "shape": _shape(one), "datatype": one.dtype, "data": ["…"]} for one in inputs]
    body = json.dumps({"inputs": asked}, ensure_ascii=False)
    return {
        "Python": _python(name, inputs, outputs, http),
        "C++": _cpp(name, inputs, outputs, http),
        "curl": f"curl -X POST http://{http}/v2/models/{name}/infer -d '{body}'",
    }


def _python(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], http: str) -> str:
    lines = [
        "import numpy as np",
        "import tritonclient.http as triton",
        "",
        f'client = triton.InferenceServerClient("{http}")',
    ]
    for number, one in enumerate(inputs):
        kind = _NUMPY.get(one.dtype, one.dtype.lower())
        lines.append(f'given{number} = triton.InferInput("{one.name}", {_shape(one)}, "{one.dtype}")')
        lines.append(f"given{number}.set_data_from_numpy(np.zeros({_shape(one)}, np.{kind}))  # your data")
    given = ", ".join(f"given{number}" for number in range(len(inputs)))
    lines.append(f'answer = client.infer("{name}", [{given}])')
    lines += [f'print(answer.as_numpy("{one.name}"))' for one in outputs]
    return "\n".join(lines)


def _cpp(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], http: str) -> str:
    lines = ["#include <http_client.h>", "namespace tc = triton::client;", "",
             "std::unique_ptr<tc::InferenceServerHttpClient> client;",
             f'tc::InferenceServerHttpClient::Create(&client, "{http}");',
             "std::vector<tc::InferInput*> inputs;"]  # fmt: skip
    for number, one in enumerate(inputs):
        shape = ", ".join(map(str, _shape(one)))
        lines.append(f"tc::InferInput* given{number};")
        lines.append(f'tc::InferInput::Create(&given{number}, "{one.name}", {{{shape}}}, "{one.dtype}");')
        lines.append(f"given{number}->AppendRaw(bytes{number}, size{number});  // your data")
        lines.append(f"inputs.push_back(given{number});")
    lines += ["tc::InferResult* answer;", f'client->Infer(&answer, tc::InferOptions("{name}"), inputs);',
              "const uint8_t* content; size_t size;"]  # fmt: skip
    lines += [f'answer->RawData("{one.name}", &content, &size);' for one in outputs]
    return "\n".join(lines)


def _shape(tensor: Tensor) -> list[int]:
    """With 1 for what may be any."""
    return [size if isinstance(size, int) else 1 for size in tensor.shape or ()]
