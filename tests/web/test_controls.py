"""What a page can ask for is in the table by which a role's controls are disabled."""

from __future__ import annotations

import re

import pytest

from tritonpm.core.roles import Role
from tritonpm.web.language import ENGLISH, HERE, language
from tritonpm.web.pages.controls import CONTROLS, denied
from tritonpm.web.roles import NEEDS

SELECTORS = [selector for selectors in CONTROLS.values() for selector in selectors]


def test_every_control_asks_for_an_operation_that_there_is() -> None:
    assert set(CONTROLS) <= set(NEEDS)
    assert len(SELECTORS) == len(set(SELECTORS))


@pytest.mark.parametrize("attribute", ["data-do", "data-bulk"])
def test_every_button_of_the_templates_is_in_the_table(attribute: str) -> None:
    text = "".join(path.read_text("utf-8") for path in (HERE / "templates").iterdir())
    asked = set(re.findall(rf'{attribute}="([a-z-]+)"', text)) - {"none"}
    assert asked
    assert {f"[{attribute}={name}]" for name in asked} <= set(SELECTORS)


def test_who_may_do_all_is_denied_nothing_and_each_reason_is_told() -> None:
    assert denied(Role.ADMINISTER, ENGLISH) == {}
    assert denied(Role.OPERATE, ENGLISH).keys() < denied(Role.VIEW, ENGLISH).keys() == set(SELECTORS)
    assert denied(Role.OPERATE, ENGLISH)["#choose"] == "Your role (operate) does not allow this; it needs administer."
    assert denied(Role.OPERATE, language("zh-CN"))["#choose"] == "您的角色（操作）不允许此操作；需要角色“管理”。"
