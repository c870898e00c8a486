"""What goes where: never too much, never twice, never together that shall be apart, and no server for nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tritonpm.fleet.placement import PackageNeed, Placement, Room, place

NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)
NEEDS = NAMES.flatmap(
    lambda names: st.tuples(
        *(st.builds(PackageNeed, st.just(name), st.integers(0, 50), st.integers(1, 4)) for name in names)
    )
)
ROOMS = st.lists(st.tuples(st.integers(0, 100), st.sampled_from("xyz")), max_size=6).map(
    lambda listed: [Room(f"s{number}", memory, {"zone": zone}) for number, (memory, zone) in enumerate(listed)]
)
APART = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=3, unique=True), max_size=3)


@given(NEEDS, ROOMS, APART, st.sampled_from(["", "zone"]))
def test_what_is_placed_fits_and_is_apart(
    needs: tuple[PackageNeed, ...], rooms: list[Room], apart: list[list[str]], spread: str
) -> None:
    found = place(needs, rooms, apart=apart, spread=spread)
    memory = {need.name: need.memory for need in needs}
    for room in rooms:
        there = on(found, room.name)
        assert sum(memory[name] for name in there) <= room.memory
        assert all(len(there & set(group)) <= 1 for group in apart)
    for need in needs:
        assert len(set(found.placed[need.name])) == len(found.placed[need.name])
        assert len(found.placed[need.name]) + found.missing.get(need.name, 0) == need.replicas


@given(NEEDS, ROOMS, APART, st.sampled_from(["", "zone"]))
def test_what_is_there_stays(
    needs: tuple[PackageNeed, ...], rooms: list[Room], apart: list[list[str]], spread: str
) -> None:
    found = place(needs, rooms, apart=apart, spread=spread)
    assert place(needs, rooms, present=found.placed, apart=apart, spread=spread) == found
    more = [*rooms, Room("new", 1000, {"zone": "w"})]
    grown = place(needs, more, present=found.placed, apart=apart, spread=spread)
    assert all(set(found.placed[need.name]) <= set(grown.placed[need.name]) for need in needs)


@given(NEEDS, ROOMS)
def test_nothing_is_missing_that_a_server_has_room_for(needs: tuple[PackageNeed, ...], rooms: list[Room]) -> None:
    found = place(needs, rooms)
    memory = {need.name: need.memory for need in needs}
    for name in found.missing:
        for room in rooms:
            there = on(found, room.name)
            assert name in there or room.memory - sum(memory[each] for each in there) < memory[name]


@given(st.lists(st.integers(1, 100), max_size=30))
def test_at_most_one_server_is_not_even_half_full(sizes: list[int]) -> None:
    needs = [PackageNeed(f"p{number}", size) for number, size in enumerate(sizes)]
    rooms = [Room(f"s{number}", 100, {}) for number in range(len(sizes))]
    found = place(needs, rooms)
    memory = {need.name: need.memory for need in needs}
    filled = [sum(memory[name] for name in on(found, room.name)) for room in rooms]
    assert not found.missing
    assert sum(0 < each <= 50 for each in filled) <= 1


def test_replicas_are_on_as_many_racks_as_there_are() -> None:
    rooms = [Room(name, 10, {"rack": name[0]}) for name in ("a1", "a2", "a3", "b1", "c1")]
    assert place([PackageNeed("p", 1, 3)], rooms, spread="rack").placed["p"] == ("a1", "b1", "c1")
    assert place([PackageNeed("p", 1, 4)], rooms, spread="rack").placed["p"] == ("a1", "a2", "b1", "c1")
    assert place([PackageNeed("p", 1, 3)], rooms).placed["p"] == ("a1", "a2", "a3")


def on(found: Placement, server: str) -> set[str]:
    return {name for name, servers in found.placed.items() if server in servers}
