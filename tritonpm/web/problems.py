"""What goes wrong, as problem JSON (RFC 9457): a status by the error's class, and no path of this machine."""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from tritonpm.convert.conversion import ConversionError
from tritonpm.core import errors
from tritonpm.web.language import Language
from tritonpm.web.wording import advice, in_page_words

# The nearest class of an error's own classes counts.
STATUS: dict[type[errors.TritonpmError], int] = {
    errors.UsageError: 400,
    errors.PackageError: 422,
    errors.RuleError: 422,
    errors.RequirementError: 422,
    errors.CapacityError: 503,
    errors.RenderError: 422,
    errors.OptimisationError: 422,
    ConversionError: 422,
    errors.NotOptimisedError: 409,
    errors.NameTakenError: 409,
    errors.NotFoundError: 404,
    errors.RoleError: 403,
    errors.BusyError: 409,
    errors.StorageError: 507,
    errors.ServerError: 502,
    errors.InferenceError: 422,
    errors.TritonpmError: 500,
}
MEDIA_TYPE = "application/problem+json"
_REST = r"[^\s'\"`:;,()<>|…]*"  # of a path, as far as it holds no blank
_ABSOLUTE = re.compile(rf"(?<![\w.:/…\-])/(?=[^\s/]){_REST}/{_REST}")


@dataclass(frozen=True)
class Problem:
    """What a client is told: `title` is the kind of error, `detail` what happened, `do` what helps.

    `existing` is the package that stands in the way.
    """

    type: str
    title: str
    status: int
    detail: str
    where: str = ""
    do: str = ""
    existing: str = ""


def status_of(error: errors.TritonpmError) -> int:
    """The HTTP status of an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem_of(error: errors.TritonpmError, root: Path) -> Problem:
    """An error for a client, with nothing in it of where things lie on this machine."""
    kind = type(error).__name__.removesuffix("Error")
    where = shown(error.where, root)
    return Problem(
        f"urn:tritonpm:{_dashed(kind)}", title_of(type(error)), status_of(error),
        shown(error.what, root), "" if where == ELSEWHERE else where, shown(error.do, root),
        getattr(error, "existing", ""),
    )  # fmt: skip


def title_of(kind: type[errors.TritonpmError]) -> str:
    """What an error of this class means, whatever happened: the beginning of its class's sentence."""
    return (kind.__doc__ or "").splitlines()[0].partition(";")[0].rstrip(".").replace("`", "")


def plain_problem(status: int, title: str, detail: str = "") -> Problem:
    """A problem that is no error of ours: a bad request, a missing token, a page that is not there."""
    return Problem("about:blank", title, status, detail or title)


def problem_shown(problem: Problem, say: Language) -> Problem:
    """A problem in a client's language."""
    detail, do = (say.told(text) for text in (problem.detail, problem.do))
    return replace(problem, title=say(problem.title), detail=in_page_words(detail, say), do=advice(do, say))


ELSEWHERE = "…"


def shown(text: str, root: Path) -> str:
    """A sentence without this machine's folders: of a path only the last part stays."""
    if "/" not in text:
        return text
    for folder in sorted(_folders(root), key=len, reverse=True):
        text = re.sub(rf"{re.escape(folder)}(?![\w.-])(?P<rest>/{_REST})?", _without, text)
    return _ABSOLUTE.sub(lambda path: f"{ELSEWHERE}/{path[0].rstrip('/').rpartition('/')[2]}", text)


def _without(path: re.Match[str]) -> str:
    """The last part of what lies in a folder that is known."""
    name = (path["rest"] or "").rstrip("/").rpartition("/")[2]
    return f"{ELSEWHERE}/{name}" if name else ELSEWHERE


def _folders(root: Path) -> set[str]:
    """The folders that sentences name, which may hold blanks and so must be known to be found."""
    known = (root, Path.home(), Path(tempfile.gettempdir()), Path(sys.prefix), Path.cwd())
    return {str(folder) for folder in known if len(folder.parts) > 1}


def _dashed(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower() or "error"
