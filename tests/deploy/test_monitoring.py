"""Rules and panels are PromQL, and made of the packages' names."""

from __future__ import annotations

import json
from pathlib import Path

import promql_parser
import pytest

from tests.support.deployment import KUBERNETES, expressions, file, used
from tritonpm.core.errors import RenderError
from tritonpm.deploy import Choices, bundle, metrics

EXPRESSIONS = expressions()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_is_promql(name: str) -> None:
    promql_parser.parse(EXPRESSIONS[name])
    assert used(EXPRESSIONS[name])


def test_each_package_has_its_rule() -> None:
    groups = file("prometheus", "prometheus-rules.yml", KUBERNETES).objects[0]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert [r["labels"]["package"] for r in rules if r["alert"] == "TritonPackageNotReady"] == list(KUBERNETES.packages)
    assert all(rule["labels"]["severity"] in ("warning", "critical") for rule in rules)
    assert all(promql_parser.parse_duration(rule["for"]) for rule in rules)
    assert all({"summary", "description"} == set(rule["annotations"]) for rule in rules)
    assert {"{{ $labels.model }}" in rule["annotations"]["summary"] for rule in rules} == {True, False}


def test_thresholds_are_the_chosen_ones() -> None:
    text = bundle("prometheus", Choices(queue_ms=12.5, latency_ms=345, failing=0.25))[0].text
    assert all(each in text for each in ("> 12.5", "> 345", "> 0.25"))


def test_the_dashboard_lists_the_packages() -> None:
    board = json.loads(file("grafana", "grafana-dashboard.json", KUBERNETES).text)
    (chosen,) = (each for each in board["templating"]["list"] if each["name"] == "package")
    assert chosen["query"] == ",".join(KUBERNETES.packages)
    assert [each["value"] for each in chosen["options"][1:]] == list(KUBERNETES.packages)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]}
    assert len(places) == len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert json.loads(bundle("grafana", Choices())[0].text)["templating"]["list"][1]["query"] == ""


def test_every_gpu_metric_that_is_listed_is_used() -> None:
    names = {name for query in EXPRESSIONS.values() for name in used(query)}
    assert names >= metrics.GPU | metrics.PROMETHEUS


def test_a_workspaces_own_template_wins_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "deploy"
    own.mkdir()
    (own / "prometheus-rules.yml.j2").write_text("groups: [{{ choices.packages | join(',') }}]\n")
    assert bundle("prometheus", KUBERNETES, tmp_path)[0].text == "groups: [p,c]\n"
    for broken in ("{{ nothing }}", "a: [", "{% if %}"):
        (own / "prometheus-rules.yml.j2").write_text(broken)
        with pytest.raises(RenderError, match="correct the template"):
            bundle("prometheus", KUBERNETES, tmp_path)
