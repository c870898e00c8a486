"""The same objects as a kustomization's, as a Helm chart: what is likely to differ from place to place is a value.

Source: Helm's chart template guide. Helm puts every object into the release's namespace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tritonpm import __version__
from tritonpm.deploy.files import BundleFile

if TYPE_CHECKING:
    from tritonpm.deploy.choices import Choices

_MARK = "helm-value-{}-"  # where a value goes, until the object is text
_NAMESPACE = "{{ .Release.Namespace }}"


def chart(files: Sequence[BundleFile], choices: Choices) -> list[BundleFile]:
    """The chart of a kustomization's files, all of which hold objects."""
    values = _values(choices)
    about = {
        "apiVersion": "v2",
        "name": "tritonpm",
        "description": f"Triton Inference Server with {', '.join(choices.packages) or 'no package yet'}.",
        "type": "application",
        "version": __version__,
        "appVersion": choices.release.name,
    }
    templates = [
        BundleFile(f"templates/{file.path}", "---\n".join(_template(one, choices, values) for one in file.objects))
        for file in files
    ]
    return [BundleFile("Chart.yaml", _yaml(about)), BundleFile("values.yaml", _yaml(values)), *templates]


def _values(choices: Choices) -> dict[str, Any]:
    values: dict[str, Any] = {"image": choices.image, "cpu": choices.cpu, "memory": choices.memory}
    values |= {"gpus": choices.gpus} if choices.gpus else {}
    values |= {"replicas": choices.replicas}
    values |= {"maxReplicas": choices.max_replicas} if choices.scaled else {}
    values |= {} if choices.repository else {"managerImage": choices.manager_image, "storage": choices.storage}
    values |= {"storageClass": choices.storage_class} if choices.storage_class and not choices.repository else {}
    return values


def _template(one: Any, choices: Choices, values: Mapping[str, Any]) -> str:
    one["metadata"].pop("namespace")
    spec, kind = one.get("spec", {}), one["kind"]
    if kind == "Deployment":
        pod = spec["template"]["spec"]
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            if container["image"] == choices.manager_image:
                container["image"] = _mark("managerImage")
        if one["metadata"]["name"] == "triton":
            _of_triton(spec, pod["containers"][0], values)
    elif kind == "HorizontalPodAutoscaler":
        spec["minReplicas"], spec["maxReplicas"] = _mark("replicas"), _mark("maxReplicas")
    elif kind == "PersistentVolumeClaim":
        spec["resources"]["requests"]["storage"] = _mark("storage")
        if "storageClassName" in spec:
            spec["storageClassName"] = _mark("storageClass")
    text = _yaml(one).replace("{{", "\0").replace("}}", '{{ "}}" }}').replace("\0", '{{ "{{" }}')
    for name in values:
        text = text.replace(_mark(name), f"{{{{ .Values.{name} | toJson }}}}")
    return text


def _of_triton(spec: Any, container: Any, values: Mapping[str, Any]) -> None:
    if "replicas" in spec:
        spec["replicas"] = _mark("replicas")
    container["image"] = _mark("image")
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    requests["cpu"], requests["memory"], limits["memory"] = _mark("cpu"), _mark("memory"), _mark("memory")
    if "gpus" in values:
        limits["nvidia.com/gpu"] = _mark("gpus")


def _mark(name: str) -> str:
    return _MARK.format(name)


def _yaml(document: Any) -> str:
    import yaml

    plain = json.loads(json.dumps(document))  # without YAML's anchors
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=1 << 20))
