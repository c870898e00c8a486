"""A change of settings as a whole: what is asked for, and what gives way to it because it was not asked for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from tritonpm.core.errors import RuleError
from tritonpm.core.types import BatchAxis, Package, Target
from tritonpm.settings.changes import changed, defaults, field_named, stage_changed, with_own
from tritonpm.settings.changes import unset as put_back
from tritonpm.settings.rules import began, broken, require_stages
from tritonpm.settings.settings import Settings


def adjusted(
    package: Package,
    before: Settings,
    changes: Mapping[str, object],
    axes: Mapping[str, BatchAxis],
    target: Target,
    *,
    stage: str | None = None,
    unset: Sequence[str] = (),
    starting: Settings | None = None,
) -> tuple[Settings, tuple[str, ...]]:
    """`before` with `changes` laid over it, of one stage where it is named, and the settings that went with that.

    What contradicts the change and was not asked for goes back to what the package starts with, and is named in the
    second part ("instances", or "STAGE: instances" for a stage's own); what was asked for and contradicts itself stays
    for `require` to refuse. `unset` go back, too; `starting` is `defaults` where it is not given.

    Raises RuleError for an unknown name or stage, a value of the wrong type, a setting that is both given and unset.
    """
    require_stages(package, () if stage is None else (stage,))
    starting = starting or defaults(package, axes, "gpu" if target.gpus else "cpu")
    gone = [field_named(name) for name in unset]
    if both := sorted(changes.keys() & set(gone)):
        raise RuleError(f"{both[0]} is both given and unset", where=package.name, do="ask for one of the two")
    after = put_back(before, gone, starting, stage)
    after = changed(after, changes) if stage is None else stage_changed(after, stage, changes)
    first = began(package, axes)
    stood = {(rule.name, case.stage.name) for rule, case in broken(package, before, axes, target, first)}
    named, dropped = {*changes, *gone}, dict[str, None]()
    while True:  # what gives way may make others contradict; each pass brings some nearer to the usual, so it ends
        fallen = [
            (case.stage.name, name)
            for rule, case in broken(package, after, axes, target, first)
            if (rule.name, case.stage.name) not in stood
            for name in rule.gives_way
            if name not in named
        ]
        settings = after
        for of, name in fallen:
            settings, given_up = _given_up(settings, of, name, starting, only=stage is not None)
            dropped.update(dict.fromkeys(given_up))
        if settings == after:
            return after, tuple(dropped)
        after = settings


def along(name: str, dropped: Sequence[str]) -> str:
    """That settings of a package went with a change, as advice."""
    return f"{name}: this change resets {', '.join(dropped)} to the default."


def kept_by_stages(name: str, settings: Settings, changed: Collection[str]) -> tuple[str, ...]:
    """That stages keep values of their own of what was changed for the package, as advice for each of them."""
    return tuple(
        f"{name}: stage {stage} keeps its own {', '.join(kept)}; "
        f"`tritonpm set {name} --stage {stage} --unset {','.join(kept)}` gives it the package's."
        for stage, own in settings.stages.items()
        if (kept := [field for field in own if field in changed and own[field] != getattr(settings, field)])
    )


def _given_up(
    settings: Settings, stage: str, name: str, starting: Settings, *, only: bool
) -> tuple[Settings, tuple[str, ...]]:
    """Without what a stage has of its own, else without what the package has; how that is named.

    Where one stage `only` was changed, the others keep what they have: the stage gets the usual value of its own.
    """
    own = settings.stages.get(stage, {})
    if name in own and own[name] != getattr(Settings(), name):
        rest = {key: value for key, value in own.items() if key != name}
        return with_own(settings, stage, rest), (f"{stage}: {name}",)
    now, first, usual = (getattr(one, name) for one in (settings, starting, Settings()))
    if name in own or now == usual:
        return settings, ()
    value = first if first != now else usual
    if only:
        return with_own(settings, stage, {**own, name: usual}), (f"{stage}: {name}",)
    return replace(settings, **{name: value}), (name,)
