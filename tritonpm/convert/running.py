"""A model as a function from arrays to arrays, and the ways in which it is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tritonpm.core.tensors import Array

Run = Callable[[Mapping[str, Array]], dict[str, Array]]


class NotRunnableError(Exception):
    """The runtime is not installed, or does not load the model."""


class StatefulError(Exception):
    """The model remembers earlier requests, so its rows cannot be told apart."""


class RunFailedError(Exception):
    """The model does not answer these inputs."""
