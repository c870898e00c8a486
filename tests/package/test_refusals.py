"""Every refusal: the right error and sentence, nothing written but the staging folder, a row in docs/refusals.md."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.support.refused_packages import CASES, Case
from tritonpm.core.errors import ManifestError, PackageError, TritonpmError, UnsafeError
from tritonpm.package import read

DOCS = Path(__file__).parents[2] / "docs" / "refusals.md"
ROWS = re.findall(r"^\| `` (.+?) `` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
PATTERNS = {row: re.compile(".+".join(map(re.escape, row.split("…")))) for row in ROWS}


def refused(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TritonpmError:
    source, staging = tmp_path / "source", tmp_path / "staging"
    source.mkdir(parents=True)
    staging.mkdir()
    monkeypatch.chdir(source)
    made = case.build(source)
    before = listing(source)
    with pytest.raises(TritonpmError) as caught:
        read(made, staging, limits=case.limits, allow_code=case.allow_code)
    shutil.rmtree(staging)
    assert listing(source) == before
    assert list(tmp_path.iterdir()) == [source]
    return caught.value


def listing(root: Path) -> list[tuple[str, int, int]]:
    return sorted((str(p), p.lstat().st_size, p.lstat().st_mtime_ns) for p in root.rglob("*"))


def sentences(error: TritonpmError) -> list[str]:
    return [sentence for _, sentence in error.problems] if isinstance(error, ManifestError) else [error.what]


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_refused(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refused(case, tmp_path, monkeypatch)
    assert type(error) is case.error
    assert case.sentence in str(error)
    assert "\n" not in error.what
    assert error.do
    for sentence in sentences(error):
        rows = [row for row, pattern in PATTERNS.items() if pattern.fullmatch(sentence)]
        assert rows, f"docs/refusals.md has no row for: {sentence}"


def test_every_row_of_the_document_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [s for case in CASES for s in sentences(refused(case, tmp_path / case.id, monkeypatch))]
    silent = [row for row, pattern in PATTERNS.items() if not any(map(pattern.fullmatch, said))]
    assert not silent, f"no case is refused with: {silent}"


def test_ids_are_unique() -> None:
    assert len({case.id for case in CASES}) == len(CASES)


def test_unsafe_is_a_kind_of_refusal() -> None:
    assert issubclass(UnsafeError, PackageError)
