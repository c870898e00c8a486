"""The pages as a browser gets them: whole, in its language, quick with thousands of packages, without inline code."""

from __future__ import annotations

import html
import re
import string
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.models import scaled
from tests.support.packages import cascade
from tests.support.page import API, Site, Start, zipped
from tests.support.sentences import documented, made_elsewhere, results, sentences, shape
from tests.support.workspaces import opened
from tritonpm.catalogue import Catalogue, Summary
from tritonpm.operations.client import client_code
from tritonpm.operations.context import Context
from tritonpm.operations.list import PackageView
from tritonpm.web.language import NAMES, language, negotiated
from tritonpm.web.listing import SORTS, Query, page_of

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Page(HTMLParser):
    """What a page holds, and what is wrong with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.wrong += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes something else at {self.getpos()}")

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if attributes.get("id")]  # type: ignore[misc]


@pytest.fixture(scope="module")
def filled(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A page with a single package and a cascade."""
    import shutil

    folder, site = tmp_path_factory.mktemp("in"), start()
    site.done(site.upload(zipped(folder / "one", scaled(2.0), "one")))
    two = cascade(folder / "two", scaled(2.0, less=1.0, result="z1"), scaled(7.0, source="z1"), "two")
    site.done(site.upload(Path(shutil.make_archive(str(two), "zip", two))))
    return site


PATHS = (
    "/", "/packages?sort=-device&status=imported", "/packages/one", "/packages/two", "/packages/one/configure",
    "/packages/two/configure", "/packages/one/rename", "/packages/one/remove", "/packages/one/back",
    "/packages/one/statistics", "/server", "/packages/nobody", "/packages/one/newer", "/monitor", "/monitor/now",
    "/jobs", "/projects", "/activity", "/triton", "/logs", "/api", "/server/stop",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("code", NAMES)
def test_pages_are_whole_and_hold_no_inline_code(filled: Site, path: str, code: str) -> None:
    answer = filled.http.get(path, headers={"accept-language": code})
    page = Page(answer.text)
    assert page.wrong == []
    assert len(page.ids()) == len(set(page.ids()))
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert tag != "style"
        assert tag != "script" or attributes.get("src") or attributes.get("type") == "application/json"
        links = [attributes.get(name) or "" for name in ("src", "href", "action")]
        assert not [link for link in links if link.startswith(("http", "//", "data:", "javascript:"))]


@pytest.mark.parametrize("path", PATHS)
def test_every_control_has_a_name_for_who_cannot_see(filled: Site, path: str) -> None:
    text = filled.http.get(path).text
    page = Page(text)
    for tag, attributes in page.tags:
        if tag == "svg":
            assert attributes.get("aria-labelledby") or attributes.get("aria-hidden") == "true"
    for control in re.finditer(r"<(select|input|progress|meter)\b([^>]*)>", text):
        before, attributes = text[: control.start()], control[2]
        if 'type="hidden"' in attributes or "aria-label" in attributes or "aria-hidden" in attributes:
            continue
        inside = before.rfind("<label") > before.rfind("</label")
        assert inside or control[1] == "meter", control[0]


def test_a_cascade_is_drawn_with_its_tensors(filled: Site) -> None:
    text = filled.http.get("/packages/two").text
    drawing = text[text.index('<svg class="picture"') :].partition("</svg>")[0]
    for said in ("first", "second", "x  FP32 [batch, 4]", "z1  FP32 [batch, 4]", "y  FP32 [batch, 4]"):
        assert said in drawing
    assert "max_batch_size" in text
    assert '<span class="key">' in text


def test_code_that_asks_a_package_is_the_command_lines(filled: Site) -> None:
    code = client_code(opened(filled.root), "one", "curl").code
    assert code in html.unescape(filled.http.get("/packages/one/code/curl").text)
    assert filled.http.get("/packages/one/code/cobol").status_code == 404


def test_what_a_rule_forbids_is_disabled_and_says_why(filled: Site) -> None:
    form = {
        "mode": "shared",
        "device": "gpu",
        "precision": "FP32",
        "optimizer": "none",
        "backend": "",
        "max_batch_size": "8",
    }
    text = filled.http.post("/packages/one/configure", data=form).text
    option = re.search(r'<input type="radio"[^>]*value="FP16"[^>]*>.*?</label>', text, re.DOTALL)
    assert option is not None
    assert "disabled" in option[0].partition(">")[0]
    assert "FP16 on the GPU needs a model that is compiled for it" in option[0]
    wrong = filled.http.post("/packages/one/configure", data={**form, "device": "cpu", "max_batch_size": "100000"}).text
    assert "the batch size is 0 to 65536, not 100000" in wrong
    assert re.search(r'<button type="submit" class="primary" disabled>', wrong)
    assert re.search(r'name="instances"[^>]*readonly title="shared mode runs one instance"', wrong)
    nonsense = filled.http.post("/packages/one/configure", data={**form, "max_batch_size": "many"})
    assert nonsense.status_code == 200
    assert "expected `int`" in nonsense.text


def test_what_clients_send_is_chosen_where_the_package_says_what_its_tensors_mean(filled: Site) -> None:
    text = filled.http.get("/packages/one/configure", headers={"accept-language": "en"}).text
    assert "Clients send" in text
    for value, words in {"image": "Pixels", "encoded": "JPEG or PNG"}.items():
        option = re.search(rf'<option value="{value}"[^>]*>[^<]*', text)
        assert option and words in option[0] and "nothing says how a picture becomes" in option[0]


def test_a_stage_is_configured_alone(filled: Site) -> None:
    form = {
        "was": "first", "stage": "first", "mode": "shared", "device": "cpu", "precision": "FP32", "optimizer": "none",
        "backend": "", "max_batch_size": "4", "queue_delay_us": "0", "dynamic_batching": "true", "warmup": "true",
    }  # fmt: skip
    text = filled.http.post("/packages/two/configure", data=form).text
    assert "data-changes='{\"max_batch_size\": 4}'" in text
    other = filled.http.post("/packages/two/configure", data={**form, "stage": "second"}).text
    assert "data-changes='{}'" in other


def test_the_list_is_searched_filtered_and_cut() -> None:
    views = [view(f"package-{number:04}", "cpu" if number % 2 else "gpu") for number in range(2000)]
    page = page_of(views, Query(q="PACKAGE-00", device="gpu", sort="-name", size=10, page=2))
    assert (page.total, page.pages, page.page) == (50, 5, 2)
    assert page.items[0].name == "package-0078"
    assert page_of(views, Query(page=999)).page == 40
    assert page_of(views, Query(status="failed")).items == ()
    for key in SORTS:
        ordered = page_of(views, Query(sort=key, size=200)).items
        assert [SORTS[key](row) for row in ordered] == sorted(SORTS[key](row) for row in views)[:200]


def view(name: str, device: str) -> PackageView:
    return PackageView(name, "other", ("s",), "shared", device, 8, "FP32", "imported", "", None, "")


def test_two_thousand_packages_are_a_page_of_fifty(start: Start, tmp_path: Path) -> None:
    many = start()
    many.done(many.upload(zipped(tmp_path / "in", scaled(3.0), "first")))
    context = opened(many.root)
    copies(context, 1999)
    page = many.get("/packages", params={"sort": "-name", "page": 2})
    assert (page["total"], len(page["items"])) == (2000, 50)
    text = many.http.get("/packages", params={"q": "copy-1"}).text
    assert text.count("<tr id=") == 50
    rows = many.http.get("/packages", headers={"hx-request": "true", "hx-target": "listing"}).text
    assert rows.lstrip().startswith('<div id="listing"')


def copies(context: Context, count: int) -> None:
    """So many packages more, of one content: what they hold is not looked at."""
    from dataclasses import replace

    record = context.catalogue.get("first")
    catalogue: Catalogue = context.catalogue
    summary: Summary = record.summary
    with catalogue._database.transaction():
        for number in range(count):
            package = replace(record.package, name=f"copy-{number}", digest=f"sha256:{number:064x}")
            catalogue._database.do(
                "INSERT INTO packages (name, digest, package, settings, summary, status, imported) VALUES (?,?,?,?,?,'imported',0)",
                package.name, package.digest, encoded(package), encoded(record.settings), encoded(summary),
            )  # fmt: skip


def encoded(value: object) -> bytes:
    import msgspec

    return msgspec.json.encode(value)


def test_the_browser_chooses_the_language(filled: Site) -> None:
    for wanted, code, title in (
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN", "模型包"), ("vi-VN", "vi", "Gói mô hình"), ("fr;q=1, en;q=0.5", "en", "Packages"),
        ("*;q=nonsense", "en", "Packages"), ("", "en", "Packages"),
    ):  # fmt: skip
        answer = filled.http.get("/packages", headers={"accept-language": wanted})
        assert answer.headers["content-language"] == code
        assert f'<html lang="{code}">' in answer.text
        assert f"<h1>{title}</h1>" in answer.text
    assert negotiated("vi", chosen="zh-CN").code == "zh-CN"


@pytest.mark.parametrize("code", [code for code in NAMES if code != "en"])
def test_every_sentence_is_in_every_language(filled: Site, code: str) -> None:
    said, known = [*sentences(), *documented(filled.get("/openapi.json"))], language(code).sentences
    assert [sentence for sentence in said if not known.get(sentence)] == []
    elsewhere = made_elsewhere()
    assert [sentence for sentence in known if sentence not in said and shape(sentence) not in elsewhere] == []
    assert sorted(results() - set(map(shape, known))) == []
    for sentence in known:  # of what other rooms make, a translation may leave out what the page shows as a button
        mine, theirs = sorted(_fields(sentence)), sorted(_fields(known[sentence]))
        assert (theirs == mine) if sentence in said else (set(theirs) <= set(mine)), sentence


ENGLISH = re.compile(r"\b(the|is|are|was|and|of|not|with|cannot|that|which|from)\b", re.IGNORECASE)


@pytest.mark.parametrize("code", [code for code in NAMES if code != "en"])
def test_no_english_is_left_in_a_translation(code: str) -> None:
    told = language(code).sentences.values()
    assert [text for text in told if ENGLISH.search(re.sub(r"`[^`]*`|\{[^}]*\}|--[\w-]+", "", text))] == []


@pytest.mark.parametrize(("code", "told"), [
    ("zh-CN", "已加载 bolts，修订版本 1：已回答 2 个样本，其中 1 个符合预期。"),
    ("vi", "Đã nạp bolts, bản sửa đổi 1: đã trả lời 2 mẫu, 1 đúng như mong đợi."),
    ("en", "Loaded bolts, revision 1: answered 2 samples, 1 as expected."),
])  # fmt: skip
def test_what_other_rooms_say_is_told_in_the_client_s_language(code: str, told: str) -> None:
    assert language(code).told("Loaded bolts, revision 1: answered 2 samples, 1 as expected.") == told
    assert language(code).told("nobody has translated this") == "nobody has translated this"


def test_the_api_refuses_in_the_client_s_language(filled: Site) -> None:
    for code, detail in (("zh-CN", "没有模型包 'x'"), ("vi", "không có gói 'x'"), ("en", "there is no package 'x'")):
        answer = filled.http.get(f"{API}/packages/x", headers={"accept-language": code})
        assert (answer.json()["detail"], answer.headers["content-language"]) == (detail, code)
        wrong = {"changes": {"max_batch_size": -1}}
        refused = filled.http.patch(f"{API}/packages/one/settings", json=wrong, headers={"accept-language": code})
        assert (refused.status_code, "65536" in refused.json()["detail"]) == (422, True)
    taken = filled.http.post(f"{API}/packages/one/load", headers={"accept-language": "zh-CN"}).json()
    filled.refused(taken)
    ended = filled.http.get(f"{API}/operations/{taken['id']}", headers={"accept-language": "zh-CN"}).json()
    assert ended["problem"]["detail"] == "此工作区没有正在运行的服务器"


def _fields(sentence: str) -> Iterator[tuple[str, str | None]]:
    return ((name, conversion) for _, name, _, conversion in string.Formatter().parse(sentence) if name)


def test_the_openapi_document_names_every_use_case(filled: Site) -> None:
    document = filled.get("/openapi.json")
    paths = document["paths"]
    operations = [operation for methods in paths.values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() for name in names)
    for operation in operations:
        assert operation["description"]
        assert {"401", "403", "413", "429", "503", "507"} <= operation["responses"].keys()
        assert "Location" in operation["responses"].get("202", {"headers": ["Location"]})["headers"]
    assert {tag for operation in operations for tag in operation["tags"]} == {tag["name"] for tag in document["tags"]}
    for path in ("/packages", "/packages/{name}/load", "/packages/{name}/infer", "/jobs/{number}/cancel", "/events"):
        assert API + path in paths
    assert all(path.startswith(API) for path in paths)
