"""Bodies that the OpenAPI document does not think of: no object, nested without end, numbers that JSON has not."""

from __future__ import annotations

import json
import os
from dataclasses import fields

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.models import scaled
from tests.support.packages import cascade, single
from tests.support.page import API, Site, Start
from tests.support.workspaces import files_of, opened
from tritonpm.catalogue import Catalogue
from tritonpm.operations.import_package import import_package
from tritonpm.operations.verify import verify
from tritonpm.settings.settings import Settings
from tritonpm.web.security import PageAccess

EXAMPLES = int(os.environ.get("TRITONPM_EXAMPLES", "0"))
BODIES = (
    b"", b"null", b"1", b'"x"', b"[]", b"[[]]", b"{", b"\xff\xfe", b"\x00", b"[" * 20_000, b'{"a":' * 20_000, b"NaN", b"Infinity",
    b"9" * 5000, b'{"changes": []}', b'{"changes": 1}', b'{"changes": null}', b'{"changes": {"": 1}}', b'{"changes": {"x": 1}}',
    b'{"changes": {"stages": {"s": []}}}', b'{"changes": {"stages": {"s": {"stages": {}}}}}', b'{"changes": {"\\ud800": 1}}',
    b'{"changes": {}, "stage": "\\ud800"}', b'{"changes": {}, "stage": "\\u0000"}', b'{"changes": {}, "unset": ["\\ud800"]}',
    b'{"changes": {}, "unset": [1]}', b'{"new_name": "\\ud800"}', b'{"new_name": ""}', b'{"new_name": 1}', b'{"new_name": "../x"}',
    b'{"revision": 1e30}', b'{"revision": ' + b"9" * 30 + b"}", b'{"ttl": NaN}', b'{"ttl": Infinity}', b'{"ttl": 1e400}',
    b'{"time_limit": NaN}', b'{"memory_limit": ' + b"9" * 30 + b"}", b'{"timeout": NaN}', b'{"probe": "maybe"}', b'{"force": 2}',
)  # fmt: skip
NUMBERS = (
    "1" + "0" * 23,
    "-" + "9" * 30,
    "9" * 5000,
    "0",
    "-1",
    "1.5",
    "NaN",
    "\u0663",
    "%00",
    "%ff",
    "%ED%A0%80",
    "x" * 5000,
)
LEFT_OUT = ("/events", "/server/start", "/optimise", "/measure", "/load", "/infer")

scalars = (
    st.none() | st.booleans() | st.sampled_from([0, -1, 1, 1 << 31, 1 << 63, 10**30, -(10**30), 1.5, -0.0, 1e308])
    | st.sampled_from([float("nan"), float("inf"), float("-inf")])
    | st.sampled_from(["", " ", "/etc/passwd", "../..", "\x1b[2J", "\ud800", "\u202e", "x" * 5000, "AUTO", "1x4", "sha256:x", "latest:0"])
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["", "s", "a", "x", "max_abs", "first", "\ud800"]), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip
changes = st.dictionaries(st.sampled_from([field.name for field in fields(Settings)]), values, min_size=1, max_size=2)


@pytest.fixture(scope="module")
def known(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("in")
    site = start(PageAccess(changes=1e6, burst=1_000_000))
    context = opened(site.root)
    import_package(context, single(folder / "one", scaled(2.0), "one"))
    import_package(context, cascade(folder / "two", scaled(2.0, result="m"), scaled(3.0, source="m"), "two"))
    return site


@pytest.mark.long
def test_no_body_and_no_number_in_a_path_is_a_bug(known: Site) -> None:
    before, asked = files_of(opened(known.root)), 0
    for path, methods in known.get("/openapi.json")["paths"].items():
        if path.endswith(LEFT_OUT):
            continue
        for method in methods:
            names = {"{name}": "nobody", "{project}": "x", "{number}": "1", "{job}": "1"}
            for number in NUMBERS if "{number}" in path or "{project}" in path or "{name}" in path else ():
                place = path
                for variable, value in {**names, "{number}": number, "{project}": number}.items():
                    place = place.replace(variable, value)
                for place_or_name in (
                    place,
                    path.replace("{name}", number).replace("{project}", "x").replace("{number}", "1"),
                ):
                    answer = known.http.request(method.upper(), known.url.rstrip("/") + place_or_name)
                    assert answer.status_code != 500, (method, place_or_name, answer.text)
                    asked += 1
            for turn, body in enumerate(BODIES if method in ("post", "put", "patch") else ()):
                name = "nobody" if turn % 4 == 3 else "one"
                place = path.replace("{name}", name).replace("{project}", "x").replace("{number}", "1")
                answer = known.http.request(
                    method.upper(), known.url.rstrip("/") + place, content=body, params={"filename": "x.zip"},
                    headers={"content-type": "application/json"},
                )  # fmt: skip
                assert answer.status_code != 500, (method, place, body[:60], answer.text)
                asked += 1
    assert asked > 1000
    for operation in known.get("/operations"):
        assert (known.ended(operation)["problem"] or {}).get("status") != 500, operation
    context = opened(known.root)
    assert verify(context) == []
    assert len(files_of(context)) <= len(before)


@pytest.mark.long
def test_what_is_no_setting_is_refused_and_what_is_one_is_read_back(known: Site) -> None:
    def sent(method: str, path: str, body: object) -> int:
        text = json.dumps(body).encode()
        answer = known.http.request(method, API + path, content=text, headers={"content-type": "application/json"})
        assert answer.status_code in (200, 202, 400, 404, 409, 422), (path, text, answer.text)
        return answer.status_code

    @settings(
        max_examples=EXAMPLES or 60, derandomize=not EXAMPLES, database=None,
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(changes, st.sampled_from(["one", "two"]), st.sampled_from([None, "first", "no\ud800"]))
    def change(chosen: dict[str, object], name: str, stage: str | None) -> None:
        before = catalogue.get(name)
        sent("POST", f"/packages/{name}/settings/check", {"changes": chosen, "stage": stage})
        if sent("PATCH", f"/packages/{name}/settings", {"changes": chosen, "stage": stage}) != 200:
            assert catalogue.get(name) == before
        assert known.get(f"/packages/{name}")["name"] == name

    catalogue: Catalogue = opened(known.root).catalogue
    change()
    assert catalogue.unreadable() == []
    assert verify(opened(known.root)) == []
