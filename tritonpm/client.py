"""For client applications: use a package, and be known as its user while you do.

    import tritonpm.client

    with tritonpm.client.use("bolts", project="line-3") as model:
        answer = model.infer({"image": images})
        parts = model.predict("part.png")  # objects, if the package says what its tensors mean

A thin layer over tritonclient. While the block runs its lease is renewed, so that nobody removes or switches the
package meanwhile, except by a live switch, which the client does not notice. The lease of a client that dies expires.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError, PackageError, TritonpmError
from tritonpm.core.tensors import Array, as_served
from tritonpm.operations.canary import SUFFIX

if TYPE_CHECKING:
    from tritonpm.meaning.objects import Objects
    from tritonpm.meaning.verdict import Judgement
    from tritonpm.operations.context import Context
    from tritonpm.operations.predictor import Predictor
    from tritonpm.triton.client import Client
    from tritonpm.triton.connection import Connection
    from tritonpm.triton.shared_memory import Region

TTL = 60.0  # seconds; renewed when a third of it is over


class Model:
    """A package in use. One thread at a time may call it; make another `use` for another thread."""

    def __init__(
        self, context: Context, client: Client, name: str, region: Region | None = None, *, canary: float = 0.0
    ) -> None:
        self._context, self._client, self._region, self._canary, self.name = context, client, region, canary, name
        self.signature = client.metadata(name)
        self._predictor: Predictor | None = None

    def predict(self, image: Array | Path | str) -> Objects:
        """The objects in a picture: UINT8 [height, width, 3] in red, green, blue, or a file.

        Raises PackageError if the package does not say what its tensors mean, InferenceError, ServerError.
        """
        return self.predict_all((image,))[0]

    def predict_all(self, images: Iterable[Array | Path | str]) -> tuple[Objects, ...]:
        """As `predict`, for several pictures: in as few requests as their sizes and the batch limit allow."""
        from tritonpm.operations.predictor import predictor_of

        if self._predictor is None:
            self._predictor = predictor_of(self._context, self.name, self._client, infer=self.infer)
        return self._predictor([Path(one) if isinstance(one, str) else one for one in images])

    def judge(self, image: Array | Path | str) -> Judgement:
        """OK or NG, as the package's `verdict` says. Raises PackageError if it has none, and as `predict` does."""
        objects = self.predict(image)
        verdict = self._predictor.judged(objects) if self._predictor else None
        if verdict is None:
            raise PackageError("has no `verdict`", where=self.name, do="declare it in package.yaml")
        return verdict

    def infer(self, inputs: Mapping[str, Array], *, version: str = "") -> dict[str, Array]:
        """One inference: inputs and outputs by tensor name. Raises InferenceError, ServerError."""
        arrays = as_served(inputs, self.signature.inputs)
        if self._canary and random.random() < self._canary:  # noqa: S311
            with suppress(NotFoundError):  # there is none, or none any more
                return self._client.infer(self.name + SUFFIX, arrays)
        if self._region:
            return self._region.infer(self.name, arrays)
        return self._client.infer(self.name, arrays, version=version)


@contextmanager
def use(
    name: str,
    *,
    project: str,
    workspace: Path | str | None = None,
    server: Connection | str | None = None,
    protocol: str = "grpc",
    ttl: float = TTL,
    shared_memory: bool = False,
    canary: float = 0.0,
) -> Iterator[Model]:
    """Use a package of a workspace, by default the one that the user's file names or that the current folder is in.

    An on-demand package is loaded. `server` is an external Triton, "" the workspace's own; by default the one that the
    user's file names, if any. `shared_memory` passes tensors through shared memory instead of in messages, for
    clients on the server's machine; `canary` is the share of requests, 0 to 1, that the package's
    canary answers while it has one. Raises NotFoundError, ServerError.
    """
    from tritonpm.operations.context import open_for_user
    from tritonpm.operations.load import ensure_loaded
    from tritonpm.operations.server import connect

    with (
        open_for_user(Path(workspace) if workspace else None, server=server) as context,
        _leased(context, name, project, ttl),
    ):
        ensure_loaded(context, name)
        with ExitStack() as open_until_the_end:
            client = open_until_the_end.enter_context(connect(context, "grpc" if shared_memory else protocol))
            region = None
            if shared_memory:
                from tritonpm.triton.shared_memory import Region

                region = open_until_the_end.enter_context(Region(client))
            yield Model(context, client, name, region, canary=canary)


@contextmanager
def _leased(context: Context, name: str, project: str, ttl: float) -> Iterator[None]:
    """A lease of its own, renewed while the block runs."""
    from tritonpm.operations.use import release
    from tritonpm.operations.use import use as take

    holder, stop = uuid.uuid4().hex, threading.Event()
    take(context, name, project, ttl, holder)

    def renew() -> None:
        while not stop.wait(ttl / 3):
            with suppress(TritonpmError):  # a busy catalogue: there is time for two more tries
                take(context, name, project, ttl, holder)

    renewal = threading.Thread(target=renew, daemon=True)
    renewal.start()
    try:
        yield
    finally:
        stop.set()
        renewal.join()
        with suppress(TritonpmError):  # it runs out by itself
            release(context, name, project, holder)
