"""Any operations in any order, with any of them killed, on one real server: everything agrees after each step.

The machine knows for each package what is wanted, what is published, what was proved and what must be answered: a
change that fails or is killed leaves the old or the new, and what a restart brings back is what was proved. `TRITONPM_EXAMPLES=N` makes N examples of 30 steps, of another seed each time; it prints what it did.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from tests.support.faults.acting import MOMENT, Fate
from tests.support.faults.house import BAD, CASCADES, CONTENTS, FOREIGN, KILL, House, Made
from tests.support.faults.knowing import Found, Kept, Knowing, chosen, guarded, of_a_package
from tritonpm.operations import usage
from tritonpm.operations.drift import drift
from tritonpm.operations.list import packages
from tritonpm.operations.projects import projects
from tritonpm.operations.server import connect
from tritonpm.operations.stop import stop
from tritonpm.operations.upgrade import exchange
from tritonpm.operations.use import release, use
from tritonpm.operations.verify import mend, verify
from tritonpm.settings.settings import Settings

EXAMPLES = int(os.environ.get("TRITONPM_EXAMPLES", "0"))
NAMES = ("a", "b", "c")
BATCHES = (2, 3, 4)
FIRST = Settings()


_COMMON = settings(
    database=None, print_blob=False, report_multiple_bugs=False,
    phases=[Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip
SHORT_RUN = settings(_COMMON, derandomize=True, max_examples=4, stateful_step_count=8)
LONG_RUN = settings(_COMMON, derandomize=False, max_examples=EXAMPLES or 1, stateful_step_count=30)


def fates(most: int) -> st.SearchStrategy[Fate | None]:
    """None, or one of the first `most` moments, which not every operation has."""
    victims = [None, "manager", "manager", "server"]
    drawn = st.tuples(st.sampled_from(victims), st.integers(1, most))
    return drawn.map(lambda both: Fate(both[0], both[1]) if both[0] else None)


GOOD = [content for content in CONTENTS if content != BAD]
SHORT, LONG = fates(80), fates(240)
ANY = st.integers(0, 11)  # one of those that are there by then: what is drawn may not depend on how a kill came out


class Machine(Knowing):
    """What can happen, and what must hold after it."""

    @initialize(first=st.sampled_from(GOOD), second=st.sampled_from(CONTENTS))
    @guarded
    def two_packages(self, first: str, second: str) -> None:
        for content in (first, second):
            self.import_(0, content, None)
        self.load(which=0, fate=None)

    # Operations

    @rule(which=ANY, content=st.sampled_from(CONTENTS), fate=SHORT)
    @guarded
    def import_(self, which: int, content: str, fate: Fate | None) -> None:
        name = chosen(which, set(NAMES) - set(self.kept))
        if not name:
            return
        made = Made(content, FIRST.max_batch_size, FIRST.precision)
        error = "SameContentError" if self.taken(content) else ""
        self.do({name: Kept(made)}, error, fate, "import", name, str(self.house.sources[content]))

    @rule(which=ANY, batch=st.sampled_from(BATCHES), fate=SHORT)
    @guarded
    @of_a_package
    def set(self, name: str, batch: int, fate: Fate | None) -> None:
        kept = self.kept[name]
        if kept.made.half:
            return
        after = replace(kept, made=replace(kept.made, batch=batch))
        self.do({name: after}, self.in_use(name), fate, "set", name, {"max_batch_size": batch})

    @rule(which=ANY, batch=st.sampled_from(BATCHES), fate=LONG)
    @guarded
    @of_a_package
    def set_live(self, name: str, batch: int, fate: Fate | None) -> None:
        kept = self.kept[name]
        if kept.made.half:
            return
        error = "" if kept.made.good or not kept.live else "WrongAnswerError"
        made = replace(kept.made, batch=batch)
        self.do({name: kept.switched(made)}, error, fate, "set live", name, {"max_batch_size": batch}, meant=made)

    @rule(which=ANY, half=st.booleans())
    @guarded
    @of_a_package
    def set_precision(self, name: str, half: bool) -> None:
        kept = self.kept[name]
        if kept.made.content == BAD or kept.made.content in CASCADES:
            return
        precision, optimizer = ("FP16", "openvino") if half else ("FP32", "none")
        changes = {"precision": precision, "optimizer": optimizer, "max_batch_size": FIRST.max_batch_size}
        after = kept.switched(Made(kept.made.content, FIRST.max_batch_size, precision))
        self.do({name: after}, "", None, "set live", name, changes)

    @rule(which=ANY, content=st.sampled_from(CONTENTS), fate=LONG)
    @guarded
    @of_a_package
    def upgrade(self, name: str, content: str, fate: Fate | None) -> None:
        kept = self.kept[name]
        if kept.made.half and (content == BAD or content in CASCADES):
            return
        error = "SameContentError" if self.taken(content, name) else ""
        if not error and kept.live and content == BAD:
            error = "WrongAnswerError"
        made = replace(kept.made, content=content)
        source = str(self.house.sources[content])
        self.do({name: kept.switched(made)}, error, fate, "upgrade", name, source, meant=made)

    @rule(which=ANY, fate=LONG)
    @guarded
    @of_a_package
    def roll_back(self, name: str, fate: Fate | None) -> None:
        kept, stack = self.kept[name], self.stacks[name]
        changed = bool(stack) and self.revisions[name][stack[0]] != kept.made  # what never served is given up first
        before = stack if changed else [number for number in stack if number != stack[0]]
        made = self.revisions[name][before[0]] if before else kept.made
        error = "" if before else "NotFoundError"
        if not error and self.taken(made.content, name):
            error = "SameContentError"
        self.do({name: kept.switched(made)}, error, fate, "roll back", name)
        if kept.served and not error and not fate:
            assert self.stacks[name] == stack[stack.index(before[0]) :]

    @rule(which=ANY, fate=SHORT)
    @guarded
    @of_a_package
    def load(self, name: str, fate: Fate | None) -> None:
        kept = self.kept[name]
        error = "" if kept.made.good else "WrongAnswerError"
        after = kept.loaded()
        if name in self.foreign:
            error, after = "StorageError", kept
        self.do({name: after}, error, fate, "load", name, refused=after)
        self.strays.discard(name)
        assert fate or error or not self.house.models(name) & self.damaged

    @rule(which=ANY, force=st.booleans(), fate=fates(30))
    @guarded
    @of_a_package
    def unload(self, name: str, force: bool, fate: Fate | None) -> None:
        after = replace(self.kept[name], wanted=False, served=None)
        error = "" if force else self.in_use(name)
        self.do({name: after}, error, fate, "unload", name, force)
        if not error:
            self.strays.discard(name)

    @rule(which=ANY, free=ANY, fate=SHORT)
    @guarded
    @of_a_package
    def rename(self, name: str, free: int, fate: Fate | None) -> None:
        other = chosen(free, set(NAMES) - set(self.kept))
        if not other:
            return
        error = self.in_use(name) or ("BusyError" if self.kept[name].served else "")
        after = Kept(self.kept[name].made, wanted=self.kept[name].wanted)
        self.do({name: None, other: after}, error, fate, "rename", name, other)

    @rule(which=ANY, fate=SHORT)
    @guarded
    @of_a_package
    def remove(self, name: str, fate: Fate | None) -> None:
        error = self.in_use(name) or ("BusyError" if self.kept[name].served else "")
        self.do({name: None}, error, fate, "remove", name)

    @rule(which=ANY, keep=st.integers(1, 3), fate=fates(60))
    @guarded
    @of_a_package
    def prune(self, name: str, keep: int, fate: Fate | None) -> None:
        known, number = self.revisions[name], self.house.context.catalogue.get(name).revision
        stack = self.stacks[name]
        left = {n: known[n] for n in known if n in (number, *stack[:1]) or n in sorted(known)[-keep:]}
        self.revisions[name] = {}
        error = self.in_use(name)
        del self.stacks[name]
        self.do({name: self.kept[name]}, error, fate, "prune", name, keep)
        assert self.revisions[name] in ([known] if error else [known, left] if fate else [left])
        served = [n for n in stack if n in self.revisions[name]]
        assert self.stacks[name] == [n for n, _ in groupby(served)]

    @rule(which=ANY, project=st.sampled_from(["LINE-3", "LINE-4"]))
    @guarded
    @of_a_package
    def use(self, name: str, project: str) -> None:
        self.count("use", name, project)
        use(self.house.context, name, project, 3600)
        self.leases.add((name, project))

    @rule(which=ANY)
    @guarded
    def release(self, which: int) -> None:
        if lease := chosen(which, self.leases):
            self.count("release", *lease)
            assert release(self.house.context, *lease)
            self.leases.discard(lease)

    @rule(fate=SHORT)
    @guarded
    def mend(self, fate: Fate | None) -> None:
        self.do({}, "", fate, "mend", "")
        assert fate or not self.damaged

    @rule()
    @guarded
    def sync(self) -> None:
        self.count("sync")
        self.synced({})

    # Faults

    @rule(seldom=st.integers(0, 2), killed=st.booleans())
    @guarded
    def end_the_server(self, seldom: int, killed: bool) -> None:
        if seldom:
            return
        self.count(f"{KILL} server at rest" if killed else "restart")
        self.house.kill_server() if killed else stop(self.house.context, 20)
        self.restarted({})

    @rule(which=ANY, dependents=st.booleans())
    @guarded
    @of_a_package
    def unload_behind_our_back(self, name: str, dependents: bool) -> None:
        others = {model for other in self.serving() if other != name for model in self.house.models(other)}
        dependents = dependents and not others & self.house.models(name)
        with connect(self.house.context) as client:
            client.unload_and_wait(name, dependents=dependents)
        if self.kept[name].served and not dependents:
            self.strays.add(name)
        self.kept[name] = replace(self.kept[name], served=None)
        self.count("unload behind our back", name, dependents)

    @rule(which=ANY)
    @guarded
    @of_a_package
    def load_behind_our_back(self, name: str) -> None:
        kept = self.kept[name]
        if kept.current is None or self.house.models(name) & self.damaged or name in self.foreign:
            return
        with connect(self.house.context) as client:
            client.load_and_wait(name)
        self.kept[name] = replace(kept, served=kept.current)
        self.count("load behind our back", name)

    @rule(which=ANY, model=ANY, file=ANY, edited=st.booleans())
    @guarded
    @of_a_package
    def somebody_changes_a_file(self, name: str, model: int, file: int, edited: bool) -> None:
        meant = chosen(model, self.house.models(name) - self.damaged)
        if not meant:
            return
        root = self.house.repository / meant
        place = chosen(file, [root, *(path for path in root.rglob("*") if path.is_file())])
        assert place
        if place.is_dir():
            shutil.rmtree(place)
        elif place.suffix == ".pbtxt" and edited:
            place.write_text(place.read_text() + "# mine\n")
        else:
            place.unlink()
        self.damaged.add(meant)
        self.count("file changed", place.relative_to(self.house.repository), edited)
        assert meant in {each.name.partition("/")[0] for each in verify(self.house.context) if each.kind == "file"}

    @rule(which=ANY, stage=ANY, byte=st.floats(0, 1, exclude_max=True))
    @guarded
    @of_a_package
    def a_blob_rots_and_is_healed(self, name: str, stage: int, byte: float) -> None:
        context, package = self.house.context, self.house.context.catalogue.get(name).package
        if self.damaged:
            return
        blob = context.blobs.path(package.file(package.stages[stage % len(package.stages)].model).digest)
        self.count("blob rotten")
        rot(blob, byte)
        assert f"sha256:{blob.name}" in {each.name for each in verify(context) if each.kind == "blob"}
        assert mend(context)[1]
        assert not blob.exists()
        exchange(context, name, self.house.sources[self.kept[name].made.content])
        mend(context)

    @rule(which=ANY)
    @guarded
    def somebody_puts_a_folder(self, which: int) -> None:
        name = chosen(which, set(NAMES) - set(self.kept) - self.foreign)
        if not name:
            return
        (self.house.repository / name).mkdir()
        (self.house.repository / name / "config.pbtxt").write_text(FOREIGN)
        self.foreign.add(name)
        self.count("foreign folder", name)

    @rule(which=ANY)
    @guarded
    def somebody_takes_it_away(self, which: int) -> None:
        if name := chosen(which, self.foreign):
            self.count("foreign folder gone", name)
            shutil.rmtree(self.house.repository / name)
            self.foreign.discard(name)

    # What must hold after each step

    @invariant()
    @guarded
    def packages_are_as_known(self) -> None:
        house = self.house
        assert {entry.name for entry in packages(house.context.catalogue)} == set(self.kept)
        assert {name: self.seen(name) for name in self.kept} == self.kept
        assert {(lease.package, lease.project) for lease in projects(house.context)} == self.leases
        assert {p.stem for p in house.context.workspace.records.iterdir()} == set(self.kept)

    @invariant()
    @guarded
    def what_lies_there_is_what_a_restart_brings_back(self) -> None:
        for kept in self.kept.values():
            assert kept.proved is None or kept.current == kept.proved

    @invariant()
    @guarded
    def revisions_are_as_known(self) -> None:
        for name in self.kept:
            assert self.house.revisions(name) == self.revisions[name]

    @invariant()
    @guarded
    def the_disk_is_as_recorded(self) -> None:
        house = self.house
        owned = {model for name in self.kept for model in house.models(name)}
        gone = {model for model in self.damaged if not (house.repository / model).exists()}
        assert {path.name for path in house.repository.iterdir()} == (owned - gone) | self.foreign
        assert house.wrong_files() == self.damaged
        assert all((house.repository / name / "config.pbtxt").read_text() == FOREIGN for name in self.foreign)
        for digest in house.context.catalogue.referenced_blobs():
            house.context.blobs.verify(digest)
        assert {damage.name.partition("/")[0] for damage in verify(house.context)} == self.damaged | self.foreign

    @invariant()
    @guarded
    def nothing_is_left_over(self) -> None:
        workspace = self.house.context.workspace
        assert self.house.context.catalogue.open_intents() == []
        assert list(workspace.staging.iterdir()) == []
        assert self.house.context.catalogue.jobs.busy() == {}

    @invariant()
    @guarded
    def the_server_is_as_known(self) -> None:
        house = self.house
        ready, serving = house.ready(), self.serving()
        if all(self.kept[name].served == self.kept[name].current for name in serving):
            must = {model for name in serving for model in house.models(name)}
            assert must <= ready <= must.union(*(house.models(name) for name in self.strays))
        with connect(house.context) as client:
            sentences = drift(house.context, client)
        assert {sentence.partition(" ")[0].rstrip(":") for sentence in sentences} == {
            n for n in self.kept if self.drifts(n)
        }

    def teardown(self) -> None:
        """The house is left as it was found, which also shows that nothing stays in the way."""
        if not self.house.broken:
            self.empty()

    @guarded
    def empty(self) -> None:
        while self.foreign:
            self.somebody_takes_it_away(0)
        while self.leases:
            self.release(0)
        while self.kept:
            self.unload(which=0, force=True, fate=None)
            self.remove(which=0, fate=None)
        house = self.house
        assert list(house.repository.iterdir()) == []
        assert house.ready() == set()
        assert list(house.context.workspace.records.iterdir()) == []
        assert list(house.blobs()) == []


def rot(path: Path, where: float) -> None:
    """One bit flips, so far into the file."""
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1
    with path.open("r+b") as stream:  # the very file that hard links share
        stream.write(content)


@pytest.mark.server
@pytest.mark.timeout(3600 if EXAMPLES else 300)
def test_everything_agrees_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_MOMENT", MOMENT)
    house = House(tmp_path)
    try:
        run_state_machine_as_test(lambda: Machine(house), settings=LONG_RUN if EXAMPLES else SHORT_RUN)
    except Found as found:
        raise AssertionError(f"in example {house.examples}, after\n{found}") from found.__cause__
    finally:
        stop(house.context, 20)
    print(house.told())
