"""The command of a process that runs a module of ours."""

from __future__ import annotations

import sys

# Before anything else is imported: the empty entry is the working folder, and OpenVINO's converter and NNCF tell Google
# Analytics what they do where they find that module.
_RUN = "import sys; sys.path[:] = filter(None, sys.path); sys.modules['openvino_telemetry'] = None; import runpy; \
runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"


def module(name: str, *arguments: str) -> list[str]:
    """As `python -m name arguments`, but without the working folder among the places that modules come from.

    Users stand in packages that came from anywhere; a `json.py` in there would run. `python -P` says the same from
    Python 3.11 on; `-I` would also hide what is installed for one user only.
    """
    return [sys.executable, "-c", _RUN, name, *arguments]
