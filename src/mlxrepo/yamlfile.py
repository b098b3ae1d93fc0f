"""Read YAML 1.2 (core schema) into nodes that know their place; the only importer of `yaml`.

PyYAML's C parser gives events; nodes are composed here, without recursion, so that a hostile file
ends in a sentence. `no` is a string, `1e3` a number, `012` is twelve, a date is a string. A program
that reads the same file with PyYAML follows YAML 1.1: `dual` gives both readings where they differ.

Merge keys (`<<: *other`) are resolved, tags are refused.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from mlxrepo.errors import InputError, Where

if TYPE_CHECKING:
    import datetime

    import yaml

    Time = datetime.date | datetime.time  # a datetime is a date

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 64
MAX_COPIED = 100_000  # nodes that aliases may add to those that are written out

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A plain scalar that YAML 1.2 and YAML 1.1 (PyYAML) read differently."""

    yaml12: Scalar
    yaml11: Scalar | Time


class Node(NamedTuple):
    """A part of a YAML text; `text[start:end]` is where it is written, `where` its first character.

    `value` is a list of (key, value) nodes for a "map", a list of nodes for a "list", and the
    YAML 1.2 reading for a "scalar". `text` is a scalar's text without its quotes. `style` is one of
    "" (plain or block), "'", '"', "|", ">" and "flow". `alias` marks a value written as `*name`.
    """

    kind: str
    value: Any
    text: str
    style: str
    where: Where
    start: int
    end: int
    alias: bool = False

    @property
    def plain(self) -> bool:
        """Say whether this is a scalar without quotes."""
        return self.kind == "scalar" and not self.style


def read(data: bytes, source: str, *, merge: bool = True) -> Node | None:
    """Read one YAML document; None when the file holds nothing but comments.

    With `merge=False` the merge keys stay as they are written, as an editor needs them.

    Raises:
        InputError: with file, line and column, for what is not YAML or not accepted here.
    """
    return _compose(decode(data, source), source, merge)


def plain(node: Node | None) -> Any:
    """Return the Python value of `node` in the YAML 1.2 reading."""
    return _construct(node, lambda scalar: scalar.value)


def dual(node: Node | None) -> Any:
    """Return the Python value of `node`, with a `Reading` where YAML 1.1 reads otherwise."""
    return _construct(node, _both)


def read11(text: str) -> Scalar | Time:
    """Read a plain scalar as PyYAML's SafeLoader does; text that it cannot read stays text."""
    loader, scalar_node = _yaml11()
    tag = loader.resolve(scalar_node, text, (True, False))
    try:
        value: Scalar | Time = loader.yaml_constructors[tag](loader, scalar_node(tag, text))
    except (KeyError, ValueError, OverflowError):
        return text
    return value


def read12(text: str) -> Scalar:
    """Read a plain scalar by the core schema of YAML 1.2.2, section 10.3.2.

    Raises:
        ValueError: for an integer of more digits than Python converts.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    based = _BASED.fullmatch(text)
    return int(text[2:], 8 if text[1] == "o" else 16) if based else text


_WORDS: dict[str, Scalar] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
    | dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan)
    | {
        sign + inf: float(sign + "inf")
        for sign in ("", "+", "-")
        for inf in (".inf", ".Inf", ".INF")
    }
)
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")


def _construct(node: Node | None, scalar: Callable[[Node], Any]) -> Any:
    if node is None:
        return None
    if node.kind == "map":
        return {key.text: _construct(value, scalar) for key, value in node.value}
    if node.kind == "list":
        return [_construct(item, scalar) for item in node.value]
    return scalar(node)


def _both(node: Node) -> Any:
    if not node.plain:
        return node.value
    other = read11(node.text)
    # A NaN does not equal itself; all NaNs are one reading.
    same = type(other) is type(node.value) and (other == node.value or other != other)
    return node.value if same else Reading(node.value, other)


@functools.cache
def _yaml11() -> tuple[Any, type[yaml.ScalarNode]]:
    import yaml

    return yaml.SafeLoader(""), yaml.ScalarNode


# --- from bytes to text -------------------------------------------------------------------------

_REFUSED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_CONFLICT = re.compile(r"^(<{7}|\|{7}|>{7})( .*)?$", re.MULTILINE)


def decode(data: bytes, source: str) -> str:
    """Return the text of a YAML file without its byte order mark, checked for size and characters.

    Raises:
        InputError: when it is larger than 16 MiB, is not UTF-8, holds a NUL or another control
            character, or a conflict that git left.
    """
    if len(data) > MAX_BYTES:
        raise InputError("the file is larger than 16 MiB", where=Where(source, 1))
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise InputError(
            f"not UTF-8: byte 0x{data[error.start]:02x}", where=_place(before, len(before), source)
        ) from None
    if refused := _REFUSED.search(text):
        raise InputError(
            f"the character U+{ord(refused[0]):04X} may not stand in YAML",
            where=_place(text, refused.start(), source),
        )
    if conflict := _CONFLICT.search(text):
        raise InputError(
            f'a conflict that git left: "{_line(text, conflict.start())}"',
            hint="mlx lock merge settles what mlx wrote into mlx.yaml; settle the rest, and remove "
            "the lines with <<<<<<<, ======= and >>>>>>>",
            where=_place(text, conflict.start(), source),
        )
    return text


def _place(text: str, offset: int, source: str) -> Where:
    line_start = text.rfind("\n", 0, offset) + 1
    return Where(source, text.count("\n", 0, offset) + 1, offset - line_start + 1)


def _line(text: str, offset: int) -> str:
    start = text.rfind("\n", 0, offset) + 1
    return text[start:].partition("\n")[0].strip()[:60]


# --- from text to nodes -------------------------------------------------------------------------


def _compose(text: str, source: str, merge: bool) -> Node | None:
    import yaml

    # The C parser where PyYAML was built with it; the slower Python one gives the same events.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    composer = _Composer(source, merge)
    try:
        while not isinstance(event := loader.get_event(), yaml.StreamEndEvent):
            composer.feed(event)
    except yaml.MarkedYAMLError as error:
        _refuse_syntax(error, text, source)
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {error}", where=Where(source, 1)) from None
    return composer.root


def _refuse_syntax(error: yaml.MarkedYAMLError, text: str, source: str) -> NoReturn:
    mark = error.problem_mark or error.context_mark
    offset = mark.index if mark else 0
    character = text[offset : offset + 1]
    if character == "\t":
        problem, hint = "a tab; YAML indents with spaces", "replace the tab by spaces"
    elif character in ("@", "`", "%"):
        problem, hint = f"a value cannot begin with {character}", "put it in quotes"
    elif "mapping values" in (error.problem or ""):
        problem, hint = 'a second ": " on one line', 'put a value that holds ": " in quotes'
    else:
        problem, hint = error.problem or "cannot be read", None
    at = f'"{_line(text, offset)}"' if offset < len(text) else "the end of the file"
    raise InputError(
        f"not YAML: {problem} (at {at})", hint=hint, where=_place(text, offset, source)
    )


class _Anchored(NamedTuple):
    node: Node
    size: int
    height: int


class _Open:
    """A map or list whose end has not been seen."""

    __slots__ = ("anchor", "flow", "height", "items", "keys", "kind", "start", "where", "written")

    def __init__(self, kind: str, event: Any, where: Where, written: int):
        self.kind = kind
        self.anchor = event.anchor
        self.flow = "flow" if event.flow_style else ""
        self.start = event.start_mark.index
        self.where = where
        self.written = written
        self.items: list[Node] = []
        self.keys: dict[str, Where] = {}
        self.height = 0


class _Composer:
    """Composes the nodes of one document from its events."""

    def __init__(self, source: str, merge: bool):
        self.root: Node | None = None
        self._source = source
        self._merge = merge
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored | None] = {}  # None while the node is still open
        self._size = 0
        self._copied = 0
        self._handlers: dict[str, Callable[[Any], None]] = {
            "ScalarEvent": self._scalar,
            "MappingStartEvent": functools.partial(self._begin, "map"),
            "SequenceStartEvent": functools.partial(self._begin, "list"),
            "MappingEndEvent": self._end,
            "SequenceEndEvent": self._end,
            "AliasEvent": self._alias,
            "DocumentStartEvent": self._document,
        }

    def feed(self, event: Any) -> None:
        """Take the next event of the parser."""
        handler = self._handlers.get(type(event).__name__)
        if handler:
            handler(event)

    def _where(self, event: Any) -> Where:
        return Where(self._source, event.start_mark.line + 1, event.start_mark.column + 1)

    def _document(self, event: Any) -> None:
        if self.root is not None:
            raise InputError("a second document begins here", where=self._where(event))

    def _scalar(self, event: Any) -> None:
        where = self._where(event)
        self._refuse_tag(event, where)
        style = event.style or ""
        try:
            value = event.value if style else read12(event.value)
        except ValueError:
            raise InputError("a number of too many digits", where=where) from None
        start, end = event.start_mark.index, event.end_mark.index
        node = Node("scalar", value, event.value, style, where, start, end)
        self._size += 1
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(node, 1, 0)
        self._add(node, 0)

    def _begin(self, kind: str, event: Any) -> None:
        where = self._where(event)
        self._refuse_tag(event, where)
        self._check_depth(len(self._open) + 1, where)
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(_Open(kind, event, where, self._size))
        self._size += 1

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        end = (
            event.end_mark.index
            if done.flow
            else max((n.end for n in done.items), default=done.start)
        )
        value = self._pairs(done.items) if done.kind == "map" else done.items
        node = Node(done.kind, value, "", done.flow, done.where, done.start, end)
        if done.anchor:
            size = self._size - done.written
            self._anchors[done.anchor] = _Anchored(node, size, done.height + 1)
        self._add(node, done.height + 1)

    def _alias(self, event: Any) -> None:
        where = self._where(event)
        name = event.anchor
        target = self._anchors.get(name)
        if target is None:
            problem = "stands inside itself" if name in self._anchors else "is not defined above"
            raise InputError(f'the alias "*{name}" {problem}', where=where)
        self._check_depth(len(self._open) + target.height, where)
        self._size += target.size
        self._copied += target.size
        if self._copied > MAX_COPIED:
            raise InputError(f"aliases repeat more than {MAX_COPIED:,} values", where=where)
        start, end = event.start_mark.index, event.end_mark.index
        node = target.node._replace(where=where, start=start, end=end, alias=True)
        self._add(node, target.height)

    def _add(self, node: Node, height: int) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if parent.kind == "map" and len(parent.items) % 2 == 0:
            _check_key(node, parent.keys)
        parent.height = max(parent.height, height)
        parent.items.append(node)

    def _pairs(self, items: list[Node]) -> list[tuple[Node, Node]]:
        pairs = list(zip(items[::2], items[1::2], strict=True))
        if not self._merge or not any(_is_merge(key) for key, _ in pairs):
            return pairs
        own = {key.text: (key, value) for key, value in pairs if not _is_merge(key)}
        merged = next(value for key, value in pairs if _is_merge(key))
        for given in merged.value if merged.kind == "list" else [merged]:
            if given.kind != "map":
                raise InputError('"<<" takes a map, or a list of maps', where=given.where)
            for key, value in given.value:
                own.setdefault(key.text, (key, value))
        return list(own.values())

    def _check_depth(self, depth: int, where: Where) -> None:
        if depth > MAX_DEPTH:
            raise InputError(f"more than {MAX_DEPTH} levels of nesting", where=where)

    def _refuse_tag(self, event: Any, where: Where) -> None:
        if event.tag:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise InputError(f'tags are not accepted: "{tag}"', hint="remove the tag", where=where)


def _is_merge(key: Node) -> bool:
    return key.text == "<<" and key.plain


def _check_key(node: Node, seen: dict[str, Where]) -> None:
    if node.kind != "scalar":
        raise InputError(f"a key has to be text, not a {node.kind}", where=node.where)
    first = seen.setdefault(node.text, node.where)
    if first is not node.where:
        raise InputError(
            f'the key "{node.text}" is given twice; first in line {first.line}', where=node.where
        )
