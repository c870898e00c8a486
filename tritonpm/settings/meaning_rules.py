"""Rules for what settings say of a stage's tensors, over what the package says."""

from __future__ import annotations

from tritonpm.meaning.stages import Meaning, of_stage
from tritonpm.settings.rule import Case, Rule
from tritonpm.settings.settings import TENSORS


def _fronted(case: Case) -> bool:
    return case.settings.serve != TENSORS


def _meaning(case: Case) -> Meaning:
    """What is known of the stage; nothing where what is said cannot be, which has a rule of its own."""
    try:
        return of_stage(case.stage, preprocess=case.settings.preprocess, decode=case.settings.decode)
    except ValueError:
        return Meaning()


def _takes_no_pictures(case: Case) -> bool:
    if not _fronted(case) or case.stage != case.package.stages[0] or case.meaningless:
        return False
    known = _meaning(case).preprocess
    return known is None or bool(known.tokenizer)


def _unknown_objects(case: Case) -> bool:
    last = case.stage == case.package.stages[-1]
    return _fronted(case) and last and not case.meaningless and _meaning(case).decode is None


MEANING_RULES: tuple[Rule, ...] = (
    Rule(
        "meaning",
        lambda c: bool(c.settings.preprocess or c.settings.decode) and bool(c.meaningless),
        "the tensors of stage {stage.name!r} cannot mean that: {case.meaningless}",
        "correct --preprocess or --decode; in a cascade they are given with --stage",
    ),
    Rule(
        "front-preprocess",
        _takes_no_pictures,
        "nothing says how a picture becomes the input of stage {stage.name!r}, so it can serve none",
        "give it with --preprocess, or in package.yaml",
        gives_way=("serve",),
    ),
    Rule(
        "front-decode",
        _unknown_objects,
        "nothing says what the outputs of stage {stage.name!r} mean, so it can serve no objects",
        "give it with --decode kind=…, or in package.yaml",
        gives_way=("serve",),
    ),
    Rule(
        "front-adopted",
        lambda c: _fronted(c) and c.stage.config is not None,
        "stage {stage.name!r} is served by its own config.pbtxt, and a front cannot be put before that",
        "provide the model itself",
        gives_way=("serve",),
    ),
    Rule(
        "raw-outputs",
        lambda c: c.settings.raw_outputs and not _fronted(c),
        "the model's outputs are all there are, so there are none beside them",
        "use --serve image or encoded, too",
        gives_way=("raw_outputs",),
    ),
    Rule(
        "crops",
        lambda c: 0 < c.rows < c.crops,
        "stage {stage.name!r} takes {case.rows} rows at once, and is given up to {case.crops} crops",
        "raise --max-batch-size of that stage (--stage), or lower `crop.most` in package.yaml",
    ),
)
