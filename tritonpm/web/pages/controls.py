"""What of a page does what, as CSS selectors: `static/roles.js` disables what a role does not cover, and says why."""

from __future__ import annotations

from collections.abc import Mapping

from tritonpm.core.roles import Role
from tritonpm.web.language import Language
from tritonpm.web.roles import NEEDS

# The operation that a control asks for, by its operationId: what presses it, or opens the dialog that is only for it.
CONTROLS: Mapping[str, tuple[str, ...]] = {
    "hand_in": ("#choose",),
    "load": ("[data-do=load]", "[data-bulk=load]"),
    "unload": ("[data-do=unload]", "[data-bulk=unload]"),
    "optimise": ("[data-do=optimise]", "[data-bulk=optimise]"),
    "cancel": ("[data-do=cancel]",),
    "change": (
        "[data-set]", "[data-do=unset]", "[data-do=empty]", "[data-do=choose]", "[data-configure] [type=submit]",
    ),
    "measure": ("[data-do=measure]",),
    "compare": ("[hx-get$='/canary?ask=true']",),
    "calibrate": ("[data-calibration]",),
    "rename": ("[hx-get$='/rename']", "[data-rename] button:not([data-close])"),
    "remove": ("[hx-get$='/remove']", "[data-do=remove]", "[data-bulk=remove]"),
    "roll_back": ("[hx-get$='/back']", "[hx-get*='/back?to=']", "[data-back] button:not([data-close])"),
    "begin": ("[hx-get$='/newer']", "[data-newer] [value=canary]"),
    "begin_with_content": ("[data-newer] [name=file]",),
    "upgrade": ("[data-newer] [value=upgrade]",),
    "promote": ("[data-do=promote]",),
    "abort": ("[data-do=abort]",),
    "release": ("[data-do=release]",),
    "start": ("[data-do=start]",),
    "stop": ("[hx-get$='/server/stop']", "[data-do=stop]"),
    "infer": ("[data-try] button", "[data-try] [name=file]"),
    "export": ("a[href$='/export']",),
}  # fmt: skip


def denied(role: Role, say: Language) -> dict[str, str]:
    """Why somebody of a role may not press something, by its selector."""
    mine = say(role.value)
    return {
        selector: say("Your role ({role}) does not allow this; it needs {needed}.", role=mine, needed=say(needed.value))
        for name, selectors in CONTROLS.items()
        for selector in selectors
        if not role.covers(needed := NEEDS[name])
    }
