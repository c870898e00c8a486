"""MLflow deploys with tritonpm: `mlflow deployments create -t tritonpm --name bolts -m models:/bolts/3`.

A deployment is a package of the workspace, loaded on its server. MLflow finds this module by its entry point.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mlflow.deployments import BaseDeploymentClient, PredictionsResponse
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST

from tritonpm.core.errors import NotFoundError, PackageError, TritonpmError
from tritonpm.core.tensors import Array, as_served, numpy_dtype
from tritonpm.core.types import Tensor
from tritonpm.operations.context import open_for_user

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

_ALLOW_CODE = "allow_code"
_HELP = f"""\
Deployments are packages of a tritonpm workspace, loaded on its server (`tritonpm serve`).

The target is `tritonpm` (the workspace that the user's file names, or that the current folder is in) or
`tritonpm:/path/of/a/workspace`.
The configuration (-C NAME=VALUE) is any setting of `tritonpm set`, such as device=cpu or max_batch_size=8, and
{_ALLOW_CODE}=true, which accepts models that contain programs.
"""


def target_help() -> str:
    """What `mlflow deployments help -t tritonpm` prints."""
    return _HELP


def run_local(
    target: str, name: str, model_uri: str, flavor: str | None = None, config: Mapping[str, Any] | None = None
) -> None:
    """As `create_deployment`: a workspace is local. Raises MlflowException."""
    TritonpmDeployments(target).create_deployment(name, model_uri, flavor, config)


class TritonpmDeployments(BaseDeploymentClient):  # type: ignore[misc]  # MLflow has no types
    """The packages of one workspace as MLflow's deployments; every method raises MlflowException."""

    def create_deployment(
        self, name: str, model_uri: str, flavor: str | None = None, config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Import a model under that name, and load it."""
        from tritonpm.operations.load import load
        from tritonpm.operations.pull import bring_in

        changes, allow_code = _configured(config)
        with self._opened() as context:
            bring_in(context, model_uri, name=name, changes=changes, allow_code=allow_code)
            load(context, name)
        return {"name": name, "flavor": flavor or ""}

    def update_deployment(
        self, name: str, model_uri: str | None = None, flavor: str | None = None,
        config: Mapping[str, Any] | None = None, endpoint: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Another model or other settings under the same name, without a request failed."""
        from tritonpm.operations.pull import pull_upgrade
        from tritonpm.operations.set import change_live

        changes, allow_code = _configured(config)
        with self._opened() as context:
            if model_uri:
                pull_upgrade(context, name, model_uri, allow_code=allow_code)
            if changes:
                change_live(context, name, changes)
        return {"name": name, "flavor": flavor or ""}

    def delete_deployment(
        self, name: str, config: Mapping[str, Any] | None = None, endpoint: str | None = None
    ) -> None:
        """Unload the package and forget it; one that is not there is none to delete."""
        from tritonpm.operations.remove import remove
        from tritonpm.operations.server import is_loaded
        from tritonpm.operations.unload import unload

        with self._opened() as context:
            try:
                context.catalogue.get(name)
            except NotFoundError:
                return
            if is_loaded(context, name):
                unload(context, name)
            remove(context, name)

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """Every package, as `tritonpm list --json` tells it."""
        from tritonpm.operations.list import packages

        with self._opened() as context:
            return [asdict(package) for package in packages(context.catalogue)]

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """One package, as `list_deployments` tells it."""
        found = next((one for one in self.list_deployments() if one["name"] == name), None)
        if found is None:
            raise MlflowException(f"there is no deployment {name}", error_code=RESOURCE_DOES_NOT_EXIST)
        return found

    def predict(self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None) -> Any:
        """`predictions`: a list by output. `inputs`: arrays by input, a table with a column for each, or an array."""
        from tritonpm.operations.server import connect

        with self._opened() as context, connect(context) as client:
            tensors = client.metadata(str(deployment_name)).inputs
            answer = client.infer(str(deployment_name), as_served(_arrays(inputs, tensors), tensors))
        return PredictionsResponse({"predictions": {output: array.tolist() for output, array in answer.items()}})

    @contextmanager
    def _opened(self) -> Iterator[Context]:
        """The workspace that the target names; errors are MLflow's from here on."""
        _, _, place = str(self.target_uri).partition(":")
        try:
            with open_for_user(Path(place) if place else None) as context:
                yield context
        except TritonpmError as error:
            code = RESOURCE_DOES_NOT_EXIST if isinstance(error, NotFoundError) else INVALID_PARAMETER_VALUE
            raise MlflowException(str(error), error_code=code) from None


def _configured(config: Mapping[str, Any] | None) -> tuple[dict[str, Any], bool]:
    """Settings, whose text stands for values where a command line gave it, and whether code is allowed."""
    values = {name.replace("-", "_"): _value(value) for name, value in (config or {}).items()}
    return values, values.pop(_ALLOW_CODE, False) is True


def _value(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _arrays(inputs: Any, tensors: tuple[Tensor, ...]) -> dict[str, Array]:
    """Raises PackageError where it cannot be told which input is meant, or a value is none of its type."""
    kinds = {tensor.name: numpy_dtype(tensor.dtype) for tensor in tensors}
    table = getattr(inputs, "columns", None)  # of a pandas.DataFrame
    if table is not None and not set(table) <= set(kinds):
        inputs, table = inputs.to_numpy(), None
    if table is None and not isinstance(inputs, Mapping):
        if len(kinds) != 1:
            raise PackageError(f"has the inputs {', '.join(kinds)}", do="give arrays by their names")
        inputs = {next(iter(kinds)): inputs}
    try:
        return {name: np.asarray(list(inputs[name]), kinds.get(name)) for name in inputs}
    except (TypeError, ValueError) as error:
        raise PackageError(f"the inputs are not what the model takes ({error})", do="see `tritonpm show`") from None
