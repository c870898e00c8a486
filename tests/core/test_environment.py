"""What a program of others gets of our environment: what it needs, and no secret."""

from __future__ import annotations

import pytest

from tritonpm.core.environment import without_secrets

SECRETS = (
    "TRITONPM_UI_TOKEN", "TRITON_TOKEN_FILE", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID",
    "AZURE_STORAGE_ACCOUNT_KEY", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS", "DOCKER_AUTH_CONFIG",
    "DOCKER_CONFIG", "NETRC", "SSH_AUTH_SOCK", "GITHUB_TOKEN", "HF_TOKEN", "PGPASSWORD", "https_proxy",
    "PYTHON_KEYRING_PASSWORD", "NVIDIA_API_KEY", "ORT_TOKEN", "ANYTHING_ELSE", "KUBECONFIG", "BASH_ENV",
)  # fmt: skip
NEEDED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "KMP_AFFINITY", "OV_CPU_THREADS", "MALLOC_ARENA_MAX",
)  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_stay(name: str) -> None:
    assert without_secrets({name: "x"}) == {}


@pytest.mark.parametrize("name", NEEDED)
def test_what_runtimes_read_goes_along(name: str) -> None:
    assert without_secrets({name: "x"}) == {name: "x"}


def test_more_is_named() -> None:
    more = {"TRITONPM_SERVER_ENV": "HF_TOKEN, LINE", "HF_TOKEN": "x", "LINE": "3", "OTHER": "y"}
    assert without_secrets(more) == {"HF_TOKEN": "x", "LINE": "3"}


@pytest.mark.parametrize(
    ("scheme", "name"),
    [("s3", "AWS_SECRET_ACCESS_KEY"), ("gs", "GOOGLE_APPLICATION_CREDENTIALS"), ("as", "AZURE_STORAGE_KEY")],
)
def test_a_server_that_reads_a_store_gets_what_it_reads_it_with(scheme: str, name: str) -> None:
    given = {name: "x", "GITHUB_TOKEN": "y"}
    assert without_secrets(given, [f"--model-repository={scheme}://place/models"]) == {name: "x"}
    assert without_secrets(given, ["--model-repository=/models"]) == {}
