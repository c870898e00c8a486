"""What the command line advises is said by the page with what it has: fields and buttons, in its language."""

from __future__ import annotations

import re

import pytest

from tests.support.sentences import sentences
from tritonpm.settings import RULES
from tritonpm.web.language import NAMES, language
from tritonpm.web.wording import BUTTONS, FIELDS, VALUES, advice, in_page_words

NOTE = (
    "digits: max batch size 16 has no effect: the openvino backend refuses partial batches, so Triton does not combine "
    "requests of stage 'digits'; for an ONNX model `--optimizer ort-openvino` keeps batching"
)
DRIFT = (
    "was changed since revision 1, which serves or comes back; `tritonpm load p` brings the change (device: cpu → gpu)"
)


def said(text: str, code: str) -> str:
    say = language(code)
    return in_page_words(say.told(text), say)


def test_an_option_is_a_field_and_a_command_a_button() -> None:
    assert said(NOTE, "en").endswith("; for an ONNX model “Optimizer: ort-openvino” keeps batching")
    assert said(NOTE, "zh-CN").endswith("“优化器：ort-openvino” 可保留批处理")
    assert said(DRIFT, "en").endswith("; “Load” brings the change (device: cpu → gpu)")
    assert advice("use --device cpu, or for ONNX --backend onnxruntime", language("en")) == (
        "use “Hardware type: CPU”, or for ONNX “Backend: onnxruntime”"
    )
    assert advice("use --no-dynamic-batching", language("en")) == "use “Join requests into batches: no”"
    assert advice("correct it; `tritonpm lint` lists all", language("en")) == "correct it"
    assert advice("give it more with --memory-limit", language("en")) == ""
    assert said("Waiting for `tritonpm adopt x` (pid 12) …", "en") == "Waiting for `tritonpm adopt x` (pid 12) …"


@pytest.mark.parametrize("code", NAMES)
def test_no_rule_sends_who_looks_at_the_page_to_the_command_line(code: str) -> None:
    say = language(code)
    told = [advice(say(rule.do), say) for rule in RULES]
    assert [text for text in told if re.search(r"--[a-z]|`tritonpm", text)] == []


def test_the_page_has_those_fields_and_buttons() -> None:
    assert {*FIELDS.values(), *BUTTONS.values(), *VALUES.values()} - {"CPU", "FP32", "FP16", "INT8"} <= set(sentences())
