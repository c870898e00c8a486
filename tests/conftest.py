"""What all tests share: an embedded server on a repository of its own, gone at the end whatever happens."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, settings

from tests.support import registries as servers
from tests.support.running import Running
from tritonpm.core.apart import Apart
from tritonpm.triton import compiled, embedded

SOON = "not long"  # what script/test runs without --all
MODULES = 20  # that share a process: what one leaves in its memory counts against the limits of the next
# How long an example takes says how busy the machine is, and fails nothing.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soon", settings.get_profile("any machine"), max_examples=40)  # CI tries hypothesis's hundred


@pytest.fixture(scope="session")
def kept_apart() -> tuple[threading.local, Iterator[int]]:
    """The process that modules share, one for each thread, with which it ends; and how many modules have done so."""
    return threading.local(), count(1)


@pytest.fixture(scope="module", autouse=True)
def one_process_apart(
    request: pytest.FixtureRequest, kept_apart: tuple[threading.local, Iterator[int]]
) -> Iterator[None]:
    """What is read and tried apart is so in one process for many modules, which spares its imports each time.

    A module that says `FRESH = True` has a process for each import, as users have.
    """
    if getattr(request.module, "FRESH", False):
        yield
        return
    kept, modules = kept_apart

    def shared(self: Apart) -> None:
        if not hasattr(kept, "state"):
            kept.state = {"_process": None, "_log": None}
        self.__dict__ = kept.state

    close = Apart.close
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Apart, "__init__", shared)
        patch.setattr(Apart, "__exit__", lambda *_: None)
        yield
        if next(modules) % MODULES == 0:
            close(Apart())


@pytest.fixture(scope="module")
def python_backends() -> Iterator[None]:
    """Servers that are started from now on have Python-based backends: a process (stub) for each instance."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(compiled.VARIABLE, "python")
        yield


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server on an empty repository, in a path with a blank."""
    root = tmp_path_factory.mktemp("a server")
    (root / "models").mkdir()
    server = embedded.start(embedded.find(), root / "models", root / "state")
    try:
        yield Running(server, root / "models", root / "state")
    finally:
        embedded.stop(server, root / "state", timeout=15)


def pytest_configure(config: pytest.Config) -> None:
    """The tests that are not long try less of what they make up.

    Ctrl-C reaches what tests start also where the suite runs in the background, which ignores it and hands that on."""
    settings.load_profile("soon" if config.option.markexpr == SOON else "any machine")
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Modules all of whose tests are long are not even imported without them: torch and scikit-learn take seconds."""
    if config.option.markexpr != SOON or collection_path.suffix != ".py":
        return None
    return bool(re.search(r"^pytestmark = .*\bmark\.long\b", collection_path.read_text(encoding="utf-8"), re.M)) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast ones first: those that need a server come last."""
    items.sort(key=lambda item: item.get_closest_marker("server") is not None)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs certificates here."""
    return trustme.CA()


@pytest.fixture
def web(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.Web]:
    """An encrypted web server whose certificate is trusted."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with servers.web(authority.issue_cert("127.0.0.1")) as server:
        yield server


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An OCI registry; HOST:PORT."""
    with servers.oci(tmp_path_factory.mktemp("oci") / "registry") as place:
        yield place
