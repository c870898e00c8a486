"""What a model's outputs hold, as `meaning.decode` reads it, in ONNX operators over a whole batch: a reader a kind."""

from __future__ import annotations

from collections.abc import Mapping

from tritonpm.convert.front import detections, maps, texts, turned, whole
from tritonpm.convert.front.about import Reader
from tritonpm.convert.front.graph import LEAST_OPSET

_LEAST_OPSET = {"ocr-detection": 18}  # of what needs more than a front does: ScatterElements that keeps the least
READERS: Mapping[str, Reader] = {
    "classification": whole.classification,
    "multi-label": whole.multi_label,
    "yolov5": detections.yolov5,
    "yolov5-segment": detections.yolov5,
    "yolov8": detections.yolov8,
    "yolov8-segment": detections.yolov8,
    "yolov8-pose": detections.yolov8,
    "yolov8-obb": turned.yolov8_obb,
    "yolov10": detections.yolov10,
    "yolov10-segment": detections.yolov10,
    "yolov10-pose": detections.yolov10,
    "yolov10-obb": turned.yolov10_obb,
    "efficient-nms": detections.efficient_nms,
    "boxes": detections.boxes,
    "ssd": detections.ssd,
    "detr": detections.detr,
    "semantic-segmentation": maps.semantic_segmentation,
    "anomaly-map": maps.anomaly_map,
    "ocr-detection": texts.ocr_detection,
    "ocr-recognition": whole.ocr_recognition,
    "embedding": whole.embedding,
    "regression": whole.regression,
}


def least_opset(kind: str) -> int:
    """Of the operators that read that kind."""
    return _LEAST_OPSET.get(kind, LEAST_OPSET)
