"""Packages as the rules of settings look at them."""

from __future__ import annotations

from dataclasses import fields, replace

from tritonpm.core.types import BatchAxis, Format, Package, Signature, Stage, Target, Task, Tensor
from tritonpm.settings.settings import Settings

NAMES = [field.name for field in fields(Settings)]
TARGET = Target(cores=2)
PROVED = BatchAxis("proved", "batch 3 equals three times batch 1")
UPTO_8 = BatchAxis("proved", "", largest=8, wrong=16, beyond="row 9 is off")
DECLARED = BatchAxis("declared", "its answers are all alike")
NONE = BatchAxis("none", "its output 'boxes' has no batch axis")


def package(task: Task = Task.OTHER, form: Format = Format.ONNX, **serving: object) -> Package:
    x = Tensor("x", "FP32", ("batch", 4))
    stage = Stage("model", task, form, "model.onnx", ("model.onnx",), Signature((x,), (x,)), serving=serving)
    return Package("p", "1", "hand", "", (stage,), (), "sha256:0")


def dlk(version: str, task: Task = Task.OTHER, form: Format = Format.ONNX, **stage: object) -> Package:
    """A package of the Mech-DLK exporter."""
    base = package(task, form)
    return replace(base, exporter="Mech-DLK", exporter_version=version, stages=(replace(base.stages[0], **stage),))
