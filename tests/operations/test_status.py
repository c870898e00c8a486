"""What `status` advises, from what really ran on Triton."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.packages import package
from tests.support.workspaces import QUICKLY, opened
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.list import packages
from tritonpm.operations.load import load
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect
from tritonpm.operations.set import change
from tritonpm.operations.status import status
from tritonpm.operations.stop import stop
from tritonpm.settings.advice import ENOUGH

pytestmark = pytest.mark.server


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    init(tmp_path / "workspace")
    context = opened(tmp_path / "workspace")
    serve(context, None, **QUICKLY)
    yield context
    stop(context, 15)


def test_batching_that_has_no_effect_is_told_where_requests_run(context: Context, tmp_path: Path) -> None:
    import_package(context, package(tmp_path / "a"))
    change(context, "p", {"backend": "openvino", "max_batch_size": 32})
    load(context, "p")
    assert status(context).advice == ()
    with connect(context) as client:
        for _ in range(ENOUGH):
            client.infer("p", {"x": np.ones((1, 4), np.float32)})
    (sentence,) = status(context).advice
    assert sentence.startswith("p: max batch size 32 has no effect: the openvino backend refuses partial batches")
    assert "--optimizer ort-openvino" in sentence
    assert {view.name: view.max_batch_size for view in packages(context.catalogue)} == {"p": 0}
