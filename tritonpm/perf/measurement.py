"""What is measured and what came out, as plain data. Times are microseconds unless their name says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SHARED_MEMORY = ("none", "system", "cuda")


@dataclass(frozen=True)
class Workload:
    """What a server is put under: so many requests in flight, or with `rate` so many sent each second."""

    concurrency: int = 1
    rate: float | None = None  # requests/s
    batch: int = 1
    protocol: str = "grpc"
    shared_memory: str = "none"
    seconds: float = 5.0  # of measuring; it takes longer where a request does

    @property
    def words(self) -> str:
        """In a few words, for a table."""
        return f"{self.rate:g} requests/s" if self.rate else f"{self.concurrency} in flight"


@dataclass(frozen=True)
class Latency:
    """Of one request, as the client sees it."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


@dataclass(frozen=True)
class StageTimes:
    """Where a request spent its time in one model of the server: means of all requests of the run."""

    model: str
    requests: int
    batch: float  # inferences that one execution had, on average
    queue: float
    compute_input: float
    compute: float
    compute_output: float
    cache_hits: int = 0


@dataclass(frozen=True)
class Energy:
    """Joules of the whole run and the inferences that they were spent on; `reason` is why nothing could be read."""

    joules: float | None
    inferences: int
    source: str = ""
    reason: str = ""

    @property
    def inferences_per_joule(self) -> float | None:
        """None where it was not measured."""
        return self.inferences / self.joules if self.joules else None


@dataclass(frozen=True)
class Measurement:
    """One load on one model: what perf_analyzer and the server's own statistics say."""

    load: Workload
    instances: int
    throughput: float  # inferences/s
    windows: tuple[float, ...]  # throughput in each of perf_analyzer's windows
    latency: Latency
    stages: tuple[StageTimes, ...]
    energy: Energy
    seconds: float  # how long perf_analyzer ran
    memory: int | None = None  # bytes that the loaded models held; None where it cannot be told

    @property
    def spread(self) -> float:
        """By how much the slowest window is slower than the fastest: 0.1 is 10 %."""
        fastest = max(self.windows, default=0.0)
        return 1 - min(self.windows) / fastest if fastest else 0.0

    @property
    def queue(self) -> float:
        """Waiting for an instance, in all stages."""
        return sum(stage.queue for stage in self.stages)

    @property
    def compute(self) -> float:
        """In the models, with the copying of their tensors, in all stages."""
        return sum(stage.compute_input + stage.compute + stage.compute_output for stage in self.stages)

    @property
    def overhead(self) -> float:
        """The rest of the latency: the client, the network and the server around the models."""
        return max(0.0, self.latency.mean - self.queue - self.compute)


@dataclass(frozen=True)
class Machine:
    """Where it was measured."""

    cpu: str
    cores: int
    memory: int  # bytes
    gpus: tuple[str, ...]
    system: str


@dataclass(frozen=True)
class Storage:
    """Bytes of the revision on the disk, and of one instance on a GPU as it was measured when it was loaded."""

    disk: int
    gpu_memory: int | None = None


@dataclass(frozen=True)
class Quality:
    """What the proof of a stage's answers says. `state` is original where nothing was converted."""

    stage: str
    precision: str
    state: str  # original | verified | unverified | failed | stale | missing
    reason: str = ""
    scaled: float | None = None  # the largest difference, relative to the output's largest value
    top1: float | None = None
    boxes: float | None = None


@dataclass(frozen=True)
class Result:
    """What one `tritonpm perf` measured, with all that it was measured with. `number` is its name in the workspace."""

    number: int
    measured: str  # ISO 8601
    package: str
    version: str
    digest: str
    revision: int | None
    revision_digest: str
    machine: Machine
    tools: Mapping[str, str]  # perf_analyzer and Triton, their versions
    settings: Mapping[str, object]
    inputs: str  # what was sent
    measurements: tuple[Measurement, ...]
    storage: Storage
    quality: tuple[Quality, ...]
    price: float | None = None  # of the machine, per hour
    notes: tuple[str, ...] = field(default_factory=tuple)
