"""What somebody may type: values for every option and argument, made from click's own declaration of it."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path

import click
from hypothesis import strategies as st

NUMBERS = (
    "0", "-1", "1", "2", "3.5", "1e400", "-1e400", "nan", "inf", "-inf", "1e-320", "9" * 19, "9" * 25, "9" * 5000,
    "-" + "9" * 25, "0x10", "1_0", "\u0663", "", " ", "1e3",
)  # fmt: skip
WORDS = (
    "", " ", ".", "..", "../../x", "/", "con", "a.", "x" * 300, "x" * 70_000, "ü", "\u202etxt", "\x1b[31mred", "\x9b2J",
    "\udcff", "{", "%s%n", "*", "-", "a=b", "=", "a=", "=b", "a=nan", "max_abs=inf", "max_abs=-1", "cosine=" + "9" * 400,
    "r=" + "9" * 25, "x=1x4", "x=9" * 9, "x=" + "9" * 5000, "AUTO", "latest:" + "9" * 5000, "specific:1,2", "all",
    "sha256:" + "0" * 64, "stages", "max_batch_size,queue-delay-us", "\u0663", "1,2", "1,,2", "9" * 25 + ",0",
)  # fmt: skip
ADDRESSES = (
    "127.0.0.1:1", "http://127.0.0.1:1", "grpc://127.0.0.1:1", "http://", "http://[::1", "http://127.0.0.1:99999", "://", "x",
    "http://u:p@127.0.0.1:1", "oci://127.0.0.1:1/a/b:c", "https://127.0.0.1:1/x.zip?sig=secret", "oci://", "x://y",
    "file://", "http://\u202e", "http://127.0.0.1:1/\x1b",
)  # fmt: skip
# Options and arguments whose text says where something is: no test asks a network.
PLACES = {
    "server", "url", "urls", "source", "repository", "destination", "metrics", "address", "target", "servers",
}  # fmt: skip


def typed(param: click.Parameter, names: Sequence[str], paths: Sequence[Path]) -> st.SearchStrategy[list[str]]:
    """What may be typed for one parameter, as it is typed."""
    value = _value(param, names, paths)
    if isinstance(param, click.Argument):
        most = 3 if param.nargs < 0 else max(1, param.nargs)
        return st.lists(value, min_size=most if param.nargs > 1 else 0, max_size=most)
    spelt = st.sampled_from([*param.opts, *param.secondary_opts])
    if getattr(param, "is_flag", False):
        return spelt.map(lambda option: [option])
    count = max(1, param.nargs)
    return st.tuples(spelt, st.lists(value, min_size=count, max_size=count)).map(lambda made: [made[0], *made[1]])


def _value(param: click.Parameter, names: Sequence[str], paths: Sequence[Path]) -> st.SearchStrategy[str]:
    kind, words = param.type, st.sampled_from(WORDS)
    places = st.sampled_from([str(path) for path in paths])
    if isinstance(kind, click.Choice):
        return st.sampled_from([*map(str, kind.choices), *WORDS])
    if isinstance(kind, (click.Path, click.File)):
        return places
    if (param.name or "") in PLACES:
        return st.sampled_from(ADDRESSES) | places
    if isinstance(kind, (click.types.IntParamType, click.types.FloatParamType)):
        return st.sampled_from(NUMBERS)
    if param.name == "name":
        return st.sampled_from(names) | words
    return words | st.sampled_from(NUMBERS) | st.text(string.printable, max_size=8)


def command_line(
    command: click.Command, names: Sequence[str], paths: Sequence[Path], never: frozenset[str]
) -> st.SearchStrategy[list[str]]:
    """The arguments of a command and a few of its options; `never` are options that are left out."""
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    options = [param for param in command.params if isinstance(param, click.Option) and param.name not in never]
    first = st.tuples(*(typed(param, names, paths) for param in arguments))
    if not options:
        return first.map(lambda parts: [word for part in parts for word in part])
    rest = st.lists(st.sampled_from(options).flatmap(lambda param: typed(param, names, paths)), max_size=3)
    return st.tuples(rest, first).map(lambda made: [word for parts in made for part in parts for word in part])
