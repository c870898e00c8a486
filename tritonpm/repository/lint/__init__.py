"""What Triton would say of a repository, without a server.

An error is what a tritonserver 2.51 refuses, or what crashes or wedges it; a warning loads, and is a trap elsewhere.
docs/lint.md lists the rules and how often their verdict agreed with the real server's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tritonpm.core.errors import NotFoundError
from tritonpm.core.plugins import LINT_RULES, described, loaded, plugins
from tritonpm.core.releases import Release, embedded
from tritonpm.core.types import Finding
from tritonpm.repository.lint import advice, contents, ensemble, release
from tritonpm.repository.lint.contents import ReadSignature
from tritonpm.repository.lint.folder import ModelFolder, read, unreachable
from tritonpm.repository.lint.model import CHECKS

__all__ = ["lint", "lint_model", "loadable"]


def lint(root: Path, read_signature: ReadSignature | None = None, targets: Sequence[Release] = ()) -> list[Finding]:
    """Every finding in a repository; with `read_signature` the model files are held against their configs.

    What only some releases refuse is told of each of the `targets`, by default of the embedded server.
    Raises NotFoundError where there is no folder.
    """
    models, findings = _models(root)
    for model in models.values():
        findings += _findings(model, models, read_signature, targets)
    return findings


def lint_model(
    folder: Path, read_signature: ReadSignature | None = None, targets: Sequence[Release] = ()
) -> list[Finding]:
    """Every finding in one model folder; an ensemble's members are looked for beside it."""
    model = read(folder.resolve())
    models = _models(model.path.parent)[0] if model.ensemble else {}
    return list(_findings(model, models, read_signature, targets))


def loadable(root: Path, name: str, read_signature: ReadSignature | None = None) -> list[Finding]:
    """The errors that would keep a server from loading model `name`: its own, its members' and the repository's."""
    models, findings = _models(root)
    reached, waiting = set(), [name]
    while waiting:
        current = waiting.pop()
        if current in models and current not in reached:
            reached.add(current)
            config = models[current].config
            waiting += [step.model_name for step in config.ensemble_scheduling.step] if config is not None else []
    if name not in models:
        findings.append(Finding("error", "absent", str(root / name), 0, f"there is no model {name!r}"))
    for model in sorted(reached):
        findings += _findings(models[model], models, read_signature)
    return [finding for finding in findings if finding.level == "error"]


def _models(root: Path) -> tuple[dict[str, ModelFolder], list[Finding]]:
    """The model folders of a repository, and what else lies in it."""
    if not root.is_dir():
        raise NotFoundError("there is no such folder", where=str(root), do="name a repository or a model folder")
    models, findings = {}, []
    for entry in sorted(root.iterdir()):
        if reason := unreachable(entry):
            findings.append(Finding("error", "link", str(entry), 0, f"{entry.name} is a link to {reason}"))
        elif entry.is_symlink() and root.resolve().is_relative_to(entry.resolve()):
            sentence = f"{entry.name} is a link to a folder above: Triton hangs on it"
            findings.append(Finding("error", "link", str(entry), 0, sentence))
        elif entry.is_dir():
            models[entry.name] = read(entry)
    return models, findings


def _findings(
    model: ModelFolder,
    models: dict[str, ModelFolder],
    read_signature: ReadSignature | None,
    targets: Sequence[Release] = (),
) -> Iterator[Finding]:
    yield from model.problems
    if model.config is None:
        return
    for rule, check in CHECKS:
        if model.ensemble and rule in ("backend", "platform", "model-file"):
            continue
        for place, sentence in check(model):
            yield model.finding("error", rule, place, sentence)
    for rule, (place, sentence) in contents.problems(model, read_signature):
        yield model.finding("error", rule, place, sentence)
    for target in targets or (embedded(),):
        for rule, (place, sentence) in release.problems(model, target):
            yield replace(model.finding("error", rule, place, sentence), release=target.name if targets else "")
    if model.ensemble:
        members = {step.model_name for step in model.config.ensemble_scheduling.step}
        whole = {name: contents.completed(models[name], read_signature) for name in members & set(models)}
        for rule, (place, sentence) in ensemble.problems(model, {**models, **whole}):
            yield model.finding("error", rule, place, sentence)
    for rule, (place, sentence) in advice.problems(model):
        yield model.finding("warning", rule, place, sentence)
    yield from _of_others(model)


def _of_others(model: ModelFolder) -> Iterator[Finding]:
    """What rules of other distributions find; one that fails is a warning itself."""
    for rule, point in plugins(LINT_RULES).items():
        try:
            check = loaded(point)
            found = [(str(place), str(sentence)) for place, sentence in check(model.path, model.config)]
            level = "error" if getattr(check, "level", "") == "error" else "warning"
        except Exception as error:  # of code that is not ours
            level, found = "warning", [("", f"{described(point)} failed ({type(error).__name__}: {error})")]
        for place, sentence in found:
            yield model.finding(level, rule, place, sentence)
