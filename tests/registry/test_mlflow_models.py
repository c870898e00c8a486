"""Models of an MLflow registry: the real client on a store of its own, and deployments by its own command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.archives import CONFIG, MODEL
from tests.support.logged_models import logged
from tests.support.models import scaled
from tests.support.workspaces import served
from tritonpm.core.errors import NotFoundError, RegistryError, UsageError
from tritonpm.operations.context import Context
from tritonpm.operations.list import packages
from tritonpm.operations.pull import bring_in
from tritonpm.registry import mlflow_models
from tritonpm.registry.transfer import Bounds


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    import mlflow  # a second and a half, with scikit-learn

    return mlflow.MlflowClient()


def test_a_logged_model_comes_by_version_and_alias(client: object, context: Context, tmp_path: Path) -> None:
    onnx = {"onnx": {"data": "model.onnx"}, "python_function": {"loader_module": "mlflow.onnx"}}
    version = logged(client, tmp_path / "a", "bolts", onnx, {"model.onnx": scaled(2.0)})
    assert bring_in(context, f"models:/bolts/{version}").name == "bolts"
    triton = {"triton": {"data": "resnet"}}
    version = logged(
        client, tmp_path / "b", "net", triton, {"resnet/config.pbtxt": CONFIG.encode(), "resnet/1/model.onnx": MODEL}
    )
    client.set_registered_model_alias("net", "best", version)  # type: ignore[attr-defined]
    assert bring_in(context, "models:/net@best").name == "resnet"
    assert not list(context.workspace.quarantine.glob("*/*"))


def test_what_is_not_there_or_not_to_be_trusted(
    client: object, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = logged(
        client, tmp_path / "a", "forest", {"sklearn": {}, "python_function": {}}, {"model.pkl": b"\x80\x04."}
    )
    with pytest.raises(RegistryError, match="was logged as sklearn, which nothing here serves; log it as ONNX"):
        bring_in(context, f"models:/forest/{version}")
    with pytest.raises(RegistryError, match="and 5 bytes is the most"):
        bring_in(context, f"models:/forest/{version}", bounds=Bounds(size=5))
    for address in ("models:/forest/9", "models:/nothing/1", "models:/forest@best"):
        with pytest.raises((NotFoundError, RegistryError), match="check MLFLOW_TRACKING_URI"):
            bring_in(context, address)
    with pytest.raises(UsageError, match="is not an address of a model"):
        bring_in(context, "models:/forest")
    with pytest.raises(RegistryError, match="lies in a folder of the server"):
        mlflow_models._require_elsewhere("/etc", "http://127.0.0.1:5000", "http://127.0.0.1:5000", "models:/a/1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.site:5000")
    with pytest.raises(RegistryError, match=r"http://mlflow\.site:5000 is not encrypted"):
        bring_in(context, "models:/forest/1")


@pytest.mark.server
@pytest.mark.long
def test_mlflow_deploys_here(client: object, tmp_path: Path) -> None:
    import mlflow.deployments

    version = logged(client, tmp_path / "a", "bolts", {"onnx": {"data": "model.onnx"}}, {"model.onnx": scaled(2.0)})
    with served(tmp_path / "deployed") as context:
        target = f"tritonpm:{context.workspace.root}"

        command = [sys.executable, "-m", "mlflow", "deployments", "create", "-t", target, "--name", "line"]
        command += ["-m", f"models:/bolts/{version}", "-C", "max_batch_size=4"]
        subprocess.run(command, check=True, timeout=600)
        deployments = mlflow.deployments.get_deploy_client(target)
        assert deployments.get_deployment("line")["status"] == "loaded"
        assert context.catalogue.get("line").settings.max_batch_size == 4
        answer = deployments.predict("line", {"x": [[1, 2, 3, 4]]})
        assert json.loads(answer.to_json()) == {"predictions": {"y": [[2.0, 4.0, 6.0, 8.0]]}}
        with pytest.raises(mlflow.exceptions.MlflowException, match="the inputs are not what the model takes"):
            deployments.predict("line", {"x": [["a"]]})
        with pytest.raises(mlflow.exceptions.MlflowException, match="'line' is taken"):
            deployments.create_deployment("line", f"models:/bolts/{version}")
        again = logged(client, tmp_path / "b", "bolts", {"onnx": {"data": "model.onnx"}}, {"model.onnx": scaled(3.0)})
        deployments.update_deployment("line", f"models:/bolts/{again}")
        assert deployments.predict("line", [[1, 1, 1, 1]])["predictions"] == {"y": [[3.0] * 4]}
        deployments.delete_deployment("line")
        assert not packages(context.catalogue)
