"""The use cases that need a server: serve, load with a probe, unload, status, infer."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonpm.core.errors import BusyError, NotFoundError, PackageError, ServerError, TritonpmError
from tritonpm.core.rollback import UNKNOWN, undone
from tritonpm.core.tensors import Array, as_served, load_npz, save_npz
from tritonpm.fleet.context import fleets_with
from tritonpm.operations import probe as probing
from tritonpm.operations import status as standing
from tritonpm.operations import views
from tritonpm.operations.memory import require_room_on_gpus, room_for
from tritonpm.operations.on_demand import make_room, remember_host
from tritonpm.operations.upkeep import drift, serves
from tritonpm.settings.settings import ON_DEMAND
from tritonpm.triton import embedded
from tritonpm.triton.client import Client, Connection
from tritonpm.triton.ensembles import foreign_users, unload_unneeded

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.operations.manager import Manager


_LOOK_EVERY = 0.2  # seconds
_MOMENT = 0.3  # seconds in which requests are counted


class Serving:
    """The server of a manager's workspace: the one that it runs, or the one that `--server` names."""

    def __init__(self, manager: Manager) -> None:
        self.manager, self.state = manager, manager.workspace.server

    @cached_property
    def server(self) -> embedded.Server | None:
        """The server that this workspace runs."""
        return embedded.running(self.state)

    @contextmanager
    def client(self, protocol: str = "http", *, load_timeout: float = 600.0) -> Iterator[Client]:
        """A connection. Raises ServerError where there is no server to connect to."""
        connection = Connection.to(self.manager.server)
        with ExitStack() as around:
            if connection is None:
                if self.server is None:
                    do = "start one with `tritonpm serve --detach`"
                    raise ServerError("no server runs for this workspace", do=do)
                around.enter_context(embedded.guarded(self.server, self.state))
                connection = Connection(self.server.http if protocol == "http" else self.server.grpc)
            yield around.enter_context(Client.of(connection, protocol=protocol, load_timeout=load_timeout))

    # The server

    def serve(self, tritonserver: Path | None, *, detach: bool, timeout: float, **address: object) -> views.ServerView:
        """Start the server. Raises ServerError, BusyError."""
        from tritonpm.hardware import target

        with self.manager.changing("serve"):
            for record in self.manager.catalogue.packages():
                if record.status == "loaded":  # of a server that is gone
                    self.manager.catalogue.set_status(record.name, "ready")
        with self.manager.progress("Starting Triton"):
            server = embedded.start(
                embedded.find(tritonserver),
                self.manager.workspace.repository,
                self.state,
                detach=detach,
                timeout=timeout,
                gpu=bool(target().gpus),
                **{"standard_ports": True, **address},  # type: ignore[arg-type]
            )
        self.__dict__["server"] = server
        return views.ServerView(server.version, server.pid, server.http, server.grpc, server.metrics, server.log)

    def load_wanted(self) -> Iterator[tuple[str, str]]:
        """Load what was loaded when the last server ended: (name, why not)."""
        for name in self.manager.catalogue.wanted():
            try:
                self.load(name)
            except TritonpmError as error:
                yield name, str(error)
            else:
                yield name, ""

    def wait(self, say: Callable[[str], None]) -> None:
        """Stay with the server and keep it alive, until we are interrupted; then end it. Raises ServerError."""
        import signal

        from tritonpm.operations.supervise import supervise

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, interrupt)
        try:
            supervise(self, say)
        except KeyboardInterrupt:
            pass
        finally:
            if server := embedded.running(self.state):
                embedded.stop(server, self.state)

    def supervised(self) -> None:
        """Have a process of its own keep the server alive that was started detached."""
        with (self.state / "supervisor.log").open("ab") as log:
            subprocess.Popen(
                [sys.executable, "-m", "tritonpm.operations.supervise", str(self.manager.workspace.root)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def stop(self, timeout: float) -> bool:
        """End the server; whether there was one."""
        embedded.tell_to_stop(self.state)
        server = embedded.running(self.state)
        if server is None:
            embedded.sweep(self.state)
            return False
        with self.manager.progress("Stopping Triton"):
            embedded.stop(server, self.state, timeout=timeout)
        return True

    def logs(self, lines: int, *, follow: bool) -> Iterator[str]:
        """The last lines of the server's log, and with `follow` what comes after them."""
        log = Path(self.server.log) if self.server else self.state / "triton.log"
        if not log.is_file():
            raise NotFoundError("there is no log yet", where=str(log), do="start a server with `tritonpm serve`")
        with log.open(encoding="utf-8", errors="replace") as stream:
            yield from (line.rstrip("\n") for line in stream.readlines()[-lines:])
            while follow:
                if line := stream.readline():
                    yield line.rstrip("\n")
                else:
                    time.sleep(0.2)

    # Models

    def is_loaded(self, name: str) -> bool:
        """Whether the server has the package's model; False where no server runs."""
        if self.manager.server is None and self.server is None:
            return False
        with self.client() as client:
            return client.ready(name)

    def users(self, name: str) -> list[str]:
        """Who uses a package: the projects that said so, and clients that did not, known by what they send.

        Requests are counted over a moment, so that a clock that was set is no client; and not over the first one, since
        Triton counts an answer, such as that to a probe of ours, a moment after it was given.
        """
        found = [*self.manager.catalogue.leases.users().get(name, ()), *fleets_with(self.manager.workspace.state, name)]
        if self.manager.server is None and self.server is None:
            return found
        with suppress(ServerError, NotFoundError), self.client() as client:
            if client.ready(name):
                counts = []
                for _ in range(2):
                    time.sleep(_MOMENT)
                    counts.append(sum(each.inferences for each in client.statistics(name)))
                if (more := counts[1] - counts[0]) > 0:
                    found.append(f"clients that are not registered ({more / _MOMENT:.0f} inferences/s)")
        return found

    def load(self, name: str, *, probe: bool = True, timeout: float = 300.0, wait: float = 0.0) -> views.Loaded:
        """Publish, load, read back, and prove by an inference; `wait` seconds for a server that is coming up.

        Raises ServerError; the package is then failed, and what served before serves again.
        """
        self.manager.optimising.ensure(name)
        self._await(wait)
        with self.client(load_timeout=timeout) as client, self.manager.changing(f"load {name}"):
            return self.loaded(client, name, probe=probe, timeout=timeout)

    def reload(self, name: str, *, timeout: float = 300.0) -> views.Loaded:
        """Write a loaded package's files anew, and have the server load them beside what serves. Raises ServerError."""
        manager = self.manager
        if not self.is_loaded(name):
            raise ServerError(f"{name} is not loaded", do=f"`tritonpm load {name}`")
        with self.client(load_timeout=timeout) as client, manager.changing(f"reload {name}"):
            models = manager.models(name)
            with manager.catalogue.intent("reload", models):
                manager.settle(models, anew=True)
            return self.loaded(client, name, timeout=timeout)

    def ensure(self, name: str) -> None:
        """Load an on-demand package that is not loaded: somebody is about to use it. Raises ServerError."""
        with suppress(NotFoundError):  # a model that the workspace does not know
            if self.manager.catalogue.get(name).settings.residency == ON_DEMAND and not self.is_loaded(name):
                self.load(name)

    def _await(self, seconds: float) -> None:
        """Until a server answers, at most so long; whoever needs it then says that there is none."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.__dict__.pop("server", None)
            with suppress(ServerError), self.client() as client:
                if client.live():
                    return
            time.sleep(_LOOK_EVERY)

    def loaded(self, client: Client, name: str, *, probe: bool = True, timeout: float = 300.0) -> views.Loaded:
        """`load`, for who holds the workspace's lock and a connection."""
        manager = self.manager
        if not client.live():
            raise ServerError("no Triton answers", where=client.where, do="start one, or check the URL")
        before = self._answering(client, name)
        revision = manager.publish(name)
        offset = self._log_size()
        try:
            record = manager.catalogue.get(name)
            make_room(self, client, revision, lambda: require_room_on_gpus(manager, record, revision))
            with manager.progress(f"Loading {name}"), room_for(manager, record, revision):
                client.load_and_wait(name, timeout=timeout)
                self._require_revision(client, revision)
                proved = probing.probe(manager, client, manager.catalogue.get(name)) if probe else "not probed"
        except TritonpmError as error:
            reason = self._reason(error, name, offset)
            back = undone([lambda: self._take_back(client, name, before), lambda: manager.tidy(name)])
            manager.catalogue.set_status(name, "failed", reason)
            do = "see `tritonpm logs`" if back else UNKNOWN
            raise ServerError(f"{name} could not be loaded: {reason}", do=do) from None
        manager.catalogue.set_status(name, "loaded", wanted=True)
        remember_host(self, revision)
        with suppress(ServerError):  # the package serves; what is left over is told as drift, and `sync` takes it away
            self._unload_old(client, name)
        manager.tidy(name)
        return views.Loaded(name, manager.catalogue.get(name).revision or 0, proved)

    def unload(self, name: str, *, force: bool = False, dependents: bool = False, timeout: float = 60.0) -> None:
        """Unload a package, and the members that no other cascade needs; `dependents`: what is built on it, too.

        Raises ServerError, NotFoundError; BusyError while it is in use.
        """
        manager = self.manager
        if not force and (users := self.users(name)):
            raise BusyError(f"{name} is in use by {', '.join(users)}", do="wait until they are done, or use --force")
        with self.client() as client, manager.changing(f"unload {name}"):
            manager.catalogue.get(name)
            above = foreign_users(client, [name], [revision.name for revision in manager.catalogue.published()])
            if above and not dependents:
                what = f"{name} is a part of {', '.join(above)}, which the server has loaded"
                raise BusyError(what, do="unload that first, or use --dependents")
            with manager.progress(f"Unloading {name}"):
                for each in above:
                    client.unload_and_wait(each, timeout=timeout)
                self.withdraw(client, name, timeout=timeout)

    def withdraw(self, client: Client, name: str, *, timeout: float = 60.0) -> None:
        """`unload`, for who holds the workspace's lock and a connection, and has asked whether it may go."""
        manager = self.manager
        try:
            client.unload_and_wait(name, timeout=timeout)
            unload_unneeded(client, manager.catalogue.models_ever(name))
        except ServerError as error:
            raise ServerError(f"{name} could not be unloaded: {error.what}", do=UNKNOWN) from None
        status = "ready" if manager.catalogue.get(name).revision else "imported"
        manager.catalogue.set_status(name, status, wanted=False)

    def status(self) -> views.StatusView:
        """The server's side and the workspace's."""
        if self.manager.server is None and self.server is None:
            return views.StatusView("none", "stopped", "", ())
        with self.client() as client:
            if not client.live():
                return views.StatusView(client.where, "not live", "", ())
            models = tuple(standing.models(self.manager, client))
            advice = tuple(standing.advice(self.manager, client))
            apart = tuple(drift(self.manager, client))
            return views.StatusView(client.where, "live", client.server_version(), models, advice, apart)

    def infer(
        self, name: str, inputs: Path | None, outputs: Path | None, *, protocol: str = "http", version: str = ""
    ) -> views.Answer:
        """One inference with the arrays of an .npz, or with the package's sample. Raises InferenceError."""
        self.ensure(name)
        with self.client(protocol) as client:
            arrays = load_npz(inputs) if inputs else self._sample(name)
            arrays = as_served(arrays, client.metadata(name, version).inputs)
            answer = client.infer(name, arrays, version=version)
        if outputs:
            save_npz(outputs, answer)
        labels = self._labels(name)
        return views.Answer(tuple(_view(tensor, array, labels) for tensor, array in answer.items()))

    # Proving

    def _labels(self, name: str) -> tuple[str, ...]:
        """The labels of a package's last stage; none where the server has a model that the workspace does not know."""
        try:
            return self.manager.catalogue.get(name).package.stages[-1].signature.labels
        except NotFoundError:
            return ()

    def tracing(self, name: str, changes: Mapping[str, str], *, protocol: str = "http") -> dict[str, Any]:
        """How requests are traced, of one model or of all, after `changes`. Raises ServerError."""
        listed = {key: value.split(",") if key == "trace_level" else value for key, value in changes.items()}
        with self.client(protocol) as client:
            return client.trace_settings(name, listed)

    def logging(self, changes: Mapping[str, str], *, protocol: str = "http") -> dict[str, Any]:
        """What the server writes into its log, after `changes`. Raises ServerError."""
        spelt = {"true": True, "false": False}
        typed = {k: spelt.get(v.lower(), int(v) if v.isdecimal() else v) for k, v in changes.items()}
        with self.client(protocol) as client:
            return client.log_settings(typed)

    def _sample(self, name: str) -> dict[str, Array]:
        record = self.manager.catalogue.get(name)
        samples = probing.samples_of(record)
        if not samples:
            raise PackageError(f"{name} has no sample", do="give --input FILE.npz")
        return load_npz(self.manager.blobs.path(record.package.file(samples[0].inputs).digest))

    def _require_revision(self, client: Client, revision: Revision) -> None:
        """The server answers for the revision that was published, not for an older one. Raises ServerError."""
        if not serves(client, revision):
            raise ServerError(
                "the server serves another revision than the one that was published",
                where=client.where,
                do="check that it reads this workspace's model_repository",
            )

    def _answering(self, client: Client, name: str) -> Revision | None:
        """The revision that answers: not the current one where a load was killed after it had published."""
        if not client.ready(name):
            return None
        known = [each.revision for each in self.manager.catalogue.history(name) if each.revision.name == name]
        answers = [revision for revision in known if serves(client, revision)]
        return next(iter(answers), self.manager.catalogue.revision(name))

    def _take_back(self, client: Client, name: str, before: Revision | None) -> None:
        """What did not prove itself does not stay: the revision that served before comes back, or nothing serves."""
        if before is None:
            client.unload_and_wait(name)
            unload_unneeded(client, self.manager.catalogue.models_ever(name))
        else:
            self.manager.restore(name, before)
            client.load_and_wait(name)

    def sweep(self, name: str) -> None:
        """Unload the members of a package that does not serve, which somebody has left loaded. Raises ServerError."""
        if self.manager.server is not None or self.server is not None:
            with self.client() as client:
                self._unload_old(client, name)

    def _unload_old(self, client: Client, name: str) -> None:
        """Members of earlier revisions, and what a killed switch was rehearsing, go once nothing needs them.

        All that is named NAME.… is of this package: public names have no dot.
        """
        stale = {each for each in client.serving() if each.startswith(f"{name}.")}
        unload_unneeded(client, stale | self.manager.catalogue.models_ever(name) - {name})

    def _log_size(self) -> int:
        return Path(self.server.log).stat().st_size if self.server else 0

    def _reason(self, error: TritonpmError, name: str, offset: int) -> str:
        """Where Triton says only that it failed to poll, its log says why."""
        polled = "failed to poll" in error.what and self.server
        said = embedded.reasons(Path(self.server.log), name, offset=offset) if polled and self.server else []
        return said[-1] if said else error.what


def _view(name: str, array: Array, labels: tuple[str, ...]) -> views.TensorView:
    from tritonpm.core.tensors import triton_dtype

    flat = array.ravel()
    shown = " ".join(f"{v:.3g}" if array.dtype.kind == "f" else _text(v) for v in flat[:5])
    more = " …" if flat.size > 5 else ""
    scores = labels and array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] == len(labels)
    likeliest = ", ".join(labels[best] for best in array.argmax(axis=1)) if scores else ""
    return views.TensorView(name, triton_dtype(array.dtype), " x ".join(map(str, array.shape)), shown + more, likeliest)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
