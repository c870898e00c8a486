"""Models as MLflow logs them, in a registry of its own client's."""

from __future__ import annotations

from pathlib import Path

import yaml


def logged(client: object, folder: Path, name: str, flavors: dict[str, object], files: dict[str, bytes]) -> str:
    """Log a model of these flavours and files in a run, and register it; its version."""
    from mlflow import MlflowClient

    assert isinstance(client, MlflowClient)
    files = {"MLmodel": yaml.safe_dump({"flavors": flavors}).encode(), "conda.yaml": b"{}", **files}
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    run = client.create_run("0")
    client.log_artifacts(run.info.run_id, str(folder), "model")
    if not any(model.name == name for model in client.search_registered_models()):
        client.create_registered_model(name)
    source = f"{run.info.artifact_uri}/model"
    return str(client.create_model_version(name, source, run.info.run_id).version)
