"""What Triton refuses of how requests become batches and sequences: sizes, priorities, controls, batch tensors.

Source: Triton's model configuration document, and what a real tritonserver 2.51 answered (docs/lint.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tritonpm.repository.config import messages
from tritonpm.repository.lint.folder import ModelFolder, Problem

_FALSE_TRUE = ("int32_false_true", "fp32_false_true", "bool_false_true")
_CORRELATION_TYPES = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")
_BATCH_TYPES = ("TYPE_INT32", "TYPE_FP32")


def batch_sizes(model: ModelFolder) -> Iterator[Problem]:
    """max_batch_size, the sizes that a batcher prefers, and dynamic batching's priorities and queues."""
    config = model.config
    if config.max_batch_size < 0:
        yield "max_batch_size", f"max_batch_size is {config.max_batch_size}, and cannot be negative"
    for field, sizes in (
        ("dynamic_batching", config.dynamic_batching.preferred_batch_size),
        ("sequence_batching.oldest", config.sequence_batching.oldest.preferred_batch_size),
    ):
        for size in sizes:
            if size <= 0:
                yield field, f"the preferred batch size {size} is not positive"
            elif size > config.max_batch_size:
                yield field, f"the preferred batch size {size} is more than max_batch_size, {config.max_batch_size}"
    for sentence in _priorities(config.dynamic_batching):
        yield "dynamic_batching", sentence


def _priorities(batching: Any) -> Iterator[str]:
    level, levels = batching.default_priority_level, batching.priority_levels
    if levels and not 1 <= level <= levels:
        yield f"the default priority level {level} is not between 1 and {levels}"
    for key in sorted(batching.priority_queue_policy):
        if levels and not 1 <= key <= levels:
            yield f"there is a queue policy for the priority {key}, which is not between 1 and {levels}"
    if not batching.preserve_ordering:
        return
    if levels > 1:
        yield f"preserve_ordering takes one priority level only, not {levels}"
    delay = messages().ModelQueuePolicy.DELAY
    policies = [batching.default_queue_policy, *batching.priority_queue_policy.values()]
    if any(policy.default_timeout_microseconds and policy.timeout_action == delay for policy in policies):
        yield "preserve_ordering does not go with a queue policy that delays what has timed out (DELAY)"


def sequences(model: ModelFolder) -> Iterator[Problem]:
    """The controls and the strategy of sequence batching."""
    batching = model.config.sequence_batching
    names = Counter(control.name for control in batching.control_input)
    kinds = Counter(control.kind for entry in batching.control_input for control in entry.control)
    for number, entry in enumerate(batching.control_input):
        place = f"sequence_batching.control_input[{number}]"
        if not entry.name:
            yield place, "a control input has no name"
        elif names[entry.name] > 1:
            yield place, f"the control input {entry.name!r} appears twice"
        for control in entry.control:
            for sentence in _control(control, kinds):
                yield place, f"the control input {entry.name!r} {sentence}"
    least = batching.direct.minimum_slot_utilization
    if least < 0 or least > 1:
        yield "sequence_batching.direct", f"minimum_slot_utilization is {least:g}: it must be between 0 and 1"


def _control(control: Any, kinds: Counter[int]) -> Iterator[str]:
    known = messages().ModelSequenceBatching.Control
    if control.kind not in known.Kind.values():
        return  # Triton passes over a number that means nothing
    kind = known.Kind.Name(control.kind)
    if kinds[control.kind] > 1:
        yield f"says {kind}, which stands twice"
    values = {name: list(getattr(control, name)) for name in _FALSE_TRUE if getattr(control, name)}
    if control.kind == known.CONTROL_SEQUENCE_CORRID:
        names = messages().DataType
        dtype = names.Name(control.data_type) if control.data_type in names.values() else str(control.data_type)
        if values:
            yield f"says {kind}, which takes a data_type and no {next(iter(values))}"
        elif dtype not in _CORRELATION_TYPES:
            yield f"says {kind} with the data_type {dtype}; it takes {', '.join(_CORRELATION_TYPES)}"
    elif len(values) != 1:
        yield f"needs one of {', '.join(_FALSE_TRUE)} for {kind}, and has {' and '.join(values) or 'none'}"
    else:
        for name, pair in values.items():
            if len(pair) != 2:  # false and true
                yield f"has {len(pair)} values in {name} for {kind}: it takes two, false and true"


def batch_tensors(model: ModelFolder) -> Iterator[Problem]:
    """The inputs and outputs that Triton makes of a batch."""
    config, names = model.config, messages()
    types = [names.DataType.Value(name) for name in _BATCH_TYPES]
    outputs = {tensor.name for tensor in config.output}
    for number, entry in enumerate(config.batch_input):
        place = f"batch_input[{number}]"
        if entry.kind not in names.BatchInput.Kind.values():
            yield place, f"the kind {entry.kind} of a batch input means nothing"
        if entry.data_type not in types:
            yield place, f"a batch input has one of the data types {', '.join(_BATCH_TYPES)}"
        yield from _sources(config, entry, place, "batch input")
    for number, entry in enumerate(config.batch_output):
        place = f"batch_output[{number}]"
        if entry.kind not in names.BatchOutput.Kind.values():
            yield place, f"the kind {entry.kind} of a batch output means nothing"
        yield from _sources(config, entry, place, "batch output")
        for name, count in Counter(entry.target_name).items():
            if name not in outputs:
                yield place, f"a batch output is for {name!r}, which is not an output of the config"
            elif count > 1:
                yield place, f"a batch output names {name!r} twice"


def _sources(config: Any, entry: Any, place: str, kind: str) -> Iterator[Problem]:
    if len(entry.source_input) != 1:
        yield place, f"a {kind} has one source_input, not {len(entry.source_input)}"
    for name in sorted(set(entry.source_input) - {tensor.name for tensor in config.input}):
        yield place, f"a {kind} is made of {name!r}, which is not an input of the config"


def cache(model: ModelFolder) -> Iterator[Problem]:
    """Whose answers are not kept."""
    config = model.config
    if config.response_cache.enable and config.model_transaction_policy.decoupled:
        yield "response_cache", "a decoupled model cannot use the response cache"
    if config.response_cache.enable and config.HasField("sequence_batching"):
        yield "response_cache", "a model with sequence batching cannot use the response cache"
