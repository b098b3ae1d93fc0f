"""Pipelines of cheap, deterministic shell commands, drawn at random: the alphabet of stories.

A stage has one of five slots: its name and what it makes come from that, and it reads what nobody
makes or what lower slots make, so there is never a circle, whatever git merges.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cache
from random import Random
from typing import Any, NamedTuple

import yaml

SLOTS = 5
DATA = ("raw/a.txt", "raw/b.txt", "raw/sub/c", "one.txt")  # tracked: the folder raw, and one.txt
SCRIPTS = ("code/x.sh", "code/y.sh")
SOURCE_FOLDERS = ("raw", "code")
SOURCES = ("raw", "raw", "raw/a.txt", "raw/*.txt", "one.txt", "one.txt", "code", "code/y.sh")
TEXTS = ("one\n", "onto\n", "two\n", "b\na\n", "a\nb\n")  # some are alike after sort or head
LISTED = 'find -L "$@" -type f | LC_ALL=C sort'
CODE = (
    f"{LISTED} | xargs -r cat\n",
    f"{LISTED} | xargs -r cat # reformatted\n",
    f"{LISTED} | xargs -r cat | sort\n",
    f"{LISTED} | xargs -r cat | wc -c\n",
)

_NAMES = "find -L {deps} -type f | LC_ALL=C sort"
_CAT = _NAMES + " | xargs -r cat"
_PARAM = "sed -n 's/^{key}: //p' params.yaml"
_P, _Q = _PARAM.replace("{key}", "p"), _PARAM.replace("{key}", "q")
COMMANDS = {
    "join": _CAT + " > {out}",
    "head": _CAT + " | head -c 1 > {out}",
    "sort": _CAT + " | sort > {out}",
    "names": _NAMES + " > {out}",
    "script": "sh code/x.sh {deps} > {out}",
    "param": _CAT + " | head -c 2 > {out}; " + _P + " >> {out}",
    "params": _P + " > {out}; " + _Q + " >> {out}",
    "folder": "mkdir {out} && " + _CAT + " > {out}/all && " + _Q + " > {out}/q",
    "count": "printf '{{\"n\": %d}}' $(" + _CAT + " | wc -c) > {metric}",
    "two": _CAT + " | sort > {out} && " + _CAT + " | wc -c > {second}",
}
KEYS = {"param": ["p"], "params": ["p", "q"], "folder": ["q"]}


class Node(NamedTuple):
    """A stage: the kind of its command, what it reads, and what else is said of it.

    `state` is "", "frozen" or "always_changed".
    """

    kind: str
    deps: tuple[str, ...]
    state: str = ""


def declared(slot: int, node: Node) -> dict[str, Any]:
    """Return what stands in mlx.yaml of a stage."""
    out, metric, second = f"o/{slot}", f"m/{slot}.json", f"b/{slot}"
    deps = " ".join(node.deps)
    cmd = COMMANDS[node.kind].format(deps=deps, out=out, metric=metric, second=second)
    found: dict[str, Any] = {"cmd": cmd, "deps": list(node.deps)}
    if node.kind == "script":
        found["deps"] = sorted({*node.deps, "code/x.sh"})
    if node.kind in KEYS:
        found["params"] = KEYS[node.kind]
    if node.kind == "count":
        found["metrics"] = [metric]
    else:
        found["outs"] = [out, second] if node.kind == "two" else [out]
    if node.state:
        found[node.state] = True
    return found


def render(stages: dict[str, dict[str, Any]]) -> str:
    """Return the stages as text that git can merge where both sides changed different slots."""
    rows = ["stages:"]
    for slot in range(SLOTS):
        rows += [f"  # slot {slot}", "", f"  # what makes o/{slot}"]
        rows += [f"  {name}: {json.dumps(s)}" for name, s in stages.items() if name[1] == str(slot)]
    return "\n".join(rows) + "\n"


@cache
def _parse(text: str) -> Any:
    return yaml.safe_load(text)


def stages_in(text: str) -> dict[str, dict[str, Any]]:
    """Return the stages of an mlx.yaml as they are declared; none where git left its marks."""
    try:
        return dict((_parse(text) or {}).get("stages") or {})
    except yaml.YAMLError:
        return {}


def outs_of(stage: dict[str, Any]) -> list[str]:
    """Return the paths that a stage makes."""
    return [*stage.get("outs", []), *stage.get("metrics", [])]


FIRST = {
    0: Node("sort", ("raw",)),
    1: Node("script", ("o/0",)),
    2: Node("two", ("o/1",)),
    3: Node("param", ("o/2", "one.txt")),
    4: Node("count", ("o/3",)),
}

# what may happen

Move = tuple[str, dict[str, Any]]
WEIGHTS = {
    "edit": 3, "several": 3, "delete": 1, "declare": 5, "undeclare": 1, "rename": 1, "spoil": 3,
    "accept": 2, "repro_all": 5, "repro": 4, "disturbed": 4, "killed": 5, "together": 3, "gc": 2,
    "add": 1, "checkout": 2, "switch": 2, "diverge": 3, "merge": 1,
}  # fmt: skip
OPTIONS: tuple[dict[str, Any], ...] = (
    {}, {}, {}, {"force": True}, {"single": True}, {"downstream": True}, {"keep_going": True},
    {"allow_missing": True}, {"run_cache": False},
)  # fmt: skip


def drawn_move(draw: Random) -> Move:
    """Return something that may happen."""
    [name] = draw.choices(list(WEIGHTS), list(WEIGHTS.values()))
    return _drawn(name, draw)


def drawn_edit(draw: Random) -> Move:
    """Return an edit of what stages read."""
    kind = draw.choice(("data", "data", "code", "param"))
    if kind == "param":
        return "edit_param", {"key": draw.choice("pq"), "value": draw.randint(1, 3)}
    path, text = draw.choice(DATA), draw.choice(TEXTS)
    if kind == "code":
        path, text = draw.choice(SCRIPTS), draw.choice(CODE)
    return "edit", {"path": path, "text": text}


def drawn_node(draw: Random, slot: int, has: Collection[str]) -> Node:
    """Return a stage for a slot; it reads sources, and more often what lower slots make."""
    lower = [path for path in has if "/" in path and int(path[2]) < slot]
    deps = draw.choices([*SOURCES, *lower, *lower, *lower], k=draw.randint(1, 2))
    state = draw.choice([""] * 20 + ["frozen", "always_changed"])
    return Node(draw.choice(tuple(COMMANDS)), tuple(sorted(set(deps))), state)


def _drawn(name: str, draw: Random) -> Move:
    slot, pick, edit = draw.randrange(SLOTS), draw.randrange(16), drawn_edit(draw)
    number = draw.randrange(1 << 30)
    wanted = [draw.randrange(SLOTS) for _ in range(draw.randint(0, 2))]
    branch = draw.choice(("main", "side", "third"))
    match name:
        case "edit":
            return edit
        case "several":
            return name, {"moves": [edit, drawn_edit(draw)]}
        case "gc":
            return name, {"edit": edit}
        case "delete":
            return name, {"path": draw.choice(DATA[1:3])}
        case "declare":
            return name, {"slot": slot, "number": number}
        case "undeclare" | "rename" | "accept":
            return name, {"slot": slot}
        case "spoil":
            return name, {"slot": slot, "how": draw.choice(("delete", "edit", "other"))}
        case "repro":
            return name, {"wanted": wanted, "options": draw.choice(OPTIONS)}
        case "disturbed":
            return name, {"edit": edit, "at": draw.randrange(3), "number": number}
        case "killed":
            how = draw.choice(("kill", "failpoint", "time"))
            return name, {"edit": edit, "at": draw.randrange(100), "how": how, "wanted": wanted}
        case "together":
            second = [draw.randrange(SLOTS) for _ in range(draw.randint(0, 1))]
            return name, {
                "edit": edit, "first": wanted, "second": second, "at": draw.randrange(100),
                "more": draw.choice(("", "", "gc", "checkout")),
            }  # fmt: skip
        case "checkout":
            return name, {"force": draw.random() < 0.5}
        case "switch":
            return name, {"branch": branch, "checkout": draw.random() < 0.7}
        case "diverge":
            other = drawn_edit(draw)
            if pick < 10 and edit[0] == "edit":  # they conflict, and one side's inputs are left
                texts = CODE if edit[1]["path"] in SCRIPTS else TEXTS
                other = "edit", {"path": edit[1]["path"], "text": draw.choice(texts)}
            return name, {"branch": branch, "pick": number, "one": edit, "other": other}
        case "merge":
            return name, {"branch": branch, "pick": number, "checkout": draw.random() < 0.5}
    return name, {}
