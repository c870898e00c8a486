"""What the tests read in a deployment's files: variables, images, command lines, metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import promql_parser

from tritonpm.deploy import Choices, bundle
from tritonpm.deploy.files import BundleFile

PACKAGES = ("p", "c")
KUBERNETES = Choices(PACKAGES)
SCALED = Choices(PACKAGES, gpus=0, replicas=2, max_replicas=6, storage_class="shared.fast")
FROM_S3 = Choices(PACKAGES, gpus=2, repository="s3://http://127.0.0.1:9000/bucket/models")
OF_ONE = Choices(("Bolts_2",), storage_uri="oci+native://registry.site/serving/bolts@sha256:" + "0" * 64)
CHOICES = {"volume": KUBERNETES, "scaled": SCALED, "s3": FROM_S3}


def objects(target: str, choices: Choices) -> list[Any]:
    """A cluster's objects."""
    files = [file for file in bundle(target, choices) if file.path.endswith(".yaml")]
    return [each for file in files for each in file.objects if "metadata" in each]


def one(kind: str, target: str, choices: Choices, name: str = "") -> Any:
    """The one object of a kind (and of that name)."""
    (found,) = (e for e in objects(target, choices) if e["kind"] == kind and name in ("", e["metadata"]["name"]))
    return found


def file(target: str, path: str, choices: Choices) -> BundleFile:
    """One of a deployment's files."""
    (found,) = (each for each in bundle(target, choices) if each.path == path)
    return found


def interpolated(value: Any, variables: dict[str, str]) -> Any:
    """Compose's ${NAME:-default}, also nested, and $$."""
    if isinstance(value, dict):
        return {key: interpolated(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, variables) for each in value]
    if not isinstance(value, str):
        return value
    innermost = re.compile(r"(?<!\$)\$\{(\w+):-([^${}]*)\}")
    while innermost.search(value):
        value = innermost.sub(lambda m: variables.get(m[1]) or m[2], value)
    assert not re.search(r"(?<!\$)\$(?!\$)", value), value
    return value.replace("$$", "$")


def services(choices: Choices, **variables: str) -> dict[str, Any]:
    """Compose's services with the variables put in."""
    found: dict[str, Any] = interpolated(file("compose", "docker-compose.yml", choices).objects[0], variables)[
        "services"
    ]
    return found


def containers(thing: Any) -> Iterator[dict[str, Any]]:
    """Every container of an object, wherever it is."""
    if isinstance(thing, dict):
        for key, value in thing.items():
            if key in ("containers", "initContainers"):
                yield from value
            else:
                yield from containers(value)
    elif isinstance(thing, list):
        for each in thing:
            yield from containers(each)


def command_lines() -> dict[str, list[str]]:
    """Every command line of tritonserver in every deployment, by where it is."""
    found = {
        f"compose {name}": service["command"] for name, service in services(Choices()).items() if "triton-" in name
    }
    for name, choices in CHOICES.items():
        for each in containers(one("Deployment", "kubernetes", choices, "triton")):
            if each["name"] == "triton":
                found[f"kubernetes {name}"] = each["args"]
    (runtime,) = containers(one("ServingRuntime", "kserve", KUBERNETES))
    service = one("InferenceService", "kserve", KUBERNETES)
    found["kserve"] = [*runtime["args"], *service["spec"]["predictor"]["model"]["args"]]
    assert all(line[0] == "tritonserver" for line in found.values())
    return found


def expressions() -> dict[str, str]:
    """Every PromQL expression that we make, by where it is."""
    found = {}
    rules = file("prometheus", "prometheus-rules.yml", KUBERNETES).objects[0]["groups"][0]["rules"]
    found |= {f"{rule['alert']} {rule['labels'].get('package', '')}".strip(): rule["expr"] for rule in rules}
    for panel in file("grafana", "grafana-dashboard.json", KUBERNETES).objects[0]["panels"]:
        found |= {f"{panel['title']} {each['refId']}": each["expr"] for each in panel["targets"]}
    (adapted,) = file("kubernetes", "prometheus-adapter.values.yaml", SCALED).objects[0]["rules"]["custom"]
    query = adapted["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="n"').replace("<<.GroupBy>>", "pod")
    found |= {"adapter": query, "adapter series": adapted["seriesQuery"]}
    return {name: as_grafana_sends(query) for name, query in found.items()}


def as_grafana_sends(query: str) -> str:
    """A panel's query with Grafana's variables put in: two packages are chosen."""
    return query.replace("$__rate_interval", "1m").replace("${package:pipe}", "|".join(PACKAGES))


def used(query: str) -> dict[str, set[str]]:
    """The metrics of an expression, each with the labels that it is asked for or grouped by."""
    selectors, grouped = [], set()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            selectors.append((node.name, {matcher.name for matcher in node.matchers.matchers}))
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            grouped.update(node.modifier.labels)

    promql_parser.walk(promql_parser.parse(query), visit)
    found: dict[str, set[str]] = {}
    for name, labels in selectors:
        found.setdefault(name, set()).update(labels, grouped)
    return found
