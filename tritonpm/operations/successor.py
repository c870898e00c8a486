"""Run as `successor.py LOCK COMMAND…`: waits until nobody supervises the server any more, then runs what does so.

Where the supervisor is killed, the kernel frees its lock, and the one who waits for it takes over. It imports nothing
of tritonpm until then, so that waiting costs next to nothing.
"""

import fcntl
import os
import sys

if __name__ == "__main__":
    with open(sys.argv[1], "ab") as lock:  # noqa: PTH123
        fcntl.flock(lock, fcntl.LOCK_EX)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606
