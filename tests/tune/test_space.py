"""What may be tried: every candidate can be told to the optimiser and back, and breaks no promise to clients."""

from __future__ import annotations

import math
from dataclasses import replace

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonpm.settings.settings import Settings
from tritonpm.tune.space import MOST_IN_FLIGHT, MOST_INSTANCES, Layout, Space, Variant, settings_of

AS_IT_CAME, OPENVINO = Variant("cpu", "none", "FP32"), Variant("cpu", "openvino", "INT8")
ENGINE = Variant("gpu-optimised", "tensorrt", "FP16")
VARIANTS = (
    AS_IT_CAME,
    replace(AS_IT_CAME, adopted=True),
    OPENVINO,
    Variant("cpu", "onnx", "INT8"),
    Variant("gpu", "none", "FP32"),
    ENGINE,
)

spaces = st.builds(
    lambda stages, cores, rows, in_flight, batch: Space(
        {f"s{i}": tuple(dict.fromkeys(variants)) for i, variants in enumerate(stages)},
        {f"s{i}": batch for i in range(len(stages))} if batch else {},
        cores,
        min(rows, batch or 1),
        in_flight,
    ),
    st.lists(
        st.lists(st.sampled_from(VARIANTS), min_size=1, max_size=3, unique_by=lambda each: each.words),
        min_size=1,
        max_size=2,
    ),
    st.integers(1, 64),
    st.integers(1, 8),
    st.none() | st.integers(1, 64),
    st.sampled_from((None, 1, 6, 8, 100)),
)


@given(spaces, st.integers(0, 1000))
def test_a_candidate_is_told_to_the_optimiser_and_back(space: Space, seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    candidate = space.suggested(study.ask())
    study.enqueue_trial(space.params(candidate))
    assert space.suggested(study.ask()) == candidate
    for pilot in (*space.pilots(alone=True), *space.pilots(alone=False)):
        study.enqueue_trial(space.params(pilot))
        assert space.suggested(study.ask()) == pilot


@given(spaces, st.integers(0, 1000))
def test_settings_keep_what_clients_rely_on(space: Space, seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    candidate = space.suggested(study.ask())
    base = Settings(max_batch_size=max(1, *space.batched.values(), 1), residency="on-demand", response_cache=True)
    chosen = settings_of(candidate, base, space.rows, cascade=len(space.variants) > 1)
    for stage, choice in candidate.choices:
        own = chosen.for_stage(stage)
        assert own.max_batch_size >= base.max_batch_size
        assert (own.residency, own.response_cache) == ("on-demand", True)
        assert (own.device, own.optimizer, own.precision) == tuple(vars(choice.variant).values())[:3]
        assert (own.instances or 1) == choice.layout.instances <= MOST_INSTANCES
        assert all(size <= own.max_batch_size for size in own.preferred_batch_sizes)
        if choice.variant.device == "cpu":
            assert 1 <= choice.layout.lanes * choice.layout.threads <= 2 * space.cores
    assert 1 <= candidate.in_flight <= max(MOST_IN_FLIGHT, space.in_flight or 1)


@given(spaces, st.integers(0, 1000))
def test_corners_are_candidates_of_the_same_variants(space: Space, seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    candidate = space.suggested(study.ask())
    corners = list(space.corners(candidate))
    for corner in corners:
        assert corner.variants == candidate.variants
        study.enqueue_trial(space.params(corner))
        assert space.suggested(study.ask()) == corner
    layouts = [{choice.layout for _, choice in corner.choices} for corner in corners]
    if all(variant == AS_IT_CAME for variant in candidate.variants):  # all cores on one request, and one on each
        for extreme in (Layout(1, 1, space.cores), Layout(min(MOST_INSTANCES, space.cores), 1, 1)):
            assert {extreme} in layouts
        assert any(choice.batch > 1 for each in corners for _, choice in each.choices) == any(
            each.batch > 1 for stage in space.variants for each in space.choices(stage)
        )


@pytest.mark.parametrize("cores", [1, 2, 6])
def test_every_candidate_is_counted_once(cores: int) -> None:
    space = Space({"a": (AS_IT_CAME, OPENVINO)}, {"a": 8}, cores)
    listed = list(space.all())
    assert len(listed) == space.size()
    assert len({(each.choices, each.in_flight) for each in listed}) >= len(listed) / 2
    assert math.prod(len(list(space.choices(stage))) for stage in space.variants) * 2 == space.size()


def test_openvino_shares_threads_and_streams_among_its_instances() -> None:
    space = Space({"a": (OPENVINO,)}, {}, 4)
    choice = next(
        each for each in space.choices("a") if vars(each.layout) == {"instances": 2, "streams": 2, "threads": 1}
    )
    changes = choice.changes(Settings(), 1)
    assert (changes["instances"], changes["streams"], changes["threads"]) == (2, "4", 4)
