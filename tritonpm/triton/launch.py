"""Run as a script, `launch.py PARENT COMMAND…`: becomes the command, which ends with the process that started it.

A program of its own instead of a function between fork and exec: with one Python forks in earnest, and gRPC's threads
in the parent then abort some of the children. It imports nothing of tritonpm.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):  # it ended before that
        sys.exit(1)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606
