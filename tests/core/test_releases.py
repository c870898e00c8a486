"""What is known of Triton's releases, and what a name of one means."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tritonpm.core import releases
from tritonpm.core.errors import UsageError

TABLE = releases.releases()


def test_releases_are_in_order_and_take_ever_more() -> None:
    assert [row.name for row in TABLE] == sorted(row.name for row in TABLE)
    assert (TABLE[0].name, TABLE[-1].name, len(TABLE)) == ("22.01", "26.08", 56)
    for before, after in pairwise(TABLE):
        assert before.ir <= after.ir and before.opset <= after.opset and before.openvino_opset <= after.openvino_opset


@pytest.mark.parametrize(
    ("name", "triton", "ir", "opset"),
    [
        ("24.10", "2.51.0", 10, 21),
        ("25.10", "2.62.0", 11, 23),
        ("26.06", "2.70.0", 13, 25),
        ("26.08", "2.72.0", 13, 26),
    ],
)
def test_a_release_takes_what_its_runtime_took(name: str, triton: str, ir: int, opset: int) -> None:
    row = releases.release(name)
    assert (row.triton, row.ir, row.opset) == (triton, ir, opset)
    assert releases.of_server(triton) == name


def test_fields_and_flags_came_with_a_release() -> None:
    before, after = releases.release("26.03"), releases.release("26.04")
    assert after.takes("--allow-client-shm=true") and not before.takes("--allow-client-shm=true")
    assert releases.release("24.05").has_flag("model-config-name") and not releases.release("24.04").has_flag(
        "model-config-name"
    )
    assert releases.first_with_field("ModelConfig.model_metrics") == "24.11"
    assert releases.first_with_field("ModelEnsembling.max_inflight_requests") == "25.11"
    assert releases.first_with_field("ModelConfig.nothing") == ""
    assert TABLE[0].has_field("ModelConfig.name")


def test_every_field_of_the_messages_is_in_the_table() -> None:
    from tritonclient.grpc import model_config_pb2 as messages

    def fields(descriptor: object) -> set[str]:
        if descriptor.GetOptions().map_entry:  # type: ignore[attr-defined]
            return set()
        owner = descriptor.full_name.removeprefix("inference.")  # type: ignore[attr-defined]
        own = {f"{owner}.{field.name}" for field in descriptor.fields}  # type: ignore[attr-defined]
        return own.union(*map(fields, descriptor.nested_types))  # type: ignore[attr-defined]

    for descriptor in messages.DESCRIPTOR.message_types_by_name.values():
        assert [name for name in fields(descriptor) if not releases.first_with_field(name)] == []


def test_the_embedded_server_has_this_environments_runtimes() -> None:
    from importlib.metadata import version

    row = releases.embedded()
    assert (row.triton, row.onnxruntime) == ("2.51.0", version("onnxruntime"))
    assert not row.has_field("ModelConfig.model_metrics") and not row.has_flag("allow-client-shm")


def test_spans() -> None:
    def names(text: str) -> list[str]:
        return [row.name for row in releases.span(text)]

    assert names("24.10..25.01") == ["24.10", "24.11", "24.12", "25.01"]
    assert names("24.10,25.10") == ["24.10", "25.10"]
    assert names("26.07..") == ["26.07", "26.08"] and names("..22.02") == ["22.01", "22.02"]
    assert names("embedded") == ["embedded"]
    assert releases.release("27.01").opset == TABLE[-1].opset  # the newest that is known


@pytest.mark.parametrize("text", ["", "2.51", "24.1", "21.12", "latest", "25.10..24.10", "24.10,x", "١٢.٠١"])
def test_what_names_no_release_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        releases.span(text)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nvcr.io/nvidia/tritonserver:25.10-py3", "25.10"),
        ("registry:5000/tritonserver:26.06-py3@sha256:00", "26.06"),
        ("tritonserver:25.10", "25.10"),
        ("registry:25.10/tritonserver", ""),
        ("tritonserver:25.100", ""),
        ("tritonserver@sha256:00", ""),
    ],
)
def test_an_image_names_its_release_in_its_tag(image: str, name: str) -> None:
    assert releases.of_image(image) == name
