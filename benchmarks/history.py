"""Metrics over a long git history: 2,000 commits of which 200 changed metrics, each with a tag."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from contenders import HERE, run
from measure import Row, Setting, timed

STEPS = (
    ("metrics diff, first tag and last", ("metrics", "diff", "run-0", "run-{last}")),
    ("metrics show, all tags", ("metrics", "show", "--all-tags")),
)


def history(setting: Setting) -> Iterator[Row]:
    """Compare two revisions, and show all that were tagged."""
    commits, changes = (100, 10) if setting.quick else (2_000, 200)
    folder = setting.folder / "history"
    setting.tools["mlx"].init(folder)
    words = [setting.python, str(HERE / "git_history.py"), str(folder), str(commits), str(changes)]
    run(words, setting.folder)
    folders = {"mlx": folder}
    if "dvc" in setting.tools:  # the same commits, which have a dvc.yaml too
        folders["dvc"] = setting.folder / "history-dvc"
        shutil.copytree(folder, folders["dvc"], symlinks=True)
        run([setting.tools["dvc"].program, "init", "-q"], folders["dvc"])
    for title, step in STEPS:
        row = Row(f"{title}, {commits:,} commits", "mlx < 0.5 s")
        typed = [word.format(last=changes - 1) for word in step]
        for _ in range(3 * setting.repeat):
            for name, place in folders.items():
                # DVC's option is short.
                own = ["-T" if word == "--all-tags" and name == "dvc" else word for word in typed]
                program = setting.tools[name].program
                timed(row, name, lambda words=[program, *own], at=place: run(words, at))
        yield row
