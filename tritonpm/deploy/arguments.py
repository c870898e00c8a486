"""The command line of tritonserver in every deployment; the tests run each on a real one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tritonpm.triton.embedded import CACHE_BYTES, CLIENT_SHARED_MEMORY, EXIT_TIMEOUT

if TYPE_CHECKING:
    from tritonpm.core.releases import Release

GRACE = EXIT_TIMEOUT + 10  # seconds between TERM and KILL: requests in flight, then the end
DRAIN = 5  # seconds in which a cluster stops sending requests, before TERM
TRITON = "triton:8000"  # the host's name is the service's, in compose and in Kubernetes
PAGE_PORT = 8080
TOKEN = "/run/secrets/ui_token"  # noqa: S105  # the file, not what is in it
# A Triton that was started again has nothing loaded: what the workspace wants is loaded again.
KEEPER = ["sh", "-c", "trap 'exit 0' TERM; while :; do tritonpm sync; sleep 15 & wait $!; done"]


def tritonserver(repository: str, release: Release, *, gpu: bool, models: Iterable[str] = ()) -> list[str]:
    """Its arguments, as far as the release knows them.

    Readiness is the server's: the strict one says no during every load, and after a failed one.
    """
    arguments = [
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        "--strict-readiness=false",
        f"--exit-timeout-secs={EXIT_TIMEOUT}",
        "--rate-limit=execution_count",
        f"--cache-config=local,size={CACHE_BYTES}",
        "--metrics-config=summary_latencies=true",
        "--trace-config=triton,file=/tmp/trace.json",  # without a file tracing cannot be switched on later
        "--trace-config=level=OFF",
        CLIENT_SHARED_MEMORY,
    ]
    if not gpu:
        arguments.append("--allow-gpu-metrics=false")
    arguments += [f"--load-model={name}" for name in models]
    return ["tritonserver", *(argument for argument in arguments if release.takes(argument))]


def manager() -> list[str]:
    """The manager with its page, for a Triton that runs elsewhere."""
    address = ["--host", "0.0.0.0", "--port", str(PAGE_PORT)]  # noqa: S104  # of its container
    return ["tritonpm", "ui", "--server", TRITON, *address, "--token-file", TOKEN]
