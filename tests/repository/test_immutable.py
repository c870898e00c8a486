"""What a config names in a store is named by its content, and the config says which of it Triton serves."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tritonpm.core.errors import RenderError
from tritonpm.core.types import RenderedModel, RepositoryFile, Revision
from tritonpm.package.config import parsed
from tritonpm.repository.immutable import immutable, versions

BACKEND = 'backend: "onnxruntime"\n'


def rendered(config: str, *files: RepositoryFile, name: str = "p") -> RenderedModel:
    """A model as it is put into a store."""
    model = RenderedModel(name, (*files, RepositoryFile("config.pbtxt", text=f'name: "{name}"\n{config}')))
    return immutable(Revision(name, "0", (model,))).models[0]


def blob(path: str, content: str = "a") -> RepositoryFile:
    return RepositoryFile(path, blob=f"sha256:{content * 64}")


def config_of(model: RenderedModel) -> str:
    return model.files[-1].text or ""


def test_a_version_is_numbered_by_its_content() -> None:
    one, same = rendered(BACKEND, blob("1/model.onnx")), rendered("# said\n" + BACKEND, blob("1/model.onnx"))
    other, second = rendered(BACKEND, blob("1/model.onnx", "b")), rendered(BACKEND, blob("2/model.onnx"))
    assert versions(one) == versions(same)
    assert len({versions(each) for each in (one, other, second)}) == 3
    assert one.files[0].path == f"{versions(one)[0]}/model.onnx"
    assert int(versions(one)[0]) < int(versions(second)[0])


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("", [3]),
        ("version_policy { latest { num_versions: 2 } }", [2, 3]),
        ("version_policy { all { } }", [1, 2, 3]),
        ("version_policy { specific { versions: [ 2, 1 ] } }", [1, 2]),
    ],
)
def test_the_policy_s_versions_are_served_and_the_newest_stays_the_newest(policy: str, served: list[int]) -> None:
    model = rendered(BACKEND + policy, *(blob(f"{number}/model.onnx", str(number)) for number in (3, 1, 2)))
    assert [int(version) // 10**9 for version in versions(model)] == served
    assert list(parsed(config_of(model), "").version_policy.specific.versions) == [int(v) for v in versions(model)]


def test_what_a_config_names_is_renamed_with_it() -> None:
    config = BACKEND + (
        'output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] label_filename: "labels.txt" }\n'
        'model_warmup { name: "w" inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 1 ] input_data_file: "x" } } }\n'
        'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/1/env.tar.gz" } }\n'
    )
    model = rendered(
        config, blob("1/model.py"), blob("1/env.tar.gz"), blob("labels.txt"), blob("warmup/x"), blob("notes")
    )
    (number,), said = versions(model), parsed(config_of(model), "")
    paths = {file.path for file in model.files}
    assert paths == {
        f"{number}/model.py", f"{number}/env.tar.gz", "aaaaaaaaaaaa-labels.txt", "warmup/aaaaaaaaaaaa-x", "notes", "config.pbtxt",
    }  # fmt: skip
    assert said.output[0].label_filename == "aaaaaaaaaaaa-labels.txt"
    assert said.model_warmup[0].inputs["x"].input_data_file == "aaaaaaaaaaaa-x"
    assert said.parameters["EXECUTION_ENV_PATH"].string_value == f"$$TRITON_MODEL_DIRECTORY/{number}/env.tar.gz"


def test_what_means_its_content_already_stays() -> None:
    member = rendered(BACKEND, blob("1/model.onnx"), name="first.0123456789ab")
    assert [file.path for file in member.files] == ["1/model.onnx", "config.pbtxt"]
    ensemble = rendered('platform: "ensemble"', RepositoryFile("1/.keep", text=""))
    assert versions(ensemble) == ("1",)


@given(st.integers(1, 2**63 - 1))
def test_no_number_is_beyond_what_triton_counts(version: int) -> None:
    try:
        model = rendered(BACKEND, blob(f"{version}/model.onnx"))
    except RenderError as error:
        assert "too large" in str(error)
        assert version > 9_000_000_000
    else:
        assert int(versions(model)[0]) < 2**63
