"""`load` and `infer` of packages whose models want sequences or streams, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.packages import package
from tests.support.python_models import HEAD, SEQUENCE, STREAM, controls, python_model
from tests.support.workspaces import opened
from tritonpm.core.errors import ServerError, WrongAnswerError
from tritonpm.core.tensors import load_npz
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.infer import infer
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.serve import serve
from tritonpm.operations.set import change
from tritonpm.operations.stop import stop

pytestmark = pytest.mark.server
X = np.arange(4, dtype=np.float32)
DECOUPLED = "model_transaction_policy { decoupled: true }\n"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    root = tmp_path_factory.mktemp("a workspace")
    init(root)
    context = opened(root)
    serve(context, None, detach=True, timeout=60, standard_ports=False)
    yield context
    stop(context, 15)


def loaded(context: Context, folder: Path, name: str, code: str, config: str) -> str:
    python_model(folder, name, code, config)
    import_package(context, folder / name, allow_code=True)
    return load(context, name).probe


def asked(context: Context, folder: Path, name: str, array: np.ndarray) -> tuple[int, list[str]]:
    """How many responses `infer` says there were, and the outputs that it wrote."""
    np.savez(folder / "in.npz", X=array)
    answer = infer(context, name, folder / "in.npz", folder / "out.npz")
    written = sorted(load_npz(folder / "out.npz"))
    assert written == [tensor.name for tensor in answer.tensors]
    return answer.responses, written


def test_a_sequence_batching_package_is_proved_and_asked(context: Context, tmp_path: Path) -> None:
    assert "answered" in loaded(context, tmp_path, "sequences", SEQUENCE, controls("TYPE_UINT64"))
    assert asked(context, tmp_path, "sequences", X[np.newaxis]) == (1, ["Y"])


def test_a_decoupled_package_is_proved_and_every_response_shown(context: Context, tmp_path: Path) -> None:
    once = STREAM.replace("int(x.ravel()[0])", "max(1, int(x.ravel()[0]))")  # a made-up input's first value is below 1
    assert "answered" in loaded(context, tmp_path, "streams", once, DECOUPLED)
    assert asked(context, tmp_path, "streams", np.float32([1, 1, 1, 1])) == (1, ["Y"])
    assert asked(context, tmp_path, "streams", np.float32([2, 1, 1, 1])) == (2, ["Y#1", "Y#2"])


def test_a_decoupled_package_that_never_responds_is_not_proved(context: Context, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="no response"):
        loaded(context, tmp_path, "silent", STREAM.replace("int(x.ravel()[0])", "0"), DECOUPLED)
    assert load(context, "silent", probe=False).probe == "not probed"
    assert asked(context, tmp_path, "silent", X) == (0, [])


def test_the_first_response_must_be_finite(context: Context, tmp_path: Path) -> None:
    answer = "pb_utils.InferenceResponse([pb_utils.Tensor('Y', np.full(4, np.nan, np.float32))])"
    flag = "flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL"
    code = f"{HEAD}        for request in requests:\n            request.get_response_sender().send({answer}, {flag})\n"
    with pytest.raises(ServerError, match="NaN or infinity"):
        loaded(context, tmp_path, "infinite", code + "        return None\n", DECOUPLED)


def test_a_sample_of_more_rows_than_the_batch_is_several_requests(context: Context, tmp_path: Path) -> None:
    for name, expected in (("right", -1.0), ("wrong", -2.0)):
        import_package(context, package(tmp_path / name, name, expected=expected))
        change(context, name, {"max_batch_size": 1})
    assert load(context, "right").probe == "answered 1 sample, 1 as expected"
    assert [tensor.shape for tensor in infer(context, "right", None, None).tensors] == ["2 x 4"]
    with pytest.raises(WrongAnswerError, match=r"sample i\.npz is wrong"):
        load(context, "wrong")
