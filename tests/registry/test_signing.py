"""Signatures: what was signed by whom is trusted counts; anything else does not, whatever it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.fetching import written
from tests.support.keys import certified, private_key, signer
from tritonpm.core.errors import NotFoundError, PackageError, SignatureError, UsageError
from tritonpm.registry.signing import Signer, Trust, sign, signature_of, verify


@pytest.fixture
def package(tmp_path: Path) -> Path:
    written(tmp_path / "bolts.zip")
    return tmp_path / "bolts.zip"


def trust(folder: Path, *names: str) -> Trust:
    keys = tuple(folder / name for name in names if name.endswith(".pub"))
    return Trust(keys, tuple(folder / name for name in names if name.endswith(".crt")))


def test_a_key(package: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = sign(package, signer(tmp_path, "line"))
    assert made.signature == str(tmp_path / "bolts.zip.sig")
    private_key(tmp_path, "other")
    assert verify(package, trust(tmp_path, "other.pub", "line.pub")).by == str(tmp_path / "line.pub")
    with pytest.raises(SignatureError, match="signed by no trusted signer, or was changed since"):
        verify(package, trust(tmp_path, "other.pub"))
    assert capfd.readouterr() == ("", "")


def test_a_certificate(package: Path, tmp_path: Path) -> None:
    sign(package, certified(tmp_path, "vision"))
    certified(tmp_path, "other")
    assert verify(package, trust(tmp_path, "other-ca.crt", "vision-ca.crt")).digest.startswith("sha256:")
    for trusted in (trust(tmp_path, "other-ca.crt"), trust(tmp_path, "vision.pub"), Trust()):
        with pytest.raises(SignatureError, match="no trusted signer"):
            verify(package, trusted)


def test_another_name_is_the_same_package_and_another_content_is_not(package: Path, tmp_path: Path) -> None:
    sign(package, signer(tmp_path, "line"))
    shutil.copy(package, tmp_path / "nuts.zip")
    shutil.copy(signature_of(package), tmp_path / "nuts.zip.sig")
    verify(tmp_path / "nuts.zip", trust(tmp_path, "line.pub"))
    raw = bytearray(package.read_bytes())
    for at in range(0, len(raw), 7):
        changed = bytes(raw[:at]) + bytes([raw[at] ^ 1]) + bytes(raw[at + 1 :])
        package.write_bytes(changed)
        with pytest.raises(SignatureError):
            verify(package, trust(tmp_path, "line.pub"))


def test_what_cannot_be_signed(package: Path, tmp_path: Path) -> None:
    line = signer(tmp_path, "line")
    (tmp_path / "m.onnx").write_bytes(b"onnx")
    for path in (tmp_path, tmp_path / "m.onnx"):
        with pytest.raises(SignatureError, match=r"only a \.zip can be signed; pack it"):
            sign(path, line)
    with pytest.raises(NotFoundError, match="no such file"):
        sign(tmp_path / "nothing.zip", line)
    sign(package, line)
    with pytest.raises(PackageError, match="is signed already; use --force"):
        sign(package, line)
    sign(package, line, force=True)


def test_keys_that_do_not_do(package: Path, tmp_path: Path) -> None:
    vision, line = certified(tmp_path, "vision"), signer(tmp_path, "line")
    (tmp_path / "text.pem").write_text("no key")
    wrong = (
        Signer(tmp_path / "text.pem"),
        Signer(line.key, vision.certificate, vision.chain),
        Signer(tmp_path / "line.pub"),
    )
    for each in wrong:
        with pytest.raises(UsageError, match="cannot be used as a key; use an elliptic curve key"):
            sign(package, each)
    with pytest.raises(UsageError, match="cannot be read"):
        sign(package, Signer(tmp_path / "nothing.pem"))
    sign(package, line)
    for key in ("text.pem", "line.pem"):
        with pytest.raises(UsageError, match="cannot be used as a key"):
            verify(package, Trust((tmp_path / key,)))
    with pytest.raises(UsageError, match="cannot be used as a key"):
        verify(package, Trust((), (tmp_path / "text.pem",)))


def test_what_is_no_signature(package: Path, tmp_path: Path) -> None:
    private_key(tmp_path, "line")
    with pytest.raises(SignatureError, match=r"is not signed; put its bolts\.zip\.sig beside it"):
        verify(package, trust(tmp_path, "line.pub"))
    signature_of(package).write_bytes(b" " * (2 << 20))
    with pytest.raises(SignatureError, match="a signature that is too long"):
        verify(package, trust(tmp_path, "line.pub"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attacked")
    written(folder / "bolts.zip")
    sign(folder / "bolts.zip", certified(folder, "vision"))
    (folder / "certified.sig").write_bytes(signature_of(folder / "bolts.zip").read_bytes())
    sign(folder / "bolts.zip", signer(folder, "line"), force=True)
    (folder / "keyed.sig").write_bytes(signature_of(folder / "bolts.zip").read_bytes())
    private_key(folder, "trusted")
    certified(folder, "trusted")
    return folder


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.lists(st.integers(0, 9), max_size=5), value=JSON, kind=st.sampled_from(["certified.sig", "keyed.sig"]))
def test_a_mangled_signature_is_none(attacked: Path, where: list[int], value: object, kind: str) -> None:
    document = json.loads((attacked / kind).read_text())
    signature_of(attacked / "bolts.zip").write_text(json.dumps(_mangled(document, where, value)))
    with pytest.raises(SignatureError):
        verify(attacked / "bolts.zip", trust(attacked, "trusted.pub", "trusted-ca.crt"))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=64))
@example(raw=b"[" * 100_000)
def test_bytes_are_no_signature(attacked: Path, raw: bytes) -> None:
    signature_of(attacked / "bolts.zip").write_bytes(raw)
    with pytest.raises(SignatureError):
        verify(attacked / "bolts.zip", trust(attacked, "trusted.pub", "trusted-ca.crt"))


def _mangled(document: object, where: list[int], value: object) -> object:
    """The document with another value at a place: the nth key or element, again and again."""
    if not where or not isinstance(document, dict | list) or not document:
        return value
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    key = keys[where[0] % len(keys)]
    copy = document.copy()
    copy[key] = _mangled(document[key], where[1:], value)  # type: ignore[index,call-overload]
    return copy
