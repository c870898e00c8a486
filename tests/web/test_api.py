"""The REST API as a client uses it, on a page and a Triton that really run."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from tests.support.browser import seeing
from tests.support.load import under_load
from tests.support.models import WIDTH, scaled
from tests.support.networks import dense
from tests.support.packages import cascade, single
from tests.support.page import API, Site, Start, listening, zipped
from tests.support.waiting import until
from tests.support.workspaces import opened
from tritonpm.catalogue import find
from tritonpm.core.tensors import save_npz
from tritonpm.operations.context import unheard
from tritonpm.operations.import_package import import_package
from tritonpm.operations.rename import rename
from tritonpm.operations.show import show
from tritonpm.operations.verify import rebuild
from tritonpm.web.security import PageAccess


def test_a_package_comes_in_is_changed_and_goes(site: Site, tmp_path: Path) -> None:
    assert site.done(site.upload(zipped(tmp_path / "in", scaled(2.0), "a"))) == "Imported a (other)."
    page = site.get("/packages")
    assert [(item["name"], item["status"], item["mode"]) for item in page["items"]] == [("a", "imported", "shared")]
    changed = site.http.patch(f"{API}/packages/a/settings", json={"changes": {"mode": "performance", "instances": 3}})
    assert (changed.status_code, changed.json()["instances"]) == (200, 3)
    assert site.post("/packages/a/rename", {"new_name": "b"})["name"] == "b"
    exported = site.http.get(f"{API}/packages/b/export")
    assert "package.yaml" in zipfile.ZipFile(io.BytesIO(exported.content)).namelist()
    assert site.http.delete(f"{API}/packages/b").status_code == 204
    assert site.get("/packages")["total"] == 0
    assert list(opened(site.root).workspace.staging.iterdir()) == []


def test_the_api_says_the_same_as_the_manager(site: Site, tmp_path: Path) -> None:
    site.done(site.upload(zipped(tmp_path / "in", scaled(11.0), "same")))
    import msgspec

    view = msgspec.to_builtins(show(opened(site.root), "same"))
    assert site.get("/packages/same") == json.loads(msgspec.json.encode(view))


def test_settings_give_way_and_are_unset(site: Site, tmp_path: Path) -> None:
    site.done(site.upload(zipped(tmp_path / "in", scaled(2.5), "w")))

    def patched(body: dict[str, object]) -> dict[str, Any]:
        answer = site.http.patch(f"{API}/packages/w/settings", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["settings"])

    patched({"changes": {"mode": "performance", "instances": 2, "tolerances": {"max_abs": 0.1}, "priority": 3}})
    chosen = site.post("/packages/w/settings/check", {"changes": {"mode": "shared"}})
    assert (chosen["settings"]["instances"], chosen["verdicts"]) == (None, [])
    now = patched({"changes": {"mode": "shared"}})
    assert (now["mode"], now["instances"]) == ("shared", None)
    now = patched({"unset": ["tolerances", "max-batch-size"], "changes": {"priority": 4}})
    assert (now["tolerances"], now["priority"], now["max_batch_size"]) == ({}, 4, 8)
    for body in ({"unset": ["colour"]}, {"unset": ["mode"], "changes": {"mode": "shared"}}):
        assert site.http.patch(f"{API}/packages/w/settings", json=body).status_code == 422


@pytest.mark.parametrize(
    ("content", "name", "status", "said"),
    [
        (b"no archive", "x.zip", "failed", "urn:tritonpm:package"),
        (b"", "x.onnx", "failed", "urn:tritonpm:package"),
        (b"x", "x.exe", 422, "cannot be taken"),
        (b"x", "..", 422, "cannot be taken"),
    ],
)
def test_what_is_no_package_is_refused_and_leaves_nothing(
    site: Site, content: bytes, name: str, status: int | str, said: str
) -> None:
    response = site.http.post(f"{API}/packages", params={"filename": name}, content=content)
    if status == "failed":
        assert site.refused(response.json())["type"] == said
    else:
        assert response.status_code == status
        assert said in response.json()["detail"]
    assert list(opened(site.root).workspace.staging.iterdir()) == []


def test_no_file_name_leads_out_of_the_quarantine(site: Site, tmp_path: Path) -> None:
    file = zipped(tmp_path / "in", scaled(12.0), "kept")
    ended = site.upload(file, filename="../../../../etc/évil\x00 name.zip")
    assert site.done(ended).startswith("Imported kept")


def test_errors_are_problems_with_a_status_and_no_path(site: Site, tmp_path: Path) -> None:
    for method, path, status, kind in (
        ("GET", "/packages/nobody", 404, "not-found"),
        ("POST", "/packages/nobody/load", 404, "not-found"),
        ("GET", "/jobs/99", 404, "not-found"),
        ("GET", "/operations/x", 404, "not-found"),
    ):
        answer = site.http.request(method, API + path)
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:tritonpm:{kind}")
        assert answer.headers["content-type"] == "application/problem+json"
        assert str(site.root) not in answer.text
    site.done(site.upload(zipped(tmp_path / "in", scaled(13.0), "there")))
    taken = site.refused(site.upload(zipped(tmp_path / "two", scaled(14.0), "there")))
    assert taken["status"] == 409
    refused = site.http.patch(f"{API}/packages/there/settings", json={"changes": {"max_batch_size": -1}})
    assert refused.status_code == 422
    assert refused.json()["detail"] == "the batch size is 0 to 65536, not -1"
    lost = site.refused(site.post("/packages/there/load"))
    assert (lost["status"], lost["detail"]) == (502, "no server is running for this workspace")
    malformed = site.http.patch(f"{API}/packages/there/settings", json={"other": 1})
    assert (malformed.status_code, malformed.json()["title"]) == (422, "Malformed request")


def test_choices_say_what_the_rules_say(site: Site, tmp_path: Path) -> None:
    site.done(site.upload(zipped(tmp_path / "in", scaled(15.0), "chosen")))
    choices = site.post("/packages/chosen/settings/check", {"changes": {"mode": "shared"}})
    options = {option["value"]: option["why"] for option in choices["options"]["optimizer"]}
    assert options["openvino"] == ""
    assert options["tensorrt"] == "the optimizer tensorrt does not work for device cpu (stage 's')"
    broken = site.post("/packages/chosen/settings/check", {"changes": {"instances": 2}})
    assert [verdict["rule"] for verdict in broken["verdicts"]] == ["shared-instances"]
    chinese = {"accept-language": "zh-CN,zh;q=0.9"}
    translated = site.post("/packages/chosen/settings/check", {"changes": {"instances": 2}}, headers=chinese)
    assert translated["verdicts"][0]["sentence"] != broken["verdicts"][0]["sentence"]
    assert "2" in translated["verdicts"][0]["sentence"]


def test_a_package_is_optimised_with_progress_and_cancelled(site: Site, tmp_path: Path) -> None:
    site.done(site.upload(zipped(tmp_path / "in", scaled(16.0), "fast")))
    job = site.post("/packages/fast/optimise", {"changes": {"precision": "FP16"}})
    assert site.http.post(f"{API}/packages/fast/rename", json={"new_name": "x"}).status_code == 409
    job = ended(site, job)
    assert job["state"] == "done", job
    details = site.get("/packages/fast")
    assert (details["status"], details["optimisations"][0]["state"]) == ("ready", "verified")
    assert site.http.post(f"{API}/packages/fast/optimise", json={}).status_code == 204
    assert 'backend: "openvino"' in site.get("/packages/fast/config")["fast"]
    again = site.post("/packages/fast/optimise", {"again": True})
    assert site.post(f"/jobs/{again['id']}/cancel")["state"] in ("cancelled", "done")


@pytest.mark.long
def test_a_job_that_was_cancelled_is_resumed(site: Site, tmp_path: Path) -> None:
    site.done(site.upload(zipped(tmp_path / "in", scaled(21.0), "again")))
    job = site.post("/packages/again/optimise", {"changes": {"precision": "FP16"}})
    refused = site.http.post(f"{API}/jobs/{job['id']}/resume")
    assert (refused.status_code, "is running" in refused.json()["detail"]) == (400, True)
    assert site.post(f"/jobs/{job['id']}/cancel")["state"] == "cancelled"
    resumed = site.post(f"/jobs/{job['id']}/resume")
    assert resumed["id"] > job["id"]
    assert ended(site, resumed)["state"] == "done"
    assert site.get("/packages/again")["status"] == "ready"


def ended(site: Site, job: dict[str, Any]) -> dict[str, Any]:
    """The job once it runs no more."""
    path = f"/jobs/{job['id']}"
    return until(lambda: now if (now := site.get(path))["state"] != "running" else None, job)


@pytest.mark.long
def test_int8_is_calibrated_on_what_is_handed_in(site: Site, tmp_path: Path) -> None:
    model = dense(tmp_path / "model.onnx", layers=1, width=WIDTH).read_bytes()
    site.done(site.upload(zipped(tmp_path / "in", model, "eight")))
    spread = np.tile(np.linspace(-1, 2, WIDTH, dtype=np.float32), (8, 1))  # NNCF clips at the mean of the rows' ends
    rows = [np.random.default_rng(seed).permuted(spread, axis=1) for seed in range(3)]
    (tmp_path / "samples").mkdir()
    for number, values in enumerate(rows):
        save_npz(tmp_path / "samples" / f"{number}.npz", {"x": values})
    kept = calibrated(site, tmp_path / "samples" / "0.npz")
    assert len(kept) == 1
    several = calibrated(site, Path(shutil.make_archive(str(tmp_path / "samples"), "zip", tmp_path / "samples")))
    assert (len(several), kept[0] in several) == (3, True)
    job = ended(site, site.post("/packages/eight/optimise", {"changes": {"precision": "INT8"}}))
    assert job["state"] == "done", job
    [made] = site.get("/packages/eight")["optimisations"]
    assert (made["precision"], made["state"]) == ("INT8", "verified"), made
    for name, status in (("x.exe", 422), ("x.zip", 422)):
        wrong = site.http.post(f"{API}/packages/eight/calibration", params={"filename": name}, content=b"PK")
        assert (wrong.status_code, len(site.get("/packages/eight")["settings"]["calibration"])) == (status, 3)
    assert list(opened(site.root).workspace.staging.iterdir()) == []


def calibrated(site: Site, file: Path) -> list[str]:
    return list(site.upload(file, "/packages/eight/calibration")["settings"]["calibration"])


def test_a_file_is_inspected_and_nothing_is_kept(site: Site, tmp_path: Path) -> None:
    inspection = site.upload(zipped(tmp_path / "in", scaled(23.0), "looked-at"), "/inspections")
    assert (inspection["name"], [stage["name"] for stage in inspection["stages"]]) == ("looked-at", ["s"])
    assert site.http.get(f"{API}/packages/looked-at").status_code == 404
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    wrong = site.http.post(f"{API}/inspections", params={"filename": "broken.onnx"}, content=b"no model")
    assert wrong.status_code == 422
    assert list(opened(site.root).workspace.staging.iterdir()) == []


def test_projects_are_named_before_anything_goes(site: Site, tmp_path: Path) -> None:
    site.done(site.upload(zipped(tmp_path / "in", scaled(17.0), "used")))
    project = "LINE-3 / 装配线"
    lease = f"{API}/packages/used/projects/{quote(project, safe='')}"
    site.http.put(lease, json={"ttl": 60}).raise_for_status()
    assert site.get("/packages", params={"project": project})["total"] == 1
    refused = site.http.delete(f"{API}/packages/used")
    assert (refused.status_code, project in refused.json()["detail"]) == (409, True)
    assert site.http.delete(lease).status_code == 204
    assert site.http.delete(f"{API}/packages/used").status_code == 204


def quiet(heard: list[str]) -> None:
    """Until the watcher has told all that it has to tell: it looked twice more, and only the snapshots went on."""

    def looks() -> int:
        events = [line for line in heard if line.startswith("event: ")]
        return (
            len(events)
            - max([number for number, line in enumerate(events) if line != "event: snapshot"], default=-1)
            - 1
        )

    until(lambda: looks() >= 3)


@pytest.mark.long
def test_events_tell_what_others_do_also_after_another_catalogue(start: Start, tmp_path: Path) -> None:
    fresh = start()
    # With snapshots there is always something that ends the listening.
    with listening(fresh, "?snapshots=true") as heard:
        import_package(opened(fresh.root), single(tmp_path / "in", scaled(18.0), "elsewhere"))
        until(lambda: "event: packages" in heard)
        quiet(heard)
        heard.clear()
        assert rebuild(find(fresh.root), unheard).packages == ("elsewhere",)
        until(lambda: "event: packages" in heard)
        quiet(heard)
        heard.clear()
        rename(opened(fresh.root), "elsewhere", "here")
        until(lambda: "event: packages" in heard)
        until(lambda: "event: snapshot" in heard)
    assert [item["name"] for item in fresh.get("/packages")["items"]] == ["here"]


@pytest.mark.server
def test_users_are_named(live: Site, tmp_path: Path) -> None:
    live.done(live.upload(zipped(tmp_path / "in", scaled(24.0), "shared")))
    live.done(live.post("/packages/shared/load"))
    assert live.get("/packages/shared/users") == []
    live.http.put(f"{API}/packages/shared/projects/LINE-7", json={"ttl": 60}).raise_for_status()
    with under_load(opened(live.root), "shared", clients=1) as seen:
        until(lambda: seen.answers)
        project, clients = live.get("/packages/shared/users")
        changes = {"changes": {"mode": "performance"}, "live": True, "unused": True}
        refused = live.refused(live.http.patch(f"{API}/packages/shared/settings", json=changes).json())
    assert project == "LINE-7"
    assert clients.startswith("clients that are not registered (")
    assert (refused["type"], "LINE-7, clients that are not" in refused["detail"]) == ("urn:tritonpm:busy", True)
    assert live.get("/packages/shared")["mode"] == "shared"


@pytest.mark.server
def test_a_canary_is_served_beside_its_package_then_promoted_or_given_up(live: Site, tmp_path: Path) -> None:
    live.done(live.upload(zipped(tmp_path / "one", scaled(2.0, less=0.5), "song")))
    live.done(live.post("/packages/song/load"))
    assert "serves beside song" in live.done(live.post("/packages/song/canary", {"changes": {"mode": "performance"}}))
    with_canary = live.http.get("/packages/song/newer").text
    assert "/packages/song-canary" in with_canary
    assert "song-canary is served beside song" in live.http.get("/packages/song-canary/newer").text
    assert live.done(live.post("/packages/song/abort")) == "Discarded the canary of song."
    assert live.http.get(f"{API}/packages/song-canary").status_code == 404
    assert live.get("/packages/song")["mode"] == "shared"
    live.done(live.upload(zipped(tmp_path / "two", scaled(4.0, less=0.5), "song"), "/packages/song/canary/content"))
    ask = f"{API}/packages/%s/infer?of=song"
    values = [live.http.post(ask % name).json()["outputs"][0]["values"][0] for name in BOTH]
    assert [float(value) for value in values] == pytest.approx([0.8, 1.6])
    assert "song serves revision 2" in live.done(live.post("/packages/song/promote"))
    promoted = live.http.post(f"{API}/packages/song/infer").json()["outputs"][0]["values"][0]
    assert float(promoted) == pytest.approx(1.6)
    assert live.refused(live.post("/packages/song/promote"))["type"] == "urn:tritonpm:not-found"


BOTH = ("song", "song-canary")


@pytest.mark.server
def test_a_package_is_loaded_asked_switched_rolled_back_and_unloaded(live: Site, tmp_path: Path) -> None:
    live.done(live.upload(zipped(tmp_path / "in", scaled(2.0), "p")))
    assert (
        live.done(live.post("/packages/p/load"))
        == "Loaded p, revision 1: answered 1 sample; the package does not say what is expected."
    )
    save_npz(tmp_path / "i.npz", {"x": np.full((3, WIDTH), 2.0, np.float32)})
    asked = live.http.post(f"{API}/packages/p/infer", content=(tmp_path / "i.npz").read_bytes())
    output = asked.json()["outputs"][0]
    assert (asked.json()["unknown"], asked.json()["pictures"], asked.json()["threshold"]) == (["y"], [], None)
    assert (output["name"], output["shape"], set(output["values"])) == ("y", [3, WIDTH], {"4"})
    assert live.http.post(f"{API}/packages/p/infer").json()["outputs"][0]["shape"] == [2, WIDTH]
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((40 << 20, 1), np.float32))
    bomb = live.http.post(f"{API}/packages/p/infer", content=(tmp_path / "bomb.npz").read_bytes())
    assert (bomb.status_code, "more than 128 MiB" in bomb.text) == (422, True)
    wrong = live.http.post(f"{API}/packages/p/infer", content=b"PK nothing")
    assert wrong.status_code == 422
    assert str(live.root) not in wrong.text
    changed = live.http.patch(f"{API}/packages/p/settings", json={"changes": {"max_batch_size": 4}, "live": True})
    assert live.done(changed.json()).startswith("p serves revision 2")
    forbidden = live.http.patch(
        f"{API}/packages/p/settings", json={"changes": {"max_batch_size": 100000}, "live": True}
    )
    assert forbidden.status_code == 422
    assert [revision["number"] for revision in live.get("/packages/p/history")] == [2, 1]
    assert "-max_batch_size" in live.http.get(f"{API}/packages/p/diff", params={"one": 1}).text
    assert live.done(live.post("/packages/p/rollback")).startswith("p serves revision 1")
    counted = live.get("/packages/p/statistics")[0]
    assert counted["inferences"] > 0
    assert sum(counted["batches"].values()) == counted["executions"]
    assert live.http.delete(f"{API}/packages/p").status_code == 409
    assert live.done(live.post("/packages/p/unload", {"force": True})) == "Unloaded p."
    assert live.http.post(f"{API}/packages/p/infer").status_code == 404


@pytest.mark.server
def test_an_answer_is_told_by_its_meaning(live: Site, tmp_path: Path) -> None:
    live.done(live.upload(seeing(tmp_path / "in")))
    live.done(live.post("/packages/quarters/load"))
    ask = f"{API}/packages/quarters/infer"
    sample = live.http.post(ask, params={"sample": 2}).json()
    [shown] = sample["pictures"]
    assert (sample["threshold"], sample["unknown"], sample["reason"]) == (0.25, [], "")
    assert (shown["width"], shown["height"], shown["verdict"]) == (32, 32, "")
    found = [(one["kind"], one["label"], one["box"]) for one in shown["objects"]]
    assert found == [("detection", "red", [0, 16, 16, 32]), ("detection", "green", [16, 0, 32, 16])]
    assert sample["outputs"][0]["shape"] == [1, 6, 4]
    picture = live.http.get(f"{API}/packages/quarters/samples/2/picture")
    assert picture.headers["content-type"] == "image/png"
    wide = Image.open(io.BytesIO(picture.content)).resize((128, 64))  # lies in the middle of the model's input
    stream = io.BytesIO()
    wide.save(stream, "png")
    [shown] = live.http.post(ask, content=stream.getvalue()).json()["pictures"]
    assert {(one["label"], *one["box"]) for one in shown["objects"]} == {
        ("red", 0, 32, 64, 64), ("green", 64, 0, 128, 32)
    }  # fmt: skip
    save_npz(tmp_path / "odd.npz", {"images": np.full((2, 3, 32, 32), np.nan, np.float32)})
    odd = live.http.post(ask, content=(tmp_path / "odd.npz").read_bytes())
    assert (odd.status_code, [one["objects"] for one in odd.json()["pictures"]]) == (200, [[], []])
    for path in ("samples/3/picture", "samples/1/picture?row=1"):
        assert live.http.get(f"{API}/packages/quarters/{path}").status_code == 404
    assert live.http.post(ask, params={"sample": 3}).status_code == 404
    live.done(live.post("/packages/quarters/unload", {"force": True}))


@pytest.mark.server
def test_an_upgrade_is_live_and_a_bad_one_is_never_seen(live: Site, tmp_path: Path) -> None:
    live.done(live.upload(zipped(tmp_path / "one", scaled(3.0), "up")))
    live.http.patch(f"{API}/packages/up/settings", json={"changes": {"kept_versions": 2}}).raise_for_status()
    live.done(live.post("/packages/up/load"))
    live.done(live.upload(zipped(tmp_path / "two", scaled(5.0), "up"), "/packages/up/upgrade"))
    assert live.get("/packages/up")["revision"] == 2
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK")
    assert live.refused(live.upload(broken, "/packages/up/upgrade"))["status"] == 422
    answer = live.http.post(f"{API}/packages/up/infer").json()
    assert answer["outputs"][0]["values"][0] == "4.5"
    assert "version 1</option>" in live.http.get("/packages/up").text
    before = live.http.post(f"{API}/packages/up/infer", params={"version": "1"}).json()
    assert before["outputs"][0]["values"][0] == "2.7"
    assert live.http.post(f"{API}/packages/up/infer", params={"version": "7"}).status_code == 404


@pytest.mark.server
def test_a_cascade_is_loaded_with_its_members(live: Site, tmp_path: Path) -> None:
    folder = cascade(tmp_path / "c", scaled(2.0, less=1.0, result="z1"), scaled(7.0, source="z1"), "c")
    live.done(live.upload(Path(shutil.make_archive(str(folder), "zip", folder))))
    live.done(live.post("/packages/c/load"))
    live.http.post(f"{API}/packages/c/infer").raise_for_status()
    assert len(live.get("/packages/c/statistics")) == 3
    assert live.get("/packages/c")["type"] == "other + other"
    states = {model["name"]: model["state"] for model in live.get("/server")["models"]}
    assert states["c"] == "READY"


@pytest.mark.server
def test_triton_is_started_and_stopped_from_the_page(start: Start) -> None:
    fresh = start()
    try:
        assert "is live" in fresh.done(fresh.post("/server/start"))
        assert fresh.get("/server")["state"] == "live"
    finally:
        assert fresh.done(fresh.post("/server/stop")) == "Stopped."
    assert fresh.get("/server")["state"] == "stopped"


def test_too_much_is_refused(start: Start, tmp_path: Path) -> None:
    small = start(PageAccess(upload=100, body=100))
    package = zipped(tmp_path / "in", scaled(19.0), "large")
    refused = small.http.post(f"{API}/packages", params={"filename": "large.zip"}, content=package.read_bytes())
    assert refused.status_code == 413

    def chunks() -> object:
        for _ in range(8):
            yield b"x" * 64

    streamed = small.http.post(f"{API}/packages", params={"filename": "large.zip"}, content=chunks())  # type: ignore[arg-type]
    assert streamed.status_code == 413
    assert streamed.json()["detail"] == "no more than 100 bytes can be sent here"
    assert list(opened(small.root).workspace.staging.iterdir()) == []
