"""Import, lint and our backends against what Triton's own C++ backends said of 287 folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.native import folders
from tests.support.backend_models import one, xy
from tests.support.lint.oracle import a_server
from tritonpm.core.errors import PackageError, TritonpmError
from tritonpm.core.releases import embedded
from tritonpm.core.types import Format
from tritonpm.operations.import_package import require_loadable
from tritonpm.operations.lint import reader
from tritonpm.package import read
from tritonpm.repository.lint import lint
from tritonpm.triton.client import Client
from tritonpm.triton.compiled import VARIABLE

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
# Ours, compiled and Python-based alike; docs/backends.md has these kinds.
_SPELLINGS = "+: spellings of parameters, and COMPILATION_NUM_THREADS, which does nothing here"
_SHAPES = "+: dims that are wider than the file's, or ragged, where requests decide"
_COMPLETED = "+: a config that leaves parts open is completed where that contradicts nothing"
_LAYOUTS = "+: a layout with a batch binds no max_batch_size"
_TYPES = "+: openvino has FP64, BF16, text and scalars here"
EMBEDDED = {
    **dict.fromkeys(("o_arena__", "o_arena_no_", "o_arena_yes_", "o_em_", "o_intra_", "o_pattern_yes_"), _SPELLINGS),
    **dict.fromkeys(("v_bf_1_", "v_bf_NO_", "v_ct_0", "v_ct_1", "v_ns_-1_", "v_th_-1"), _SPELLINGS),
    **dict.fromkeys(("o_fix_inwild", "o_in_wide", "o_ragged_flag", "v_in_wide", "v_rs_fix"), _SHAPES),
    **dict.fromkeys(("o_only_in", "o_only_out", "v_only_out", "v_bare_conv", "v_bare_mb8", "v_bare_opt"), _COMPLETED),
    **dict.fromkeys(("v_bare_reduce", "v_bare_scalar", "v_bare_two", "v_noconf", "v_seq_nobatch"), _COMPLETED),
    **dict.fromkeys(("v_lay0_CN_", "v_lay0_NCHW_", "v_lay0_NC_", "v_lay0_Nq_", "v_lay8_CN_", "v_lay8_qC_"), _LAYOUTS),
    **dict.fromkeys(("v_laybare_CN_", "v_laybare_NCHW_", "v_laybare_Nq_", "v_laybare_qC_", "v_layfix_NC"), _LAYOUTS),
    **dict.fromkeys(("v_dt_BF16", "v_dt_FP64", "v_scalar1"), _TYPES),
    "o_opt_both": "+: an initializer that may be overridden counts as an input",
    "o_seq_state": "-: implicit state is kept by the native backends only",
    "v_auto_streams": "+: AUTO's NUM_STREAMS goes on to the CPU",
    "v_ip_abc": "-: INFERENCE_PRECISION_HINT does something here",
    "v_td_AUTO_XYZ_": "-: a device that is not there is refused, as in 26.06",
    "v_warm_count": "+: the warm-up is good",
}
ENDING = ("o_warm_toobig", "v_empty", "v_fname_missing", "v_nofile", "v_warm_count")  # of these some server dies


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


def test_import_takes_onnx_for_openvino(tmp_path: Path) -> None:
    """As `--backend openvino` renders it; the file is still what its ending says."""
    (tmp_path / "m/1").mkdir(parents=True)
    text = xy("openvino", [-1, 3]) + 'default_model_filename: "model.onnx"\n'
    (tmp_path / "m/config.pbtxt").write_text(text)
    (tmp_path / "m/1/model.onnx").write_bytes(one("Neg").SerializeToString())
    for place in ("read", "again"):
        (tmp_path / place).mkdir()
    [stage] = read(tmp_path / "m", tmp_path / "read").stages
    assert (stage.format, stage.signature.inputs[0].name) == (Format.ONNX, "x")
    (tmp_path / "m/1/model.onnx").write_text('<net name="m" version="11"></net>')
    with pytest.raises(PackageError, match="is not an ONNX model"):
        read(tmp_path / "m", tmp_path / "again")


@pytest.mark.parametrize("name", ["o_agents", "o_d2_8n", "v_platform", "v_warm_dims", "v_memlimit"])
def test_import_refuses_what_lint_refuses(repository: Path, name: str) -> None:
    with pytest.raises(PackageError, match=r"tritonpm lint"):
        require_loadable(repository / name / "config.pbtxt", name, embedded())


@pytest.mark.long
@pytest.mark.server
@pytest.mark.parametrize("kind", ["compiled", "python"])
def test_our_backends_say_what_the_native_ones_say(
    repository: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them on the compiled ones, which load at once; every 24th on the Python-based, of the same rules."""
    monkeypatch.setenv(VARIABLE, kind)
    names = folders.names() if kind == "compiled" else [name for name in folders.names() if name not in ENDING][::24]
    refused = set()
    for group in [[name for name in names if name not in ENDING], *([name] for name in names if name in ENDING)]:
        with a_server() as (root, client):
            for name in group:
                shutil.copytree(repository / name, root / name)
                refused |= {name} if load(client, name) else set()
                assert name in ENDING or client.live(), (name, (root.parent / "state/triton.log").read_text()[-2000:])
                shutil.rmtree(root / name)
    expected = {name: reason[0] for name, reason in EMBEDDED.items() if name in names}
    assert {name: sign for name, sign in differences(refused).items() if name in names} == expected


def load(client: Client, name: str) -> str:
    """Why it does not load; "" where it does, and then it is unloaded again."""
    try:
        client.load_and_wait(name, timeout=300)
        client.unload_and_wait(name, dependents=True)
    except TritonpmError as error:
        return error.what
    return ""
