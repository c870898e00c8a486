"""The real server's verdict on each case beside lint's: `script/lint-oracle`."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.lint.cases import Case, catalogue
from tests.support.lint.folders import folders
from tests.support.lint.generated import alone, combined, pairs
from tritonpm.core.errors import TritonpmError
from tritonpm.core.types import Signature
from tritonpm.operations.lint import reader
from tritonpm.repository.lint import lint, loadable
from tritonpm.repository.lint.contents import ReadSignature
from tritonpm.triton import embedded
from tritonpm.triton.client import Client

# Why the server and lint may disagree: what the one that refuses says, the rule of lint's warning where there is one,
# and the reason. Lint's word is that of NVIDIA's own backends, which are not here.
_NATIVE = "NVIDIA's own backends serve it, those of the embedded server do not: lint warns (`native-only`)"
_KINDER = "NVIDIA's own backends refuse it, those of the embedded server accept it ([backends.md](backends.md))"
_MACHINE = "a matter of the machine's GPUs: lint warns (`needs-gpu`)"
EXPLAINED: tuple[tuple[str, str, str], ...] = (
    (r"implicit state is kept by the native backends only", "native-only", _NATIVE),
    (r"the config leaves out the input|batch_(in|out)put is filled in", "native-only", _NATIVE),
    (r"op_library_filename would run a library's code", "native-only", _NATIVE),
    (r"no GPUs are available|unsupported gpu id|KIND_CPU but specifies", "needs-gpu", _MACHINE),
    (
        r"libtritonrepoagent_checksum\.so",
        "code",
        "the agent comes with NVIDIA's container and not with the embedded server",
    ),
    (r"^every request brings|^the input '\w*' is ragged|^the control input .* model file", "", _KINDER),
    (r"^the (input|output) '\w*' has the shape .* in the model file$", "", _KINDER),
    (r"which the openvino backend does not take$", "", _KINDER),
    (r"^the parameter \w+ is ''", "", _KINDER),
    (r"no execution accelerator .* on the GPU$", "", "only an instance on a GPU looks at it"),
)
POISONOUS = {"layout-version-negative"}  # the server takes -1 for 2^64 - 1, and the name is never ready again
DIED = "the server died of it"
PAGE = Path(__file__).parents[3] / "docs/lint.md"
START, END = "<!-- agreement -->", "<!-- /agreement -->"


@dataclass(frozen=True)
class Verdict:
    """What both said of one case; "" means that it loads. `warnings` are the rules of which lint warned."""

    case: str
    server: str
    lint: str
    warnings: tuple[str, ...] = ()
    rule: str = ""  # of lint's error

    @property
    def agree(self) -> bool:
        return bool(self.server) == bool(self.lint)

    @property
    def explained(self) -> str:
        """Why they may disagree; "" where nobody knows."""
        for said, warning, reason in EXPLAINED:
            if re.search(said, self.server if warning else self.lint) and warning in (*self.warnings, ""):
                return reason
        return ""


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
    read, log = remembering(), repository.parent / "state/triton.log"
    for case in cases:
        for folder in repository.iterdir():
            folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)
        case.build(repository)
        findings = loadable(repository, case.model, read)
        warnings = {finding.rule for finding in lint(repository, read) if finding.level == "warning"}
        sentence, rule = (findings[0].sentence, findings[0].rule) if findings else ("", "")
        yield Verdict(case.id, asked(client, case.model, log), sentence, tuple(sorted(warnings)), rule)


def remembering() -> ReadSignature:
    """Reads each model file once, whatever repository it lies in: a runtime in a process of its own is slow."""
    known: dict[tuple[bytes, str], tuple[Signature, bool] | TritonpmError] = {}

    def read(path: Path, backend: str) -> tuple[Signature, bool]:
        key = (path.read_bytes(), backend)
        if key not in known:
            try:
                known[key] = reader(path.parent)(path, backend)
            except TritonpmError as error:
                known[key] = error
        answer = known[key]
        if isinstance(answer, TritonpmError):
            raise answer
        return answer

    return read


def asked(client: Client, model: str, log: Path) -> str:
    """Why the server does not load it; "" where it does."""
    said, offset = "", log.stat().st_size
    try:
        client.load_and_wait(model, timeout=60)
    except TritonpmError as error:
        # The log has the reason of a config that fails; the answer may tell that of the model which had the name before.
        said = " / ".join(embedded.reasons(log, model, offset=offset)[-3:]) or error.what
    if not client.live():
        return DIED
    try:
        loaded = [state.name for state in client.index() if state.state == "READY"]
    except TritonpmError as error:  # it loads, but the server cannot tell what there is
        said, loaded = error.what, [] if said else [model]
    for name in loaded:
        client.unload_and_wait(name, dependents=True)
    return said


def ask_all(cases: Iterable[Case], log: Path | None) -> list[Verdict]:
    """Every case, on as few servers as it takes: one that ends its server costs a new one."""
    found: list[Verdict] = []
    waiting = list(cases)
    while waiting:
        with a_server() as (repository, client):
            for verdict in verdicts(waiting, repository, client):
                found.append(verdict)
                if log:
                    with log.open("a") as lines:
                        print(json.dumps(asdict(verdict)), file=lines)
                if not verdict.agree and not verdict.explained:
                    print(f"{verdict.case}\n  server: {verdict.server or 'loads'}\n  lint:   {verdict.lint or 'loads'}")
                if verdict.server == DIED or verdict.case in POISONOUS:
                    break
        waiting = list(cases)[len(found) :]
    return found


def told(found: list[Verdict]) -> str:
    """The table of the page: how many agree, and why the others do not."""
    good = sum(not verdict.server for verdict in found)
    apart = [verdict for verdict in found if not verdict.agree]
    reasons = Counter(verdict.explained for verdict in apart)
    died = sum(verdict.server == DIED for verdict in found)
    lines = [
        f"{len(found)} repositories ({good} that load, {len(found) - good} that do not, {died} of which end the server): "
        f"{len(found) - len(apart)} agree, {len(apart) - reasons['']} disagree for a known reason, {reasons['']} for an unknown one.",
        *(["", "| known reason | repositories |", "| --- | --- |"] if apart else []),
        *(f"| {reason} | {count} |" for reason, count in reasons.most_common() if reason),
        *(["", "| case | the server | lint |", "| --- | --- | --- |"] if reasons[""] else []),
        *(f"| {v.case} | {v.server[:160] or 'loads'} | {v.lint or 'loads'} |" for v in apart if not v.explained),
    ]
    return "\n".join(lines)


def main() -> None:
    """Ask, print, and write the page's table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--random", type=int, default=600, help="random cases besides all others")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--log", type=Path, help="a file for every verdict, a line of JSON each")
    options.add_argument("--only", default="", help="only the cases whose id contains this; the page stays as it is")
    chosen = options.parse_args()

    def ask(cases: Iterable[Case]) -> list[Verdict]:
        return ask_all([case for case in cases if chosen.only in case.id], chosen.log)

    found = ask([*catalogue(), *folders(), *alone()])
    refused = {verdict.case for verdict in found if verdict.server}
    found += ask([*pairs(refused, chosen.seed), *combined(chosen.random, chosen.seed)])
    text = told(found)
    print(text)
    if not chosen.only:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
        PAGE.write_text(f"{before}{START}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    sys.exit(any(not (verdict.agree or verdict.explained) for verdict in found))


if __name__ == "__main__":
    main()
