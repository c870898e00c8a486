"""The least that somebody writes by hand to serve an OpenVINO model on Triton's Python backend."""

import json

import openvino as ov
import triton_python_backend_utils as triton


class TritonPythonModel:
    """What Triton's Python backend asks for."""

    def initialize(self, args):
        """Compile the model that the config names."""
        told = json.loads(args["model_config"])["parameters"]
        options = {key: told[key]["string_value"] for key in ("PERFORMANCE_HINT", "INFERENCE_PRECISION_HINT")}
        self.compiled = ov.Core().compile_model(told["MODEL"]["string_value"], "CPU", options)

    def execute(self, requests):
        """Answer one request after the other."""
        answers = []
        for request in requests:
            images = triton.get_input_tensor_by_name(request, "gpu_0/data_0").as_numpy()
            scores = self.compiled([images])[0]
            answers.append(triton.InferenceResponse([triton.Tensor("gpu_0/softmax_1", scores)]))
        return answers
