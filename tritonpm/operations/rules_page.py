"""docs/rules.md from the rules' table: `python -m tritonpm.operations.rules_page`."""

from __future__ import annotations

import re

from tritonpm.hardware.requirements import REQUIREMENTS
from tritonpm.settings.rule import MOST_BATCH
from tritonpm.settings.rules import RULES


def page() -> str:
    """The page's text."""
    lines = [
        "# Rules",
        "",
        "What `tritonpm set` and `import` refuse (error) or warn of, in the words that they use.",
        "",
    ]
    lines += ["| rule | | sentence | what to do |", "| --- | --- | --- | --- |"]
    for rule in RULES:
        sentence = re.sub(r"\{(?:\w+\.)*(\w+)(?:!r)?\}", r"*\1*", rule.sentence.replace("{most}", str(MOST_BATCH)))
        lines.append(f"| `{rule.name}` | {rule.level} | {sentence} | {rule.do} |")
    lines += ["", "## Requirements", "", "What a machine must have; `import` and `doctor` check it.", ""]
    lines += ["| requirement | | sentence | what to do |", "| --- | --- | --- | --- |"]
    for row in REQUIREMENTS:
        sentence = row.sentence.format(cuda="*N*", driver="*version*")
        lines.append(f"| `{row.name}` | {row.level} | {sentence} | {row.do} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
