"""Clients that ask a model without a pause, the same number on every server; at the end, what failed.

    python examples/ask.py digits 127.0.0.1:8001 127.0.0.1:8011 --seconds 60

The addresses are the servers' gRPC ports. Ends with 1 where a request failed.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException, triton_to_np_dtype


@dataclass
class Seen:
    """What the clients of one server saw."""

    answers: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0  # seconds


def ask(address: str, model: str, until: float, seen: Seen) -> None:
    """One client, until a moment of the clock that nobody can set."""
    with grpc.InferenceServerClient(address) as client:
        tensors = client.get_model_metadata(model).inputs
        inputs = [_input(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors]
        while (start := time.monotonic()) < until:
            try:
                client.infer(model, inputs, client_timeout=30)
            except InferenceServerException as error:
                seen.failures.append(str(error))
                continue
            seen.answers += 1
            seen.slowest = max(seen.slowest, time.monotonic() - start)


def _input(name: str, datatype: str, shape: list[int]) -> grpc.InferInput:
    fixed = [1 if dimension < 0 else dimension for dimension in shape]
    made = grpc.InferInput(name, fixed, datatype)
    made.set_data_from_numpy(np.zeros(fixed, triton_to_np_dtype(datatype)))
    return made


def main() -> int:
    """Ask, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("servers", nargs="+", metavar="HOST:PORT")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=2, help="for each server")
    options = parser.parse_args()
    until, seen = time.monotonic() + options.seconds, {address: Seen() for address in options.servers}
    threads = [
        threading.Thread(target=ask, args=(address, options.model, until, found))
        for address, found in seen.items()
        for _ in range(options.clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for address, found in seen.items():
        said = f", the first: {found.failures[0]}" if found.failures else ""
        print(f"{address}: {found.answers} answers, {len(found.failures)} failed, slowest {found.slowest:.3f} s{said}")
    return 1 if any(found.failures or not found.answers for found in seen.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
