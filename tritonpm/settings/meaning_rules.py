"""Rules for what settings say of a stage's tensors, over what the package says."""

from __future__ import annotations

from tritonpm.settings.rule import Rule

MEANING_RULES: tuple[Rule, ...] = (
    Rule(
        "meaning",
        lambda c: bool(c.settings.preprocess or c.settings.decode) and bool(c.meaningless),
        "what is said of the tensors of stage {stage.name!r} cannot be: {case.meaningless}",
        "correct --preprocess or --decode; in a cascade they are given with --stage",
    ),
    Rule(
        "crops",
        lambda c: 0 < c.rows < c.crops,
        "stage {stage.name!r} takes {case.rows} rows at once, and is given up to {case.crops} crops",
        "raise --max-batch-size of that stage (--stage), or lower `crop.most` in package.yaml",
    ),
)
