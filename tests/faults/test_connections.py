"""The connection to the server breaks, at any request of any change: what is served is what is recorded, or it is told.

The manager talks to a real Triton through a wire that is cut, hangs, or loses the reply to what the server has done.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.catalogue.test_kills import consistent
from tests.faults.proxy import CUT, FAULTS, HANG, LOST, MUTE, REFUSED, TORN, Proxy
from tests.test_optimising import WIDTH, scaled, single
from tests.test_switching import under_load
from tritonpm.errors import ServerError, TritonpmError
from tritonpm.manager import Manager, init
from tritonpm.serving import Serving
from tritonpm.switching import Switching
from tritonpm.triton.client import Client
from tritonpm.upkeep import drift, sync

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]
ROUNDS = int(os.environ.get("TRITONPM_KILLS", "10"))
MOST_REQUESTS = 30  # of one change; a fault after the last one strikes nobody


class Impatient(Serving):
    """Short time limits: what hangs is given up soon."""

    @contextmanager
    def client(self, protocol: str = "http", *, load_timeout: float = 5.0) -> Iterator[Client]:
        assert self.manager.url is not None
        with Client(self.manager.url, protocol=protocol, timeout=1.0, load_timeout=min(5.0, load_timeout)) as client:
            yield client


@dataclass(frozen=True)
class Site:
    """A workspace with its server, and the same workspace behind a wire that can break."""

    direct: Serving
    wired: Serving
    wire: Proxy


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("a workspace")
    init(root)
    direct = Serving(Manager.open(root))
    direct.serve(None, detach=True, timeout=60, standard_ports=False)
    assert direct.server is not None
    try:
        with Proxy(direct.server.http) as wire:
            yield Site(direct, Impatient(Manager.open(root, server=wire.address)), wire)
    finally:
        direct.stop(15)


def agreed(serving: Serving) -> list[str]:
    with serving.client() as client:
        return drift(serving.manager, client)


def broken(site: Site, fault: str, after: int, change: Callable[[], object], *, lasting: bool = False) -> str:
    """Do `change` over a wire that breaks; what it said. Then what is recorded must be served, at the latest after sync."""
    site.wire.arm(fault, after, lasting=lasting)
    said = ""
    try:
        change()
    except TritonpmError as error:
        said = str(error)
    finally:
        site.wire.heal()
    if apart := agreed(site.direct):
        assert "tritonpm sync" in said, (fault, after, lasting, said, apart)
        assert [reason for *_, reason in sync(site.direct) if reason] == []
        assert agreed(site.direct) == [], (fault, after, lasting, said, apart)
    consistent(site.direct.manager)
    return said


def test_any_request_of_any_change_may_be_lost_and_clients_do_not_notice(site: Site, tmp_path: Path) -> None:
    manager, dice = site.direct.manager, random.Random(11)
    sources = [single(tmp_path / str(factor), scaled(factor), name="p") for factor in (2.0, 5.0)]
    other = single(tmp_path / "q", scaled(3.0), name="q")
    manager.import_package(sources[0])
    manager.import_package(other)
    site.direct.load("p")
    switching = Switching(site.wired)
    number = 0

    def changes() -> Mapping[str, Callable[[], object]]:
        return {
            "load": lambda: site.wired.load("q"),
            "set": lambda: switching.set("p", {"max_batch_size": number % 7 + 2}),
            "upgrade": lambda: switching.upgrade("p", sources[number // 6 % 2]),
            "roll back": lambda: switching.roll_back("p"),
            "unload": lambda: site.wired.unload("q"),
        }

    struck = told = 0
    with under_load(site.direct, "p", clients=2) as seen:
        for number in range(ROUNDS):
            name, change = list(changes().items())[number % 5]
            fault, lasting = dice.choice(FAULTS), dice.random() < 0.5
            said = broken(site, fault, dice.randrange(MOST_REQUESTS), change, lasting=lasting)
            print(number, name, fault, lasting, said)
            struck, told = struck + site.wire.struck, told + bool(said)
    assert struck > 0
    assert seen.failures == []
    assert set(seen.answers) <= {2.0, 5.0}
    print(f"{struck} connections broken, {told} sentences, {len(seen.answers)} requests, nothing lost")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_client_is_answered_rightly_or_told(site: Site, tmp_path: Path, protocol: str) -> None:
    """Each request has an answer of its own: one that came late, or for another request, would be seen."""
    if "r" not in {entry.name for entry in site.direct.manager.packages()}:
        site.direct.manager.import_package(single(tmp_path / "r", scaled(4.0), name="r"))
    site.direct.load("r")
    server, dice, told, number = site.direct.server, random.Random(5), 0, 0
    assert server is not None
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
