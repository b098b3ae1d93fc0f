"""Edit YAML that people wrote: insert and cut text at node marks, leave every other byte alone.

Each edit reads its result again and compares it with what was meant before anything is returned.
A comment belongs to the entry below it when it stands directly above, not deeper than the entry,
and to the entry above it when it is deeper than that entry.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mlxrepo.codec import canonical
from mlxrepo.errors import InputError
from mlxrepo.values import did_you_mean, encode
from mlxrepo.yamlfile import Node, plain, read, read11

STEP = 2  # spaces of indentation where the file shows none of its own


def set_entry(
    text: str, section: str, name: str, body: dict[str, Any], source: str, *, last: bool = False
) -> str:
    """Insert `name` with `body` into the top-level map `section`, sorted among its siblings.

    With `last` it goes behind them. The section is made at the end of the file when it is absent.
    An equal entry changes nothing.

    Raises:
        InputError: when another entry has the name, or the section is in flow style.
    """
    page = _open(text, source)
    pair = _child(page.root, section)
    entries = plain(pair[1]) if pair else None
    if not pair:
        changed = _append(page, section, name, body)
    elif entries is None or entries == {}:
        changed = _fill(page, *pair, name, body)
    else:
        siblings = _block_map(section, pair[1])
        if name in entries:
            return _unchanged(text, siblings, name, body)
        changed = _insert(page, siblings, name, body, last)
    return _close(page, changed, section, {**(entries or {}), name: body})


def _unchanged(
    text: str, siblings: list[tuple[Node, Node]], name: str, body: dict[str, Any]
) -> str:
    key, value = next(pair for pair in siblings if pair[0].text == name)
    if _same(plain(value), body):
        return text
    raise InputError(f'there is another entry "{name}" already', where=key.where)


def remove_entry(text: str, section: str, name: str, source: str) -> str:
    """Cut the entry `name` with its comments out of `section`, and an emptied section with it.

    Raises:
        InputError: when there is no such entry, or it is in flow style.
    """
    page = _open(text, source)
    title, value = _find(page.root, section, source)
    siblings = _block_map(section, value)
    index = siblings.index(_find(value, name, f"{source}: {section}"))
    start, end = _span(page, siblings, index)
    changed = page.text[:start] + page.text[end:]
    rest = {key.text: plain(body) for key, body in siblings if key.text != name}
    if not rest:
        start, below = _line_start(page, title), changed[_next_line(changed, title.end) :]
        if not below and changed[:start].endswith("\n\n") and not _INTRICATE.search(page.text):
            start -= 1  # the blank line that was made with the section
        changed = changed[:start] + below
    return _close(page, changed, section, rest)


def replace_scalars(
    text: str, choose: Callable[[Node], Iterable[tuple[Node, str]]], source: str
) -> str:
    """Replace the scalars, keys or values, that `choose` picks below the root by new texts.

    Raises:
        InputError: when one of them is not written on one line.
    """
    page = _open(text, source)
    # By place: what an alias repeats is chosen more than once, and written once.
    chosen = {node.start: (node, value) for node, value in choose(page.root)} if page.root else {}
    changed = page.text
    for _, (old, value) in sorted(chosen.items(), reverse=True):
        if old.kind != "scalar" or old.style in ("|", ">"):
            raise InputError(
                "this is not written on one line", hint="edit it by hand", where=old.where
            )
        space = " " if old.start == old.end else ""  # after a bare "key:"
        # Quoted where braces need it: this may stand in some.
        changed = changed[: old.start] + space + scalar(value, flow=True) + changed[old.end :]
    new = {start: value for start, (_, value) in chosen.items()}
    return _checked(page, changed, _with_scalars(page.root, new), f"{len(new)} values")


def _with_scalars(node: Node | None, new: Mapping[int, str]) -> Any:
    """Return the value of a node with the scalars that begin at some places replaced."""
    if node is None:
        return {}
    if node.kind == "map":
        return {
            new.get(key.start, key.text): _with_scalars(value, new) for key, value in node.value
        }
    if node.kind == "list":
        return [_with_scalars(item, new) for item in node.value]
    return new.get(node.start, node.value)


# --- writing values -----------------------------------------------------------------------------


def render(value: dict[str, Any], indent: int = 0, step: int = STEP) -> list[str]:
    """Return `value` as lines of block-style YAML, without line ends."""
    return list(_block(value, " " * indent, " " * step))


def scalar(value: Any, *, flow: bool = False) -> str:
    """Return a scalar (or an empty map or list) as YAML, quoted only where YAML needs it.

    Raises:
        InputError: for text that YAML cannot hold: a file name that is not UTF-8.
    """
    if isinstance(value, str):
        return value if _plain_fits(value, flow) else _quoted(value)
    if isinstance(value, float):
        return _float(value)
    return json.dumps(value)


def _block(value: Any, pad: str, step: str) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            first, *rest = _block(item, pad + "  ", step) if _is_branch(item) else [scalar(item)]
            yield f"{pad}- {first.lstrip(' ')}"
            yield from rest
        return
    for key, item in value.items():
        head = f"{pad}{scalar(key)}:"
        if _is_branch(item):
            yield head
            yield from _block(item, pad + step, step)
        else:
            yield head if item is None else f"{head} {scalar(item)}"


def _is_branch(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _float(value: float) -> str:
    if not math.isfinite(value):
        return {"inf": ".inf", "-inf": "-.inf"}.get(str(value), ".nan")
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")  # YAML 1.1 wants the point


def _plain_fits(text: str, flow: bool) -> bool:
    """Ask the reader whether `text` without quotes is read as `text`, as a key and as a value.

    YAML 1.1 has to agree: `no` is quoted, so that every program reads it as text.
    """
    if not text or text in ("<<", "=") or not text.isprintable() or read11(text) != text:
        return False
    pair = f"{{{text}: {text}}}" if flow else f"{text}: {text}"
    try:
        root = read(pair.encode(), "", merge=False)
    except (InputError, UnicodeEncodeError):
        return False
    pairs = root.value if root and root.kind == "map" else []
    return len(pairs) == 1 and all(node.plain and node.value == text for node in pairs[0])


# What JSON writes raw and YAML does not accept, or takes for a line end.
_RAW = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def _quoted(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{text!r} is not UTF-8 and cannot be written in YAML") from None
    written = json.dumps(text, ensure_ascii=False)
    return _RAW.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


# --- the page -----------------------------------------------------------------------------------


class _Page(NamedTuple):
    text: str
    root: Node | None
    newline: str
    mark: str  # the byte order mark, or nothing
    source: str


def _open(text: str, source: str) -> _Page:
    body = text.removeprefix("\ufeff")
    root = read(body.encode("utf-8", "surrogateescape"), source, merge=False)
    if root and root.value is None:  # "---" alone
        root = None
    if root and (root.kind != "map" or root.style == "flow"):
        raise InputError("the file has to be a map with one key a line", where=root.where)
    if re.search(r"\r(?!\n)", body):
        raise InputError(f"{source} has line ends that are a CR alone", hint="use LF or CR LF")
    if root and _last(root).style in ("|", ">") and not body.endswith("\n"):
        raise InputError(f"the last line of {source} has no line end", hint="add one")
    newline = "\r\n" if "\r\n" in body else "\n"
    return _Page(body, root, newline, text[: len(text) - len(body)], source)


def _close(page: _Page, changed: str, section: str, entries: dict[str, Any]) -> str:
    """Return the changed text if it says what it should and nothing else has changed."""
    expected = {**(plain(page.root) or {}), section: entries}
    if not entries:
        del expected[section]
    return _checked(page, changed, expected, section)


def _checked(page: _Page, changed: str, expected: Any, what: str) -> str:
    """Return the changed text if it says what is expected."""
    try:
        result = plain(read(changed.encode(), page.source, merge=False)) or {}
    except InputError:
        result = None
    if _same(result, expected):
        return page.mark + changed
    if _INTRICATE.search(page.text):
        raise InputError(
            f"mlx cannot make this change in {page.source} without changing other values",
            hint=f"edit {what} by hand: the file uses anchors, or blocks that keep line ends",
        )
    raise AssertionError(f"an edit of {what} in {page.source} came out wrong")


_INTRICATE = re.compile(r"(^|[\s\[{,])[&*]\S|[|>][0-9]*[+]", re.MULTILINE)


def _same(one: Any, other: Any) -> bool:
    return canonical(encode(one)) == canonical(encode(other))


def _child(node: Node | None, name: str) -> tuple[Node, Node] | None:
    pairs = node.value if node and node.kind == "map" else []
    return next((pair for pair in pairs if pair[0].text == name), None)


def _find(node: Node | None, name: str, place: str) -> tuple[Node, Node]:
    pair = _child(node, name)
    if pair:
        return pair
    names = [key.text for key, _ in node.value] if node and node.kind == "map" else []
    raise InputError(f'{place} has no "{name}"', hint=did_you_mean(name, names))


def _block_map(section: str, value: Node) -> list[tuple[Node, Node]]:
    if value.kind != "map":
        raise InputError(f'"{section}" has to be a map', where=value.where)
    if value.style == "flow" or value.alias:
        raise InputError(
            f'"{section}" is not written with one entry a line, so mlx cannot edit it',
            hint=f"write the entries of {section} in lines of their own",
            where=value.where,
        )
    pairs: list[tuple[Node, Node]] = value.value
    return pairs


# --- places on the page -------------------------------------------------------------------------


def _line_start(page: _Page, key: Node) -> int:
    start = page.text.rfind("\n", 0, key.start) + 1
    if page.text[start : key.start].strip(" "):
        raise InputError(
            f'"{key.text}" does not begin its line, so mlx cannot edit it', where=key.where
        )
    return start


def _next_line(text: str, offset: int) -> int:
    return text.find("\n", offset) + 1 or len(text)


def _span(page: _Page, siblings: list[tuple[Node, Node]], index: int) -> tuple[int, int]:
    """Return where the entry begins and ends, in whole lines and with its own comments."""
    key, value = siblings[index]
    start = _line_start(page, key)
    floor = _end(page.text, *siblings[index - 1]) if index else 0
    while (line := _comment_above(page.text, start)) is not None:
        if line[0] < floor or line[1] >= key.where.col:
            break
        start = line[0]
    return start, _end(page.text, key, value)


def _comment_above(text: str, start: int) -> tuple[int, int] | None:
    """Return where the line above begins and its indentation, if it holds a comment only."""
    if not start:
        return None
    above = text.rfind("\n", 0, start - 1) + 1
    return (above, indent) if (indent := _comment_indent(text[above:start])) >= 0 else None


def _comment_indent(line: str) -> int:
    bare = line.lstrip(" ")
    return len(line) - len(bare) if bare.startswith("#") else -1


def _end(text: str, key: Node, value: Node) -> int:
    """Return where the line after an entry begins, its deeper comments counted as its own."""
    last = _last(value)
    written = text[last.start : last.end]
    if last.style in ("|", ">") and "+" in written.partition("\n")[0]:
        return last.end  # the blank lines below are its value
    bare = written.rstrip("\r\n") if last.style in ("|", ">") else written
    end = _next_line(text, last.start + len(bare))
    while _comment_indent(text[end : _next_line(text, end)]) >= key.where.col:
        end = _next_line(text, end)
    return end


def _last(node: Node) -> Node:
    """Return the last node that is written out at the end of `node`."""
    while node.kind != "scalar" and node.style != "flow" and not node.alias and node.value:
        node = node.value[-1] if node.kind == "list" else node.value[-1][1]
    return node


# --- the changes --------------------------------------------------------------------------------


def _insert(
    page: _Page, siblings: list[tuple[Node, Node]], name: str, body: dict[str, Any], last: bool
) -> str:
    column = siblings[0][0].where.col - 1
    step = _step(page)
    after = next((i for i, (key, _) in enumerate(siblings) if key.text > name and not last), None)
    if after is None:
        offset = _span(page, siblings, len(siblings) - 1)[1]
    else:
        offset = _span(page, siblings, after)[0]
    return _put(page, page.text, offset, render({name: body}, column, step))


def _fill(page: _Page, key: Node, value: Node, name: str, body: dict[str, Any]) -> str:
    """Put the first entry into a section that is there and empty (nothing, null, ~ or {})."""
    if value.alias or "\n" in page.text[value.start : value.end]:
        raise InputError(f'mlx cannot edit this empty "{key.text}"', where=value.where)
    _line_start(page, key)
    head = page.text[: value.start]
    text = (head.rstrip(" ") if value.text or value.kind == "map" else head) + page.text[
        value.end :
    ]
    step = _step(page)
    lines = render({name: body}, key.where.col - 1 + step, step)
    return _put(page, text, _next_line(text, key.end), lines)


def _append(page: _Page, section: str, name: str, body: dict[str, Any]) -> str:
    """Make the section at the end of the document."""
    column = page.root.value[0][0].where.col - 1 if page.root and page.root.value else 0
    end = _DOCUMENT_END.search(page.text, page.root.end if page.root else 0)
    offset = end.start() if end else len(page.text)
    lines = render({section: {name: body}}, column, _step(page))
    above = page.text[:offset]
    last = _last(page.root) if page.root else None
    keeps = last is not None and last.style in ("|", ">") and last.end == offset
    if above.strip() and not keeps and not re.search(r"(^|\n)\r?\n\Z", above):
        lines.insert(0, "")
    return _put(page, page.text, offset, lines)


_DOCUMENT_END = re.compile(r"^\.\.\.(?=\s|\Z)", re.MULTILINE)


def _put(page: _Page, text: str, offset: int, lines: list[str]) -> str:
    above, below = text[:offset], text[offset:]
    if above and not above.endswith("\n"):
        above += page.newline
    return above + "".join(line + page.newline for line in lines) + below


def _step(page: _Page) -> int:
    """Return the indentation that the first section in block style uses."""
    for key, value in page.root.value if page.root else []:
        if value.kind == "map" and value.style != "flow" and value.value and not value.alias:
            return int(value.value[0][0].where.col - key.where.col)
    return STEP
