"""What jobs name is referred to, so that removing another package does not collect it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.catalogued import SUMMARY, a_package
from tritonpm.catalogue import Catalogue, create
from tritonpm.settings.settings import Settings

SAMPLES, PLUGIN = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue.open(create(tmp_path))
    opened.add(a_package("bolts"), Settings(), SUMMARY)
    yield opened
    opened.close()


def asked_for(settings: Settings) -> dict[str, object]:
    request: dict[str, object] = msgspec.to_builtins({"seconds": 1.0, "memory": 1, "settings": settings})
    return request


@pytest.mark.parametrize(
    ("state", "kept"),
    [("running", True), ("failed", True), ("interrupted", True), ("cancelled", True), ("done", False)],
)
def test_what_a_job_tries_is_kept_while_it_runs_or_can_be_resumed(catalogue: Catalogue, state: str, kept: bool) -> None:
    settings = Settings(precision="INT8", calibration=(SAMPLES,), stages={"s": {"plugins": [PLUGIN]}})
    job = catalogue.jobs.create("bolts", asked_for(settings))
    if state != "running":
        catalogue.jobs.end(job.id, state)
    assert ({SAMPLES, PLUGIN} <= catalogue.referenced_blobs()) is kept


def test_of_a_package_that_is_gone_and_of_a_job_before_the_newest_nothing_is_kept(catalogue: Catalogue) -> None:
    catalogue.jobs.end(catalogue.jobs.create("bolts", asked_for(Settings(calibration=(SAMPLES,)))).id, "failed")
    catalogue.jobs.end(catalogue.jobs.create("bolts", asked_for(Settings(calibration=(PLUGIN,)))).id, "failed")
    assert {SAMPLES, PLUGIN} & catalogue.referenced_blobs() == {PLUGIN}
    catalogue.remove("bolts")
    assert not {SAMPLES, PLUGIN} & catalogue.referenced_blobs()


def test_a_job_of_an_earlier_version_and_one_that_cannot_be_read_refer_to_nothing(catalogue: Catalogue) -> None:
    before = catalogue.referenced_blobs()
    job = catalogue.jobs.create("bolts", {"seconds": 1.0, "memory": 1})
    assert catalogue.referenced_blobs() == before
    catalogue._database.do("UPDATE jobs SET request = ? WHERE id = ?", b"rotten", job.id)
    assert catalogue.referenced_blobs() == before
