"""What this machine lets us do to disks."""

from __future__ import annotations

import os
import subprocess


def can_mount() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
