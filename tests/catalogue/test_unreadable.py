"""A record that cannot be read stops what needs it, and nothing else; what JSON cannot say is never stored."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.catalogued import SUMMARY, a_package, a_revision
from tritonpm.catalogue import Catalogue, Workspace, create
from tritonpm.core.errors import RuleError, StorageError
from tritonpm.core.types import Agreement, BatchAxis, CascadeProof, Difference, Format, Optimised, Signature
from tritonpm.settings.settings import Settings

ROT = (b"", b"rotten", b'{"name":3,"mode":3}', b"[]", b"\xff\xfe")
RECORDS = (
    ("packages", "package"), ("packages", "settings"), ("packages", "summary"), ("revisions", "revision"),
    ("revisions", "source"),
)  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return create(tmp_path)


@pytest.fixture
def catalogue(workspace: Workspace) -> Iterator[Catalogue]:
    opened = Catalogue.open(workspace)
    for number, name in enumerate(("bolts", "nuts")):
        opened.add(a_package(name, number), Settings(), SUMMARY)
        opened.prove(name, opened.add_revision(name, a_revision(name, number)), probed=True)
    yield opened
    opened.close()


def rot(catalogue: Catalogue, table: str, column: str, content: bytes) -> None:
    key = "name" if table == "packages" else "package"
    catalogue._database.do(f"UPDATE {table} SET {column} = ? WHERE {key} = 'bolts'", content)


@pytest.mark.parametrize(("table", "column"), RECORDS)
@pytest.mark.parametrize("content", ROT)
def test_the_others_are_read_listed_and_changed(catalogue: Catalogue, table: str, column: str, content: bytes) -> None:
    rot(catalogue, table, column, content)
    assert [entry.name for entry in catalogue.packages()] == ["bolts", "nuts"]
    assert catalogue.wanted() == ["bolts", "nuts"]
    assert a_revision("nuts", 1) in list(catalogue.published())
    assert [revision.name for revision in catalogue.holding(("nuts",))] == ["nuts"]
    assert catalogue.get("nuts").proved == 1
    catalogue.set_settings("nuts", Settings(max_batch_size=2), SUMMARY)
    catalogue.prove("nuts", catalogue.add_revision("nuts", a_revision("nuts", 2)), probed=True)
    assert (catalogue.before("nuts"), catalogue.prune("nuts", 1)) == (1, [1])
    catalogue.rename("nuts", "screws")
    with pytest.raises(StorageError, match=r"the record of bolts.* cannot be read"):
        catalogue.referenced_blobs()  # what it refers to is not known: nothing may be collected
    assert a_package("screws", 1).files[0].digest in catalogue.referenced_blobs(lenient=True)
    assert [name.partition(",")[0] for name, _ in catalogue.unreadable()] == ["bolts"]


@pytest.mark.parametrize("content", ROT)
def test_what_is_rotten_itself_is_told_by_its_name(catalogue: Catalogue, content: bytes) -> None:
    for _, column in RECORDS[:3]:
        rot(catalogue, "packages", column, content)
        with pytest.raises(StorageError, match=r"the record of bolts cannot be read .*tritonpm remove"):
            catalogue.get("bolts")
    entry = catalogue.packages()[0]
    assert "its record cannot be read" in entry.problem
    assert (entry.status, entry.proved) == ("loaded", 1)
    rot(catalogue, "revisions", "source", content)
    assert [published.source for published in catalogue.history("bolts")] == [None]
    rot(catalogue, "revisions", "revision", content)
    assert catalogue.history("bolts") == []
    for read in (catalogue.revision, catalogue.proved):
        with pytest.raises(StorageError, match="the record of bolts"):
            read("bolts")
    catalogue.remove("bolts")
    assert catalogue.unreadable() == []
    assert catalogue.referenced_blobs()


def test_other_settings_heal_settings_that_cannot_be_read(catalogue: Catalogue) -> None:
    rot(catalogue, "packages", "settings", b'{"tolerances":{"max_abs":null}}')
    with pytest.raises(StorageError):
        catalogue.get("bolts")
    catalogue.set_settings("bolts", Settings(), SUMMARY)
    assert not catalogue.get("bolts").changed


def test_a_rotten_revision_that_is_published_again_is_whole(catalogue: Catalogue) -> None:
    rot(catalogue, "revisions", "revision", b"rotten")
    assert catalogue.add_revision("bolts", a_revision("bolts", 0)) == 1
    assert catalogue.revision("bolts") == a_revision("bolts", 0)


def test_a_rotten_revision_is_forgotten_as_another(catalogue: Catalogue) -> None:
    for number in (2, 3):
        catalogue.add_revision("bolts", a_revision("bolts", number))
    catalogue._database.do("UPDATE revisions SET revision = x'00' WHERE package = 'bolts' AND number = 2")
    assert [published.number for published in catalogue.history("bolts")] == [3, 1]
    assert catalogue.prune("bolts", 1) == [2]
    assert catalogue.unreadable() == []


def test_one_record_in_the_way_does_not_hold_up_the_files_of_others(workspace: Workspace, catalogue: Catalogue) -> None:
    good = (workspace.records / "bolts.json").read_bytes()
    rot(catalogue, "packages", "settings", b"rotten")
    catalogue._database.do("INSERT INTO unrecorded VALUES ('bolts')")
    catalogue.set_settings("nuts", Settings(max_batch_size=5), SUMMARY)
    assert b'"max_batch_size":5' in (workspace.records / "nuts.json").read_bytes()
    assert (workspace.records / "bolts.json").read_bytes() == good
    catalogue.set_settings("bolts", Settings(max_batch_size=7), SUMMARY)
    assert b'"max_batch_size":7' in (workspace.records / "bolts.json").read_bytes()


def test_what_can_be_made_again_is_made_again(catalogue: Catalogue) -> None:
    source = a_package("bolts").files[0].digest
    catalogue.put_axis(f"{source} onnx", BatchAxis("none", "why"))
    catalogue.artefacts.put("key", source, optimised())
    catalogue.artefacts.put_cascade("key", CascadeProof(Agreement()))
    for table, column in (("axes", "axis"), ("artefacts", "optimised"), ("cascades", "proof"), ("journal", "models")):
        if table == "journal":
            catalogue._database.do("INSERT INTO journal (operation, models, started) VALUES ('set', x'00', 0)")
        else:
            catalogue._database.do(f"UPDATE {table} SET {column} = x'00'")
    assert catalogue.axis(f"{source} onnx") is None
    assert catalogue.artefacts.get("key") is None
    assert catalogue.artefacts.cascade("key") is None
    assert [(what, models) for _, what, models in catalogue.open_intents()] == [("set", ())]
    with pytest.raises(StorageError, match="the record of the batch axis"):
        catalogue.referenced_blobs()
    catalogue.put_axis(f"{source} onnx", BatchAxis("none", "why"))
    with pytest.raises(StorageError, match="the record of what was made of"):
        catalogue.referenced_blobs()
    catalogue.artefacts.put("key", source, optimised())
    assert catalogue.referenced_blobs()


def test_one_rotten_job_does_not_hide_the_others(catalogue: Catalogue) -> None:
    for name in ("bolts", "nuts"):
        catalogue.jobs.create(name, {"seconds": 1.0})
    catalogue._database.do("UPDATE jobs SET request = x'00' WHERE package = 'bolts'")
    assert [(job.package, job.request) for job in catalogue.jobs.all()] == [("nuts", {"seconds": 1.0}), ("bolts", {})]
    assert sorted(catalogue.busy()) == ["bolts", "nuts"]
    with pytest.raises(StorageError, match="the record of job 1 cannot be read"):
        catalogue.jobs.get(1)


def optimised(cosine: float = 1.0) -> Optimised:
    agreement = Agreement("verified", outputs=(Difference("y", 0.0, 0.0, 0.0, cosine),))
    return Optimised("onnx", "FP16", Format.ONNX, Signature((), ()), agreement=agreement)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_what_is_no_finite_number_is_refused_before_it_is_stored(catalogue: Catalogue, number: float) -> None:
    before = catalogue.get("bolts")
    chosen = Settings(tolerances={"max_abs": number})
    of_a_stage = Settings(stages={"s": {"tolerances": {"max_abs": number}}})
    with pytest.raises(RuleError, match=r"bolts: tolerances\.max_abs is -?(inf|nan), which is not a finite number"):
        catalogue.set_settings("bolts", chosen, SUMMARY)
    with pytest.raises(RuleError, match=r"stages\.s\.tolerances\.max_abs"):
        catalogue.replace("bolts", before.package, of_a_stage, SUMMARY)
    with pytest.raises(RuleError, match="max_drop"):
        catalogue.add(a_package("screws", 3), Settings(max_drop=number), SUMMARY)
    with pytest.raises(RuleError, match=r"agreement\.outputs\.cosine"):
        catalogue.artefacts.put("key", "sha256:1", optimised(number))
    with pytest.raises(RuleError, match="seconds"):
        catalogue.jobs.create("bolts", {"seconds": number})
    assert catalogue.get("bolts") == before
    assert [entry.name for entry in catalogue.packages()] == ["bolts", "nuts"]
    assert catalogue.artefacts.get("key") is None
    assert catalogue.jobs.all() == []
    assert catalogue.unreadable() == []
