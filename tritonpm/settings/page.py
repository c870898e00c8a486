"""docs/rules.md from the rules' table: `python -m tritonpm.settings.page`."""

from __future__ import annotations

import re

from tritonpm.settings.rules import MOST_BATCH, RULES


def page() -> str:
    """The page's text."""
    lines = ["# Rules", "", "What `tritonpm set` and `import` refuse, in the words that they use.", ""]
    lines += ["| rule | sentence | what to do |", "| --- | --- | --- |"]
    for rule in RULES:
        sentence = re.sub(r"\{(?:\w+\.)*(\w+)(?:!r)?\}", r"*\1*", rule.sentence.replace("{most}", str(MOST_BATCH)))
        lines.append(f"| `{rule.name}` | {sentence} | {rule.do} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
