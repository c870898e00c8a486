"""The real server's verdict on each case beside lint's: `script/lint-oracle`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.lint.cases import Case, catalogue, combined
from tritonpm.core.errors import TritonpmError
from tritonpm.operations.lint import reader
from tritonpm.repository.lint import loadable
from tritonpm.triton import embedded
from tritonpm.triton.client import Client

# Whether these load is a matter of the machine: lint says so in a warning.
OF_THE_MACHINE = {"broken-group-gpu-none", "broken-group-gpu-99"}
# These load here and not on the native backends, whose word is lint's: docs/backends.md.
KINDER = {"broken-reshape-input-ragged"}
POISONOUS = {"layout-version-negative"}  # the server takes -1 for 2^64 - 1, and the name is never ready again
DIED = "the server died of it"
PAGE = Path(__file__).parents[3] / "docs/lint.md"
START, END = "<!-- agreement -->", "<!-- /agreement -->"


@dataclass(frozen=True)
class Verdict:
    """What both said of one case; "" means that it loads."""

    case: str
    server: str
    lint: str

    @property
    def agree(self) -> bool:
        return bool(self.server) == bool(self.lint)


@contextmanager
def a_server() -> Iterator[tuple[Path, Client]]:
    """A server on an empty repository, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="tritonpm-oracle-") as name:
        root = Path(name)
        (root / "repository").mkdir()
        server = embedded.start(embedded.find(), root / "repository", root / "state")
        try:
            with Client(server.grpc, protocol="grpc", timeout=60) as client:
                yield root / "repository", client
        finally:
            embedded.stop(server, root / "state")


def verdicts(cases: Iterable[Case], repository: Path, client: Client) -> Iterator[Verdict]:
    """Each case built in the repository, asked about, and taken away again."""
    for case in cases:
        for folder in repository.iterdir():
            shutil.rmtree(folder)
        case.build(repository)
        findings = loadable(repository, case.model, reader(repository))
        yield Verdict(case.id, asked(client, case.model), findings[0].sentence if findings else "")


def asked(client: Client, model: str) -> str:
    said = ""
    try:
        client.load_and_wait(model, timeout=60)
    except TritonpmError as error:
        said = error.what
    if not client.live():
        return DIED
    for state in client.index():
        if state.state == "READY":
            client.unload_and_wait(state.name, dependents=True)
    return said


def main() -> None:
    """Ask, print, and write the page's table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--random", type=int, default=150, help="random cases besides the catalogue")
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    cases = [case for case in catalogue() if case.id not in OF_THE_MACHINE | KINDER] + combined(
        chosen.random, chosen.seed
    )
    found: list[Verdict] = []
    while len(found) < len(cases):  # a case that ends the server costs a new one
        with a_server() as (repository, client):
            for verdict in verdicts(cases[len(found) :], repository, client):
                found.append(verdict)
                if not verdict.agree:
                    print(f"{verdict.case}\n  server: {verdict.server or 'loads'}\n  lint:   {verdict.lint or 'loads'}")
                if verdict.server == DIED or verdict.case in POISONOUS:
                    break
    agreed = sum(verdict.agree for verdict in found)
    good = sum(not verdict.server for verdict in found)
    line = f"{len(found)} repositories ({good} that load, {len(found) - good} that do not): {agreed} agree, {len(found) - agreed} disagree"
    print(line)
    wrong = "".join(f"| {v.case} | {v.server[:160] or 'loads'} | {v.lint or 'loads'} |\n" for v in found if not v.agree)
    table = f"\n| case | the server | lint |\n| --- | --- | --- |\n{wrong}" if wrong else ""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    PAGE.write_text(f"{before}{START}\n{line}.\n{table}{END}{rest.partition(END)[2]}", encoding="utf-8")
    sys.exit(agreed != len(found))


if __name__ == "__main__":
    main()
