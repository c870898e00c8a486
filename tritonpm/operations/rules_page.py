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
        "What `tritonpm set` and `import` refuse (error) or warn about, in the words that they use. Settings in the",
        'column "gives way" go back to what the package started with if a change breaks the rule and does not name',
        "them: with `--mode shared`, an earlier number of instances is dropped. A change that contradicts itself is",
        "refused. `tritonpm set NAME --unset SETTING` resets any setting.",
        "",
    ]
    lines += ["| rule | | sentence | what to do | gives way |", "| --- | --- | --- | --- | --- |"]
    for rule in RULES:
        sentence = re.sub(r"\{(?:\w+\.)*(\w+)(?:!r)?\}", r"*\1*", rule.sentence.replace("{most}", str(MOST_BATCH)))
        way = ", ".join(f"`{name}`" for name in rule.gives_way)
        lines.append(f"| `{rule.name}` | {rule.level} | {sentence} | {rule.do} | {way} |")
    lines += ["", "## Requirements", "", "What a machine must have; `import` and `doctor` check it.", ""]
    lines += ["| requirement | | sentence | what to do |", "| --- | --- | --- | --- |"]
    for row in REQUIREMENTS:
        sentence = row.sentence.format(cuda="*N*", driver="*version*")
        lines.append(f"| `{row.name}` | {row.level} | {sentence} | {row.do} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
