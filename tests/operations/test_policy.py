"""A policy that was there once stays: whatever becomes of its file, nothing comes in that it would have kept out."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.command import run
from tests.support.fetching import written
from tests.support.keys import signer
from tests.support.workspaces import files_of, opened
from tritonpm.catalogue import rebuild
from tritonpm.core.errors import ManifestError, PackageError, SignatureError, TritonpmError, UsageError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.policy import clear_policy, read, set_policy
from tritonpm.registry.signing import sign, signature_of

POLICY = "require-signature: {keys: [line.pub]}\n"


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    """A workspace that requires a signature by `line`, and knows it."""
    init(tmp_path / "workspace")
    context = opened(tmp_path / "workspace")
    signer(tmp_path, "line")
    (context.workspace.root / "line.pub").write_bytes((tmp_path / "line.pub").read_bytes())
    context.workspace.policy.write_text(POLICY)
    assert read(context).trust
    yield context
    context.catalogue.close()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    written(tmp_path / "bolts.zip")
    return tmp_path / "bolts.zip"


def text(content: str) -> Callable[[Path], object]:
    return lambda policy: policy.write_text(content)


def links(target: str) -> Callable[[Path], object]:
    return lambda policy: (policy.unlink(), policy.symlink_to(target))


def named(name: str) -> Callable[[Path], object]:
    return lambda policy: policy.rename(policy.with_name(name))


# What becomes of policy.yaml, and whether it is refused also where no policy ever was there.
LOST: dict[str, tuple[Callable[[Path], object], bool]] = {
    "nothing behind it": (text("require-signature:\n"), True),
    "null": (text("require-signature: ~\n"), True),
    "commented out": (text("# require-signature: {keys: [line.pub]}\n"), True),
    "empty": (text(""), True),
    "blank": (text("\n\n"), True),
    "only a null": (text("~"), True),
    "a list": (text("[]"), True),
    "an empty mapping": (text("{}"), True),
    "false": (text("false"), True),
    "zero": (text("0"), True),
    "a word": (text("''"), True),
    "false behind it": (text("require-signature: false"), True),
    "a list behind it": (text("require-signature: []"), True),
    "no keys": (text("require-signature: {keys: ~}"), True),
    "a key that is no list": (text("require-signature: {keys: line.pub}"), True),
    "another word": (text("require_signature: {keys: [line.pub]}"), True),
    "a capital": (text("Require-Signature: {keys: [line.pub]}"), True),
    "a word beside it": (text(POLICY + "allow: all\n"), True),
    "a NUL": (text("require-signature: {keys: [\"li\\0ne.pub\"]}"), True),
    "no UTF-8": (lambda policy: policy.write_bytes(b"\xff\xfe"), True),
    "long": (text("#" * (20 << 20)), True),
    "a folder": (lambda policy: (policy.unlink(), policy.mkdir()), True),
    "a pipe": (lambda policy: (policy.unlink(), os.mkfifo(policy)), True),
    "a device": (links("/dev/zero"), True),
    "a link to nothing": (links("/mnt/share/that/is/not/mounted.yaml"), True),
    "a link to itself": (links("policy.yaml"), True),
    "policy.yml": (named("policy.yml"), True),
    "Policy.yaml": (named("Policy.yaml"), True),
    "policy.yaml.txt": (named("policy.yaml.txt"), True),
    "policy.yaml and a blank": (named("policy.yaml "), True),
    "polciy.yaml": (named("polciy.yaml"), True),
    "POLICY": (named("POLICY"), True),
    ".policy.yaml": (named(".policy.yaml"), True),
    "policy.yaml~": (named("policy.yaml~"), True),
    "policies.yaml": (named("policies.yaml"), True),
    "gone": (lambda policy: policy.unlink(), False),
    "elsewhere": (named("notes.txt"), False),
}  # fmt: skip


@pytest.mark.parametrize("what", LOST)
@pytest.mark.parametrize("known", [True, False], ids=["known", "fresh"])
def test_a_policy_that_is_lost_lets_nothing_in(context: Context, package: Path, what: str, known: bool) -> None:
    lose, always = LOST[what]
    policy = context.workspace.policy
    lose(policy)
    if not known:
        context.catalogue._database.do("DELETE FROM policy")
    before = files_of(context)
    if not known and not always:
        assert import_package(context, package).name == "bolts"
        return
    with pytest.raises(TritonpmError) as refused:
        import_package(context, package)
    assert refused.value.where.startswith((str(policy), str(policy.parent)))
    assert files_of(context) == before
    assert "Error: " in run("policy", workspace=context.workspace.root, code=3 if "NUL" not in what else 2)
    if "policy" in what.lower() and not policy.exists():
        kept = {"line.pub", "model_repository", ".tritonpm"}
        (beside,) = {file.name for file in policy.parent.iterdir()} - kept
        assert beside in str(refused.value)


@pytest.mark.parametrize("what", ["gone", "empty", "policy.yml", "a link to nothing", "false"])
def test_an_administrator_lifts_it_or_puts_it_back(context: Context, package: Path, what: str) -> None:
    LOST[what][0](context.workspace.policy)
    root = context.workspace.root
    run("import", package, workspace=root, code=3)
    keeps = root / "kept.yaml"
    keeps.write_text(POLICY)
    run("policy", "set", keeps, workspace=root)
    assert "is not signed" in run("import", package, workspace=root, code=3)
    LOST[what][0](context.workspace.policy)
    run("policy", "clear", workspace=root)
    assert "not required" in run("policy", workspace=root)
    assert import_package(context, package).name == "bolts"


def test_whoever_else_is_trusted_was_named_by_an_administrator(context: Context, package: Path, tmp_path: Path) -> None:
    root = context.workspace.root
    sign(package, signer(root, "other"))
    context.workspace.policy.write_text("require-signature: {keys: [line.pub, other.pub]}\n")
    with pytest.raises(PackageError, match="did not trust before"):
        import_package(context, package)
    context.workspace.policy.write_text(POLICY)
    line = (root / "line.pub").read_bytes()
    (root / "line.pub").write_bytes((root / "other.pub").read_bytes())
    with pytest.raises(PackageError, match="exchanged"):
        import_package(context, package)
    set_policy(context, context.workspace.policy)
    assert import_package(context, package).name == "bolts"
    (root / "line.pub").write_bytes(line)
    with pytest.raises(PackageError, match="exchanged"):
        read(context)


def test_whoever_is_trusted_no_more_needs_an_administrator_to_come_back(context: Context, tmp_path: Path) -> None:
    root = context.workspace.root
    signer(root, "other")
    context.workspace.policy.write_text("require-signature: {keys: [line.pub, other.pub]}\n")
    set_policy(context, context.workspace.policy)
    both = context.workspace.policy.read_text()
    context.workspace.policy.write_text(POLICY)
    assert read(context).trust
    context.workspace.policy.write_text(both)
    with pytest.raises(PackageError, match="did not trust before"):
        read(context)


@pytest.mark.parametrize("lost", ["catalogue", "catalogue and record", "record", "deleted"])
def test_a_rebuilt_catalogue_has_not_forgotten_it(context: Context, package: Path, lost: str) -> None:
    workspace = context.workspace
    if "record" in lost:
        workspace.remembered_policy.write_text("rotten")
    if lost == "deleted":
        workspace.remembered_policy.unlink()
    context.catalogue.close()
    if "catalogue" in lost:
        workspace.database.unlink()
        with pytest.raises(TritonpmError, match="is lost"):
            opened(workspace.root)
    rebuild(workspace)
    workspace.policy.unlink()
    again = opened(workspace.root)
    with pytest.raises(PackageError, match="is missing, and signatures were required"):
        import_package(again, package)
    clear_policy(again)
    again.catalogue.close()
    rebuild(workspace)
    assert import_package(opened(workspace.root), package).name == "bolts"


def test_a_record_that_cannot_be_read_trusts_nobody(context: Context, package: Path) -> None:
    context.catalogue._database.do("UPDATE policy SET requirement = x'00'")
    with pytest.raises(PackageError, match="did not trust before"):
        import_package(context, package)
    set_policy(context, context.workspace.policy)
    with pytest.raises(SignatureError, match="is not signed"):
        import_package(context, package)


def test_errors_name_the_file_that_was_handed_in(context: Context, package: Path, tmp_path: Path) -> None:
    with pytest.raises(SignatureError) as unsigned:
        import_package(context, package)
    assert unsigned.value.where == str(package)
    package.write_bytes(b"PK\x03\x04 is no archive")
    sign(package, signer(tmp_path, "line"), force=True)
    (context.workspace.root / "line.pub").write_bytes((tmp_path / "line.pub").read_bytes())
    set_policy(context, context.workspace.policy)
    with pytest.raises(PackageError) as broken:
        import_package(context, package)
    assert broken.value.where == package.name
    assert ".tritonpm" not in str(broken.value)


def test_a_policy_from_elsewhere_names_keys_where_they_are(context: Context, package: Path, tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    sign(package, signer(share, "vision"))
    (share / "site.yaml").write_text("require-signature: {keys: [vision.pub]}\n")
    run("policy", "set", share / "site.yaml", workspace=context.workspace.root)
    assert str(share / "vision.pub") in run("policy", workspace=context.workspace.root)
    (share / "vision.pub").rename(share / "moved.pub")
    with pytest.raises(UsageError, match=r"vision\.pub: cannot be read"):
        import_package(context, package)
    (share / "moved.pub").rename(share / "vision.pub")
    assert import_package(context, package).name == "bolts"
    with pytest.raises(ManifestError, match="is empty: write"):
        (share / "site.yaml").write_text("")
        set_policy(context, share / "site.yaml")
    assert not signature_of(context.workspace.root / "bolts.zip").exists()


def test_a_workspace_that_never_had_one_needs_none(tmp_path: Path, package: Path) -> None:
    init(tmp_path / "w")
    (tmp_path / "w/policy-notes.md").write_text("no policy of ours")
    (tmp_path / "w/policy").mkdir()
    assert import_package(opened(tmp_path / "w"), package).name == "bolts"
    assert sqlite3.connect(tmp_path / "w/.tritonpm/catalogue.sqlite").execute("SELECT * FROM policy").fetchall() == []
