"""What a machine must have to serve a package: one row each, with what was found and how to get what is missing.

Drivers by CUDA's major: NVIDIA's CUDA release notes, table of minimum driver versions (Linux).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tritonpm.core.errors import RequirementError, UsageError
from tritonpm.hardware.host import Host, core_generation, version

VISION = "mech-vision"  # the vision controller's profile: an industrial PC with a driver of a known age
CASCADES_SINCE = "1.7.2"  # the manager that first took cascades
_OLDEST_DRIVER, _UNSTEADY_DRIVER = "472.50", "500"
_DRIVER_OF_CUDA: Mapping[int, str] = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
_GENERATION = 6


@dataclass(frozen=True)
class PackageNeeds:
    """What a package asks of the machine: its devices and backends, and the profile that the site runs."""

    devices: frozenset[str] = frozenset()
    backends: frozenset[str] = frozenset()
    cascade: bool = False
    exporter: str = ""
    profile: str = ""

    @property
    def site(self) -> tuple[str, str]:
        """The profile's name and version: `mech-vision:1.7.2`."""
        name, _, number = self.profile.partition(":")
        return name, number

    @property
    def gpu(self) -> bool:
        """Whether any stage runs on a GPU."""
        return bool(self.devices & {"gpu", "gpu-optimised"})


@dataclass(frozen=True)
class Requirement:
    """A row: when it holds for a package, whether it is met, its sentence, what was found, what to do."""

    name: str
    applies: Callable[[Host, PackageNeeds], bool]
    met: Callable[[Host, PackageNeeds], bool]
    sentence: str
    found: Callable[[Host, PackageNeeds], str]
    do: str
    level: str = "error"


@dataclass(frozen=True)
class Unmet:
    """A requirement that this machine does not meet."""

    name: str
    level: str
    sentence: str
    do: str


def _driver_found(host: Host, wanted: PackageNeeds) -> str:
    return f"driver {host.driver}" if host.driver else "no NVIDIA driver"


REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "driver",
        lambda host, wanted: wanted.gpu,
        lambda host, wanted: version(host.driver) >= version(_OLDEST_DRIVER),
        f"the GPU types need NVIDIA driver {_OLDEST_DRIVER} or later",
        _driver_found,
        "install a newer driver, or use --device cpu",
    ),
    Requirement(
        "driver-of-cuda",
        lambda host, wanted: "gpu-optimised" in wanted.devices and bool(host.driver) and wanted.site[0] != VISION
        and host.cuda in _DRIVER_OF_CUDA,
        lambda host, wanted: version(host.driver) >= version(_DRIVER_OF_CUDA.get(host.cuda, _OLDEST_DRIVER)),
        "the installed TensorRT needs a driver for its CUDA {cuda}: {driver} or later",
        _driver_found,
        "install a newer driver, or a TensorRT for an older CUDA",
    ),
    Requirement(
        "unsteady-driver",
        lambda host, wanted: wanted.gpu and bool(host.driver) and wanted.site[0] == VISION,
        lambda host, wanted: version(host.driver) < version(_UNSTEADY_DRIVER),
        f"with NVIDIA driver {_UNSTEADY_DRIVER} or later run times fluctuate on the vision controller",
        _driver_found,
        f"use a driver from {_OLDEST_DRIVER} to before {_UNSTEADY_DRIVER}",
        level="warning",
    ),
    Requirement(
        "core-generation",
        lambda host, wanted: wanted.site[0] == VISION,
        lambda host, wanted: (core_generation(host.cpu) or 0) >= _GENERATION,
        f"the vision controller needs an Intel Core processor of generation {_GENERATION} or later",
        lambda host, wanted: host.cpu or "an unknown processor",
        "use another machine",
    ),
    Requirement(
        "avx2",
        lambda host, wanted: host.x86 and bool(host.flags) and bool(wanted.backends & {"openvino", "ort-openvino"}),
        lambda host, wanted: "avx2" in host.flags,
        "OpenVINO needs a processor with AVX2",
        lambda host, wanted: f"{host.cpu} without it",
        "use another machine, or for ONNX --backend onnxruntime",
    ),
    Requirement(
        "cascade-profile",
        lambda host, wanted: wanted.cascade and wanted.exporter == "mech-dlk" and wanted.site[0] == VISION,
        lambda host, wanted: version(wanted.site[1] or CASCADES_SINCE) >= version(CASCADES_SINCE),
        f"cascades of Mech-DLK need a manager profile of {CASCADES_SINCE} or later",
        lambda host, wanted: f"profile {wanted.profile}",
        f"update the site, then say --profile {VISION}:{CASCADES_SINCE}",
    ),
)  # fmt: skip


def unmet(host: Host, wanted: PackageNeeds) -> list[Unmet]:
    """What this machine lacks for it. Raises UsageError for a profile that is none."""
    if wanted.profile and wanted.site[0] != VISION:
        raise UsageError(f"there is no profile {wanted.profile!r}", do=f"use {VISION}, or {VISION}:VERSION")
    driver = _DRIVER_OF_CUDA.get(host.cuda, _OLDEST_DRIVER)
    return [
        Unmet(row.name, row.level, f"{row.sentence.format(cuda=host.cuda, driver=driver)}; here is {here}", row.do)
        for row in REQUIREMENTS
        if row.applies(host, wanted) and not row.met(host, wanted) and (here := row.found(host, wanted))
    ]


def require(lacking: Sequence[Unmet], where: str) -> None:
    """Raise RequirementError for the first that is an error."""
    for requirement in lacking:
        if requirement.level == "error":
            raise RequirementError(
                requirement.sentence,
                where=where,
                do=f"{requirement.do}; or on a machine that only prepares packages, --ignore-requirements",
            )
