"""A fleet of real servers that read one S3 repository, from a real S3 server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import s3
from tests.support.fleets import PACE, Site, loaded, once, running, under_load
from tests.support.models import scaled
from tests.support.packages import cascade
from tritonpm.core.errors import ServerError
from tritonpm.fleet.waves import Pace
from tritonpm.operations import remote_repository as stores
from tritonpm.operations.fleet import roll_out
from tritonpm.operations.import_package import import_package

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with s3.known() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_AWS_MOUNT_DIRECTORY", str(tmp_path_factory.mktemp("copies")))
        store = server.store("models")
        store.write("theirs/config.pbtxt", b"")  # the repository has to be there when a server starts
        with running(tmp_path_factory.mktemp("a fleet"), "ew", store.url) as made:
            yield made


@pytest.mark.long
def test_a_fleet_on_a_store_moves_or_goes_back(site: Site, tmp_path: Path) -> None:
    one, two, three = (
        cascade(tmp_path / f"{factor:g}", scaled(2.0, result="m"), scaled(factor, source="m"))
        for factor in (3.0, 5.0, 7.0)
    )
    import_package(site.context, one)
    roll_out.load(site.context, "prod", "c", pace=Pace(wave="100%"))
    assert site.answers("c") == [6.0, 6.0]
    with under_load(site, "c") as seen:
        roll_out.upgrade(site.context, "prod", "c", two, PACE)
    assert seen.failures == [[], []]
    assert [(set(answers), answers[-1]) for answers in seen.answers] == [({6.0, 10.0}, 10.0)] * 2
    site.when = once("Moving c, wave 2", lambda: os.kill(site.servers[1].pid, signal.SIGKILL))
    with under_load(site, "c") as seen, pytest.raises(ServerError, match="that answers serves what it served before"):
        roll_out.upgrade(site.context, "prod", "c", three, PACE)
    assert (seen.failures[0], seen.answers[0][-1]) == ([], 10.0)
    assert site.status().servers[1].state == "not live"
    site.start(1)
    assert site.answers("c") == [10.0, None]
    assert site.synchronise()[1] == (site.servers[1].http, "loaded c", "")
    assert site.answers("c") == [10.0, 10.0]
    store = stores.opened(site.elsewhere)
    assert not [path for path in store.listed("") if ".next" in path]
    assert [damage.kind for damage in stores.verify(store, "c")] == []
    assert [len(loaded(server)) for server in site.servers] == [3, 3]
