"""What `status` advises, from what really ran on Triton."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tritonpm.operations.serving import Serving

from tests.test_manager import manager, package, serving  # noqa: F401
from tritonpm.operations.status import advice
from tritonpm.settings.advice import ENOUGH


def test_batching_that_has_no_effect_is_told_where_requests_run(serving: Serving, tmp_path: Path) -> None:  # noqa: F811
    here = serving.manager
    here.import_package(package(tmp_path / "a"))
    here.change("p", {"backend": "openvino", "max_batch_size": 32})
    serving.load("p")
    with serving.client() as client:
        assert list(advice(here, client)) == []
        for _ in range(ENOUGH):
            client.infer("p", {"x": np.ones((1, 4), np.float32)})
        (sentence,) = advice(here, client)
    assert sentence.startswith("p: max batch size 32 has no effect: the openvino backend refuses partial batches")
    assert "--optimizer ort-openvino" in sentence
    assert {view.name: view.max_batch_size for view in here.packages()} == {"p": 0}
