"""The models on PyTriton by its own API: `pytriton_server.py HTTP-PORT GRPC-PORT METRICS-PORT MODEL PRECISION`."""

import sys

import numpy as np
import openvino as ov
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def answering(path: str, hint: str, precision: str):
    """The function that PyTriton calls for a model."""
    options = {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": precision}
    compiled = ov.Core().compile_model(path, "CPU", options)

    @batch
    def infer(**inputs):
        return {"gpu_0/softmax_1": compiled([inputs["gpu_0/data_0"]])[0]}

    return infer


if __name__ == "__main__":
    http, grpc, metrics = map(int, sys.argv[1:4])
    config = TritonConfig(
        http_address="127.0.0.1", http_port=http, grpc_address="127.0.0.1", grpc_port=grpc,
        metrics_address="127.0.0.1", metrics_port=metrics,
    )  # fmt: skip
    with Triton(config=config) as triton:
        for name, hint in (("throughput", "THROUGHPUT"), ("latency", "LATENCY")):
            triton.bind(
                model_name=name,
                infer_func=answering(sys.argv[4], hint, sys.argv[5]),
                inputs=[Tensor(name="gpu_0/data_0", dtype=np.float32, shape=(3, 224, 224))],
                outputs=[Tensor(name="gpu_0/softmax_1", dtype=np.float32, shape=(1000,))],
                config=ModelConfig(max_batch_size=8),
            )
        triton.serve()
