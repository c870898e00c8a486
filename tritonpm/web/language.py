"""What the page says, in the browser's language: catalogues from English sentences to others'.

A catalogue is locales/CODE.json; English needs none. What a catalogue lacks stays English, and a test finds it.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from tritonpm.settings.rule import Case, Rule

HERE = Path(__file__).parent
NAMES = {"en": "English", "zh-CN": "简体中文", "vi": "Tiếng Việt"}
COOKIE = "tritonpm-language"
_JOINTS = ("; ", ": ", ". ")
_LISTED = (", ", " + ")  # between names, of which the last may be one of ours
_TRIED = re.compile(r"[,，][^,，{}]*\{s\.\w+\}[^:：,，]*")  # ", not 2"
# What is named in quotes, and what is wrong with it: "its label file 'x' is there twice", whatever is quoted.
_OF_QUOTED = re.compile(
    r"""(?:(?:its|the) (?P<kind>[a-z ]+) )?(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?: (?P<rest>.+))?"""
)
_BETWEEN_HANZI = re.compile(r"(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])")  # blanks are for words of other scripts
_NUMBER = r"\d[\d.,]*"  # what a place named `count` holds
_PLACED = re.compile(
    r"(?P<place>\(top level\)|line \d+|[\w./\[\]-]+): (?P<rest>.+)"
)  # of a document, and what is wrong there
_CALL = re.compile(r"""\b(?:t\(|tn\(\s*"[^"]*",)\s*(["'`])(.+?)\1""")


@dataclass(frozen=True)
class Language:
    """A language of the page."""

    code: str
    sentences: Mapping[str, str]  # a mapping of plural forms where one sentence is not enough: see `plural`

    def __call__(self, sentence: str, **values: object) -> str:
        """An English sentence in this language, with its {placeholders} filled."""
        translated = self.sentences.get(sentence, sentence)
        return translated.format(**values) if values else translated

    def plural(self, one: str, other: str, count: int, **values: object) -> str:
        """`one` for a single one, else `other`, which is the catalogue's key; "{count}" is how many.

        A language that tells more apart has a mapping from CLDR's plural categories to its sentences.
        """
        from babel import Locale

        category = Locale.parse(self.code, sep="-").plural_form(count)
        known: str | Mapping[str, str] = self.sentences.get(other, {"one": one})
        sentence = known if isinstance(known, str) else known.get(category, known.get("other", other))
        return sentence.format(count=count, **values)

    def explain(self, rule: Rule, case: Case, *, bare: bool = False) -> str:
        """What a rule says of a case; `bare`: without the value that was tried, which nobody has asked for."""
        sentence = self(rule.sentence)
        return replace(rule, sentence=_TRIED.sub("", sentence) if bare else sentence).explain(case)

    def told(self, text: str) -> str:
        """An English text that was made elsewhere, in this language: its sentences as far as the catalogue has them."""
        return translated(text, self.code) if self.sentences else text


ENGLISH = Language("en", {})


@cache
def language(code: str) -> Language:
    """The language of a code; English for one that is not known."""
    if code == "en" or code not in NAMES:
        return ENGLISH
    return Language(code, json.loads((HERE / "locales" / f"{code}.json").read_text(encoding="utf-8")))


@lru_cache(4096)
def translated(text: str, code: str) -> str:
    """A text by the template of the catalogue that it fits: what stands in its places is translated, too.

    So what an error says, what was kept of it in the catalogue of packages, and what a worker of another process says
    are translated in one place, and none of them carries more than its English text.
    """
    known = language(code).sentences
    if text in known or not text:
        return known.get(text, "")
    first, joint, rest = text.rpartition("; ")
    if joint and first and rest in known:  # else it would be taken for the end of what a place holds
        return translated(first, code) + _joined(joint, code) + known[rest]
    if (placed := _PLACED.fullmatch(text)) and (said := translated(placed["rest"], code)) != placed["rest"]:
        return translated(placed["place"], code) + _joined(": ", code) + said
    for template in _templates(code):
        if template.part in text and (fits := template.pattern.fullmatch(text)):
            values = {name: translated(fits[group], code) for name, group in template.groups.items()}
            return _filled(known[template.sentence], values)
    if named := _OF_QUOTED.fullmatch(text):
        kind, rest = (translated(named[part] or "", code) for part in ("kind", "rest"))
        if (kind, rest) != (named["kind"] or "", named["rest"] or ""):
            return " ".join(filter(None, (kind, named["quoted"], rest)))
    for mark in _JOINTS:
        first, joint, rest = text.partition(mark)
        if joint and first and rest and (said := translated(first, code)) != first:
            return said + _joined(mark, code) + translated(rest, code)
    for mark in _LISTED:
        first, joint, rest = text.rpartition(mark)
        if joint and (said := translated(rest, code)) != rest:
            return translated(first, code) + _joined(mark, code) + said
    return text


@dataclass(frozen=True)
class SentenceTemplate:
    """A sentence with places in it; `part` is its longest literal part, `groups` the pattern's group of each place."""

    sentence: str
    part: str
    pattern: re.Pattern[str]
    groups: Mapping[str, str]


@cache
def _templates(code: str) -> tuple[SentenceTemplate, ...]:
    """Those of a catalogue, the one that says most first."""
    found = [_template(sentence) for sentence in language(code).sentences if "{" in sentence]
    return tuple(sorted(found, key=lambda template: -len(re.sub(r"\{.*?\}", "", template.sentence))))


def _template(sentence: str) -> SentenceTemplate:
    groups: dict[str, str] = {}
    pattern, parts = "", [""]
    for literal, place, _, _ in string.Formatter().parse(sentence):
        pattern += re.escape(literal)
        parts.append(literal)
        if place is not None:
            any_ = _NUMBER if place == "count" else ".+?"
            pattern += f"(?P={groups[place]})" if place in groups else f"(?P<place{len(groups)}>{any_})"
            groups.setdefault(place, f"place{len(groups)}")
    return SentenceTemplate(sentence, max(parts, key=len), re.compile(pattern, re.DOTALL), groups)


def _filled(sentence: str, values: Mapping[str, str]) -> str:
    """A sentence with its places filled; a rule's are fields of what it looks at, which nobody has here."""
    parsed = string.Formatter().parse(sentence)
    filled = "".join(literal + ("" if place is None else values[place]) for literal, place, _, _ in parsed)
    return _BETWEEN_HANZI.sub("", filled)


def _joined(mark: str, code: str) -> str:
    """What stands between two sentences."""
    return str(language(code).sentences.get(mark, mark))


def negotiated(accepted: str, chosen: str = "") -> Language:
    """The language that was chosen by hand, or the first that the browser wants and the page has."""
    if chosen in NAMES:
        return language(chosen)
    wanted = sorted((_weighed(part) for part in accepted.split(",")[:32]), key=lambda weighed: -weighed[1])
    for name, weight in wanted:
        if weight > 0 and (code := _code(name)):
            return language(code)
    return language("en")


def _weighed(part: str) -> tuple[str, float]:
    name, _, quality = part.strip().partition(";q=")
    try:
        return name.lower(), float(quality) if quality else 1.0
    except ValueError:
        return name.lower(), 0.0


def _code(name: str) -> str:
    """The page's code for a browser's: zh, zh-CN, zh-Hans and zh-SG are one; traditional Chinese reads it, too."""
    primary = name.partition("-")[0]
    return next((code for code in NAMES if code.lower().partition("-")[0] == primary), "")


@cache
def script_sentences() -> tuple[str, ...]:
    """The sentences that the page's scripts say: what they call t("…") with, and tn("…", "…") last."""
    scripts = (path for path in sorted((HERE / "static").glob("*.js")) if not path.name.endswith(".min.js"))
    return tuple(dict.fromkeys(call[2] for path in scripts for call in _CALL.finditer(path.read_text("utf-8"))))


def for_scripts(say: Callable[[str], str]) -> dict[str, str]:
    """Those sentences in a language."""
    return {sentence: say(sentence) for sentence in script_sentences()}
