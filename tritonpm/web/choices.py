"""What may be chosen for a package, and what the rules say of the rest: the tooltips are the rules' sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from tritonpm.catalogue import Record
from tritonpm.core.errors import RuleError
from tritonpm.core.types import BACKENDS, BatchAxis
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.context import Context
from tritonpm.operations.starting_settings import starting_settings
from tritonpm.settings import adjusted, began, broken, require
from tritonpm.settings.rule import Case, Rule
from tritonpm.settings.settings import DEVICES, ON_DEMAND, OPTIMIZERS, PINNED, PRECISIONS, SERVE, Settings
from tritonpm.web.language import Language

# Choices with a few values each; the rest are numbers and switches.
VALUES: Mapping[str, tuple[str | None, ...]] = {
    "mode": ("shared", "performance"),
    "device": DEVICES,
    "precision": PRECISIONS,
    "optimizer": ("none", "auto", *OPTIMIZERS),
    "residency": (PINNED, ON_DEMAND),
    "serve": SERVE,
    "backend": (None, *dict.fromkeys(name for names in BACKENDS.values() for name in names)),
}


@dataclass(frozen=True)
class Option:
    """A value that a setting could have; `why` is the sentence of the rule that forbids it, "" where none does.

    `changes` are what choosing it in place means; `warning` is what then does not work on this machine.
    """

    value: str | None
    chosen: bool
    why: str
    changes: Mapping[str, object]
    warning: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a rule says of the settings that were asked for."""

    rule: str
    level: str
    sentence: str
    do: str


@dataclass(frozen=True)
class SettingChoices:
    """The settings that changes would lead to, what the rules say of them, and what else could be chosen."""

    settings: Settings
    verdicts: tuple[Verdict, ...]
    options: Mapping[str, tuple[Option, ...]]

    @property
    def optimised(self) -> bool:
        """Whether they ask for more than the model as it came."""
        return self.settings.optimised

    @property
    def allowed(self) -> bool:
        """Whether no rule forbids them."""
        return all(verdict.level != "error" for verdict in self.verdicts)


class Chooser:
    """The choices of one package, or of one stage of it."""

    def __init__(self, context: Context, record: Record, say: Language, stage: str | None = None) -> None:
        self.record, self.say, self.stage = record, say, stage
        self.axes: Mapping[str, BatchAxis] = batch_axes(context, record.package)
        self.target = context.target
        self.began = began(record.package, self.axes)
        self.starting = starting(context, record, self.axes)

    def choices(self, changes: Mapping[str, object], fields: tuple[str, ...] = tuple(VALUES)) -> SettingChoices:
        """What `changes` would lead to. Raises RuleError for a setting that is none, or of the wrong type."""
        wanted = self._with(self.record.settings, changes)
        cases = list(self._broken(wanted))
        verdicts = tuple(dict.fromkeys(self._verdict(rule, case) for rule, case in cases))
        already = {rule.name for rule, _ in cases}
        options = {field: tuple(self._options(field, wanted, already)) for field in fields}
        return SettingChoices(self._of(wanted), verdicts, options)

    def why_one(self, changes: Mapping[str, object], field: str) -> str:
        """Why a number cannot be more than one after `changes`, "" where it can."""
        more = {field: 2}
        wanted = self._with(self.record.settings, changes)
        return self._why(more, wanted, {rule.name for rule, _ in self._broken(wanted)}, bare=True)

    def require(self, changes: Mapping[str, object], unset: Sequence[str] = ()) -> None:
        """Raise RuleError where `changes`, and settings that are `unset`, lead to what a rule forbids."""
        require(self.record.package, self._with(self.record.settings, changes, unset), self.axes, self.target)

    def _options(self, field: str, wanted: Settings, already: set[str]) -> Iterator[Option]:
        now = getattr(self._of(wanted), field)
        for value in VALUES[field]:
            changes = {field: value}
            why = "" if value == now else self._why(changes, wanted, already)
            yield Option(value, value == now, why, changes, self._warning(field, value))

    def _warning(self, field: str, value: str | None) -> str:
        if field == "device" and value != "cpu" and not self.target.gpus:
            say = self.say
            return say("this machine has no GPU, so it cannot be loaded here")
        return ""

    def _why(self, changes: Mapping[str, object], wanted: Settings, already: set[str], *, bare: bool = False) -> str:
        try:
            other = self._with(wanted, changes)
        except RuleError as error:
            return error.what
        for rule, case in self._broken(other):
            if rule.level == "error" and rule.name not in already:
                return self.say.explain(rule, case, bare=bare)
        return ""

    def _with(self, settings: Settings, changes: Mapping[str, object], unset: Sequence[str] = ()) -> Settings:
        after, _ = adjusted(
            self.record.package, settings, changes, self.axes, self.target,
            stage=self.stage, unset=unset, starting=self.starting,
        )  # fmt: skip
        return after

    def _of(self, settings: Settings) -> Settings:
        return settings.for_stage(self.stage) if self.stage else settings

    def _broken(self, settings: Settings) -> Iterator[tuple[Rule, Case]]:
        return broken(self.record.package, settings, self.axes, self.target, self.began)

    def _verdict(self, rule: Rule, case: Case) -> Verdict:
        return Verdict(rule.name, rule.level, self.say.explain(rule, case), self.say(rule.do))


def starting(context: Context, record: Record, axes: Mapping[str, BatchAxis] | None = None) -> Settings:
    """What the settings of a package go back to where they are unset."""
    return starting_settings(context, record.package, axes or batch_axes(context, record.package))


def differences(before: Settings, after: Mapping[str, object]) -> dict[str, object]:
    """Which of the values that a form holds are not what they were."""
    known = asdict(before)
    return {name: value for name, value in after.items() if known.get(name) != value}
