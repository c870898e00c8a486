"""What may be chosen: settings from plain mappings, and the rules with their sentences. Pure."""

from tritonpm.settings.changes import changed, defaults, stage_changed
from tritonpm.settings.rule import Case, Rule
from tritonpm.settings.rules import RULES, began, broken, require, warnings

__all__ = ["RULES", "Case", "Rule", "began", "broken", "changed", "defaults", "require", "stage_changed", "warnings"]
