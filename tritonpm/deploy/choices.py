"""What may be chosen for a deployment, the defaults, and what is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tritonpm import __version__
from tritonpm.core.errors import UsageError
from tritonpm.core.releases import Release, of_image, release

TRITON_FLOOR = "26.06"  # the first container without known holes: docs/components.md
TRITON_REPOSITORY = "nvcr.io/nvidia/tritonserver"

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_PINNED = re.compile(r"[a-z0-9][a-z0-9._:/-]*(@sha256:[0-9a-f]{64}|:(?!latest$)[A-Za-z0-9_][A-Za-z0-9._-]{0,127})")
_STORAGE = re.compile(r"(oci(\+native|\+fetch)?|s3|gs|pvc|https)://[A-Za-z0-9._:/@+-]+")
_S3 = re.compile(r"s3://[A-Za-z0-9._:/-]+")


@dataclass(frozen=True)
class Choices:
    """A deployment's packages and what was chosen for it. Times in milliseconds, shares from 0 to 1."""

    packages: tuple[str, ...] = ()
    triton_version: str = TRITON_FLOOR
    triton_image: str = ""  # the whole name, best with its digest; wins over the version
    manager_image: str = f"tritonpm:{__version__}"
    build: str = "."  # the folder that the manager's image is built of, where it is ours
    decoding: bool = False  # some package takes JPEG and PNG, for which Triton's image needs Pillow
    namespace: str = "tritonpm"
    repository: str = ""  # s3://…; "" is the workspace's volume
    storage_uri: str = ""  # KServe's, of one package; "" is the whole repository
    gpus: int = 1
    replicas: int = 1
    max_replicas: int = 0  # 0 is no autoscaler
    cpu: str = "2"
    memory: str = "8Gi"
    storage: str = "50Gi"
    storage_class: str = ""
    queue_ms: float = 50.0
    latency_ms: float = 1000.0
    failing: float = 0.01

    @property
    def scaled(self) -> bool:
        """Whether an autoscaler chooses the number of replicas."""
        return self.max_replicas > 0

    @property
    def image(self) -> str:
        """Triton's image."""
        return self.triton_image or f"{TRITON_REPOSITORY}:{self.triton_version}-py3"

    @property
    def release(self) -> Release:
        """The Triton release that the image is of: what its tag names, else `triton_version`."""
        return release(of_image(self.image) or self.triton_version)

    @property
    def built(self) -> bool:
        """Whether the manager's image is the one that the Dockerfile makes."""
        return self.manager_image == type(self).manager_image

    @property
    def service(self) -> str:
        """What the InferenceService is called: as its one package, where it is of one."""
        return self.packages[0].lower().replace("_", "-") if self.storage_uri else "triton"

    @property
    def store_port(self) -> int:
        """Where the object store listens: s3://http://host:9000/bucket names one, s3://bucket is Amazon's."""
        named = re.match(r"s3://(https?)://[^/:]+(?::(\d+))?", self.repository)
        if named is None:
            return 443
        return int(named[2] or (80 if named[1] == "http" else 443))

    def __post_init__(self) -> None:
        self._check_images()
        self._check_cluster()
        self._check_thresholds()

    def _check_images(self) -> None:
        if not re.fullmatch(r"\d\d\.\d\d", self.triton_version) or self.triton_version < TRITON_FLOOR:
            raise UsageError(
                f"Triton {self.triton_version!r} is not a release that is safe to deploy",
                where="--triton-version",
                do=f"use {TRITON_FLOOR} or later; earlier ones lack security fixes",
            )
        for option, image in (("--triton-image", self.image), ("--manager-image", self.manager_image)):
            if not _PINNED.fullmatch(image):
                raise UsageError(f"{image!r} is not pinned", where=option, do="give its tag or its @sha256: digest")

    def _check_cluster(self) -> None:
        if not _NAME.fullmatch(self.namespace):
            raise UsageError(f"{self.namespace!r} is not a namespace", where="--namespace", do="use a-z, 0-9 and '-'")
        if self.repository and not _S3.fullmatch(self.repository):
            raise UsageError(
                f"{self.repository!r} is not an s3:// URL", where="--repository", do="give s3://bucket/prefix"
            )
        if self.storage_uri:
            self._check_storage_uri()
        for option in ("cpu", "memory", "storage"):
            if not _QUANTITY.fullmatch(getattr(self, option)):
                what = f"{getattr(self, option)!r} is not a Kubernetes quantity"
                raise UsageError(what, where=f"--{option}", do="give a number such as 2, 500m or 8Gi")
        if self.storage_class and not all(map(_NAME.fullmatch, self.storage_class.split("."))):
            raise UsageError(f"{self.storage_class!r} is not a storage class", where="--storage-class")
        if self.gpus < 0:
            raise UsageError(f"{self.gpus} is a negative number of GPUs", where="--gpus", do="give 0 or more")
        if self.replicas < 1:
            raise UsageError(f"{self.replicas} replicas serve nothing", where="--replicas", do="give 1 or more")
        if self.scaled and self.replicas > self.max_replicas:
            what = f"{self.max_replicas} is less than --replicas, {self.replicas}"
            raise UsageError(what, where="--max-replicas", do="give as many or more, or 0 for no autoscaler")

    def _check_storage_uri(self) -> None:
        if not _STORAGE.fullmatch(self.storage_uri):
            kinds = "oci+native://, oci+fetch://, oci://, s3://, gs://, pvc:// or https://"
            what = f"{self.storage_uri!r} is not a place that KServe knows"
            raise UsageError(what, where="--storage-uri", do=f"give {kinds}")
        if len(self.packages) != 1:
            what = f"is of one package, and these are {len(self.packages)}"
            raise UsageError(what, where="--storage-uri", do="name it with --package")
        if not _NAME.fullmatch(self.service):
            what = f"{self.packages[0]!r} cannot be a service's name"
            raise UsageError(what, where="--package", do="rename it: letters, digits and '-', a letter or digit last")

    def _check_thresholds(self) -> None:
        if not (self.queue_ms > 0 and self.latency_ms > 0 and 0 < self.failing < 1):
            do = "times are positive, a share lies between 0 and 1"
            raise UsageError("a threshold is out of range", where="--queue-ms, --latency-ms, --failing", do=do)
