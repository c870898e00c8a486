"""What may be chosen: settings from plain mappings, and the rules with their sentences. Pure."""

from tritonpm.settings.changes import changed, defaults, stage_changed
from tritonpm.settings.rules import RULES, Case, Rule, broken, require

__all__ = ["RULES", "Case", "Rule", "broken", "changed", "defaults", "require", "stage_changed"]
