"""Fuzz one target with atheris: `python -m fuzz TARGET SECONDS FOLDER`; what was found lies in FOLDER/found.

libFuzzer ends the process at the first thing that it finds, so `script/fuzz` begins again until the time is over.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tritonpm", "fuzz"]):
    from fuzz.seeds import CORPUS, seeds
    from fuzz.targets import TARGETS, tried

    for seed in seeds().get(sys.argv[1], ()):  # what is imported where it is used is to be watched, too
        with suppress(Exception):
            tried(sys.argv[1], seed)


def main(target: str, seconds: str, folder: str) -> None:
    """Run until the time is over, or something is found."""
    work = Path(folder)
    for name in ("corpus", "found"):
        (work / name).mkdir(parents=True, exist_ok=True)
    if target not in TARGETS:
        sys.exit(f"there is no target {target}; there are {', '.join(TARGETS)}")
    options = [
        f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=4096", "-max_len=65536", "-print_final_stats=1",
        f"-artifact_prefix={work / 'found'}/",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(work / "corpus"), str(CORPUS / target)], lambda data: tried(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
