"""Paths: what a user types becomes a path inside the repository, or an error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlxrepo.errors import InputError
from mlxrepo.paths import (
    ROOT,
    RepoPath,
    bad_link,
    bad_name,
    check_path,
    display,
    from_user,
    is_inside,
    name_bytes,
    normalise,
    relative,
)

texts = st.text(max_size=8) | st.text(st.sampled_from("ab./~ \\\0\udc80\ud800"), max_size=8)


@given(texts)
@example("a/../b")
@example("\udcc3\udca9")
@settings(max_examples=200, deadline=None)
def test_a_checked_path_is_inside_and_has_one_spelling(text: str) -> None:
    try:
        path = check_path(text)
    except InputError:
        return
    assert path == text
    assert os.path.normpath(path) == path
    assert not path.startswith(("/", "../"))
    assert os.fsdecode(name_bytes(path)) == path
    assert normalise(path, ROOT) == path


@given(texts, st.sampled_from(["", "sub", "sub/deep"]))
@settings(max_examples=200, deadline=None)
def test_a_normalised_path_is_what_the_system_makes_of_it(text: str, base: str) -> None:
    try:
        path = normalise(text, RepoPath(base))
    except InputError:
        return
    assert path == os.path.normpath(f"/{base}/{text}").strip("/")
    assert path == ROOT or check_path(path) == path


@pytest.mark.parametrize(
    ("text", "base", "path"),
    [
        ("data/", "", "data"),
        ("./data//x", "", "data/x"),
        ("../data", "sub", "data"),
        ("..", "sub", ""),
        (".", "sub", "sub"),
        ("a/../../b", "sub", "b"),
    ],
)
def test_a_path_in_a_project_file_is_relative_to_it(text: str, base: str, path: str) -> None:
    assert relative(text, RepoPath(base)) == path


@pytest.mark.parametrize(
    "text",
    ["", "/etc/passwd", "~/data", "..", "../x", "a/../../x", ".git/hooks", "a/.GIT/x", "a\0b"],
)
def test_a_path_that_leaves_or_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        relative(text, ROOT)


@pytest.mark.parametrize(
    "text", ["", "/x", "x/", "a//b", "./x", "x/.", "../x", "x/../y", ".git", "x/.mlx", "\ud800"]
)
def test_a_committed_path_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        check_path(text)


@pytest.mark.parametrize(
    "name",
    [".gitignore", ".gitattributes", "git", "git~10", ".mlxignore", "...", "..a", "a b", "-rf",
     "\n", "\udcff", "a" * 255, "\u00e9" * 127, "CON", "a:b", "a\\b", ".github", ".git_"],
)  # fmt: skip
def test_an_odd_name_is_a_name(name: str) -> None:
    assert bad_name(name) is None


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "a\0", "a" * 256, "\u00e9" * 128, ".git", ".GiT", ".git.", ".git ",
     ".git. .", ".git:x", ".git ::$DATA", "GIT~1", ".g\u200cit", "\u200e.git", ".mlx", ".MLX",
     ".mlx-tmp-1", ".MLX-TMP-1", "\ud800", "\udcc3\udca9"],
)  # fmt: skip
def test_a_name_that_is_none_or_opens_the_repository_is_refused(name: str) -> None:
    assert bad_name(name)


def test_what_a_user_types_is_found_from_where_they_are(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    (root / "sub").mkdir(parents=True)
    (root / "way").symlink_to("sub")
    (root / "out").symlink_to(tmp_path)
    (root / "link").symlink_to("/etc/passwd")

    def typed(text: str, cwd: str = "sub") -> str:
        return from_user(text, str(root), str(root / cwd))

    assert typed("x") == "sub/x"
    assert typed("../x/") == "x"
    assert typed(str(root / "x")) == "x"
    assert typed("..") == ROOT
    assert typed("way/x", ".") == "sub/x"  # a folder is where it really is
    assert typed("link", ".") == "link"  # a link is itself
    for text in ("../../x", "/etc", "../out/x", str(root) + "-other/x", "a\0b", "../.git/config"):
        with pytest.raises(InputError):
            typed(text)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("data/l", "x"),
        ("data/l", "./x//y"),
        ("data/sub/l", "../x"),
        ("data/sub/l", ".."),
        ("data/sub/l", "../sub/x"),
        ("data/l", "..x/y"),
        ("data/l", "."),
    ],
)
def test_a_link_that_stays_inside_is_kept(path: str, target: str) -> None:
    assert bad_link(path, target, "data") is None


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("data/l", "/etc/passwd"),
        ("data/l", ".."),
        ("data/l", "../other"),
        ("data/sub/l", "../../x"),
        ("data/l", "../data/x"),  # it leaves, though it comes back
        ("data", "x"),
        ("data/l", ""),
        ("data/l", "a\0b"),
        ("data/l", "x" * 4096),
        ("data/a/b/l", "up/../x"),
        ("database/l", "x"),
    ],
)
def test_a_link_that_could_leave_is_not_kept(path: str, target: str) -> None:
    assert bad_link(path, target, "data")


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), min_size=1, max_size=4),
       st.data())  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_no_chain_of_kept_links_leads_out(tmp_path_factory, places, data) -> None:
    """Links may lead through one another: what counts is where the system ends up."""
    outer = tmp_path_factory.mktemp("links")
    top = outer / "repo" / "data"
    deep = "/".join(["d"] * 3)
    (top / deep).mkdir(parents=True)
    step = st.sampled_from(["..", "d", "a", "b", "c", "."])
    for depth, name in places:
        path = "/".join(["data", *["d"] * depth, name])
        target = "/".join(data.draw(st.lists(step, min_size=1, max_size=6)))
        if bad_link(path, target, "data") is None and not os.path.lexists(outer / "repo" / path):
            (outer / "repo" / path).symlink_to(target)
    for here, folders, names in os.walk(top):
        for name in (*folders, *names):
            full = Path(here, name)
            if full.exists():
                assert is_inside(os.path.realpath(full), os.path.realpath(top))


def test_what_is_shown_holds_no_control_characters() -> None:
    assert display("a\n\x1b[31m\udcff\u202eb") == "a\\n\\x1b[31m\\udcff\\u202eb"
    assert display("caf\u00e9 \u732b") == "caf\u00e9 \u732b"
