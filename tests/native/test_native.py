"""Import, lint and our backends against what Triton's own C++ backends said of 287 folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.native import folders
from tests.support.lint.oracle import DIED, a_server, asked
from tritonpm.core.errors import PackageError
from tritonpm.operations.import_package import require_loadable
from tritonpm.operations.lint import reader
from tritonpm.package import read
from tritonpm.repository.lint import lint

# Each difference that is left, and why. "+": taken though the native backend refuses it; "-": the other way round.
LINT = {
    "o_kind_gpu": "+: whether there is a GPU is a matter of the machine, and a warning",
    "v_auto_streams": "-: loads in 24.10, where it does nothing; later releases refuse it",
    "v_td_AUTO_XYZ_": "+: loads in 24.10, whatever TARGET_DEVICE says",
    "v_warm_count": "+: a race in the server, which dies of a good warm-up",
}
IMPORT = {
    "o_em_1.5": "-: a package's name has no dot; --name gives it another",
    "o_intra_1.5": "-: a package's name has no dot; --name gives it another",
    "v_noconf": "+: a folder without config.pbtxt gets one of ours, with the dims",
}
EMBEDDED = {
    "o_cc_files": "",
}


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
    refused, waiting = set(), folders.names()
    while waiting:  # a folder that ends the server costs a new one
        with a_server() as (root, client):
            while waiting:
                name = waiting.pop(0)
                shutil.copytree(repository / name, root / name)
                said = asked(client, name)
                shutil.rmtree(root / name)
                refused |= {name} if said else set()
                if said == DIED:
                    break
    assert differences(refused) == {name: reason[0] for name, reason in EMBEDDED.items()}
