"""The stack of what served, against a plain list; and what is wanted against what is proved."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.catalogued import SUMMARY, a_package, a_revision
from tritonpm.catalogue import Catalogue, Source, create, rebuild
from tritonpm.core.errors import NotFoundError
from tritonpm.settings.settings import Settings

NUMBERS = st.integers(1, 5)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue.open(create(tmp_path))
    opened.add(a_package("bolts"), Settings(), SUMMARY)
    yield opened
    opened.close()


def publish(catalogue: Catalogue, *, times: int = 1, name: str = "bolts") -> None:
    """So many revisions, each with settings of its own."""
    for _ in range(times):
        content = len(catalogue.history(name)) + 1
        catalogue.set_settings(name, Settings(max_batch_size=content), SUMMARY)
        catalogue.add_revision(name, a_revision(name, content))


def proved(catalogue: Catalogue, *numbers: int, name: str = "bolts") -> None:
    for number in numbers:
        catalogue.prove(name, number, probed=True)


class AgainstAList(RuleBasedStateMachine):
    """Whatever is proved, gone back to, pruned and renamed: the stack is a list, and what it names is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.catalogue = Catalogue.open(create(Path(self.folder.name)))
        self.name, self.stack, self.made = "a", [0][:0], 0
        self.catalogue.add(a_package("a"), Settings(), SUMMARY)

    def teardown(self) -> None:
        self.catalogue.close()
        self.folder.cleanup()

    def kept(self) -> list[int]:
        return [published.number for published in self.catalogue.history(self.name)]

    @rule()
    def publish(self) -> None:
        self.made += 1
        self.catalogue.add_revision(self.name, a_revision(self.name, self.made))

    @rule(number=NUMBERS, probed=st.booleans())
    def prove(self, number: int, probed: bool) -> None:
        if number not in self.kept():
            with pytest.raises(NotFoundError):
                self.catalogue.prove(self.name, number, probed=probed)
            return
        self.catalogue.prove(self.name, number, probed=probed)
        self.stack += [] if self.stack[-1:] == [number] else [number]
        assert self.catalogue.get(self.name).probed is probed

    @rule(number=NUMBERS, probed=st.booleans())
    def go_back(self, number: int, probed: bool) -> None:
        if number in self.kept():
            self.catalogue.go_back(self.name, number, probed=probed)
            while number in self.stack and self.stack[-1] != number:
                self.stack.pop()
            self.stack += [] if self.stack[-1:] == [number] else [number]
            assert self.catalogue.get(self.name).probed is probed

    @precondition(lambda self: self.catalogue.before(self.name))
    @rule()
    def roll_back(self) -> None:
        before = self.catalogue.before(self.name)
        assert before is not None
        self.catalogue.go_back(self.name, before, probed=True)
        self.stack.pop()

    @rule(keep=st.integers(0, 3))
    def prune(self, keep: int) -> None:
        protected = {self.catalogue.get(self.name).revision, *self.stack[-1:]}
        gone = self.catalogue.prune(self.name, keep)
        assert not protected & set(gone)
        left = [number for number in self.stack if number not in gone]
        self.stack = [number for at, number in enumerate(left) if left[at + 1 : at + 2] != [number]]

    @rule()
    def rename(self) -> None:
        new, wanted = {"a": "b", "b": "a"}[self.name], self.catalogue.get(self.name).wanted
        self.catalogue.rename(self.name, new)
        self.name, self.stack = new, []
        record = self.catalogue.get(new)
        assert (record.proved, record.wanted, record.status) == (None, wanted, "imported")

    @invariant()
    def agrees(self) -> None:
        stack = self.catalogue.served(self.name)
        assert stack == self.stack[::-1]
        assert set(stack) <= set(self.kept())
        assert self.catalogue.before(self.name) == (stack[1] if stack[1:] else None)
        record, revision = self.catalogue.get(self.name), self.catalogue.proved(self.name)
        assert record.proved == (revision.number if revision else None) == (stack[0] if stack else None)
        assert [entry.proved for entry in self.catalogue.packages()] == [record.proved]
        if revision:
            assert {file.blob for file in revision.revision.models[0].files if file.blob} <= (
                self.catalogue.referenced_blobs()
            )


AgainstAList.TestCase.settings = hypothesis(max_examples=40, stateful_step_count=20)
TestAgainstAList = AgainstAList.TestCase


def test_the_way_back_is_the_way_that_it_came(catalogue: Catalogue) -> None:
    publish(catalogue, times=3)
    proved(catalogue, 1, 2, 1, 3)
    assert catalogue.before("bolts") == 1  # not the number below
    catalogue.go_back("bolts", 1, probed=True)
    assert catalogue.served("bolts") == [1, 2, 1]
    assert catalogue.before("bolts") == 2
    catalogue.go_back("bolts", 3, probed=True)  # it is not below: it comes on top
    assert catalogue.served("bolts") == [3, 1, 2, 1]


def test_what_is_proved_is_loaded_where_it_was_proved(catalogue: Catalogue) -> None:
    publish(catalogue)
    catalogue.set_status("bolts", "failed", "it was not there")
    catalogue.prove("bolts", 1, probed=False, loaded=False)
    record = catalogue.get("bolts")
    assert (record.status, record.reason, record.wanted, record.proved, record.probed) == ("ready", "", False, 1, False)
    catalogue.prove("bolts", 1, probed=True, server="http://far:8000")
    record, entry = catalogue.get("bolts"), catalogue.packages()[0]
    assert (record.status, record.wanted, record.probed) == ("loaded", True, True)
    assert (record.server, entry.server, entry.wanted) == ("http://far:8000", "http://far:8000", True)
    catalogue.set_status("bolts", "ready")  # the server is gone, and the package still wanted there
    assert catalogue.get("bolts").server == "http://far:8000"
    catalogue.set_status("bolts", "ready", wanted=False)
    assert catalogue.get("bolts").server == ""
    assert catalogue.served("bolts") == [1]


def test_a_change_of_what_is_wanted_is_told_until_it_is_proved(catalogue: Catalogue) -> None:
    def changed() -> bool:
        assert catalogue.packages()[0].changed is catalogue.get("bolts").changed
        return catalogue.get("bolts").changed

    publish(catalogue)
    assert not changed()  # nothing was proved yet
    proved(catalogue, 1)
    wanted = catalogue.get("bolts").settings
    catalogue.set_settings("bolts", replace(wanted, residency="on-demand", idle_seconds=9), SUMMARY)
    assert not changed()  # nothing of it is published
    catalogue.set_settings("bolts", replace(wanted, stages={"s": {"residency": "on-demand"}}), SUMMARY)
    assert not changed()
    catalogue.set_settings("bolts", replace(wanted, stages={"s": {"gpus": (1,)}}), SUMMARY)
    assert changed()
    catalogue.add_revision("bolts", a_revision("bolts", 2))
    assert changed()  # published, and not proved
    proved(catalogue, 2)
    assert not changed()
    catalogue.go_back("bolts", 1, probed=True)
    assert changed()
    catalogue.set_settings("bolts", wanted, SUMMARY)
    assert not changed()
    catalogue.replace("bolts", a_package("bolts", 7), wanted, SUMMARY)
    assert changed()
    catalogue.replace("bolts", a_package("bolts"), wanted, SUMMARY)
    assert not changed()


def test_other_settings_that_render_to_the_same_are_proved_with_it(catalogue: Catalogue) -> None:
    publish(catalogue)
    proved(catalogue, 1)
    wanted = replace(catalogue.get("bolts").settings, tolerances={"cosine": 0.5})
    catalogue.set_settings("bolts", wanted, SUMMARY)
    assert catalogue.get("bolts").changed
    record = catalogue.get("bolts")
    catalogue.prove("bolts", 1, probed=True, source=Source(record.package, record.settings))
    assert not catalogue.get("bolts").changed
    revision = catalogue.proved("bolts")
    assert revision is not None
    assert revision.source == Source(record.package, wanted)
    assert [published.version for published in catalogue.history("bolts")] == [1]


def test_a_canary_of_the_same_content_has_not_changed(catalogue: Catalogue) -> None:
    catalogue.add(a_package("bolts-canary"), Settings(), SUMMARY, canary_of="bolts")
    catalogue.add_revision("bolts-canary", a_revision("bolts-canary", 1))
    proved(catalogue, 1, name="bolts-canary")
    assert not catalogue.get("bolts-canary").changed


def test_a_problem_stands_until_what_is_wanted_is_there_or_other(catalogue: Catalogue) -> None:
    def problem() -> str:
        assert catalogue.packages()[0].problem == catalogue.get("bolts").problem
        return catalogue.get("bolts").problem

    publish(catalogue, times=2)
    proved(catalogue, 1)
    catalogue.set_problem("bolts", "there is no GPU")
    proved(catalogue, 1)  # a restart
    assert problem() == "there is no GPU"
    proved(catalogue, 2)
    assert problem() == ""
    catalogue.set_problem("bolts", "there is no GPU")
    catalogue.set_settings("bolts", Settings(), SUMMARY)
    assert problem() == ""
    catalogue.set_problem("bolts", "there is no GPU")
    catalogue.replace("bolts", a_package("bolts", 3), Settings(), SUMMARY)
    assert problem() == ""


def test_a_rebuilt_catalogue_knows_nothing_that_was_proved(catalogue: Catalogue) -> None:
    publish(catalogue)
    proved(catalogue, 1)
    catalogue.close()
    assert rebuild(catalogue.workspace).packages == ("bolts",)
    again = Catalogue.open(catalogue.workspace)
    assert (again.get("bolts").proved, again.served("bolts"), again.proved("bolts")) == (None, [], None)
