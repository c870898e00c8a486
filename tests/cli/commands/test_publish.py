"""Repositories elsewhere as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command import run
from tests.support.models import scaled
from tests.support.packages import single


def test_publish_verify_and_prune_elsewhere(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "a workspace", tmp_path / "else where"
    run("init", root)
    run("import", single(tmp_path / "one", scaled(2.0), name="bolts"), workspace=root)
    told = json.loads(run("publish", "--repository", elsewhere, "-o", "json", workspace=root))
    assert told["kind"] == "Published"
    assert [(each["name"], each["repository"], each["sent"]["sent"]) for each in told["data"]] == [
        ("bolts", str(elsewhere), 3)
    ]
    (served,) = told["data"][0]["versions"]
    assert (elsewhere / "bolts" / served / "model.onnx").read_bytes() == scaled(2.0)
    assert "0 files sent" in run("publish", "bolts", "--repository", elsewhere, workspace=root)
    assert run("verify", "--repository", elsewhere) == "Nothing is damaged.\n"
    (elsewhere / "bolts" / served / "model.onnx").write_bytes(b"x" * len(scaled(2.0)))
    assert "`tritonpm publish --anew`" in run("verify", "--repository", elsewhere, code=1)
    run("publish", "bolts", "--anew", "--repository", elsewhere, workspace=root)
    assert run("verify", "--repository", elsewhere) == "Nothing is damaged.\n"
    run("upgrade", "bolts", single(tmp_path / "two", scaled(3.0), name="bolts"), workspace=root)
    pruned = run("publish", "bolts", "--repository", elsewhere, "--prune", 1, workspace=root)
    assert pruned.endswith("Deleted 1 revision and 1 file.\n")
    assert not (elsewhere / "bolts" / served).exists()
    run("prune", "bolts", "--keep", 0, "--repository", elsewhere)
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []


def test_what_makes_no_sense_elsewhere(tmp_path: Path) -> None:
    run("init", tmp_path / "w")
    assert "no prefix" in run("publish", "--repository", "s3://bucket", workspace=tmp_path / "w", code=2)
    assert "there is no package" in run(
        "publish", "nuts", "--repository", tmp_path / "r", workspace=tmp_path / "w", code=5
    )
    assert "NAME is missing" in run("prune", workspace=tmp_path / "w", code=2)
    assert "always stays" in run("prune", "bolts", "--keep", 0, workspace=tmp_path / "w", code=2)
