"""docker-compose.yml is what the template makes, obeys the compose specification, and gives nothing away."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.support.deployment import file, services
from tritonpm.core.errors import UsageError
from tritonpm.deploy import Choices, bundle
from tritonpm.deploy.choices import TRITON_FLOOR
from tritonpm.operations.deploy import deployment, write

ROOT = Path(__file__).parents[2]
SCHEMA = files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
PINNED = re.compile(r"[\w./-]+(:(?!latest)[\w.-]*\d[\w.-]*|@sha256:[0-9a-f]{64})")
DIGEST = "nvcr.io/nvidia/tritonserver@sha256:" + "0" * 64
COMPOSE: dict[str, Any] = file("compose", "docker-compose.yml", Choices()).objects[0]
SERVICES = services(Choices())


def test_the_checkout_holds_what_the_templates_make() -> None:
    for made in bundle("compose", Choices()):
        assert (ROOT / made.path).read_text() == made.text, f"{made.path}: run script/docs"


def test_it_obeys_the_compose_specification() -> None:
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
    validator.validate(COMPOSE)
    broken = COMPOSE | {"services": COMPOSE["services"] | {"manager": {"image": "a:1", "port": ["1"]}}}
    assert not validator.is_valid(broken)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc", "userns_mode"} & set(service)
    assert int(service["user"].split(":")[0]) > 0
    assert PINNED.fullmatch(service["image"]), service["image"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert "/var/run/docker.sock" not in str(service)
    assert name == "workspace" or service["restart"] == "unless-stopped"


def test_what_is_named_is_declared() -> None:
    volumes = {m["source"] for s in SERVICES.values() for m in s.get("volumes", ()) if m["type"] == "volume"}
    assert volumes == set(COMPOSE["volumes"])
    assert {name for s in SERVICES.values() for name in s.get("secrets", ())} == set(COMPOSE["secrets"])
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    assert all(set(s.get("depends_on", ())) <= set(SERVICES) for s in SERVICES.values())
    made = {each.path for each in bundle("compose", Choices())}
    binds = {
        m["source"].removeprefix("./") for s in SERVICES.values() for m in s.get("volumes", ()) if m["type"] == "bind"
    }
    assert all(any(path.startswith(f"{bind}/") for path in made) for bind in binds)


def test_no_secret_is_in_a_variable() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|TOKEN|SECRET", name) or name.endswith("__FILE"), (name, value)


def test_one_profile_starts_one_triton_that_is_called_triton() -> None:
    for profile in ("gpu", "cpu"):
        started = [n for n, s in SERVICES.items() if profile in s.get("profiles", [profile])]
        assert [name for name in started if name.startswith("triton-")] == [f"triton-{profile}"]
        assert SERVICES[f"triton-{profile}"]["networks"]["default"]["aliases"] == ["triton"]
        assert {"workspace", "manager", "keeper", "prometheus", "grafana"} < set(started)
    (device,) = SERVICES["triton-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert "deploy" not in SERVICES["triton-cpu"]


def test_what_stays_up_says_whether_it_is_well() -> None:
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == {"workspace", "keeper"}


def test_triton_only_reads_the_workspace_and_the_manager_writes_it() -> None:
    for name, service in SERVICES.items():
        for mount in service.get("volumes", ()):
            if mount["source"] == "workspace":
                assert mount.get("read_only", False) is name.startswith("triton-")


def test_the_image_is_chosen_by_version_or_digest() -> None:
    image = "nvcr.io/nvidia/tritonserver:{}-py3"
    assert SERVICES["triton-gpu"]["image"] == image.format(TRITON_FLOOR)
    assert services(Choices(), TRITON_VERSION="27.01")["triton-cpu"]["image"] == image.format("27.01")
    assert services(Choices(), TRITON_IMAGE=DIGEST)["triton-cpu"]["image"] == DIGEST
    assert services(Choices(triton_version="26.10"))["triton-gpu"]["image"] == image.format("26.10")
    assert services(Choices(triton_image=DIGEST))["triton-gpu"]["image"] == DIGEST


def test_an_image_that_decodes_is_built_on_tritons() -> None:
    choices = Choices(decoding=True)
    service = services(choices)["triton-cpu"]
    assert service["image"] == f"tritonpm-triton:{TRITON_FLOOR}" and PINNED.fullmatch(service["image"])
    assert service["build"]["args"] == {"TRITON_IMAGE": SERVICES["triton-cpu"]["image"]}
    made = file("compose", service["build"]["dockerfile"], choices).text
    assert f"ARG TRITON_IMAGE={choices.image}\n" in made and "pip install --no-cache-dir pillow" in made
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(
        file("compose", "docker-compose.yml", choices).objects[0]
    )


def test_an_image_of_somebody_else_is_not_built_here() -> None:
    assert SERVICES["manager"]["build"] == "."
    manager = services(Choices(manager_image="registry.example/tritonpm:7"))["manager"]
    assert manager["image"] == "registry.example/tritonpm:7" and "build" not in manager


@pytest.mark.parametrize(
    "chosen",
    [
        {"triton_version": "26.05"},
        {"triton_version": "latest"},
        {"triton_image": "tritonserver"},
        {"triton_image": "tritonserver:latest"},
        {"manager_image": "tritonpm"},
        {"manager_image": 'a:1"\nx: y'},
        {"namespace": "A B"},
        {"repository": "/models"},
        {"cpu": "many"},
        {"storage_class": "a b"},
        {"gpus": -1},
        {"replicas": 0},
        {"replicas": 3, "max_replicas": 2},
        {"queue_ms": 0.0},
        {"latency_ms": float("nan")},
        {"failing": 1.0},
    ],
)
def test_choices_that_make_no_sense(chosen: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Choices(**chosen)


def _dockerfile() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line and not line.startswith("#")]  # type: ignore[misc]


def test_the_image_of_the_manager_has_no_root() -> None:
    steps = _dockerfile()
    users = [what for step, what in steps if step == "USER"]
    assert users == ["1000:1000"] and SERVICES["manager"]["user"] == users[0]
    assert ("ARG", "PYTHON_IMAGE=python:3.12-slim") in steps
    last = [index for index, (step, _) in enumerate(steps) if step == "FROM"][-1]
    assert not [what for step, what in steps[last:] if step in ("COPY", "ADD")]  # nothing of the source


@pytest.mark.long
def test_what_a_deployment_builds_from_is_enough_for_the_wheel(tmp_path: Path) -> None:
    shown = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for step, what in _dockerfile() if step == "COPY" for source in what.split()[:-1]}
    assert copied <= shown
    made = deployment(None, "compose", output=tmp_path / "site")
    write(made, tmp_path / "site")
    manager = services(Choices(build="./manager"))["manager"]
    assert made.files[0].text.count(f"build: {manager['build']}\n") == 1
    (tmp_path / "site" / manager["build"]).rename(tmp_path / "build")  # nothing beside it is needed
    tmp_path = tmp_path / "build"
    assert {path.name for path in tmp_path.iterdir()} == copied
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=900)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        contents = [archive.read(name) for name in packed if archive.getinfo(name).file_size]
        archive.extractall(tmp_path / "site")
    here = {path.relative_to(ROOT / "templates") for path in (ROOT / "templates").rglob("*.j2")}
    assert {f"tritonpm/_templates/{path}" for path in here} <= packed
    assert {"tritonpm/backends/onnxruntime/model.py", "tritonpm/_source/Dockerfile"} <= packed
    assert not [name for name in packed if name.startswith(("tests", "examples"))]
    assert len(contents) == len(set(contents))  # check-wheel-contents refuses a wheel that has a file twice
    code = """
from tritonpm.deploy.sources import sources
from tritonpm.repository.templates import packaged
print(packaged(), *{name.partition("/")[0] for name, path in sources() if path.is_file()})
"""
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, cwd=tmp_path / "site", check=True, capture_output=True, text=True).stdout.split()
    assert Path(told[0]) == tmp_path / "site/tritonpm/_templates"
    assert {*told[1:]} == copied  # of the wheel, too


def test_yaml_has_no_surprises() -> None:
    """Ports and versions are texts: YAML would read 22:22 as a number, and 26.10 as 26.1."""
    for service in SERVICES.values():
        assert all(isinstance(port, str) for port in service.get("ports", ()))
        assert all(isinstance(value, str) for value in service.get("environment", {}).values())
    assert yaml.safe_load((ROOT / "docker-compose.yml").read_text()) == COMPOSE
