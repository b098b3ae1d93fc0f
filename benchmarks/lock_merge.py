"""How often two branches' lockfiles merge in plain git: random cases, real `git merge`, no driver.

    python benchmarks/lock_merge.py [CASES] [SEED]

prints the table of docs/formats.md. Each case is a lockfile of 1 to 30 records on `main`, changed
on two branches in different records, merged by `git merge` in a repository in which no driver is
set up. A merge counts as wrong when git reports none, or no conflict, and the merged file is not
exactly what both branches meant.
"""

from __future__ import annotations

import os
import random
import string
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mlxrepo.errors import InputError
from mlxrepo.hashing import Oid
from mlxrepo.paths import RepoPath
from mlxrepo.repo.layout import GITATTRIBUTES_LINE
from mlxrepo.repo.lockfile import (
    DataRecord,
    Input,
    Output,
    Record,
    Records,
    StageRecord,
    encode_lock,
    parse_lock,
)
from mlxrepo.store.tree import Entry

RECORDS = 30


class Case(NamedTuple):
    """A lockfile and what two branches make of it."""

    base: Records
    ours: Records
    theirs: Records

    def meant(self) -> Records:
        """Return what a merge should give: the changes of both."""
        merged = dict(self.base)
        for side in (self.ours, self.theirs):
            for name in self.base.keys() | side.keys():
                if side.get(name) != self.base.get(name):
                    merged.pop(name, None)
                    if name in side:
                        merged[name] = side[name]
        return merged


# random lockfiles


def oid(chance: random.Random) -> Oid:
    """Return a random oid."""
    return Oid("".join(chance.choices("0123456789abcdef", k=64)))


def entry(chance: random.Random) -> Entry:
    """Return a random file or folder."""
    if chance.random() < 0.5:
        return Entry("file", oid(chance), chance.randrange(1 << 40))
    return Entry("tree", oid(chance), chance.randrange(1 << 40), chance.randrange(1, 100_000))


def record(name: str, chance: random.Random) -> Record:
    """Return a random record for a name."""
    kind, _, word = name.partition(":")
    if kind != "stage":
        return DataRecord(RepoPath(f"data/{word}"), entry(chance))
    return StageRecord(
        key=oid(chance),
        cmd=(f"python {word}.py",),
        wdir=RepoPath(""),
        deps=(Input(RepoPath(f"{word}.py"), Entry("file", oid(chance), 400)),),
        params={"params.yaml": {f"{word}.rate": chance.random()}},
        environment={},
        outs=(Output(RepoPath(f"out/{word}"), "out", True, entry(chance)),),
        metrics={},
    )


def new_name(chance: random.Random, taken: Records) -> str:
    """Return the name of a record that is not there yet."""
    while True:
        kind = chance.choice(("data", "data", "model", "stage"))
        name = f"{kind}:" + "".join(chance.choices(string.ascii_lowercase, k=chance.randint(1, 8)))
        if name not in taken:
            return name


def lockfile(chance: random.Random, least: int = 1) -> Records:
    """Return a random lockfile."""
    records: Records = {}
    for _ in range(chance.randint(least, RECORDS)):
        name = new_name(chance, records)
        records[name] = record(name, chance)
    return records


# what the branches do


def changed(records: Records, names: list[str], chance: random.Random) -> Records:
    """Return the lockfile with other records under the names."""
    return {**records, **{name: record(name, chance) for name in names}}


def changed_apart(chance: random.Random) -> Case:
    """Each branch changes records that the other leaves alone."""
    base = lockfile(chance, least=2)
    names = chance.sample(sorted(base), chance.randint(2, len(base)))
    cut = chance.randint(1, len(names) - 1)
    return Case(base, changed(base, names[:cut], chance), changed(base, names[cut:], chance))


def changed_beside(chance: random.Random) -> Case:
    """The branches change two records that stand side by side."""
    base = lockfile(chance, least=2)
    at = chance.randrange(len(base) - 1)
    one, two = sorted(base)[at : at + 2]
    return Case(base, changed(base, [one], chance), changed(base, [two], chance))


def added_anywhere(chance: random.Random) -> Case:
    """Each branch adds a record of a random name."""
    base = lockfile(chance)
    one = new_name(chance, base)
    two = new_name(chance, {**base, one: record(one, chance)})
    return Case(base, changed(base, [one], chance), changed(base, [two], chance))


def added_apart(chance: random.Random) -> Case:
    """Each branch adds a record, with others between the two."""
    return chance_until(chance, added_anywhere, lambda case: not in_one_gap(case))


def added_together(chance: random.Random) -> Case:
    """Each branch adds a record, with none between the two."""
    return chance_until(chance, added_anywhere, in_one_gap)


def added_and_changed(chance: random.Random) -> Case:
    """One branch adds a record, the other changes one that was there."""
    base = lockfile(chance)
    ours = changed(base, [new_name(chance, base)], chance)
    return Case(base, ours, changed(base, [chance.choice(sorted(base))], chance))


def added_behind_changed(chance: random.Random) -> Case:
    """One branch adds a record directly behind the one that the other changes."""

    def touches(case: Case) -> bool:
        new = min(case.ours.keys() - case.base.keys())
        above = [name for name in sorted(case.base) if name < new]
        return bool(above) and case.theirs[above[-1]] != case.base[above[-1]]

    return chance_until(chance, added_and_changed, touches)


def removed_and_changed(chance: random.Random) -> Case:
    """One branch removes a record, the other changes another one."""
    base = lockfile(chance, least=2)
    gone, other = chance.sample(sorted(base), 2)
    ours = {name: value for name, value in base.items() if name != gone}
    return Case(base, ours, changed(base, [other], chance))


def changed_both(chance: random.Random) -> Case:
    """Both branches change the same record: this has to conflict."""
    base = lockfile(chance)
    name = chance.choice(sorted(base))
    return Case(base, changed(base, [name], chance), changed(base, [name], chance))


def in_one_gap(case: Case) -> bool:
    """Say whether the records that the branches add have none of the base between them."""
    one, two = sorted(
        (*(case.ours.keys() - case.base.keys()), *case.theirs.keys() - case.base.keys())
    )
    return not any(one < name < two for name in case.base)


def chance_until(
    chance: random.Random, make: Callable[[random.Random], Case], fits: Callable[[Case], bool]
) -> Case:
    """Return the first random case that fits."""
    while True:
        case = make(chance)
        if fits(case):
            return case


SITUATIONS = (
    ("each changes other records", changed_apart),
    ("… that stand side by side", changed_beside),
    ("each adds a record, random names", added_anywhere),
    ("… with others between them", added_apart),
    ("… with none between them", added_together),
    ("one adds, the other changes", added_and_changed),
    ("… directly above the new one", added_behind_changed),
    ("one removes, the other changes", removed_and_changed),
    ("both change the same record", changed_both),
)


# merging


def git(folder: Path, *words: str) -> int:
    """Run git; return its exit status."""
    return subprocess.run(
        ["git", *words], cwd=folder, capture_output=True, check=False, env=ENVIRONMENT
    ).returncode


ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{who}_{what}": "x@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
}


def merge(folder: Path, case: Case) -> str:
    """Merge a case by `git merge`: merged, conflict, or wrong."""
    lock = folder / "mlx.lock"
    for branch, start, records in (
        ("main", None, case.base),
        ("theirs", "main", case.theirs),
        ("ours", "main", case.ours),
    ):
        words = (
            ["checkout", "-q", "-B", branch, start]
            if start
            else ["checkout", "-q", "--orphan", "x"]
        )
        git(folder, *words)
        lock.write_bytes(encode_lock(records))
        git(folder, "add", "mlx.lock", ".gitattributes")
        git(folder, "commit", "-q", "--allow-empty", "-m", branch)
        if start is None:
            git(folder, "branch", "-M", branch)
    status = git(folder, "merge", "-q", "--no-edit", "theirs")
    try:
        merged = parse_lock(lock.read_bytes(), "mlx.lock")
    except InputError:
        merged = None
    git(folder, "merge", "--abort")
    if status:
        return "conflict" if merged is None else "wrong"
    return "merged" if merged == case.meant() else "wrong"


def measure(cases: int, seed: int) -> dict[str, dict[str, int]]:
    """Merge `cases` random cases of each situation; return the outcomes by situation."""
    found: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        git(folder, "init", "-q", "-b", "main", "--template=")
        (folder / ".gitattributes").write_text(GITATTRIBUTES_LINE + "\n")
        for title, make in SITUATIONS:
            chance = random.Random(f"{seed} {title}")
            outcomes = [merge(folder, make(chance)) for _ in range(cases)]
            found[title] = {word: outcomes.count(word) for word in ("merged", "conflict", "wrong")}
    return found


def main() -> None:
    """Measure and print the table."""
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print("| two branches | merged | conflict | wrong |\n| --- | ---: | ---: | ---: |")
    for title, counts in measure(cases, seed).items():
        cells = " | ".join(str(count) for count in counts.values())
        print(f"| {title} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
