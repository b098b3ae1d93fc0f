"""The only module that starts git, or reads what git keeps.

Plumbing by subprocess: one spawn is 1 to 2 ms where importing a git library is 80, and it reads
repositories of either hash. What a cheap look at `.git` answers is read without a spawn.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import BinaryIO, cast

from mlxrepo.errors import CannotDecide, EnvironmentFailed, InputError, MlxError
from mlxrepo.paths import RepoPath, ancestors, display
from mlxrepo.repo.layout import PROJECT_FILE

# git sets these for hooks and aliases; passed on, they make git answer for the wrong repository.
LOCAL_VARIABLES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_SHALLOW_FILE",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_REPLACE_REF_BASE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_INTERNAL_SUPER_PREFIX",
    # These give another meaning to the pathspecs we write.
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
)

SPECS_MAX = 1 << 15  # characters of paths on one command line
BLOBS_AT_ONCE = 256  # lockfiles, mostly: held in memory together
_KINDS = (b"blob", b"commit", b"tag", b"tree")


def clean_environment() -> dict[str, str]:
    """Return the environment without what binds git to one repository."""
    return {k: v for k, v in os.environ.items() if k not in LOCAL_VARIABLES}


def no_project(git: Git) -> InputError:
    """Return the error for a worktree in which there is no project file."""
    _, out = git.run("ls-files", "-z", "--full-name", "--", f":(top,glob)**/{PROJECT_FILE}")
    tracked = [os.fsdecode(path) for path in out.split(b"\0")[:-1]]
    if left_out := git.left_out(tracked):
        said = f"{display(left_out[0])} is outside of the sparse checkout, and mlx needs it"
        return InputError(said, hint=include(left_out[0]))
    if tracked:
        said = f"{display(tracked[0])} was deleted here, and git still tracks it"
        return InputError(said, hint=f"git checkout -- {shlex.quote(tracked[0])}")
    return InputError(f"there is no {PROJECT_FILE} in {display(git.root)}", hint="mlx init")


def include(path: str) -> str:
    """Return the command that takes a file into a sparse checkout."""
    return f"git sparse-checkout add {shlex.quote(os.path.dirname(path) or path)}"


def _specs(paths: Collection[str]) -> list[str]:
    """Return what limits git to paths; nothing for very many: then git is asked for all.

    A command line has no room for them, and git compares each with each file.
    """
    if sum(map(len, paths)) > SPECS_MAX:
        return []
    return [f":(top,literal){path}" for path in sorted(paths)]


class Git:
    """git, asked about one worktree; with `git_dir` about that one, wherever `root` lies.

    `index` is another index than the worktree's own: what `git commit` is about to commit.
    """

    def __init__(self, root: str, git_dir: str | None = None, index: str | None = None):
        self.root = root
        self.fetches = False  # whether a partial clone may get what it lacks, from the network
        self._index = index
        self._chosen = [f"--git-dir={git_dir}"] if git_dir else []

    def run(
        self, *words: str, input: bytes | None = None, accept: Sequence[int] = (0,)
    ) -> tuple[int, bytes]:
        """Run git in the worktree and return its exit status and output.

        Raises:
            EnvironmentFailed: when git is missing or exits with another status than `accept`.
            CannotDecide: when a partial clone has not got what it takes.
        """
        return self.start(*words, input=input, accept=accept)()

    def start(
        self, *words: str, input: bytes | None = None, accept: Sequence[int] = (0,)
    ) -> Callable[[], tuple[int, bytes]]:
        """Start git as `run` does, and return what waits for its answer: call it exactly once.

        Raises:
            EnvironmentFailed: as `run`; what git itself says comes when its answer is asked for.
        """
        import subprocess

        try:
            process = subprocess.Popen(
                ["git", "-C", self.root, *self._chosen, *words],
                stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment(words[0]),
            )
        except FileNotFoundError:
            raise EnvironmentFailed("git is not on PATH", hint="install git, then again") from None

        def answer() -> tuple[int, bytes]:
            out, said = process.communicate(input)
            if process.returncode not in accept:
                raise self._failed(words[0], said.decode("utf-8", "replace").strip())
            return process.returncode, out

        return answer

    def talk(self, *words: str) -> tuple[BinaryIO, BinaryIO, Callable[[], object]]:
        """Start git for many questions: return where to ask, where to read, and what ends it.

        Nothing is fetched for it where a partial clone lacks an object: git then gives up.

        Raises:
            EnvironmentFailed: when git is missing.
        """
        import subprocess

        try:
            process = subprocess.Popen(
                ["git", "-C", self.root, *self._chosen, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # git before 2.44 knows only the second.
                env={**clean_environment(), "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"},
            )
        except FileNotFoundError:
            raise EnvironmentFailed("git is not on PATH", hint="install git, then again") from None
        return cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout), process.communicate

    def refs(self, *prefixes: str) -> list[tuple[str, str]]:
        """Return short and full names of the refs below some prefixes, v2 before v10."""
        _, out = self.run(
            "for-each-ref", "--sort=version:refname", "--format=%(refname:short)%00%(refname)",
            *prefixes,
        )  # fmt: skip
        rows = [row.partition("\0") for row in os.fsdecode(out).splitlines()]
        return [(short, full) for short, _, full in rows]

    def _environment(self, word: str) -> dict[str, str]:
        found = clean_environment()
        if self._index:
            found["GIT_INDEX_FILE"] = self._index
        if not self.fetches and word != "ls-remote":
            found["GIT_ALLOW_PROTOCOL"] = "none"
        return found

    def _failed(self, word: str, said: str) -> MlxError:
        if "promisor remote" in said and not self.fetches:
            return CannotDecide(
                f"{display(self.root)} is a partial clone, and what this takes was left out of it",
                hint="git fetch --refetch --no-filter gets all of it",
            )
        if "dubious ownership" in said:
            return EnvironmentFailed(
                f"{display(self.root)} belongs to another user, so git does not work in it",
                hint=f"if you trust who owns it: git config --global --add safe.directory "
                f"{shlex.quote(self.root)}",
            )
        return EnvironmentFailed(f"git {word} failed: {said}")

    def commit(self, rev: str) -> str:
        """Resolve a revision to a commit.

        Raises:
            CannotDecide: when there is no such commit.
        """
        if rev.startswith("-"):
            raise InputError(f'"{display(rev)}" is not a revision')
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", rev + "^{commit}")
        status, out = self.run(*words, accept=(0, 1, 128))
        if status:
            raise self.no_commit(rev)
        return out.decode().strip()

    def no_commit(self, rev: str) -> CannotDecide:
        """Return the error for a revision that is none here."""
        if rev == "HEAD":
            return CannotDecide("there is no commit yet", hint="git commit, then again")
        said = f'git knows no revision "{display(rev)}"'
        _, cut = self.run("rev-parse", "--is-shallow-repository", accept=(0, 128))
        if cut.strip() == b"true":
            hint = "git fetch --deepen=100 brings more of it, git fetch --unshallow all"
            return CannotDecide(f"{said}: the history of this shallow clone is cut off", hint=hint)
        return CannotDecide(said, hint="git log --oneline")

    def head(self) -> str | None:
        """Return the commit of HEAD; None when there is no commit yet."""
        status, out = self.run("rev-parse", "--verify", "--quiet", "HEAD", accept=(0, 1, 128))
        return None if status else out.decode().strip()

    def files_at(self, commit: str, name: str) -> dict[str, bytes]:
        """Return the content of every file called `name` in a commit, by path."""
        # -z with a pathspec cannot match a base name at any depth, so the listing is filtered here.
        _, out = self.run("ls-tree", "-r", "-z", "--full-tree", commit)
        wanted: list[tuple[str, str]] = []
        for row in out.split(b"\0")[:-1]:
            head, _, path = row.partition(b"\t")
            if path == name.encode() or path.endswith(b"/" + name.encode()):
                mode, kind, oid = head.decode().split(" ")
                if kind == "blob" and mode != "120000":
                    wanted.append((os.fsdecode(path), oid))
        blobs = self.blobs([oid for _, oid in wanted])
        return {path: data for (path, _), data in zip(wanted, blobs, strict=True)}

    def file_at(self, commit: str, path: str) -> bytes | None:
        """Return one file of a commit; None when it is not there."""
        status, out = self.run("cat-file", "blob", f"{commit}:{path}", accept=(0, 128))
        return None if status else out

    def blobs(self, oids: Sequence[str]) -> list[bytes]:
        """Return many git blobs with one spawn."""
        if not oids:
            return []
        _, out = self.run("cat-file", "--batch", input="\n".join(oids).encode() + b"\n")
        found: list[bytes] = []
        at = 0
        for oid in oids:
            end = out.index(b"\n", at)
            fields = out[at:end].split(b" ")
            if len(fields) != 3:
                raise EnvironmentFailed(f"git has lost the object {oid}", hint="git fsck")
            size = int(fields[2])
            found.append(out[end + 1 : end + 1 + size])
            at = end + 2 + size
        return found

    def each_blob(self, oids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield many git blobs by name, few of them held in memory at a time."""
        for at in range(0, len(oids), BLOBS_AT_ONCE):
            some = oids[at : at + BLOBS_AT_ONCE]
            yield from zip(some, self.blobs(some), strict=True)

    def kinds(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """Return oid and kind of what names mean, in their order; not of what means nothing."""
        asked = b"".join(os.fsencode(name) + b"\n" for name in names)
        if not asked:
            return []
        _, out = self.run("cat-file", "--batch-check=%(objecttype) %(objectname)", input=asked)
        rows = (line.split(b" ") for line in out.splitlines())
        return [(row[1].decode(), row[0].decode()) for row in rows if row[0] in _KINDS]

    def unmerged(self) -> dict[RepoPath, dict[int, str]]:
        """Return the files that wait to be merged: by path, the blob of each stage (1 to 3)."""
        _, out = self.run("ls-files", "--unmerged", "-z", "--full-name", "--", ":(top)")
        found: dict[RepoPath, dict[int, str]] = {}
        for row in out.split(b"\0")[:-1]:
            head, _, path = row.partition(b"\t")
            mode, oid, stage = head.decode().split(" ")
            if mode != "120000":
                found.setdefault(RepoPath(os.fsdecode(path)), {})[int(stage)] = oid
        return found

    def merges(self, count: int) -> list[list[str]]:
        """Return the last `count` merge commits of HEAD, each with its parents, newest first."""
        status, out = self.run(
            "rev-list", "--merges", "--parents", f"--max-count={count}", "HEAD", accept=(0, 128)
        )
        return [] if status else [line.split(" ") for line in out.decode().splitlines()]

    def merge_bases(self, one: str, other: str) -> list[str]:
        """Return the best common ancestors of two commits."""
        return self.run("merge-base", "--all", one, other, accept=(0, 1))[1].decode().split()

    def merge_text(self, ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
        """Merge three versions of a text line by line as `git merge` does; None: it conflicts."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("ours", "base", "theirs")]
            for path, data in zip(paths, (ours, base, theirs), strict=True):
                with open(path, "wb") as stream:
                    stream.write(data)
            # Its exit status is the number of conflicts.
            status, out = self.run("merge-file", "-p", "-q", *paths, accept=range(128))
        return None if status else out

    def tracked(self, paths: Iterable[str]) -> list[str]:
        """Return the files git tracks at or below any of `paths`."""
        wanted = set(paths)
        if not wanted:
            return []
        _, out = self.run("ls-files", "-z", "--full-name", "--", *_specs(wanted))
        found = [os.fsdecode(path) for path in out.split(b"\0")[:-1]]
        return [p for p in found if p in wanted or not wanted.isdisjoint(ancestors(p))]

    def left_out(self, paths: Iterable[str]) -> list[str]:
        """Return the files at or below `paths` that a sparse checkout leaves out."""
        wanted = set(paths)
        if not wanted:
            return []
        _, out = self.run("ls-files", "-t", "-z", "--full-name", "--", *_specs(wanted))
        rows = [os.fsdecode(row) for row in out.split(b"\0")[:-1] if row.startswith(b"S ")]
        return [p[2:] for p in rows if not wanted.isdisjoint((p[2:], *ancestors(p[2:])))]

    def uncommitted(self, paths: Iterable[str]) -> list[RepoPath]:
        """Return those of these files that differ from HEAD or are not in it, sorted."""
        wanted = set(paths)
        if not wanted:
            return []
        _, out = self.run(
            "--no-optional-locks", "status", "--porcelain", "-z", "--no-renames",
            "--untracked-files=all", "--", *_specs(wanted),
        )  # fmt: skip
        found = {os.fsdecode(row[3:]) for row in out.split(b"\0")[:-1]}
        return sorted(RepoPath(path) for path in found & wanted)

    def project_files(self, name: str) -> list[str]:
        """Return every file called `name` that git tracks or does not ignore."""
        _, out = self.run(
            "ls-files", "-z", "--full-name", "--cached", "--others", "--exclude-standard",
            "--deduplicate", "--", f":(top,glob)**/{name}",
        )  # fmt: skip
        return sorted(os.fsdecode(path) for path in out.split(b"\0")[:-1])

    def is_dirty(self) -> bool:
        """Say whether git has something to commit, untracked files included."""
        _, out = self.run("--no-optional-locks", "status", "--porcelain", "-z")
        return bool(out)

    def ignored(self, paths: Sequence[str]) -> set[str]:
        """Return those of `paths` that git ignores."""
        if not paths:
            return set()
        data = b"\0".join(os.fsencode(f"./{path}") for path in paths) + b"\0"
        _, out = self.run("check-ignore", "-z", "--stdin", "--no-index", input=data, accept=(0, 1))
        return {os.fsdecode(path).removeprefix("./") for path in out.split(b"\0")[:-1]}

    def hidden(self, paths: Sequence[str]) -> set[str]:
        """Return those of `paths` that a .gitignore hides; a / at the end marks a folder.

        What one user's own settings ignore does not count: a clone would not know of it.
        """
        if not paths:
            return set()
        data = b"\0".join(os.fsencode(f"./{path}") for path in paths) + b"\0"
        _, out = self.run(
            "check-ignore", "--verbose", "-z", "--stdin", "--no-index", input=data, accept=(0, 1)
        )
        fields = [os.fsdecode(field) for field in out.split(b"\0")[:-1]]
        return {
            path.removeprefix("./")
            for source, pattern, path in zip(fields[::4], fields[2::4], fields[3::4], strict=True)
            if source.rpartition("/")[2] == ".gitignore"
            and not source.startswith("/")
            and not pattern.startswith("!")
        }

    def config(self) -> Callable[[], dict[str, tuple[str, str]]]:
        """Start reading the settings under `mlx.`: the last of each name, keys in lower case.

        Each with git's word for where it stands (`local`, `global`, ...).
        Where git does not trust the owner it leaves the repository's own out: asking then fails.
        """
        answer = self.start("config", "--list", "--show-scope", "-z", accept=(0, 1))

        def found() -> dict[str, tuple[str, str]]:
            words = [word.decode("utf-8", "surrogateescape") for word in answer()[1].split(b"\0")]
            pairs = zip(words[::2], words[1::2], strict=False)
            rows = [(scope, *text.partition("\n")[::2]) for scope, text in pairs]
            if not any(key == "core.repositoryformatversion" for _, key, _ in rows):
                self.run("rev-parse", "--git-dir")  # fails, and says why
            return {k[4:]: (value, scope) for scope, k, value in rows if k.startswith("mlx.")}

        return found

    def history(self, name: str) -> list[str]:
        """Return HEAD's ancestors that touched a file called `name`, newest first."""
        status, out = self.run("rev-list", "HEAD", "--", f":(top,glob)**/{name}", accept=(0, 128))
        return [] if status else out.decode().split()
