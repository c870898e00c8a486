"""What every command says where an extra is missing: one sentence that names the extra, and never a traceback."""

from __future__ import annotations

import json
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support import run_commands
from tests.support.environments import environment
from tritonpm.cli.app import COMMANDS
from tritonpm.core.exit_codes import CODES
from tritonpm.core.extras import EXTRAS, install

# Whole rooms that an extra brings, entered by one door each, which says what is missing.
_ROOMS = ("tritonpm.web.", "tritonpm.registry.https", "tritonpm.registry.objects", "tritonpm.registry.oci",
          "tritonpm.registry.web", "tritonpm.registry.hub", "tritonpm.registry.mlflow_models", "tritonpm.mlflow_deployments")  # fmt: skip
_IMPORT_ALL = """
import importlib, pkgutil, tritonpm
for module in pkgutil.walk_packages(tritonpm.__path__, "tritonpm.", onerror=lambda name: None):
    if not module.name.startswith("tritonpm.backends."):
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            print(module.name, error.name)
"""

# Each command as it may be typed, and the extra that its sentence names where there is none; "" where it needs none.
_TYPED = (
    ("init .", ""), ("config", ""), ("import PACKAGE", ""), ("import x.keras", "server"), ("import hf://org/net", "hub"),
    ("import models:/net/1", "mlflow"), ("list", ""), ("show bolts", ""), ("client bolts", ""), ("run MODEL --name nuts", "server"),
    ("run MODEL -w fresh", "server"),
    ("inspect PACKAGE", ""), ("rename bolts nuts", ""), ("rename nuts bolts", ""), ("export bolts --output b.zip", ""),
    ("set bolts --max-batch-size 4", ""), ("set bolts --mode performance --instances auto", "server"),
    ("declare > tritonpm.yaml", ""), ("plan", ""), ("apply", ""), ("use bolts --project line", ""), ("projects", ""),
    ("use bolts --project line --release", ""),
    ("serve", "server"), ("serve --ui --ui-port 0", "web"), ("serve --repository s3://bucket/models", "server"),
    ("stop", ""), ("logs", ""), ("tracing", ""), ("logging", ""), ("top --once --interval 0.2", ""),
    ("ui --port 0", "web"), ("mcp", "mcp"), ("token list", ""), ("audit", ""),
    ("load bolts", ""), ("load bolts --repository out", "stores"), ("unload bolts", ""), ("reload bolts", ""),
    ("infer bolts", ""), ("status", ""), ("sync", ""), ("why bolts", ""),
    ("upgrade bolts PACKAGE", ""), ("history bolts", ""), ("rollback bolts", ""), ("diff bolts 1", ""),
    ("prune bolts --keep 1", ""), ("prune --keep 1 --repository out", "stores"),
    ("canary bolts --precision fp16", ""), ("promote bolts", ""), ("abort bolts", ""),
    ("jobs", ""), ("profile bolts", "server"), ("perf bolts", ""), ("perf list", ""), ("perf report 1", ""),
    ("tune bolts", "perf"),
    ("convert MODEL --to openvino -o made", "server"), ("convert MODEL --to onnx --precision fp16 -o made", "server"),
    ("convert MODEL --to onnx --precision int8 -o made", "server"),
    ("convert MODEL --to tensorrt -o made --compute-capability 8.9", "tensorrt"),
    ("convert x.keras --to openvino -o made", "server"),
    ("render bolts --output rendered", ""), ("lint rendered", ""), ("verify", ""),
    ("publish --repository out", "stores"), ("publish --repository s3://bucket/models", "stores"),
    ("verify --repository out", "stores"),
    ("deploy compose", ""), ("pull oci://127.0.0.1:1/bolts:1", "registry"), ("pull s3://bucket/bolts.zip", "registry"),
    (f"pull https://127.0.0.1:1/bolts.zip --digest sha256:{'0' * 64}", "registry"), ("pull b.zip", ""),
    ("push bolts oci://127.0.0.1:1/bolts:1", "registry"), ("push bolts pushed.zip", ""),
    ("push bolts signed.zip --key key.pem", "registry"), ("sign b.zip --key key.pem", "registry"),
    ("sign b.zip --check --public-key key.pem", ""), ("policy", ""),
    ("context list", ""), ("targets", ""), ("fleet status", ""), ("doctor", "perf"), ("schema", ""), ("completion bash", ""),
    ("optimize bolts", "server"), ("optimize bolts --precision int8", "server"), ("remove bolts", ""),
    ("adopt rendered", ""), ("adopt s3://bucket/models", "stores"),
)  # fmt: skip

# What only one extra brings, in an environment that has all others.
_ONE_MISSING = (
    ("server", "convert MODEL --to openvino -o made"),
    ("server", "convert x.keras --to openvino -o made"),
    ("optimize", "convert MODEL --to openvino --precision int8 -o made"),
    ("frameworks", "convert x.keras --to openvino -o made"),
    ("stores", "publish --repository out"),
    ("hub", "import hf://org/net"),
    ("mlflow", "import models:/net/1"),
    ("web", "ui --port 0"),
    ("oidc", "ui --port 0 --oidc oidc.yaml"),
    ("perf", "tune bolts"),
)


def ran(folder: Path, variables: dict[str, str], commands: list[str], package: Path) -> list[tuple[int, str, str]]:
    """How each command ended, in a folder of its own."""
    here = folder / "work"
    here.mkdir()
    (here / "x.keras").write_bytes(b"PK\3\4")
    (here / "key.pem").write_text("no key\n")
    (here / "oidc.yaml").write_text("issuer: https://login.example\nclient_id: c\nroles: {view: ['*']}\n")
    places = {"PACKAGE": str(package), "MODEL": str(package / "model.onnx")}
    argued = json.dumps([[places.get(word, word) for word in command.split()] for command in commands])
    ended = subprocess.run(
        [folder / "bin/python", run_commands.__file__, argued],
        cwd=here, env=variables, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    return [(code, out, err) for code, out, err in json.loads(ended.stdout)]


def test_every_module_is_imported_without_any_extra(tmp_path: Path) -> None:
    variables = environment(tmp_path, ())
    ended = subprocess.run(
        [tmp_path / "bin/python", "-c", _IMPORT_ALL], env=variables, capture_output=True, text=True, check=True
    )
    assert [line for line in ended.stdout.splitlines() if not line.startswith(_ROOMS)] == []
    assert "tritonpm.web.app fastapi" in ended.stdout  # it is an environment without extras


@pytest.mark.long
def test_every_command_without_any_extra(tmp_path: Path, package: Path) -> None:
    assert {typed.split()[0] for typed, _ in _TYPED} == set(COMMANDS)
    answers = ran(tmp_path, environment(tmp_path, ()), [typed for typed, _ in _TYPED], package)
    wrong = []
    for (typed, extra), (code, out, err) in zip(_TYPED, answers, strict=True):
        refused = bool(code) == (typed != "doctor")  # nothing that was asked for is missing
        sentence = not extra or (install(extra) in out + err and refused)
        if "Traceback" in err or code not in CODES or not sentence:
            wrong.append((typed, code, out, err))
    assert wrong == []
    assert not (tmp_path / "work/fresh").exists()  # a workspace that `run` did not begin


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param(extra, marks=() if extra == "web" else (pytest.mark.long,))
        for extra in sorted({extra for extra, _ in _ONE_MISSING})
    ],
)
def test_a_command_with_one_extra_missing(missing: str, tmp_path: Path, package: Path) -> None:
    typed = [command for extra, command in _ONE_MISSING if extra == missing]
    others = (
        set(EXTRAS) - {missing} - {"stores": {"registry"}, "web": {"mlflow", "oidc"}}.get(missing, set())
    )  # they bring it, too
    variables = environment(tmp_path, others)
    for code, _, err in ran(tmp_path, variables, ["init .", "import PACKAGE", *typed], package)[2:]:
        assert code, err
        assert err.startswith("Error: ")
        assert err.endswith(f"{install(missing)}\n")


def test_the_table_is_that_of_the_package() -> None:
    for extra, brought in EXTRAS.items():
        wanted = {
            requirement.name
            for requirement in map(Requirement, metadata.requires("tritonpm") or ())
            if requirement.marker and f"'{extra}'" in str(requirement.marker).replace('"', "'")
        }
        assert set(map(str.lower, brought.values())) <= wanted, extra
