"""One page of the list of packages: filtered, sorted, cut. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tritonpm.operations.list import PackageView
from tritonpm.web.language import Language
from tritonpm.web.present import package_shown

MOST_ROWS = 200
STATUSES = ("imported", "optimising", "ready", "loaded", "failed")
_COUNTED = ("status", "type", "mode", "device", "precision")
SORTS: dict[str, Callable[[PackageView], Any]] = {
    "name": lambda view: (view.name.casefold(), view.name),
    "type": lambda view: view.type,
    "projects": lambda view: view.used_by,
    "mode": lambda view: view.mode,
    "device": lambda view: view.device,
    "batch": lambda view: view.max_batch_size,
    "precision": lambda view: view.precision,
    "status": lambda view: STATUSES.index(view.status),
}


@dataclass(frozen=True)
class Query:
    """What is wanted of the list. `sort` is one of SORTS, with "-" before it for the other way round; "" is any."""

    q: str = ""
    type: str = ""
    project: str = ""
    mode: str = ""
    device: str = ""
    precision: str = ""
    status: str = ""
    sort: str = "name"
    page: int = 1
    size: int = 50


@dataclass(frozen=True)
class ListPage:
    """A page of the list. `total` is how many fit the query; `types` and `projects` are what could be asked for.

    `counts`: of all packages, by status, type, project, mode, device and precision.
    """

    items: tuple[PackageView, ...]
    total: int
    page: int
    pages: int
    size: int
    types: tuple[str, ...]
    projects: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def page_of(packages: Iterable[PackageView], query: Query) -> ListPage:
    """The page that a query asks for; past the end it is the last one."""
    known = list(packages)
    fitting = [view for view in known if _fits(view, query)]
    key = query.sort.removeprefix("-")
    fitting.sort(key=SORTS["name"])
    fitting.sort(key=SORTS.get(key, SORTS["name"]), reverse=query.sort.startswith("-"))
    size = max(1, min(query.size, MOST_ROWS))
    pages = max(1, -(-len(fitting) // size))
    page = max(1, min(query.page, pages))
    return ListPage(
        tuple(fitting[(page - 1) * size : page * size]), len(fitting), page, pages, size,
        tuple(sorted({view.type for view in known})),
        tuple(sorted({project for view in known for project in view.used_by})),
        {
            **{name: Counter(getattr(view, name) for view in known) for name in _COUNTED},
            "project": Counter(project for view in known for project in view.used_by),
        },
    )  # fmt: skip


def page_shown(packages: Iterable[PackageView], query: Query, root: Path, say: Language) -> ListPage:
    """The page that a query asks for, as a client may see it."""
    page = page_of(packages, query)
    return replace(page, items=tuple(package_shown(view, root, say) for view in page.items))


def _fits(view: PackageView, query: Query) -> bool:
    words = query.q.casefold().strip()
    texts = (view.name, view.type, view.version, *view.stages, *view.used_by)
    named = any(words in text.casefold() for text in texts)
    same = all(
        wanted in ("", has)
        for wanted, has in (
            (query.type, view.type), (query.mode, view.mode), (query.device, view.device),
            (query.precision, view.precision), (query.status, view.status),
        )
    )  # fmt: skip
    return named and same and (not query.project or query.project in view.used_by)
