"""From a registry into a workspace and back, under a policy and without one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.consistency import said
from tests.support.fetching import written
from tests.support.keys import certified, signer
from tests.support.registries import Web
from tests.support.workspaces import opened
from tritonpm.cli.main import main
from tritonpm.core.errors import (
    BusyError,
    ManifestError,
    NameTakenError,
    NotFoundError,
    RegistryError,
    SignatureError,
    UsageError,
)
from tritonpm.operations.context import Context
from tritonpm.operations.declaration import apply, plan
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.package_source import fetch
from tritonpm.operations.policy import read as read_policy
from tritonpm.operations.pull import pull, pull_upgrade
from tritonpm.operations.push import push
from tritonpm.operations.show import show
from tritonpm.operations.upgrade import exchange, upgrade
from tritonpm.registry.signing import Trust, sign, signature_of


@pytest.fixture
def context(tmp_path: Path) -> Context:
    init(tmp_path / "a workspace")
    return opened(tmp_path / "a workspace")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    written(tmp_path / "bolts.zip")
    return tmp_path / "bolts.zip"


def left(context: Context) -> list[Path]:
    """The files that are left in quarantine and staging."""
    state = context.workspace
    return [
        p
        for folder in (state.quarantine, state.staging)
        for p in folder.rglob("*")
        if p.is_file() and p.suffix != ".lock"
    ]


def require(context: Context, text: str) -> None:
    context.workspace.policy.write_text(f"require-signature: {text}\n")


def test_pushed_and_pulled(context: Context, package: Path, registry: str, tmp_path: Path) -> None:
    line = signer(tmp_path, "line")
    first = import_package(context, package)
    url = f"oci://{registry}/vision/shared:1"
    pushed = push(context, "bolts", url, signer=line)
    assert pushed.signed
    assert push(context, "bolts", f"{tmp_path}/share/").url.endswith("/share/bolts-1.0.zip")
    init(tmp_path / "other")
    other = opened(tmp_path / "other")
    (tmp_path / "other/line.pub").write_bytes((tmp_path / "line.pub").read_bytes())
    require(other, "{keys: [line.pub]}")
    view = pull(other, pushed.url, name="nuts", changes={"max_batch_size": 4})
    assert (view.name, view.digest, view.max_batch_size) == ("nuts", first.digest, 4)
    with pytest.raises(NameTakenError):
        pull(other, pushed.url, name="nuts")
    with pytest.raises(SignatureError, match="is not signed") as unsigned:
        pull(other, f"{tmp_path}/share/bolts-1.0.zip", name="more")
    assert unsigned.value.where == f"{tmp_path}/share/bolts-1.0.zip"
    assert left(other) == left(context) == []


def test_upgraded_from_a_registry(context: Context, package: Path, tmp_path: Path) -> None:
    import_package(context, package)
    written(tmp_path / "two.zip", "2.0")
    assert pull_upgrade(context, "bolts", (tmp_path / "two.zip").as_uri()) is None
    assert show(context, "bolts").version == "2.0"
    written(tmp_path / "three.zip", "3.0")
    assert upgrade(context, "bolts", (tmp_path / "three.zip").as_uri()) is None
    assert show(context, "bolts").version == "3.0"
    with pytest.raises(NotFoundError, match="no package"):  # before anything is fetched
        upgrade(context, "nuts", "https://127.0.0.1:1/nuts.zip")
    assert left(context) == []


def test_a_wrong_digest_is_refused_before_anything_is_read(context: Context, package: Path) -> None:
    package.write_bytes(b"PK\x03\x04 would not be read without an error")
    with pytest.raises(RegistryError, match="was asked for"):
        pull(context, str(package), digest="sha256:" + "0" * 64)
    with pytest.raises(UsageError, match="is not a digest"):
        pull(context, str(package), digest="sha256:1")
    assert left(context) == []


def test_one_fetch_at_a_time(context: Context, package: Path) -> None:
    from filelock import FileLock

    folder = fetch(context, str(package)).parent
    with FileLock(folder.with_suffix(".lock")), pytest.raises(BusyError, match="is being fetched already"):
        fetch(context, str(package))


@pytest.mark.parametrize("kind", ["folder", "bare", "unsigned", "wrong key", "changed", "broken"])
def test_a_policy_keeps_out(context: Context, package: Path, tmp_path: Path, kind: str) -> None:
    written(tmp_path / "before.zip", "0.9")
    import_package(context, tmp_path / "before.zip", name="before")
    sign(package, signer(tmp_path, "line"))
    signer(context.workspace.root, "line")
    if kind != "wrong key":
        (context.workspace.root / "line.pub").write_bytes((tmp_path / "line.pub").read_bytes())
    require(context, "{keys: [line.pub]}")
    source = package
    if kind == "folder":
        source = tmp_path / "adopted"
        (source / "1").mkdir(parents=True)
        signature_of(source).write_text("{}")
    elif kind == "bare":
        source = tmp_path / "m.onnx"
        source.write_bytes(b"would not be read without an error")
        signature_of(source).write_bytes(signature_of(package).read_bytes())
    elif kind == "unsigned":
        signature_of(package).unlink()
    elif kind == "changed":
        written(package, "1.1")
    elif kind == "broken":
        signature_of(package).write_text("{}")
    words = {"folder": "only a .zip", "bare": "only a .zip", "unsigned": "is not signed"}
    with pytest.raises(SignatureError, match=words.get(kind, "no trusted signer")):
        import_package(context, source)
    with pytest.raises(SignatureError, match=words.get(kind, "no trusted signer")):
        exchange(context, "before", source)
    assert left(context) == []


def test_a_policy_lets_in(context: Context, package: Path, tmp_path: Path) -> None:
    sign(package, certified(tmp_path, "vision"))
    (context.workspace.root / "ca.crt").write_bytes((tmp_path / "vision-ca.crt").read_bytes())
    require(context, "{certificates: [ca.crt]}")
    assert import_package(context, package).name == "bolts"
    assert read_policy(context).trust == Trust((), (context.workspace.root / "ca.crt",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("require-signature: {}", "names no key and no certificate"),
        ("require-signature: {keys: []}", "names no key and no certificate"),
        ("require-signature: {key: [line.pub]}", "key"),
        ("require_signature: {keys: [line.pub]}", "require_signature"),
        ("require-signature: true", "require-signature"),
        ("- x", "policy.yaml"),
        ("a: &x [*x]", "policy.yaml"),
    ],
)
def test_a_policy_that_is_wrong_lets_nothing_in(context: Context, package: Path, text: str, words: str) -> None:
    context.workspace.policy.write_text(text)
    with pytest.raises(ManifestError, match=words):
        import_package(context, package)
    context.workspace.policy.unlink()
    context.workspace.policy.mkdir()
    with pytest.raises(ManifestError, match="cannot be read"):
        import_package(context, package)


def test_a_policy_whose_key_is_missing_lets_nothing_in(context: Context, package: Path, tmp_path: Path) -> None:
    sign(package, signer(tmp_path, "line"))
    require(context, "{keys: [line.pub]}")
    with pytest.raises(UsageError, match=r"line\.pub: cannot be read"):
        import_package(context, package)


def test_declared(context: Context, package: Path, web: Web, tmp_path: Path) -> None:
    digest = written(package)
    web.files = {"/bolts.zip": package.read_bytes()}
    path = tmp_path / "tritonpm.yaml"
    path.write_text(f"packages:\n  bolts: {{source: '{web.url}/bolts.zip', digest: '{digest}', loaded: false}}\n")
    assert said(plan(context, path).actions) == [("import", "bolts")]
    fetched = len(web.requests)
    assert said(apply(context, path)) == [("import", "bolts")]
    assert said(apply(context, path)) == []
    assert len(web.requests) == fetched
    signer(context.workspace.root, "line")
    require(context, "{keys: [line.pub]}")
    with pytest.raises(SignatureError, match="is not signed"):
        plan(context, path)
    path.write_text(f"packages:\n  bolts: {{source: '{web.url}/bolts.zip', loaded: false}}\n")
    with pytest.raises(UsageError, match="needs a digest"):
        plan(context, path)


Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command in this process: what it prints, on standard error where it must end with another code than 0."""

    def ran(*arguments: object, workspace: Path | None = None, code: int = 0) -> str:
        told = ["-w", str(workspace)] if workspace else []
        monkeypatch.setattr(sys, "argv", ["tritonpm", *map(str, arguments), *told])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert ended.value.code == code, err
        return err if code else out

    return ran


def test_the_commands(run: Run, package: Path, registry: str, tmp_path: Path) -> None:
    signer(tmp_path, "line")
    workspace = tmp_path / "by hand"
    init(workspace)
    assert "not required" in run("policy", workspace=workspace)
    assert "Signed" in run("sign", package, "--key", tmp_path / "line.pem")
    assert "is signed by" in run("sign", package, "--check", "--public-key", tmp_path / "line.pub")
    (workspace / "line.pub").write_bytes((tmp_path / "line.pub").read_bytes())
    (workspace / "policy.yaml").write_text("require-signature: {keys: [line.pub]}\n")
    policy = json.loads(run("policy", "-o", "json", workspace=workspace))
    assert (policy["kind"], policy["data"]["keys"]) == ("Policy", [str(workspace / "line.pub")])
    run("import", package, workspace=workspace)
    url = f"oci://{registry}/vision/commands:1"
    pushed = json.loads(run("push", "bolts", url, "--key", tmp_path / "line.pem", "-o", "json", workspace=workspace))[
        "data"
    ]
    assert pushed["url"].startswith(f"{url}@sha256:")
    assert "Changed bolts" in run("pull", url, "--upgrade", "bolts", workspace=workspace)
    run("rename", "bolts", "nuts", workspace=workspace)
    assert "the same content" in run("pull", url, workspace=workspace, code=3)
    run("remove", "nuts", workspace=workspace)
    assert "Pulled bolts" in run("pull", pushed["url"], "--digest", pushed["digest"], workspace=workspace)
    assert "--key is missing" in run("sign", package, code=2)
    assert "--check needs --public-key" in run("sign", package, "--check", code=2)
    assert "go with --key" in run("push", "bolts", url, "--certificate", "x", workspace=workspace, code=2)
    assert "use it alone" in run("pull", url, "--upgrade", "bolts", "--name", "x", workspace=workspace, code=2)


def test_registries_are_no_part_of_what_all_commands_import() -> None:
    code = "import sys; import tritonpm.operations.pull, tritonpm.operations.policy, tritonpm.operations.import_package; print(sorted({'oras','requests','obstore','model_signing','cryptography'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
