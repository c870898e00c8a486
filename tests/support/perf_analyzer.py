"""perf_analyzer, as the tests need it."""

from __future__ import annotations

from tritonpm.core.errors import NotFoundError
from tritonpm.perf import tool


def there() -> None:
    """It is installed where it is not yet."""
    try:
        tool.find()
    except NotFoundError:
        tool.install()
