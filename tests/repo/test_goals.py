"""Goals in mlx.yaml: which metrics they are about, and how they can be wrong."""

from __future__ import annotations

import pytest

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath
from mlxrepo.repo.project import parse_project
from mlxrepo.repo.stage import Goal


def goals(text: str, path: str = "mlx.yaml") -> tuple[Goal, ...]:
    return parse_project(f"goals:\n{text}".encode(), RepoPath(path), lambda _: None).goals


def test_they_are_of_any_file_or_of_one() -> None:
    found = goals(
        "  auc: {better: higher}\n  m.json:p.99: {better: lower, tolerance: 2}\n", "a/mlx.yaml"
    )
    assert [goal[:-1] for goal in found] == [
        ("auc", None, "higher", 0),
        ("p.99", "a/m.json", "lower", 2),
    ]
    assert str(found[1].where) == "a/mlx.yaml:3:3"


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("  auc: {tolerance: 1}", "mlx.yaml:2:3", 'the goal "auc" does not say which way'),
        ("  auc: {better: more}", "mlx.yaml:2:17", "one item is text: more"),
        ("  auc: {better: higher, tolerance: -1}", "mlx.yaml:2:36", "a number: -1"),
        ("  auc: {better: higher, tolerance: .inf}", "mlx.yaml:2:3", "a tolerance that is no"),
        ("  auc: {better: higher, tolerance: .nan}", "mlx.yaml:2:", ""),
        ("  auc: {better: higher, tolerence: 1}", "mlx.yaml:2:25", 'unknown key "tolerence"'),
        ("  auc: higher", "mlx.yaml:2:8", "text: higher"),
        ("  auc:", "mlx.yaml:2:7", "empty"),
        ("  - auc", "mlx.yaml:2:3", "a map of metrics"),
        ("  'm.json:': {better: lower}", "mlx.yaml:2:3", "names no metric"),
        ("  m.csv:auc: {better: lower}", "mlx.yaml:2:3", "m.csv"),
        ("  ../m.json:auc: {better: lower}", "mlx.yaml:2:3", "outside"),
    ],
)
def test_what_is_wrong_is_refused_at_its_place(text: str, place: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        goals(text + "\n")
    assert str(caught.value).startswith(place)
    assert why in str(caught.value)
