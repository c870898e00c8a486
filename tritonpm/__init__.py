"""The package manager for NVIDIA Triton Inference Server."""

import os

__version__ = "0.1.0"

# Who forks here runs another program at once. What gRPC does before a fork is not needed for that, and may wait for
# ever (seen once with grpcio 1.85: docs/components.md). It reads this when it is first used.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
