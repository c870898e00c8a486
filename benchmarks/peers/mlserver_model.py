"""The model on MLServer: a runtime of its own, since MLServer has none for OpenVINO."""

import openvino as ov
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Network(MLModel):
    """What MLServer asks for."""

    async def load(self) -> bool:
        """Compile the model that the settings name."""
        told = self.settings.parameters
        self.compiled = ov.Core().compile_model(told.uri, "CPU", told.extra)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request."""
        images = NumpyCodec.decode_input(payload.inputs[0])
        scores = self.compiled([images])[0]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("gpu_0/softmax_1", scores)])
