"""Merging lockfiles: records as a set; what no side alone decides is asked, or marked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxrepo.errors import InputError, ObjectMissing
from mlxrepo.hashing import Oid, blob_oid, tree_oid
from mlxrepo.paths import RepoPath
from mlxrepo.repo.lockfile import (
    DataRecord,
    Output,
    Record,
    Records,
    StageRecord,
    encode_lock,
    parse_lock,
)
from mlxrepo.repo.lockmerge import (
    LockMerge,
    MergedFolder,
    Question,
    Trees,
    merge_locks,
    parse_base,
    parse_side,
    render,
)
from mlxrepo.repo.mergefiles import Answers
from mlxrepo.store.tree import Entry, Tree, parse, write_tree
from mlxrepo.store.treemerge import OURS, THEIRS


class Nodes(dict[Oid, bytes]):
    """Tree nodes in memory."""

    def put(self, data: bytes) -> Oid:
        oid = tree_oid(data)
        self[oid] = data
        return oid

    def read(self, oid: Oid) -> Tree:
        if oid not in self:
            raise ObjectMissing(f"{oid[:12]} is not in the store")
        return parse(self[oid], oid, self.__getitem__)

    def folder(self, **files: str) -> Entry:
        return write_tree({name: file(text) for name, text in files.items()}, self.put)


def file(text: str) -> Entry:
    return Entry("file", blob_oid(text.encode()), len(text))


def data(path: str, content: Entry | str) -> DataRecord:
    return DataRecord(RepoPath(path), file(content) if isinstance(content, str) else content)


def run(key: str, out: str = "", state: dict | None = None) -> StageRecord:
    """Return the record of a stage, with the key and the content of its out."""
    outs = (Output(RepoPath("o"), "out", True, file(out or key)),)
    return StageRecord(key * 64, ("cmd",), RepoPath(""), (), {}, {}, outs, {}, state)


def merge(
    base: Records, ours: Records, theirs: Records, nodes: Nodes | None = None, **sides: str
) -> LockMerge:
    """Merge; `sides` are answers by path, with _ for /."""
    nodes = nodes if nodes is not None else Nodes()
    answers = Answers({path.replace("_", "/"): side for path, side in sides.items()})
    return merge_locks(base, ours, theirs, Trees(nodes.read, nodes.put), answers)


A, B, C = data("a", "1"), data("b", "1"), data("c", "1")

records = st.dictionaries(
    st.sampled_from(["data:a", "data:b", "data:c", "stage:s", "stage:t"]),
    st.sampled_from("123"),
).map(
    lambda drawn: {
        name: run(text) if name.startswith("stage:") else data(name[5:], text)
        for name, text in drawn.items()
    }
)


@given(records, records, records)
@settings(max_examples=200, deadline=None)
def test_what_one_side_alone_changed_is_taken_and_nothing_else_is_decided(
    base: Records, ours: Records, theirs: Records
) -> None:
    merged = merge(base, ours, theirs)
    for name in base.keys() | ours.keys() | theirs.keys():
        was, mine, other = base.get(name), ours.get(name), theirs.get(name)
        found = merged.records.get(name)
        if was == mine or mine == other:
            assert found == other
        elif was == other:
            assert found == mine
        elif name.startswith("data:"):
            assert found is None
            assert merged.open[name] == (mine, other)
        elif mine and other:
            assert isinstance(found, StageRecord)
            assert found.state == {"unverified": True}
            assert found._replace(state=None) == mine
        else:
            assert found == (mine or other)
    assert {question.name for question in merged.questions} == merged.open.keys()


@given(records, records, records)
@settings(max_examples=100, deadline=None)
def test_the_sides_are_alike_but_for_stages_that_both_ran(
    base: Records, ours: Records, theirs: Records
) -> None:
    one, other = merge(base, ours, theirs), merge(base, theirs, ours)
    unsure = set(one.unverified)
    assert unsure == set(other.unverified)
    assert {n: r for n, r in one.records.items() if n not in unsure} == {
        n: r for n, r in other.records.items() if n not in unsure
    }
    assert one.open.keys() == other.open.keys()
    assert sorted(one.runs) == sorted(other.runs)


@given(records, records, records)
@settings(max_examples=100, deadline=None)
def test_what_is_rendered_is_a_lock_or_is_named_as_a_conflict_of_whole_records(
    base: Records, ours: Records, theirs: Records
) -> None:
    merged = merge(base, ours, theirs)
    text = render(merged)
    if not merged.open:
        assert parse_lock(text, "mlx.lock") == merged.records
        return
    with pytest.raises(InputError, match="conflict"):
        parse_lock(text, "mlx.lock")
    for side, kept in enumerate((ours, theirs)):
        chosen = {name: pair[side] for name, pair in merged.open.items() if pair[side]}
        assert parse_lock(_one_side(text, side), "mlx.lock") == {**merged.records, **chosen}
        assert all(kept[name] == record for name, record in chosen.items())
    # As the ancestor of another merge it says what was sure.
    assert parse_base(text, "mlx.lock") == merged.records


def _one_side(text: bytes, side: int) -> bytes:
    """Settle every conflict of a text by hand, for one side."""
    lines: list[bytes] = []
    now: int | None = None
    for line in text.split(b"\n"):
        if line.startswith(b"<<<<<<< "):
            now = 0
        elif line == b"=======":
            now = 1
        elif line.startswith(b">>>>>>> "):
            now = None
        elif now in (None, side):
            lines.append(line)
    return b"\n".join(lines)


# stages


def test_both_runs_of_a_stage_are_handed_on_so_that_they_stay_reachable() -> None:
    merged = merge({"stage:s": run("1")}, {"stage:s": run("2")}, {"stage:s": run("3")})
    assert merged.unverified == ("stage:s",)
    assert merged.runs == (run("2"), run("3"))


def test_one_action_that_came_out_differently_is_no_doubt() -> None:
    merged = merge({}, {"stage:s": run("2", "x")}, {"stage:s": run("2", "y")})
    assert merged.records == {"stage:s": run("2", "x")}
    assert merged.unverified == ()
    assert merged.runs == (run("2", "x"), run("2", "y"))


UNVERIFIED = {"unverified": True}
ACCEPTED = {"accepted": {"by": "a", "why": "b"}}


def test_a_record_that_was_really_run_is_better_than_one_of_the_same_key_that_was_not() -> None:
    for state in (UNVERIFIED, ACCEPTED):
        doubtful = {"stage:s": run("2", state=state)}
        for sides in (
            (doubtful, {"stage:s": run("2", "x")}),
            ({"stage:s": run("2", "x")}, doubtful),
        ):
            merged = merge({"stage:s": run("1")}, *sides)
            assert merged.records == {"stage:s": run("2", "x")}
            assert merged.runs == (run("2", "x"),)


def test_an_accepted_record_keeps_its_word_and_never_counts_as_run() -> None:
    merged = merge(
        {"stage:s": run("1")}, {"stage:s": run("2", state=ACCEPTED)}, {"stage:s": run("3")}
    )
    [kept] = merged.records.values()
    assert isinstance(kept, StageRecord)
    assert kept.state == {**ACCEPTED, **UNVERIFIED}
    assert merged.runs == (run("3"),)


def test_numbers_that_are_equal_and_not_the_same_are_a_change() -> None:
    one, other = (run("2")._replace(params={"p.yaml": {"x": value}}) for value in (1, True))
    merged = merge({"stage:s": one}, {"stage:s": one}, {"stage:s": other})
    assert merged.theirs == ("stage:s",)
    assert encode_lock(merged.records) == encode_lock({"stage:s": other})


def test_a_stage_that_one_side_forgot_and_the_other_ran_is_for_mlx_yaml_to_decide() -> None:
    base = {"stage:s": run("1")}
    for ours, theirs in (({}, {"stage:s": run("2")}), ({"stage:s": run("2")}, {})):
        merged = merge(base, ours, theirs)
        assert merged.records == {"stage:s": run("2")}
        assert not merged.questions


# data


def test_folders_merge_path_by_path_and_the_counts_say_how() -> None:
    nodes = Nodes()
    base = {"data:d": data("x/d", nodes.folder(a="1", b="1", c="1"))}
    ours = {"data:d": data("x/d", nodes.folder(a="2", b="1", c="1", new="1"))}
    theirs = {"data:d": data("x/d", nodes.folder(a="1", b="1"))}
    merged = merge(base, ours, theirs, nodes)
    assert merged.records == {"data:d": data("x/d", nodes.folder(a="2", b="1", new="1"))}
    assert merged.folders == (MergedFolder("data:d", RepoPath("x/d"), 2, 1),)
    assert merged.questions == ()


def test_only_a_path_that_both_changed_asks_and_the_nearest_answer_counts() -> None:
    nodes = Nodes()
    base = {"data:d": data("x/d", nodes.folder(a="1", b="1", c="1"))}
    ours = {"data:d": data("x/d", nodes.folder(a="2", b="2", c="1"))}
    theirs = {"data:d": data("x/d", nodes.folder(a="3", b="3", c="3"))}
    merged = merge(base, ours, theirs, nodes)
    assert [question.path for question in merged.questions] == ["x/d/a", "x/d/b"]
    assert merged.open == {"data:d": (ours["data:d"], theirs["data:d"])}
    assert merged.records == {}

    half = merge(base, ours, theirs, nodes, x_d_a=OURS)
    assert [question.path for question in half.questions] == ["x/d/b"]
    done = merge(base, ours, theirs, nodes, x=OURS, x_d_b=THEIRS)
    assert done.records == {"data:d": data("x/d", nodes.folder(a="2", b="3", c="3"))}
    by_name = merge(base, ours, theirs, nodes, **{"data:d": THEIRS, "x_d": OURS})
    assert by_name.records == {"data:d": data("x/d", nodes.folder(a="3", b="3", c="3"))}


def test_a_listing_that_is_not_here_is_named_and_the_rest_is_merged() -> None:
    nodes, elsewhere = Nodes(), Nodes()
    base = {"data:d": data("d", nodes.folder(a="1"))}
    ours = {"data:d": data("d", nodes.folder(a="1", b="1")), "data:a": A}
    theirs = {"data:d": data("d", elsewhere.folder(c="1"))}
    merged = merge(base, ours, theirs, nodes, d=OURS)
    assert merged.missing == ("d",)
    assert merged.records == {"data:a": A}
    assert merged.open.keys() == {"data:d"}


def test_moved_on_one_side_and_changed_on_the_other_is_both() -> None:
    merged = merge({"data:a": A}, {"data:a": data("new/a", "1")}, {"data:a": data("a", "2")})
    assert merged.records == {"data:a": data("new/a", "2")}
    merged = merge({"data:a": A}, {"data:a": data("a", "2")}, {"data:a": data("new/a", "1")})
    assert merged.records == {"data:a": data("new/a", "2")}


def test_removed_on_one_side_and_changed_on_the_other_asks() -> None:
    changed = {"data:a": data("a", "2")}
    merged = merge({"data:a": A}, {}, changed)
    assert [(q.path, q.what) for q in merged.questions] == [
        ("a", "ours removed it, theirs changed it")
    ]
    assert merge({"data:a": A}, {}, changed, a=THEIRS).records == changed
    gone = merge({"data:a": A}, {}, changed, a=OURS)
    assert gone.records == {}
    assert gone.decided == {"data:a": OURS}


def test_one_name_for_two_paths_asks_and_is_known_by_both() -> None:
    ours, theirs = {"data:x": data("p", "1")}, {"data:x": data("q", "2")}
    merged = merge({}, ours, theirs)
    [question] = merged.questions
    assert "p in ours, q in theirs" in question.what
    assert merge({}, ours, theirs, p=THEIRS).records == theirs
    assert merge({}, ours, theirs, q=OURS).records == ours


@pytest.mark.parametrize("inner", ["d", "d/x"])
def test_two_names_for_one_place_ask(inner: str) -> None:
    nodes = Nodes()
    base: Records = {"data:z": data("z", "1")}
    ours = {**base, "data:mine": data("d", nodes.folder(x="1"))}
    theirs = {**base, "data:other": data(inner, "1")}
    merged = merge(base, ours, theirs, nodes)
    assert len(merged.questions) == 1
    assert merged.open.keys() == {"data:mine", "data:other"}
    assert merged.records == base
    mine = merge(base, ours, theirs, nodes, d=OURS)
    assert (mine.records, set(mine.decided.values())) == (ours, {OURS})
    other = merge(base, ours, theirs, nodes, d=THEIRS)
    assert (other.records, other.decided.keys()) == (theirs, {"data:mine", "data:other"})


def test_a_folder_that_holds_what_others_added_asks_about_each() -> None:
    ours: dict[str, Record] = {"data:d": data("d", Nodes().folder(a="1"))}
    theirs: dict[str, Record] = {"data:a": data("d/a", "1"), "data:b": data("d/b", "1")}
    kept = merge({}, ours, theirs, d=OURS)
    assert kept.records == ours
    assert kept.decided == {"data:d": OURS, "data:a": OURS, "data:b": OURS}


def test_moved_to_where_the_other_side_added_something_asks_and_one_side_has_both() -> None:
    base: Records = {"data:a": A}
    ours: Records = {"data:a": data("new", "1")}
    theirs: Records = {"data:a": A, "data:b": data("new", "2")}
    merged = merge(base, ours, theirs)
    assert [question.path for question in merged.questions] == ["new"]
    assert merged.open == {
        "data:a": (ours["data:a"], A),
        "data:b": (None, theirs["data:b"]),
    }
    assert merge(base, ours, theirs, new=OURS).records == ours
    assert merge(base, ours, theirs, new=THEIRS).records == theirs


def test_an_answer_by_name_is_nearer_than_one_by_path() -> None:
    answers = Answers({"": OURS, "d": OURS, "d/x": THEIRS, "data:n": OURS})
    assert answers(Question("data:n", RepoPath("d/x/y"), "")) == OURS
    assert answers(Question("data:o", RepoPath("d/x/y"), "")) == THEIRS
    assert answers(Question("data:o", RepoPath("d/xy"), "")) == OURS
    assert answers(Question("data:o", RepoPath("e"), "")) == OURS
    assert Answers({"d": OURS})(Question("data:o", RepoPath("e"), "")) == ""


# text


def test_a_side_without_the_file_has_no_records() -> None:
    assert parse_side(None, "x") == parse_side(b"", "x") == parse_base(None, "x") == {}


def test_a_side_that_is_broken_is_named() -> None:
    with pytest.raises(InputError) as caught:
        parse_side(b'{"format":9,"oid":"blake3"}\n', "mlx.lock (theirs)")
    assert caught.value.where is not None
    assert caught.value.where.file == "mlx.lock (theirs)"
