"""The connection to the server breaks, at any request of any change: what is served is what is recorded, or it is told.

tritonpm talks to a real Triton through a wire that is cut, hangs, or loses the reply to what the server has done.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.support.consistency import apart, consistent, impatient
from tests.support.load import under_load
from tests.support.models import WIDTH, scaled
from tests.support.packages import cascade, single
from tests.support.proxy import FAULTS, Proxy
from tests.support.workspaces import QUICKLY, opened, running
from tritonpm.core.errors import ServerError, TritonpmError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.list import packages
from tritonpm.operations.load import load
from tritonpm.operations.rollback import rollback
from tritonpm.operations.serve import serve
from tritonpm.operations.set import change_live
from tritonpm.operations.show import show
from tritonpm.operations.stop import stop
from tritonpm.operations.sync import sync
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import upgrade
from tritonpm.triton.client import Client

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]
ROUNDS = int(os.environ.get("TRITONPM_KILLS", "4"))
MOST_REQUESTS = 24  # of one change; a fault after the last one strikes nobody
FACTORS = {"1": 2.0, "2": 5.0}  # of the two versions of p


@dataclass(frozen=True)
class Site:
    """A workspace with its server, and the same workspace behind wires that can break, by protocol."""

    direct: Context
    wires: dict[str, Proxy]
    wired: dict[str, Context]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("a workspace")
    init(root)
    direct = opened(root)
    serve(direct, None, **QUICKLY)
    try:
        with Proxy(running(direct).http) as http, Proxy(running(direct).grpc) as grpc:
            wires = {"http": http, "grpc": grpc}
            urls = {protocol: f"{protocol}://{wire.address}" for protocol, wire in wires.items()}
            yield Site(direct, wires, {each: impatient(root, urls[each]) for each in urls})
    finally:
        stop(direct, 15)


def broken(site: Site, wire: Proxy, change: Callable[[], object]) -> str:
    """Do `change` over a wire that breaks; what it said. What is recorded must be served, at the latest after sync."""
    said = ""
    try:
        change()
    except TritonpmError as error:
        said = str(error)
    finally:
        wire.heal()
    if sentences := apart(site.direct):
        assert "tritonpm sync" in said, (said, sentences)
        assert [reason for *_, reason in sync(site.direct) if reason] == []
        assert apart(site.direct) == [], (said, sentences)
    consistent(site.direct)
    return said


def changes(wired: Context, sources: Sequence[Path], number: int) -> tuple[Callable[[], object], ...]:
    """What is done to p, which is loaded and has two revisions, and to the cascade q."""
    catalogue = wired.catalogue
    current = catalogue.get("p").package.version
    return (
        lambda: load(wired, "q"),
        lambda: change_live(wired, "p", {"max_batch_size": number % 7 + 2}),
        lambda: upgrade(wired, "p", next(each for each in sources if each.name != current)),
        lambda: rollback(wired, "p", next(h.number for h in catalogue.history("p") if not h.current)),
        lambda: unload(wired, "q"),
    )


def test_any_request_of_any_change_may_be_lost_and_clients_do_not_notice(site: Site, tmp_path: Path) -> None:
    context, dice = site.direct, random.Random(11)
    sources = [versioned(single(tmp_path / version, scaled(factor)), version) for version, factor in FACTORS.items()]
    import_package(context, sources[0])
    import_package(context, cascade(tmp_path / "q", scaled(2.0, result="m"), scaled(3.0, source="m"), name="q"))
    load(site.direct, "p")
    upgrade(site.direct, "p", sources[1])
    struck = told = 0
    with under_load(site.direct, "p", clients=2) as seen:
        for number in range(ROUNDS):
            protocol, fault, lasting = dice.choice(sorted(site.wires)), dice.choice(FAULTS), dice.random() < 0.5
            wire, wired, kind = site.wires[protocol], site.wired[protocol], number % 5
            (unload if kind == 0 else load)(site.direct, "q")
            change = changes(wired, sources, number)[kind]
            wire.arm(fault, dice.randrange(MOST_REQUESTS), lasting=lasting)
            said = broken(site, wire, change)
            struck, told = struck + wire.struck, told + bool(said)
            assert not show(context, "p").pending, "its settings are not those of the revision that serves"
    assert struck > 0
    assert seen.failures == []
    assert set(seen.answers) <= set(FACTORS.values())
    print(f"{struck} connections broken, {told} sentences, {len(seen.answers)} requests, nothing lost")


def versioned(folder: Path, version: str) -> Path:
    """The package with its version in its manifest."""
    manifest = folder / "package.yaml"
    manifest.write_text(manifest.read_text().replace('version: "1"', f'version: "{version}"'))
    return folder


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_client_is_answered_rightly_or_told(site: Site, tmp_path: Path, protocol: str) -> None:
    """Each request has an answer of its own: one that came late, or for another request, would be seen."""
    if "r" not in {entry.name for entry in packages(site.direct.catalogue)}:
        import_package(site.direct, single(tmp_path / "r", scaled(4.0), name="r"))
    load(site.direct, "r")
    server, dice, told, number = running(site.direct), random.Random(5), 0, 0
    with Proxy(getattr(server, protocol)) as wire:
        for fault in FAULTS:
            with Client(wire.address, protocol=protocol, timeout=0.7) as client:
                wire.arm(fault, dice.randrange(4))
                for _ in range(6):
                    number += 1
                    try:
                        answer = client.infer("r", {"x": np.full((1, WIDTH), number, np.float32)})
                    except TritonpmError as error:
                        assert isinstance(error, ServerError), error
                        told += 1
                    else:
                        assert np.array_equal(answer["y"], np.full((1, WIDTH), 4.0 * number, np.float32))
            wire.heal()
    assert told
