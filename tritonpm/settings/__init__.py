"""What may be chosen: settings from plain mappings, and the rules with their sentences. Pure."""

from tritonpm.settings.adjust import adjusted, along, kept_by_stages
from tritonpm.settings.changes import changed, defaults, field_named, stage_changed, unjoined, unset
from tritonpm.settings.rule import Case, Rule
from tritonpm.settings.rules import RULES, began, broken, require, warnings

__all__ = [
    "RULES", "Case", "Rule", "adjusted", "along", "began", "broken", "changed", "defaults", "field_named",
    "kept_by_stages", "require", "stage_changed", "unjoined", "unset", "warnings",
]  # fmt: skip
