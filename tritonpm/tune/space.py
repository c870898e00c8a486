"""What may be tried for a package: for each stage a variant of its model, how it is laid out, and how it is batched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from tritonpm.settings.settings import Settings

if TYPE_CHECKING:
    from optuna.trial import Trial

MOST_INSTANCES = 16
BATCHES = (4, 8, 16, 32)  # of dynamic batching
WAITS = (0, 500, 2000)  # µs that the batcher may wait for a full batch
DEPTHS = (1, 2)  # requests in flight for each that can run at once
MOST_IN_FLIGHT = 128
_STREAMED = (
    "openvino"  # the optimizer whose models run several requests in one instance, and are batched by clients only
)


@dataclass(frozen=True)
class Variant:
    """What a stage's model is made into: device, optimizer and precision as settings name them."""

    device: str
    optimizer: str
    precision: str
    adopted: bool = False  # it has a config of its own, of which only instances and batching are changed

    @property
    def words(self) -> str:
        """In a few words, which name it."""
        made = f"{self.optimizer} {self.precision}" if self.optimizer != "none" else "as it came"
        return made if self.device == "cpu" else f"{self.device} {made}"

    @property
    def streamed(self) -> bool:
        """Whether one instance runs several requests at once; Triton then puts none of them together."""
        return self.device == "cpu" and self.optimizer == _STREAMED


@dataclass(frozen=True)
class Layout:
    """How many requests run at once, and on what: instances, streams in each, threads of each stream (0: on a GPU)."""

    instances: int
    streams: int = 1
    threads: int = 0

    @property
    def lanes(self) -> int:
        """Executions side by side."""
        return self.instances * self.streams

    @property
    def words(self) -> str:
        """`2 instances × 1 thread`, which names it."""
        streams = f" × {_count(self.streams, 'stream')}" if self.streams > 1 else ""
        threads = f" × {_count(self.threads, 'thread')}" if self.threads else ""
        return f"{_count(self.instances, 'instance')}{streams}{threads}"


@dataclass(frozen=True)
class Choice:
    """All that is chosen for one stage."""

    variant: Variant
    layout: Layout
    batch: int = 1
    wait: int = 0

    @property
    def words(self) -> str:
        """In a few words."""
        batched = f", batches up to {self.batch}" if self.batch > 1 else ""
        waits = f" waited for {self.wait} µs" if self.wait else ""
        return f"{self.variant.words}, {self.layout.words}{batched}{waits}"

    def changes(self, base: Settings, rows: int) -> dict[str, object]:
        """What it changes of a stage's settings, where clients send `rows` in a request."""
        layout, variant = self.layout, self.variant
        # OpenVINO's threads and streams are a model's, which its instances divide; ONNX Runtime's are each instance's.
        parts = layout.lanes if variant.streamed else 1
        changes: dict[str, object] = {
            "device": variant.device, "optimizer": variant.optimizer, "precision": variant.precision, "backend": None,
            "mode": "performance" if layout.instances > 1 else "shared",
            "instances": layout.instances if layout.instances > 1 else None,
            "threads": None if variant.adopted else layout.threads * parts or None,
            "streams": str(layout.lanes) if layout.streams > 1 else "",
            "performance_hint": "",
            "preferred_batch_sizes": (self.batch,) if self.wait else (),
            "queue_delay_us": self.wait,
        }  # fmt: skip
        if not variant.streamed:
            changes["dynamic_batching"] = self.batch > 1
            changes["max_batch_size"] = max(self.batch, rows, base.max_batch_size)  # never less: clients may send it
        if variant.device == "cpu":
            changes |= {"gpus": (), "group_per_gpu": False, "cuda_graphs": False}
        return changes


@dataclass(frozen=True)
class Candidate:
    """Choices by stage, and how many requests clients have in flight; without choices the settings as they are."""

    choices: tuple[tuple[str, Choice], ...]
    in_flight: int

    @property
    def words(self) -> str:
        """In a few words."""
        if not self.choices:
            return "the settings as they are"
        if len(self.choices) == 1:
            return self.choices[0][1].words
        return "; ".join(f"{stage}: {choice.words}" for stage, choice in self.choices)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """What runs, stage by stage."""
        return tuple(choice.variant for _, choice in self.choices)


@dataclass(frozen=True)
class Space:
    """What may be tried: each stage's variants, what Triton may batch of those that can be batched, and the cores."""

    variants: Mapping[str, tuple[Variant, ...]]
    batched: Mapping[str, int]
    cores: int
    rows: int = 1  # of a request
    in_flight: int | None = None  # what clients have in flight, where that is known

    def suggested(self, trial: Trial) -> Candidate:
        """The candidate that an optimiser's trial stands for."""
        return self.candidate({stage: self._suggested(trial, stage) for stage in self.variants}, self._depth(trial))

    def candidate(self, choices: Mapping[str, Choice], depth: int) -> Candidate:
        """Choices by stage under a load that keeps all of them busy: `depth` requests for each that can run at once."""
        if self.in_flight is not None:
            return Candidate(tuple(choices.items()), self.in_flight)
        requests = (-(-choice.layout.lanes * choice.batch // self.rows) for choice in choices.values())
        return Candidate(tuple(choices.items()), min(MOST_IN_FLIGHT, depth * max(1, sum(requests))))

    def params(self, candidate: Candidate) -> dict[str, str | int]:
        """The trial's parameters that stand for a candidate: what `suggested` makes of them is that candidate."""
        params: dict[str, str | int] = {}
        for stage, choice in candidate.choices:
            family = _family(choice.variant)
            params |= {f"{stage}: variant": choice.variant.words, f"{stage}: {family} batch": choice.batch}
            params[f"{stage}: {family} layout"] = choice.layout.words
            if choice.batch > 1:
                params[f"{stage}: wait"] = choice.wait
        depths = [depth for depth in DEPTHS if self.candidate(dict(candidate.choices), depth) == candidate]
        return {**params, **({"depth": depths[0]} if self.in_flight is None and depths else {})}

    def pilots(self, *, alone: bool) -> Iterator[Candidate]:
        """One candidate for each variant, in every stage that has it, on all cores: `alone` one request on all of them.

        With several at once each has one thread: that shows the least work that an inference takes.
        """
        for words in dict.fromkeys(variant.words for listed in self.variants.values() for variant in listed):
            choices = {}
            for stage, listed in self.variants.items():
                variant = next((variant for variant in listed if variant.words == words), listed[0])
                layout = self._extremes(variant)[0 if alone else 1]
                choices[stage] = Choice(variant, layout, self._batches(stage, variant)[0])
            yield self.candidate(choices, 1 if alone else DEPTHS[-1])

    def corners(self, candidate: Candidate, *, shallow: bool = False) -> Iterator[Candidate]:
        """The same variants laid out in each extreme way, not batched and batched; `shallow` under less load, too."""
        ways = {stage: self._extremes(choice.variant) for stage, choice in candidate.choices}
        batches = {stage: self._batches(stage, choice.variant)[:2] for stage, choice in candidate.choices}
        counts = (max(map(len, of.values()), default=0) for of in (batches, ways))
        for batched, number in product(*map(range, counts)):
            choices = {
                stage: Choice(choice.variant, ways[stage][: number + 1][-1], batches[stage][: batched + 1][-1])
                for stage, choice in candidate.choices
            }
            yield from (self.candidate(choices, depth) for depth in (DEPTHS if batched or shallow else DEPTHS[-1:]))

    def layouts(self, variant: Variant) -> tuple[Layout, ...]:
        """Every layout of a variant that has at most two threads for a core."""
        if variant.device != "cpu":
            return tuple(Layout(count) for count in _steps(MOST_INSTANCES))
        instances = _steps(min(MOST_INSTANCES, 2 * self.cores), self.cores)
        if variant.adopted:
            return tuple(Layout(count, 1, max(1, self.cores // count)) for count in instances)
        threads = _steps(self.cores)
        counts = product(instances, threads if variant.streamed else (1,), threads)
        return tuple(Layout(*count) for count in counts if prod(count) <= 2 * self.cores)

    def size(self) -> int:
        """How many candidates there are."""
        return prod(sum(1 for _ in self.choices(stage)) for stage in self.variants) * len(self._depths)

    def choices(self, stage: str) -> Iterator[Choice]:
        """All choices for a stage."""
        for variant in self.variants[stage]:
            for layout, batch in product(self.layouts(variant), self._batches(stage, variant)):
                for wait in WAITS if batch > 1 else (0,):
                    yield Choice(variant, layout, batch, wait)

    def all(self) -> Iterator[Candidate]:
        """Every candidate."""
        listed = [[(stage, choice) for choice in self.choices(stage)] for stage in self.variants]
        for choices in product(*listed):
            yield from (self.candidate(dict(choices), depth) for depth in self._depths)

    def _suggested(self, trial: Trial, stage: str) -> Choice:
        variants = {variant.words: variant for variant in self.variants[stage]}
        variant = variants[trial.suggest_categorical(f"{stage}: variant", tuple(variants))]
        layouts = {layout.words: layout for layout in self.layouts(variant)}
        layout = layouts[trial.suggest_categorical(f"{stage}: {_family(variant)} layout", tuple(layouts))]
        batches = self._batches(stage, variant)
        batch = trial.suggest_categorical(f"{stage}: {_family(variant)} batch", batches)
        wait = trial.suggest_categorical(f"{stage}: wait", WAITS) if batch > 1 else 0
        return Choice(variant, layout, batch, wait)

    def _depth(self, trial: Trial) -> int:
        return trial.suggest_categorical("depth", self._depths) if self.in_flight is None else 1

    @property
    def _depths(self) -> tuple[int, ...]:
        return DEPTHS if self.in_flight is None else (1,)

    def _batches(self, stage: str, variant: Variant) -> tuple[int, ...]:
        """Those that Triton can make for a variant, 1 is none; nothing is gained by less than clients may send."""
        largest = self.batched.get(stage, 1)
        if variant.device == "gpu-optimised":  # another one is another engine
            return (largest,)
        more = {batch for batch in (*BATCHES, largest) if batch > self.rows and batch >= largest}
        return (1, *sorted(more)) if stage in self.batched and not variant.streamed else (1,)

    def _extremes(self, variant: Variant) -> tuple[Layout, ...]:
        """One execution on all cores, then one on each of them, then what lies between."""
        if variant.device != "cpu":
            return Layout(1), Layout(2)
        if variant.adopted:
            return self.layouts(variant)[0], self.layouts(variant)[-1]
        lanes, between = min(MOST_INSTANCES, self.cores), 1 << (self.cores.bit_length() - 1) // 2
        threads = max(count for count in _steps(self.cores) if count <= self.cores // between)
        alone, parallel, middle = Layout(1, 1, self.cores), Layout(lanes, 1, 1), Layout(between, 1, threads)
        if not variant.streamed:
            return alone, parallel, middle
        return alone, Layout(1, self.cores, 1), parallel, Layout(1, between, threads)


def settings_of(candidate: Candidate, base: Settings, rows: int, *, cascade: bool) -> Settings:
    """The settings that a candidate stands for: the base's, with its choices laid over them."""
    from tritonpm.settings import changed, stage_changed

    for stage, choice in candidate.choices:
        changes = choice.changes(base.for_stage(stage), rows)
        if not cascade:
            return changed(replace(base.for_stage(stage), stages={}), changes)
        base = stage_changed(base, stage, changes)
    return base


def _family(variant: Variant) -> str:
    """Variants of one family have the same layouts and batches."""
    if variant.adopted:
        return "adopted"
    return variant.device if variant.device != "cpu" else variant.optimizer if variant.streamed else "cpu"


def _steps(most: int, *others: int) -> tuple[int, ...]:
    """Powers of two up to `most`, itself and `others` that are no more."""
    powers = (1 << exponent for exponent in range(most.bit_length()))
    return tuple(sorted({*powers, most, *(other for other in others if other <= most)}))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
