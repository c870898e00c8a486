"""The languages of `tritonpm client`: each a template in templates/client/."""

from __future__ import annotations

from collections.abc import Mapping

# Language → (template, the file that it is, what it needs).
LANGUAGES: Mapping[str, tuple[str, str, str]] = {
    "python": ("python.py.j2", "client.py", 'pip install "tritonclient[all]"'),
    "curl": ("curl.sh.j2", "client.sh", "curl"),
    "cpp": ("cpp.cc.j2", "client.cc", "Triton's C++ client library"),
    "java": ("java.java.j2", "Client.java", "a JDK, 11 or later"),
    "js": ("js.mjs.j2", "client.mjs", "Node.js, 18 or later"),
}
