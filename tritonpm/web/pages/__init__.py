"""The pages, as HTML: they show what the API's views hold, and change nothing."""

from tritonpm.web.pages import activity as _activity
from tritonpm.web.pages import canary as _canary
from tritonpm.web.pages import dialogs as _dialogs
from tritonpm.web.pages import incoming as _incoming
from tritonpm.web.pages import list as _list
from tritonpm.web.pages import monitor as _monitor
from tritonpm.web.pages import package as _package
from tritonpm.web.pages import server as _server
from tritonpm.web.pages import tables as _tables
from tritonpm.web.pages.render import failed

ROUTERS = tuple(
    module.router for module in (_list, _incoming, _canary, _dialogs, _package, _monitor, _server, _tables, _activity)
)

__all__ = ["ROUTERS", "failed"]
