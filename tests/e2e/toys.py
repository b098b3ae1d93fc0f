"""Pipelines of cheap, deterministic shell commands, drawn at random: the alphabet of stories.

A stage has one of five slots: its name and what it makes come from that, and it reads what nobody
makes or what lower slots make, so there is never a circle, whatever git merges.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, NamedTuple

import yaml
from hypothesis import strategies as st

SLOTS = 5
DATA = ("raw/a.txt", "raw/b.txt", "raw/sub/c", "one.txt")  # tracked: the folder raw, and one.txt
SCRIPTS = ("code/x.sh", "code/y.sh")
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


# what may happen

slots = st.integers(0, SLOTS - 1)
picks = st.integers(0, 9)
shares = st.integers(0, 99)  # of a command's way, in percent


@st.composite
def nodes(draw: st.DrawFn, slot: int) -> Node:
    """Return a stage for a slot; most read what a lower slot makes."""
    kind = draw(st.sampled_from(tuple(COMMANDS)))
    lower = [f"o/{number}" for number in range(slot)]
    lower += [f"m/{slot - 1}.json", f"b/{slot - 1}"] if slot else []
    deps = draw(st.lists(st.sampled_from([*SOURCES, *lower, *lower]), min_size=1, max_size=2))
    state = draw(st.sampled_from([""] * 12 + ["frozen", "always_changed"]))
    return Node(kind, tuple(sorted(set(deps))), state)


@st.composite
def _placed_nodes(draw: st.DrawFn) -> dict[str, Any]:
    slot = draw(slots)
    return {"slot": slot, "node": draw(nodes(slot))}


def _move(name: str, **drawn: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(name), st.fixed_dictionaries(drawn))


edits = st.one_of(
    _move("edit", path=st.sampled_from(DATA), text=st.sampled_from(TEXTS)),
    _move("edit", path=st.sampled_from(SCRIPTS), text=st.sampled_from(CODE)),
    _move("edit_param", key=st.sampled_from("pq"), value=st.integers(1, 3)),
)
wanted = st.lists(slots, max_size=2)  # none: all of them
options = st.sampled_from(
    ({}, {}, {}, {"force": True}, {"single": True}, {"downstream": True}, {"keep_going": True},
     {"allow_missing": True}, {"run_cache": False})
)  # fmt: skip
branches = st.sampled_from(("main", "side", "third"))
moves = st.one_of(
    edits,
    st.tuples(st.just("several"), st.fixed_dictionaries({"moves": st.lists(edits, max_size=3)})),
    _move("delete", path=st.sampled_from(DATA[1:3])),
    st.tuples(st.just("declare"), _placed_nodes()),
    st.tuples(st.just("declare"), _placed_nodes()),
    _move("undeclare", slot=slots),
    _move("rename", slot=slots),
    _move("spoil", slot=slots, how=st.sampled_from(("delete", "edit", "other"))),
    _move("accept", slot=slots),
    _move("repro_all"),
    _move("repro_all"),
    _move("repro", wanted=wanted, options=options),
    _move("disturbed", at=st.integers(0, 3), edit=edits),
    _move("disturbed", at=st.integers(0, 3), edit=edits),
    _move("killed", at=shares, how=st.sampled_from(("kill", "failpoint", "time")), wanted=wanted),
    _move("killed", at=shares, how=st.sampled_from(("kill", "failpoint", "time")), wanted=wanted),
    _move("together", first=wanted, second=wanted, at=shares, more=st.sampled_from(("", "gc"))),
    _move("gc"),
    _move("add"),
    _move("checkout", force=st.booleans()),
    _move("switch", branch=branches, checkout=st.booleans()),
    _move("diverge", branch=branches, pick=picks, one=edits, other=edits),
    _move("merge", branch=branches, pick=picks, checkout=st.booleans()),
)
