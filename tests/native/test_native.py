"""Import, lint and our backends against what Triton's own C++ backends said of 287 folders."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.native import folders
from tests.support.lint.oracle import a_server
from tritonpm.core.errors import PackageError, TritonpmError
from tritonpm.operations.import_package import require_loadable
from tritonpm.operations.lint import reader
from tritonpm.package import read
from tritonpm.repository.lint import lint
from tritonpm.triton.client import Client

# Each difference that is left, and why. "+": taken though the native backend refuses it; "-": the other way round.
LINT = {
    "o_kind_gpu": "+: whether there is a GPU is a matter of the machine, and a warning",
    "v_auto_streams": "-: loads in 24.10, where it does nothing; later releases refuse it",
    "v_td_AUTO_XYZ_": "+: loads in 24.10, whatever TARGET_DEVICE says",
    "v_warm_count": "+: a race in the server, which dies of a good warm-up",
}
IMPORT = {
    "o_cc_files": "-: it names a model file for a GPU that is not there",
    "o_em_1.5": "-: a package's name has no dot; --name gives it another",
    "o_intra_1.5": "-: a package's name has no dot; --name gives it another",
    "v_noconf": "+: a folder without config.pbtxt gets one of ours, with the dims",
}
EMBEDDED = {}
ENDING = ("o_warm_toobig", "v_empty", "v_fname_missing", "v_nofile", "v_warm_count")  # of these some server dies
_SIDE_BY_SIDE = 6


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them side by side."""
    root = tmp_path_factory.mktemp("native")
    for name in folders.names():
        folders.write(root, name)
    return root


def differences(refused: set[str]) -> dict[str, str]:
    """Where a verdict of ours is not that of both releases: "+" taken, "-" refused."""
    return {
        name: "-" if name in refused else "+"
        for name in folders.names()
        for loads in [folders.loads(name)]
        if (name in refused) in loads
    }


def test_lint_says_what_the_native_backends_say(repository: Path) -> None:
    refused = {
        Path(finding.file).relative_to(repository).parts[0]
        for finding in lint(repository, reader(repository))
        if finding.level == "error"
    }
    assert differences(refused) == {name: reason[0] for name, reason in LINT.items()}


def test_import_refuses_nothing_that_every_server_loads(repository: Path, tmp_path: Path) -> None:
    """Reading alone; what lint refuses besides is refused by `require_loadable`, as the next test shows."""
    refused = set()
    for name in folders.names():
        (tmp_path / name).mkdir()
        try:
            read(repository / name, tmp_path / name, allow_code=True)
        except PackageError:
            refused.add(name)
        shutil.rmtree(tmp_path / name)
    wrong = {name for name in refused if all(folders.loads(name))}
    assert wrong == {name for name, reason in IMPORT.items() if reason[0] == "-"}


@pytest.mark.parametrize("name", ["o_agents", "o_d2_8n", "v_platform", "v_warm_dims", "v_memlimit"])
def test_import_refuses_what_lint_refuses(repository: Path, name: str) -> None:
    with pytest.raises(PackageError, match=r"tritonpm lint"):
        require_loadable(repository / name / "config.pbtxt", name)


@pytest.mark.server
@pytest.mark.long
def test_our_backends_say_what_the_native_ones_say(repository: Path) -> None:
    """Side by side, since a load is mostly waiting; those that may end a server come last, each to one of its own."""
    refused = set()
    with a_server() as (root, client), ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        calm = [name for name in folders.names() if name not in ENDING]
        for name in calm:
            shutil.copytree(repository / name, root / name)
        verdicts = pool.map(lambda name: load(client, name), calm)
        refused |= {name for name, said in zip(calm, verdicts, strict=True) if said}
        assert client.live()
    for name in ENDING:
        with a_server() as (root, client):
            shutil.copytree(repository / name, root / name)
            refused |= {name} if load(client, name) else set()
    assert differences(refused) == {name: reason[0] for name, reason in EMBEDDED.items()}


def load(client: Client, name: str) -> str:
    """Why it does not load; "" where it does, and then it is unloaded again."""
    try:
        client.load_and_wait(name, timeout=300)
        client.unload_and_wait(name, dependents=True)
    except TritonpmError as error:
        return error.what
    return ""
