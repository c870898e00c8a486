"""A sample of what script/lint-oracle asks: each of lint's rules, and kinds that load, beside the real server's word."""

from __future__ import annotations

import pytest

from tests.support.lint.cases import catalogue
from tests.support.lint.folders import folders
from tests.support.lint.generated import alone
from tests.support.lint.oracle import a_server, verdicts

pytestmark = pytest.mark.server

# A case for each rule, by its name.
REFUSED = {
    "absent": "layout-not-there", "accelerator": "batched-model-accelerators-2", "backend": "broken-no-backend",
    "batch-tensors": "batched-model-batch_input-9", "batcher": "batched-model-ordering-2", "code": "batched-model-runtime-2",
    "config-parse": "bytes-nul-in-comment", "ensemble-batch": "member-completed", "ensemble-cycle": "members-itself",
    "ensemble-dangling": "ensemble-dangling", "ensemble-decoupled": "member-joined-decoupled", "ensemble-dims": "ensemble-input-reshape-2",
    "ensemble-dtype": "ensemble-dtype-in", "ensemble-fields": "ensemble-optimization", "ensemble-instance-group": "ensemble-instance-group",
    "ensemble-map": "ensemble-unmapped-input", "ensemble-member": "ensemble-missing-member", "ensemble-output": "ensemble-extra-output",
    "ensemble-scheduling": "batched-model-ensemble_scheduling-1", "ensemble-steps": "broken-ensemble-platform",
    "ensemble-tensors": "ensemble-no-input", "ensemble-unused": "ensemble-unused-input", "ensemble-version": "ensemble-step-version-1",
    "ensemble-writer": "ensemble-written-twice", "formats": "broken-format-nchw", "instance-group": "batched-model-instance_group-5",
    "labels": "broken-label-missing", "link": "link-dangling-version", "model-file": "file-empty", "model-tensors": "broken-dims-differ",
    "name": "broken-other-name", "platform": "batched-model-platform-1", "release-field": "batched-model-metrics-1",
    "response-cache": "broken-cache-sequence", "sequences": "batched-model-controls-1", "tensors": "file-empty-reshape-no-batch",
    "versions": "broken-policy-latest-0", "warm-up": "file-warm-up-data-short",
}  # fmt: skip
TAKEN = (
    "broken-passive-warm-up",
    "good-plain", "good-no-tensors", "good-sequence", "layout-two-versions", "link-file-outside", "link-version-outside",
    "bytes-latin1-comment", "bytes-escaped-string", "file-output-without-shape", "file-warm-up-data-long", "file-type-STRING",
    "batched-model-metric_tags-3", "batched-model-priority-2", "batched-model-direct-2", "batched-group-rate_limiter-6",
    "batched-model-warm-up-27", "ensemble-plain", "ensemble-input-ragged-1", "member-mid-is-output-too", "member-joined",
)  # fmt: skip
APART = ("batched-model-state-0", "batched-model-batch_input-0", "batched-input-ragged-1", "batched-model-operations-1")

MINUS = ("broken-minus-zero", "broken-minus-zero-signed", "broken-minus-apart")  # the last two are read, and do not fit


def test_lint_and_the_real_server_agree() -> None:
    every = {case.id: case for case in (*catalogue(), *folders(), *alone())}
    chosen = [every[name] for name in (*REFUSED.values(), *MINUS, *TAKEN, *APART)]
    with a_server() as (repository, client):
        asked = {verdict.case: verdict for verdict in verdicts(chosen, repository, client)}
    assert [verdict for verdict in asked.values() if not (verdict.agree or verdict.explained)] == []
    assert {rule: asked[name].rule for rule, name in REFUSED.items()} == {rule: rule for rule in REFUSED}
    assert asked["broken-minus-zero"].rule == "config-parse"
    assert [name for name in TAKEN if asked[name].server] == []
    assert [name for name in APART if asked[name].agree] == []
