"""A share of `script/proof-oracle`, which asks the proofs about all its models."""

from __future__ import annotations

import pytest

from tests.support.proof_oracle.models import Case, cases
from tests.support.proof_oracle.run import judged

EVERY = 9
CASES = list(cases())


@pytest.mark.parametrize(
    "case",
    [case if number % EVERY == 0 else pytest.param(case, marks=pytest.mark.long) for number, case in enumerate(CASES)],
    ids=lambda case: f"{case.kind}: {case.name}",
)
def test_the_proof_can_tell(case: Case) -> None:
    assert judged([case])[1] == []


def test_there_are_enough_of_both_and_each_has_a_name_of_its_own() -> None:
    assert sum(case.wrong for case in CASES) >= 60 <= sum(not case.wrong for case in CASES)
    assert len({(case.kind, case.name, case.wrong) for case in CASES}) == len(CASES)
