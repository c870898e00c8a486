"""What a file that came in holds, as the panel of imports shows it."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from tritonpm.core.types import Format, Task
from tritonpm.web.api.common import Say, TheSite
from tritonpm.web.incoming import looked_at
from tritonpm.web.pages.render import rendered
from tritonpm.web.pictures import described
from tritonpm.web.roles import allowed
from tritonpm.web.setting_rows import in_words

router = APIRouter(include_in_schema=False)
_TASKS = tuple(task.value for task in Task)
# What nothing here serves as it is, by the names that it has in the field.
_FORMATS = {
    Format.TORCHSCRIPT.value: "TorchScript", Format.TORCH_EXPORT.value: "PyTorch", Format.KERAS.value: "Keras",
    Format.TFLITE.value: "TensorFlow Lite", Format.PADDLE.value: "PaddlePaddle",
    Format.SAVED_MODEL.value: "TensorFlow SavedModel",
}  # fmt: skip


@router.get("/incoming/{number}", response_class=HTMLResponse, name="waiting", dependencies=[Depends(allowed)])
def incoming(request: Request, site: TheSite, say: Say, number: str) -> HTMLResponse:
    """What importing a file that waits would bring, with what can be said otherwise."""
    view = looked_at(site, site.held.get(number), say)
    return rendered(
        request, "incoming.html", view=view, tasks=_TASKS, formats=_FORMATS, described=described, in_words=in_words,
    )  # fmt: skip
