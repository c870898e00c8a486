"""Kubernetes' and KServe's objects obey their schemas, fit together, and run with few rights."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import kubernetes_validate
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.support.deployment import CHOICES, FROM_S3, KUBERNETES, OF_ONE, SCALED, containers, file, objects, one
from tests.support.kserve_schema import PLACE, ROOTS
from tritonpm.core.errors import UsageError
from tritonpm.deploy import Choices, bundle
from tritonpm.deploy.arguments import DRAIN
from tritonpm.triton.embedded import EXIT_TIMEOUT

OLDEST, NEWEST = "1.29", "1.37"
OPERATOR = "monitoring.coreos.com/v1"


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_every_object_obeys_its_schema(choices: Choices, version: str) -> None:
    ours = [each for each in objects("kubernetes", choices) if each["apiVersion"] != OPERATOR]
    assert {each["kind"] for each in ours} >= {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"}
    for each in ours:
        kubernetes_validate.validate(each, version, strict=True)


def test_a_wrong_object_is_found() -> None:
    broken = one("Service", "kubernetes", KUBERNETES, "triton")
    broken["spec"]["port"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, NEWEST, strict=True)


def kserve(kind: str) -> Draft202012Validator:
    """KServe's own types from its SDK, Kubernetes' from the schemas of its API."""
    folder = files("kubernetes_validate") / f"kubernetes-json-schema/v{NEWEST}.0-local-strict"
    kubernetes = json.loads((folder / "_definitions.json").read_text())
    known = {name.rsplit(".", 1)[1]: name for name in kubernetes["$defs"] if ".core.v1." in name or ".meta.v1." in name}

    def linked(schema: Any) -> Any:
        if isinstance(schema, list):
            return [linked(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        if "$kubernetes" in schema:
            name = known.get(schema["$kubernetes"])
            return {"$ref": f"kubernetes#/$defs/{name}"} if name else {}
        return {key: linked(each) for key, each in schema.items()}

    own = linked(json.loads(PLACE.read_text()))
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": f"#/$defs/{kind}", **own}
    kubernetes = kubernetes | {"$id": "kubernetes"}
    registry = Registry().with_resource("kubernetes", Resource.from_contents(kubernetes))
    return Draft202012Validator(whole, registry=registry)


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_kserves_objects_have_the_types_of_its_sdk(choices: Choices) -> None:
    for root in ROOTS:
        kind = root.removeprefix("V1alpha1").removeprefix("V1beta1")
        (found,) = (each for each in objects("kserve", choices) if each["kind"] == kind)
        kserve(root).validate(found)
        assert not kserve(root).is_valid(found | {"spec": found["spec"] | {"nonsense": 1}})


def test_kserves_service_of_one_package() -> None:
    service = one("InferenceService", "kserve", OF_ONE)
    kserve(ROOTS[1]).validate(service)
    assert service["metadata"]["name"] == "bolts-2"
    model = service["spec"]["predictor"]["model"]
    assert (model["storageUri"], model["args"]) == (OF_ONE.storage_uri, ["--load-model=Bolts_2"])
    assert one("ServingRuntime", "kserve", OF_ONE)["metadata"]["name"] == model["runtime"]


@pytest.mark.parametrize(
    ("packages", "uri", "words"),
    [
        (("p",), "ftp://there/p", "is not a place that KServe knows; give oci"),
        (("p",), "oci://here/p\nx: 1", "is not a place that KServe knows"),
        (("p", "c"), "oci://here/p:1", "is of one package, and these are 2"),
        ((), "oci://here/p:1", "is of one package, and these are 0"),
        (("p-",), "oci://here/p:1", "cannot be a service's name"),
    ],
)
def test_what_kserve_would_not_take(packages: tuple[str, ...], uri: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Choices(packages, storage_uri=uri)


def test_kserves_containers_are_checked_too() -> None:
    broken = one("ServingRuntime", "kserve", KUBERNETES)
    broken["spec"]["containers"][0]["readinessProbe"]["httpGet"]["prt"] = 1
    assert not kserve(ROOTS[0]).is_valid(broken)


def test_the_operators_objects() -> None:
    """Its schemas are on no registry as data: these are the fields that are used, each known to its API."""
    monitor = one("ServiceMonitor", "kubernetes", KUBERNETES)
    assert set(monitor["spec"]) == {"selector", "endpoints"}
    (endpoint,) = monitor["spec"]["endpoints"]
    assert set(endpoint) == {"port", "interval", "relabelings"}
    service = one("Service", "kubernetes", KUBERNETES, "triton")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    rules = one("PrometheusRule", "kubernetes", KUBERNETES)
    assert rules["spec"] == file("prometheus", "prometheus-rules.yml", KUBERNETES).objects[0]


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_what_selects_finds_what_it_selects(choices: Choices) -> None:
    there = objects("kubernetes", choices)
    pods = [each["spec"]["template"]["metadata"]["labels"] for each in there if each["kind"] == "Deployment"]
    for each in there:
        spec = each.get("spec", {})
        if each["kind"] == "Service":
            assert [pod for pod in pods if spec["selector"].items() <= pod.items()] == [spec["selector"]]
        if each["kind"] in ("PodDisruptionBudget", "NetworkPolicy"):
            chosen = spec.get("selector", spec.get("podSelector"))["matchLabels"]
            assert any(chosen.items() <= pod.items() for pod in pods)
        if each["kind"] == "Deployment":
            assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert {each["metadata"]["namespace"] for each in there} == {choices.namespace}
    claims = {each["metadata"]["name"] for each in there if each["kind"] == "PersistentVolumeClaim"}
    assert {volume["claimName"] for volume in _volumes(there, "persistentVolumeClaim")} == claims


def _volumes(there: list[Any], kind: str) -> list[Any]:
    pods = [each["spec"]["template"]["spec"] for each in there if each["kind"] == "Deployment"]
    return [volume[kind] for pod in pods for volume in pod["volumes"] if kind in volume]


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("target", ["kubernetes", "kserve"])
def test_containers_have_few_rights(target: str, choices: Choices) -> None:
    for each in containers(objects(target, choices)):
        security = each["securityContext"]
        assert security["allowPrivilegeEscalation"] is False and security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in security and "memory" in each["resources"]["limits"]
        assert "secretKeyRef" not in str(each) and "latest" not in each["image"]
    for each in objects(target, choices):
        if each["kind"] == "Deployment":
            pod = each["spec"]["template"]["spec"]
            assert pod["automountServiceAccountToken"] is False
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
            mounted = {mount["name"] for c in containers(pod) for mount in c["volumeMounts"]}
            assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_triton_ends_within_its_grace() -> None:
    pod = one("Deployment", "kubernetes", KUBERNETES, "triton")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > DRAIN + EXIT_TIMEOUT
    (container,) = (each for each in pod["containers"] if each["name"] == "triton")
    assert {"startupProbe", "readinessProbe", "livenessProbe"} < set(container)
    assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"


def test_gpus_are_asked_for_where_they_are_wanted() -> None:
    def limits(target: str, kind: str, choices: Choices) -> dict[str, object]:
        found = containers(one(kind, target, choices, "triton" if target == "kubernetes" else ""))
        return next(each["resources"]["limits"] for each in found if "tritonserver" in each["image"])

    for target, kind in (("kubernetes", "Deployment"), ("kserve", "ServingRuntime")):
        assert limits(target, kind, FROM_S3)["nvidia.com/gpu"] == 2
        assert "nvidia.com/gpu" not in limits(target, kind, SCALED)


def test_the_autoscaler_and_its_metric_come_together() -> None:
    scaler = one("HorizontalPodAutoscaler", "kubernetes", SCALED)["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 6)
    triton = one("Deployment", "kubernetes", SCALED, "triton")
    assert "replicas" not in triton["spec"]  # the autoscaler's
    (adapted,) = file("kubernetes", "prometheus-adapter.values.yaml", SCALED).objects[0]["rules"]["custom"]
    assert scaler["metrics"][0]["pods"]["metric"]["name"] == adapted["name"]["as"]
    assert not [each for each in objects("kubernetes", KUBERNETES) if each["kind"] == "HorizontalPodAutoscaler"]


def test_a_repository_in_an_object_store_needs_no_volume_and_no_manager() -> None:
    there = objects("kubernetes", FROM_S3)
    assert not [each for each in there if each["kind"] == "PersistentVolumeClaim"]
    assert {each["metadata"]["name"] for each in there if each["kind"] == "Deployment"} == {"triton"}
    assert _volumes(there, "secret") == [{"secretName": "triton-s3", "defaultMode": 0o440}]
    (policy,) = (each["spec"] for each in there if each["kind"] == "NetworkPolicy")
    assert policy["egress"][-1]["ports"] == [{"protocol": "TCP", "port": 9000}]
    assert Choices(repository="s3://bucket/models").store_port == 443


def test_the_kustomization_names_every_object_and_nothing_else() -> None:
    for target in ("kubernetes", "kserve"):
        made = bundle(target, SCALED)
        listed = file(target, "kustomization.yaml", SCALED).objects[0]["resources"]
        assert listed == [each.path for each in made if all("metadata" in o for o in each.objects)]
