"""A whole repository becomes packages, and is served as it was before: by the real server, config by config."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import s3
from tests.support.lint.oracle import a_server
from tests.support.models import scaled
from tests.support.packages import cascade
from tests.support.whole_repositories import repository, written
from tests.support.workspaces import QUICKLY, opened
from tritonpm.core.errors import BusyError, NameTakenError, NotFoundError, PackageError, StorageError, UsageError
from tritonpm.core.tensors import Array
from tritonpm.core.types import REVISION
from tritonpm.operations import repository_source
from tritonpm.operations.adopt import adopt
from tritonpm.operations.context import Context
from tritonpm.operations.export import export
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.inspect import inspect
from tritonpm.operations.list import packages
from tritonpm.operations.load import load
from tritonpm.operations.remove import remove
from tritonpm.operations.rename import rename
from tritonpm.operations.render import render
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect, is_loaded
from tritonpm.operations.set import change
from tritonpm.operations.show import show
from tritonpm.operations.stop import stop
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import upgrade
from tritonpm.triton.client import Client

ROW = np.arange(8, dtype=np.float32).reshape(2, 4)
INPUTS: dict[str, dict[str, Array]] = {
    "simple": {"a": np.full((2, 16), 5, np.int32), "b": np.arange(32, dtype=np.int32).reshape(2, 16)},
    "labelled": {"x": ROW},
    "counter": {"X": np.array([[3]], np.int32)},
    "words": {"t": np.array([[b"a", "ü".encode()]], dtype=np.object_)},
    "prepare": {"x": ROW},
    "classify": {"x": ROW},
    "pipeline": {"RAW": ROW},
    "kept": {"RAW": ROW},
}


@pytest.fixture
def completing(context: Context) -> Iterator[None]:
    """The workspace's server, which completes configs as the one that served before does."""
    serve(context, None, **{**QUICKLY, "arguments": ()})
    yield
    stop(context, 15)


def told(client: Client, name: str) -> dict[str, Any]:
    """A model's config as the server has it, but for the mark of a revision."""
    config = client.config(name)
    config.get("parameters", {}).pop(REVISION, None)
    if config["name"] == "pipeline":  # a cascade's members are its own, and its tensors inside have other names
        del config["ensemble_scheduling"]
    return {key: value for key, value in config.items() if value not in ({}, [])}


def answers(client: Client) -> dict[str, list[Any]]:
    found = {name: client.infer(name, given) for name, given in INPUTS.items()}
    found["labelled 1"] = client.infer("labelled", INPUTS["labelled"], version="1")
    return {model: [(name, array.tolist()) for name, array in sorted(own.items())] for model, own in found.items()}


def test_what_we_rendered_is_adopted_though_its_members_are_no_names_of_packages(
    context: Context, tmp_path: Path
) -> None:
    """Triton takes dots in names, as our own members have them, and anything else that is printable."""
    source = cascade(tmp_path / "in", scaled(2.0, result="m"), scaled(3.0, source="m"), "both")
    import_package(context, source)
    render(context, "both", tmp_path / "rendered")
    stage = next(path for path in (tmp_path / "rendered").iterdir() if path.name.startswith("first."))
    same = tmp_path / "rendered" / stage.name.replace(".", "-")
    shutil.copytree(stage, same)
    (same / "config.pbtxt").write_text((same / "config.pbtxt").read_text().replace(stage.name, same.name))
    remove(context, "both")
    adopted = {model.name: model for model in adopt(context, tmp_path / "rendered")}
    assert [model.refused for model in adopted.values()] == [""] * 4
    taken = same.name
    assert adopted["both"].members[0] == f"{taken}-2"
    assert adopted[taken].notes == adopted["both"].notes == ()
    assert adopted[f"{taken}-2"].notes[0] == f"{stage.name} is no name for a package: clients ask for {taken}-2 here"
    assert [stage.name for stage in show(context, "both").stages_in_detail] == list(adopted["both"].members)


@pytest.mark.server
@pytest.mark.usefixtures("completing")
def test_a_repository_is_served_as_before(context: Context, tmp_path: Path) -> None:
    root = repository(tmp_path / "before")
    with a_server() as (served, client):
        for folder in root.iterdir():
            shutil.copytree(folder, served / folder.name)
        for name in ("simple", "labelled", "counter", "words", "pipeline", "kept"):
            client.load_and_wait(name, timeout=300)
        configs, before = {folder.name: told(client, folder.name) for folder in root.iterdir()}, answers(client)
    adopted = adopt(context, root)
    assert [(model.name, model.refused) for model in adopted] == [(name, "") for name in sorted(configs)]
    for name in ("simple", "labelled", "counter", "words", "pipeline", "kept"):
        load(context, name, timeout=600)
    assert is_loaded(context, "prepare") and is_loaded(context, "classify")  # an ensemble brings its members
    with connect(context, "grpc") as client:  # as the server of before was asked
        now = {name: told(client, name) for name in configs}
        differ = {
            (name, key): (configs[name].get(key), now[name].get(key))
            for name in configs
            for key in {*configs[name], *now[name]}
            if configs[name].get(key) != now[name].get(key)
        }
        assert not differ
        assert answers(client) == before
    assert [stage.name for stage in show(context, "pipeline").stages_in_detail] == ["prepare", "classify"]
    assert "it stays an ensemble: its config says parameters" in show(context, "kept").notes
    assert inspect(root / "kept").notes == ("it stays an ensemble: its config says parameters",)
    assert inspect(root / "pipeline").notes == ()
    assert {model.name: model.notes for model in adopted}["kept"] == show(context, "kept").notes
    with pytest.raises(BusyError, match="prepare is a part of kept"):
        unload(context, "prepare")
    unload(context, "prepare", dependents=True)
    assert not is_loaded(context, "kept") and is_loaded(context, "classify") and is_loaded(context, "pipeline")


def test_one_model_that_is_refused_keeps_out_only_what_is_made_of_it(context: Context, tmp_path: Path) -> None:
    root = repository(tmp_path / "repository")
    (root / "classify/1/model.onnx").write_bytes(b"no model")
    adopted = {model.name: model.refused for model in adopt(context, root)}
    assert {name for name, refused in adopted.items() if refused} == {"classify", "kept", "pipeline"}
    assert "its member classify is not adopted" in adopted["pipeline"]
    assert {entry.name for entry in packages(context.catalogue)} == set(adopted) - {"classify", "kept", "pipeline"}


def test_a_member_stays_as_long_as_its_ensemble(context: Context, tmp_path: Path) -> None:
    adopt(context, repository(tmp_path / "repository"))
    with pytest.raises(BusyError, match="ensemble kept joins prepare"):
        remove(context, "prepare")
    with pytest.raises(BusyError, match="ensemble kept joins prepare"):
        rename(context, "prepare", "other")
    remove(context, "kept")
    remove(context, "prepare")  # a cascade has members of its own


def test_no_circle_of_ensembles_comes_to_be(context: Context, tmp_path: Path) -> None:
    """It would end the server that loads it."""
    root = repository(tmp_path / "repository")
    adopt(context, root)
    text = (root / "kept/config.pbtxt").read_text()
    circle = tmp_path / "prepare"
    (circle / "1").mkdir(parents=True)
    lines = [line for line in text.splitlines() if not line.startswith("name:")]
    (circle / "config.pbtxt").write_text("\n".join(lines).replace('"prepare"', '"kept"'))
    with pytest.raises(PackageError, match=r"forms a cycle: prepare → kept → prepare"):
        upgrade(context, "prepare", circle)


def test_two_models_of_one_content_are_two_packages(context: Context, tmp_path: Path) -> None:
    root = repository(tmp_path / "repository")
    shutil.copytree(root / "prepare", root / "again")
    assert not any(model.refused for model in adopt(context, root))
    assert {"again", "prepare"} <= {entry.name for entry in packages(context.catalogue)}


def test_a_taken_name_is_told_before_anything_is_adopted(context: Context, tmp_path: Path) -> None:
    root = repository(tmp_path / "repository")
    import_package(context, root / "words")
    with pytest.raises(NameTakenError, match="'words' is taken"):
        adopt(context, root)
    assert [entry.name for entry in packages(context.catalogue)] == ["words"]
    with pytest.raises(NotFoundError, match="holds no model folder"):
        adopt(context, root / "words/1")


def test_an_imported_ensemble_becomes_a_cascade_where_its_members_are_as_they_came(
    context: Context, tmp_path: Path
) -> None:
    """What it is made of is its own then: an export holds it, and the members may go."""
    root = repository(tmp_path / "repository")
    for name in ("prepare", "classify", "pipeline"):
        import_package(context, root / name)
    export(context, "pipeline", tmp_path / "pipeline.zip")
    held = inspect(tmp_path / "pipeline.zip")
    assert [stage.name for stage in held.stages] == ["prepare", "classify"]
    assert held.digest == context.catalogue.get("pipeline").package.digest
    remove(context, "pipeline")
    change(context, "prepare", {"instances": 2, "mode": "performance"})
    import_package(context, root / "pipeline")
    assert (
        "it stays an ensemble: its member prepare has settings that it did not come with"
        in show(context, "pipeline").notes
    )


def test_an_ensemble_alone_names_the_members_that_it_lacks(context: Context, tmp_path: Path) -> None:
    root = repository(tmp_path / "repository")
    with pytest.raises(PackageError, match=r"members prepare, classify are not packages here.*tritonpm adopt"):
        import_package(context, root / "pipeline")
    step = 'ensemble_scheduling { step { model_name: "round" input_map { key: "x" value: "x" } } }'
    written(root, "round", f'platform: "ensemble"\n{step}\n', {"1/.keep": b""})
    adopted = {model.name: model.refused for model in adopt(context, root)}
    assert "its member round is not adopted" in adopted["round"]


def test_a_store_is_adopted_as_a_folder_is_and_what_is_hostile_in_it_is_refused(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = repository(tmp_path / "repository")
    (root / "pipeline/1/.keep").unlink()
    (root / "kept/1/.keep").unlink()
    with s3.known() as server:
        store = server.store("line/models")
        for path in filter(Path.is_file, root.rglob("*")):
            store.write(str(path.relative_to(root)), path.read_bytes())
        store.write("kept/1", b"")
        store.write("pipeline/1", b"")  # a console's marker of an empty folder
        store.write("strange/config.pbtxt", b'backend: "onnxruntime"')
        store.write("strange/1/a:b", b"-")
        store.write("notes.txt", b"no model")
        url = server.url("line/models")
        adopted = {model.name: model.refused for model in adopt(context, url)}
        assert {name for name, refused in adopted.items() if refused} == {"strange"}
        assert "'strange/1/a:b' has a backslash, a drive letter" in adopted["strange"]
        init(tmp_path / "other")
        other = opened(tmp_path / "other")
        adopt(other, root)
        digests = [{entry.name: entry.digest for entry in one.catalogue.packages()} for one in (context, other)]
        assert digests[0] == digests[1]
        assert not list(context.workspace.staging.iterdir())
        with pytest.raises(StorageError, match=r"'words/1/model\.onnx' has changed meanwhile"):
            list(store.chunks("words/1/model.onnx", 1))
        server.store("alone").write("config.pbtxt", b"")
        bucket = server.url("").removesuffix("/")
        assert set(repository_source.repository_source(context, bucket).members) == {"alone"}
        monkeypatch.setattr(repository_source, "_MOST_OBJECTS", 5)
        with pytest.raises(StorageError, match="holds more than 5 objects"):
            adopt(context, url)
        with pytest.raises(NotFoundError, match="holds no model folder"):
            adopt(context, server.url("nothing"))
    with pytest.raises(UsageError, match="credentials do not belong in a URL"):
        adopt(context, "s3://me:secret@bucket/models")
