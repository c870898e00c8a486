"""`tritonpm deploy`: a workspace's packages and what was chosen become files, and objects of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.catalogue import find
from tritonpm.core.errors import NotFoundError, PackageError
from tritonpm.core.files import storage_error, write_atomically
from tritonpm.core.scratch import temporary
from tritonpm.deploy import DOCKERFILE, TARGETS, Choices, bundle
from tritonpm.deploy.sources import FOLDER, is_checkout, sources
from tritonpm.operations.context import open_context
from tritonpm.settings.settings import ENCODED

if TYPE_CHECKING:
    from tritonpm.deploy.files import BundleFile
    from tritonpm.operations.context import Context


@dataclass(frozen=True)
class Deployment:
    """A deployment's files, what a person should know of them, and what images are built of: path and file here."""

    files: tuple[BundleFile, ...]
    packages: tuple[str, ...]
    advice: tuple[str, ...] = ()
    copies: tuple[tuple[str, Path], ...] = ()

    @property
    def text(self) -> str:
        """Its objects as one stream: of a cluster's all, of others the first file."""
        objects = [file for file in self.files if file.path.endswith(".yaml") and _is_objects(file)]
        return "---\n".join(file.text for file in objects) if objects else self.files[0].text


def _is_objects(file: BundleFile) -> bool:
    return all("metadata" in document for document in file.objects)


def deployment(
    root: Path | None, target: str, packages: Sequence[str] = (), output: Path | None = None, **chosen: object
) -> Deployment:
    """The files for the named packages, or for all that the workspace at `root` wants loaded.

    For a folder `output` with what the manager's image is built of, unless that is the checkout itself.
    Raises UsageError, RenderError; NotFoundError where there is no workspace or package, or it was not published yet.
    """
    if target == "compose" and output and not is_checkout(output):
        chosen |= {"build": f"./{FOLDER}"}
    try:
        find(root)
    except NotFoundError:
        if root is not None or target != "compose":
            raise
        advice = "There is no workspace here: the rules are for all models, and for no package"
        choices = Choices(**chosen)  # type: ignore[arg-type]
        return Deployment(tuple(bundle(target, choices)), (), (advice,), _copies(choices))
    with open_context(root) as context:
        names = tuple(sorted(packages)) or tuple(context.catalogue.wanted())
        for name in names:  # what comes from elsewhere need not be in this workspace's repository
            _require(context, name, published=TARGETS[target].cluster and not chosen.get("storage_uri"))
        encoded = [name for name in names if _takes_files(context, name)]
        choices = Choices(names, decoding=bool(encoded), **chosen)  # type: ignore[arg-type]
        files = bundle(target, choices, context.workspace.templates)
    notes = [] if names else ["No package is loaded, and none was named with --package"]
    if encoded and TARGETS[target].cluster and not choices.triton_image:
        notes.append(
            f"{', '.join(encoded)} decodes JPEG and PNG with Pillow, which {choices.image} lacks: build {DOCKERFILE}, "
            "push it, and name it with --triton-image"
        )
    return Deployment(tuple(files), names, tuple(notes), _copies(choices))


def _copies(choices: Choices) -> tuple[tuple[str, Path], ...]:
    """What the manager's image is built of, where that is in a folder of the deployment's own."""
    if not choices.built or choices.build == Choices.build:
        return ()
    return tuple((f"{FOLDER}/{path}", file) for path, file in sources())


def _takes_files(context: Context, name: str) -> bool:
    record = context.catalogue.get(name)
    return record.settings.for_stage(record.package.stages[0].name).serve == ENCODED


def _require(context: Context, name: str, *, published: bool) -> None:
    context.catalogue.get(name)
    if published and context.catalogue.revision(name) is None:
        raise NotFoundError("was not published yet", where=name, do=f"publish it with `tritonpm load {name}`")


def write(made: Deployment, folder: Path, *, force: bool = False) -> list[Path]:
    """Write a deployment into a folder; files that are there and the same are left alone. The places of its files.

    Raises PackageError, before any is written, where one is there and says something else; StorageError.
    """
    files = {folder / file.path: file.text.encode() for file in made.files}
    copies = {folder / path: file.read_bytes() for path, file in made.copies}
    for place, content in (files | copies).items():
        if not force and place.exists() and (not place.is_file() or place.read_bytes() != content):
            do = "choose another --output, or use --force"
            raise PackageError("exists already, with other content", where=str(place), do=do)
    for place, content in (files | copies).items():
        _written(place, content)
    return [*files, *([folder / FOLDER] if copies else ())]


def _written(place: Path, content: bytes) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, place) from None
    write_atomically(place, content)


def apply(made: Deployment, context: str = "") -> list[str]:
    """Bring a cluster's objects there, after a dry run. Raises RequirementError, DeploymentError."""
    from tritonpm.deploy import kubectl

    with temporary("deploy") as folder:
        write(made, folder)
        return kubectl.apply(folder, context)
