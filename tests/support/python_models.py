"""Models of Triton's Python backend: X and Y are FP32 [4], with the batch where the config has one."""

from __future__ import annotations

from pathlib import Path

TENSORS = """backend: "python"
input { name: "X" data_type: TYPE_FP32 dims: 4 }
output { name: "Y" data_type: TYPE_FP32 dims: 4 }
instance_group { count: 1 kind: KIND_CPU }
"""
HEAD = """import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
"""
# After HEAD: what came in goes out.
ANSWER = """        x = [pb_utils.get_input_tensor_by_name(request, "X") for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", one.as_numpy())]) for one in x]
"""
# The answer is what the server says of the sequence: START, END and the id's tensor have been filled in.
SEQUENCE = (
    HEAD
    + """        answers = []
        for request in requests:
            x, start, end, identity = (
                pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("X", "START", "END", "ID")
            )
            assert identity.ravel()[0] not in (0, b"", b"0"), identity
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + 10 * start + 100 * end)]))
        return answers
"""
)
# As many responses as the input's first value says; the last one comes with the flag, or the flag comes alone.
STREAM = (
    HEAD
    + """        for request in requests:
            sender = request.get_response_sender()
            x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            for number in range(int(x.ravel()[0])):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + number)]))
            if x.ravel()[1] < 0:
                error = pb_utils.TritonError("it cannot go below zero")
                sender.send(pb_utils.InferenceResponse(error=error))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None
"""
)


def controls(identity: str) -> str:
    def control(name: str, kind: str, more: str) -> str:
        return f'control_input {{ name: "{name}" control {{ kind: CONTROL_SEQUENCE_{kind} {more} }} }}\n'

    flags = "".join(control(kind, kind, "fp32_false_true: [0, 1]") for kind in ("START", "END"))
    known = control("ID", "CORRID", f"data_type: {identity}")
    return f"max_batch_size: 4\nsequence_batching {{ {flags}{known} direct {{ }} }}\n"


def python_model(root: Path, name: str, code: str, config: str) -> None:
    (root / name / "1").mkdir(parents=True)
    (root / name / "1" / "model.py").write_text(code)
    (root / name / "config.pbtxt").write_text(TENSORS + config)
