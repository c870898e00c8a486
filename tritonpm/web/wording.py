"""What errors and notes advise for the command line, in the page's words: an option is a field, a command a button."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

# What the page calls what these options set, and what these commands do.
FIELDS = {
    "backend": "Backend", "device": "Hardware type", "dynamic-batching": "Join requests into batches",
    "idle-seconds": "Idle after (s)", "instances": "Instances", "kept-versions": "Versions that stay served",
    "max-batch-size": "Batch size", "mode": "Run mode", "name": "Name", "optimizer": "Optimizer",
    "precision": "Precision", "queue-delay-us": "Queue delay (µs)", "residency": "Residency", "serve": "Clients send",
}  # fmt: skip
BUTTONS = {
    "abort": "Discard canary", "canary": "New version…", "export": "Export", "history": "Versions", "import": "Import",
    "list": "Packages", "load": "Load", "logs": "Log", "projects": "Projects", "promote": "Promote",
    "remove": "Unregister…", "rename": "Rename…", "rollback": "Roll back…", "serve": "Start Triton",
    "set": "Configure…", "stop": "Stop", "unload": "Unload", "upgrade": "New version…",
}  # fmt: skip
VALUES = {
    "cpu": "CPU", "gpu": "GPU (default)", "gpu-optimised": "GPU (optimised)", "shared": "Shared",
    "performance": "Performance", "pinned": "Stays loaded", "on-demand": "Loaded on the first request",
    "tensors": "Tensors", "image": "Pixels", "encoded": "JPEG or PNG", "fp32": "FP32", "fp16": "FP16", "int8": "INT8",
}  # fmt: skip
_PLAIN = r"none|auto|openvino|onnxruntime|ort-[a-z]+|\d+"  # values that the page calls the same
_VALUE = rf"{'|'.join(sorted(VALUES, key=len, reverse=True))}|{_PLAIN}"
_OPTION = re.compile(rf"`?--(?P<off>no-)?(?P<name>{'|'.join(FIELDS)})(?: (?P<value>{_VALUE})\b)?`?(?![\w-])")
_COMMAND = re.compile(r"`(?:tritonpm )?(?P<verb>[a-z]+)(?: [^`]*)?`")
_LEFT = re.compile(r"`tritonpm |--[a-z]")
_CLAUSE = re.compile(r"; |；")


def in_page_words(text: str, say: Callable[..., str]) -> str:
    """A sentence that is translated already; later clauses go where they name a command that is no button."""
    if "`" not in text and "--" not in text:
        return text
    first, *more = (_worded(clause, say) for clause in _CLAUSE.split(text))
    return say("; ").join([first, *(clause for clause in more if not _LEFT.search(clause))])


def advice(text: str, say: Callable[..., str]) -> str:
    """As `in_page_words`, of what says nothing else than what to do: "" where the page cannot do it."""
    worded = in_page_words(text, say)
    return "" if _LEFT.search(worded) else worded


def _worded(clause: str, say: Callable[..., str]) -> str:
    def field(option: re.Match[str]) -> str:
        value = say("no") if option["off"] else say(VALUES.get(option["value"], option["value"] or ""))
        label = say(FIELDS[option["name"]])
        return f"“{label}{say(': ')}{value}”" if value else f"“{label}”"

    def button(command: re.Match[str]) -> Any:
        label = BUTTONS.get(command["verb"])
        return command[0] if label is None else f"“{say(label)}”"

    return _OPTION.sub(field, _COMMAND.sub(button, clause))
