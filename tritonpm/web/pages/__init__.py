"""The pages, as HTML: they show what the API's views hold, and change nothing."""

from fastapi import APIRouter

from tritonpm.web.pages import list as _list
from tritonpm.web.pages import package as _package
from tritonpm.web.pages.render import failed

router = APIRouter()
router.include_router(_list.router)
router.include_router(_package.router)

__all__ = ["failed", "router"]
