"""What proves a package, attested where it is served and required where it is taken in."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.consistency import said
from tests.support.fetching import written
from tests.support.keys import certified, private_key
from tests.support.models import scaled
from tests.support.packages import package, single
from tests.support.workspaces import files_of, opened, served
from tritonpm.catalogue import rebuild
from tritonpm.cli.main import main
from tritonpm.core.errors import ManifestError, PackageError, SignatureError, UsageError
from tritonpm.core.types import Agreement, Difference
from tritonpm.operations.attest import measured, proof_record
from tritonpm.operations.context import Context
from tritonpm.operations.declaration import apply, plan
from tritonpm.operations.export import export
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.optimize.jobs import start, to_optimise_for, watch
from tritonpm.operations.policy import read, set_policy
from tritonpm.operations.pull import pull
from tritonpm.operations.push import MODELPACK, push
from tritonpm.operations.set import change
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import upgrade
from tritonpm.registry import attestation, beside, signing
from tritonpm.registry.signing import Signer, Trust

pytestmark = pytest.mark.server
RELEASE = "24.10"  # of the embedded server
POLICY = f"require-attestation: {{keys: [line.pub], agreement: 0.99, release: '{RELEASE}'}}\n"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    """Where packages are served: p with the answers that are expected, n without, q optimised."""
    root = tmp_path_factory.mktemp("line")
    with served(root / "a workspace") as context:
        import_package(context, package(root / "p"))
        import_package(context, single(root / "n", scaled(2.0), "n"))
        import_package(context, single(root / "q", scaled(3.0), "q"))
        private_key(context.workspace.root, "line")
        job = start(context, "q", to_optimise_for(context, "q", {"optimizer": "openvino", "precision": "FP16"}))
        assert job is not None
        watch(context, job.id)
        for name in "pnq":
            load(context, name)
        yield context


@pytest.fixture
def site(line: Context, tmp_path: Path) -> Context:
    """Where they are taken in, under a policy."""
    init(tmp_path / "site")
    context = opened(tmp_path / "site")
    (context.workspace.root / "line.pub").write_bytes((line.workspace.root / "line.pub").read_bytes())
    context.workspace.policy.write_text(POLICY)
    return context


def signer(line: Context) -> Signer:
    return Signer(line.workspace.root / "line.pem")


def left(context: Context) -> list[Path]:
    folders = (context.workspace.quarantine, context.workspace.staging)
    return [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.parametrize("form", ["package", MODELPACK, "folder"])
def test_what_is_attested_is_let_in(line: Context, site: Context, registry: str, tmp_path: Path, form: str) -> None:
    if form == "folder":
        pushed = push(line, "p", str(tmp_path / "share/p.zip"), signer=signer(line), attested=True)
        bare = push(line, "p", str(tmp_path / "share/bare.zip"), signer=signer(line))
    else:
        url = f"oci://{registry}/attested/{form}"
        pushed = push(line, "p", f"{url}:1", signer=signer(line), attested=True, form=form)
        bare = push(line, "p", f"{url}-bare:1", signer=signer(line), form=form)
    assert (pushed.signed, pushed.attested, bare.attested) == (True, True, False)
    before = files_of(site)
    with pytest.raises(SignatureError, match="has no attestation"):
        pull(site, bare.url)
    assert (left(site), files_of(site)) == ([], before)
    assert pull(site, pushed.url).name == "p"
    assert left(site) == []


def test_a_certificate_attests(line: Context, site: Context, registry: str, tmp_path: Path) -> None:
    """As it signs: who trusts its authority takes it, and who trusts another does not."""
    vision, url = certified(tmp_path, "vision"), f"oci://{registry}/attested/certified:1"
    certified(site.workspace.root, "other")
    pushed = push(line, "p", url, signer=vision, attested=True)
    set_policy(site, certificates_of(site, "other-ca.crt"))
    with pytest.raises(SignatureError, match="is attested by no trusted signer"):
        pull(site, pushed.url)
    (site.workspace.root / "vision-ca.crt").write_bytes((tmp_path / "vision-ca.crt").read_bytes())
    set_policy(site, certificates_of(site, "vision-ca.crt"))
    assert pull(site, pushed.url).name == "p"


def certificates_of(site: Context, name: str) -> Path:
    site.workspace.policy.write_text(f"require-attestation: {{certificates: [{name}], agreement: 0.99}}\n")
    return site.workspace.policy


def test_what_came_while_it_was_pushed_proves_nothing_of_what_was_exported(
    line: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_package(line, single(tmp_path / "r", scaled(21.0), "r"))
    load(line, "r")

    def late(*_: object) -> None:
        upgrade(line, "r", single(tmp_path / "next", scaled(22.0), "r"))

    monkeypatch.setattr(signing, "sign", late)
    with pytest.raises(PackageError, match="was changed while it was pushed"):
        push(line, "r", str(tmp_path / "share/r.zip"), signer=signer(line), attested=True)
    assert not (tmp_path / "share").exists()


def test_what_it_says(line: Context) -> None:
    record = proof_record(line, "p")
    assert (record.package, record.release, record.server, record.agreement) == ("p", RELEASE, "2.51.0", 1.0)
    assert record.content == line.catalogue.get("p").package.digest
    assert record.probe == "answered 1 sample, 1 as expected"
    assert set(record.stages[0].tolerance) == {"rtol", "atol"}
    assert proof_record(line, "n").agreement is None
    (stage,) = proof_record(line, "q").stages
    assert (stage.optimizer, stage.precision, stage.state) == ("openvino", "FP16", "verified")
    assert stage.agreement is not None
    assert 0.999 <= stage.agreement <= 1.0
    assert stage.tolerance["cosine"] == 0.999
    assert stage.tried > 0
    assert stage.noticed == stage.tried
    assert stage.inputs


def test_the_least_of_what_was_measured() -> None:
    outputs = (Difference("a", 0, 0, 0, 0.97), Difference("b", 0, 0, 0, 0.99))
    assert measured(Agreement("verified", outputs=outputs, top1=0.95)) == 0.95
    assert measured(Agreement("verified", outputs=outputs)) == 0.97
    assert measured(Agreement("unverified", outputs=outputs)) is None
    assert measured(Agreement("verified")) is None


def test_nothing_is_attested_that_was_not_proved(line: Context, tmp_path: Path) -> None:
    import_package(line, single(tmp_path / "new", scaled(5.0), "new"))
    target = str(tmp_path / "share/new.zip")
    with pytest.raises(PackageError, match="was never loaded, so nothing is proved"):
        push(line, "new", target, signer=signer(line), attested=True)
    load(line, "new")
    with pytest.raises(UsageError, match="an attestation is signed; give --key"):
        push(line, "new", target, attested=True)
    change(line, "new", {"max_batch_size": 2})
    with pytest.raises(PackageError, match="was changed since it was proved"):
        push(line, "new", target, signer=signer(line), attested=True)
    load(line, "new")
    unload(line, "new")
    with pytest.raises(PackageError, match=r"is not served in revision 2, which was proved"):
        push(line, "new", target, signer=signer(line), attested=True)
    assert not (tmp_path / "share").exists()


def test_every_way_in_asks_for_it(line: Context, site: Context, tmp_path: Path) -> None:
    """import, plan, apply, in the command's words and with its exit code; nothing is left where it is refused."""
    weak = export(line, "n", tmp_path / "weak.zip")
    attestation.attest(weak, replace(proof_record(line, "n"), agreement=0.9), signer(line))
    declared = tmp_path / "tritonpm.yaml"
    declared.write_text(f"packages:\n  n: {{source: '{weak}', loaded: false}}\n")
    before = files_of(site)
    for command in (
        ["import", str(weak)],
        ["pull", str(weak)],
        ["plan", "-f", str(declared)],
        ["apply", "-f", str(declared)],
    ):
        code, err = ran(*command, "-w", str(site.workspace.root))
        assert code == 3, err
        assert "agrees with the original by 0.9, and 0.99 is required" in err
        assert (files_of(site), left(site)) == (before, [])
    attestation.attest(weak, replace(proof_record(line, "n"), agreement=0.99), signer(line))
    assert said(plan(site, declared).actions) == [("import", "n")]
    assert said(apply(site, declared)) == [("import", "n")]


def ran(*arguments: str) -> tuple[object, str]:
    """A command's exit code, and what it says on standard error."""
    import contextlib
    import io

    said, before = io.StringIO(), sys.argv
    sys.argv = ["tritonpm", *arguments]
    try:
        with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = before
    return ended.value.code, " ".join(said.getvalue().split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("require-signature: {keys: [line.pub]}\n", "requires less than it did before"),
        (POLICY.replace("0.99", "0.98"), "requires less than it did before"),
        (POLICY.replace(f", release: '{RELEASE}'", ""), "requires less than it did before"),
        (POLICY.replace(RELEASE, "24.09"), "requires less than it did before"),
        (POLICY.replace("line.pub", "other.pub"), "did not trust before"),
        (POLICY.replace("agreement", "certificates: [other.pub], agreement"), "did not trust before"),
    ],
)
def test_a_policy_that_says_less_lets_nothing_in(site: Context, tmp_path: Path, text: str, words: str) -> None:
    written(tmp_path / "bolts.zip")
    private_key(site.workspace.root, "other")
    assert read(site).attestation
    site.workspace.policy.write_text(text)
    with pytest.raises(PackageError, match=words):
        import_package(site, tmp_path / "bolts.zip")
    set_policy(site, site.workspace.policy)
    with pytest.raises(SignatureError):
        import_package(site, tmp_path / "bolts.zip")


def test_what_was_required_is_remembered(site: Context, tmp_path: Path) -> None:
    written(tmp_path / "bolts.zip")
    assert read(site).view().attestation
    site.workspace.policy.unlink()
    site.catalogue.close()
    rebuild(site.workspace)
    with pytest.raises(PackageError, match="is missing, and attestations were required"):
        import_package(opened(site.workspace.root), tmp_path / "bolts.zip")


@pytest.mark.parametrize(
    "text",
    ["{}", "{keys: []}", "{keys: [line.pub], agreement: 1.5}", "{keys: [line.pub], agreement: all}",
     "{keys: [line.pub], release: 26.06}", "{keys: [line.pub], release: 'latest'}", "{keys: [line.pub], power: 1}", "~"],
)  # fmt: skip
def test_a_policy_that_is_wrong_lets_nothing_in(site: Context, tmp_path: Path, text: str) -> None:
    written(tmp_path / "bolts.zip")
    site.workspace.policy.write_text(f"require-attestation: {text}\n")
    with pytest.raises(ManifestError, match="require-attestation"):
        import_package(site, tmp_path / "bolts.zip")


def test_it_is_shown(site: Context, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = str(site.workspace.root)
    ran("policy", "-w", root)
    told = " ".join(capsys.readouterr().out.split())
    assert f"attestation required, an agreement of at least 0.99, on Triton {RELEASE}" in told
    ran("policy", "-w", root, "-o", "json")
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["attestation"] == {
        "keys": [f"{root}/line.pub"], "certificates": [], "agreement": 0.99, "release": RELEASE,
    }  # fmt: skip
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "line.pub").write_bytes((site.workspace.root / "line.pub").read_bytes())
    (elsewhere / "site.yaml").write_text(POLICY)
    set_policy(site, elsewhere / "site.yaml")
    assert read(site).attestation == attestation.AttestationPolicy(Trust((elsewhere / "line.pub",)), 0.99, RELEASE)
    assert not beside(elsewhere, ".att").exists()
