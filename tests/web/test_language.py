"""No English is left in what the page and the REST API say: of each refusal that a test provokes, and of each that code holds."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.support.refused_packages import CASES
from tests.support.sentences import refusals, shape
from tritonpm.core.errors import TritonpmError
from tritonpm.package import read
from tritonpm.web.language import ENGLISH, NAMES, language

OTHERS = [code for code in NAMES if code != "en"]
WORDS = re.compile(r"\b(the|is|are|was|and|of|not|with|cannot|that|which|from|has|have|its|than)\b")
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|[(（].*[)）]")  # in brackets: what another library says
# What is said only where somebody runs a command, writes a program or administers the machine.
ELSEWHERE = re.compile(
    r"^(cli|client|mlflow_deployments|backends|deploy|fleet|perf|registry|catalogue/__init__|core/(user_config|releases)"
    r"|operations/(declaration|schema|attest|push|lint|perf|tune|fleet|policy|proposals|adopt|run|request_|remote_|repository_source"
    r"|optimize/(convert_file|profile)|config|deploy|logging|doctor|targets|tracing|predictor|autoscale|export|infer"
    r"|on_demand|monitor|front|set)"
    r"|repository/(store|location|templates|sending|records|lint|adopt|immutable)|convert/(front|profile)"
    r"|triton/(connection|client|installation|compiled|metrics|server|embedded|shared_memory|ending)|web/(running|security|oidc_settings)"
    r"|core/(plugins|files|tensors|errors)|catalogue/(database|blobs|jobs|workspace|tokens))"
)
COMPOSED = ("{}, and {}", "its {} {} {}")  # of sentences that are translated each


@pytest.mark.parametrize("code", OTHERS)
def test_what_code_refuses_has_a_translation(code: str) -> None:
    known = set(map(shape, language(code).sentences))
    untold = [
        f"{place}: {sentence}"
        for place, sentence in refusals()
        if not ELSEWHERE.match(place) and shape(sentence) not in (*COMPOSED, *known)
    ]
    assert untold == []


@pytest.mark.parametrize("code", OTHERS)
def test_what_is_refused_is_told_without_english(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = {}
    for number, case in enumerate(CASES):
        folder = tmp_path / str(number)
        (folder / "source").mkdir(parents=True)
        (folder / "staging").mkdir()
        monkeypatch.chdir(folder / "source")
        with pytest.raises(TritonpmError) as caught:
            read(case.build(folder / "source"), folder / "staging", limits=case.limits, allow_code=case.allow_code)
        shutil.rmtree(folder)
        told = language(code).told(caught.value.what)
        if WORDS.search(QUOTED.sub("", told)) and "List should have" not in told:  # pydantic's
            left[case.id] = told
    assert left == {}


@pytest.mark.parametrize(("count", "said"), [(0, "0 packages"), (1, "1 package"), (2, "2 packages")])
def test_plurals_are_those_of_the_language(count: int, said: str) -> None:
    assert ENGLISH.plural("{count} package", "{count} packages", count) == said
    assert language("zh-CN").plural("{count} package", "{count} packages", count) == f"{count} 个模型包"
    assert language("vi").plural("{count} package", "{count} packages", count) == f"{count} gói"


def test_a_language_may_tell_more_forms_apart() -> None:
    forms = {"{count} packages": {"one": "{count} eins", "other": "{count} viele"}}
    german = type(ENGLISH)("de", forms)  # type: ignore[arg-type]
    assert [german.plural("", "{count} packages", count) for count in (1, 3)] == ["1 eins", "3 viele"]


@pytest.mark.parametrize("code", OTHERS)
def test_a_rule_s_sentence_is_told_as_well(code: str) -> None:
    told = language(code).told(
        "stages[0].serving: no package may have such a setting: the batch size is 0 to 65536, not -1"
    )
    assert told.startswith("stages[0].serving") and "65536" in told and "-1" in told
    assert not WORDS.search(told)


# What the pages of a package that was optimised, and of one in use, say of it.
TOGETHER = (
    "digits: max batch size 16 has no effect: the openvino backend refuses partial batches, so Triton does not combine "
    "requests of stage 'digits'; for an ONNX model `--optimizer ort-openvino` keeps batching",
    "stage digits: 2 instances share 2 cores, 1 thread each",
    "openvino has 0.97 × the throughput of the previous version (95 % 0.41 to 1.85) with 4 requests of 1 row in flight",
    "Measuring openvino, ort-openvino with 4 in flight",
    "the load is the one that it serves now",
    "the load was named",
    "openvino was left out: nothing else can be made of it",
    "not compared with what it had: nothing else can be made of it",
    "nothing was better than what it had, which stays",
    "openvino is what it gets: it gains, and loses under none of the loads",
    "run one by one and in batches of up to 16, equal row by row (48 of 48 damages noticed)",
    "1 sample, batch 1 of them, batch 32 of them",
    "digits is in use by LINE-3, clients that are not registered (10 inferences/s)",
    "Waiting for `tritonpm import digits` (pid 12) …",
    "Imported digits (preprocessing + image classification).",
    "stage cut is not batched: the inputs and outputs do not share their first dimension ('images' 1, 'crops' crops)",
    "no warm-up: it needs inputs of floating point and fixed size, not single numbers or lists",
)


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("text", TOGETHER)
def test_what_is_put_together_is_told_whole(code: str, text: str) -> None:
    told = language(code).told(text)
    assert not re.search(f"{WORDS.pattern}|preprocessing", re.sub(r"`[^`]*`", "", told))
    assert not re.search("[\u4e00-\u9fff] [\u4e00-\u9fff]", told)
