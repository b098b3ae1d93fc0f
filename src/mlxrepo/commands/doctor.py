"""mlx doctor: look at everything mlx depends on here, and say what to do about it."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import machinery, metadata

import mlxrepo
from mlxrepo.errors import MlxError
from mlxrepo.paths import TEMP_PREFIX, display
from mlxrepo.repo import hookfiles, prepared
from mlxrepo.repo.layout import MANIFESTS_FOLDER
from mlxrepo.repo.moving import read_move, read_store_move
from mlxrepo.repo.remotes import is_own_secret, is_public
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.settings import SETTINGS, is_setting
from mlxrepo.repo.shared_store import has_group_rights, is_shared
from mlxrepo.store import probe
from mlxrepo.store.inventory import list_folder
from mlxrepo.store.refusals import redacted, shown_url
from mlxrepo.store.rehouse import HOLDING
from mlxrepo.values import did_you_mean

OK, WARN, FAIL = "ok", "warn", "fail"

OLDEST_GIT = (2, 31)  # ls-files --deduplicate
LITTLE_BYTES = 1 << 30
SLOW_FLUSH_SECONDS = 0.05
COMPILED = ("blake3.blake3", "xxhash._xxhash", "yaml._yaml")
PACKAGES = ("blake3", "xxhash", "pyyaml", "click", "pathspec", "rich", "fsspec")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: the verdict (ok, warn or fail), what was found, what to do."""

    name: str
    verdict: str
    found: str
    advice: str = ""


Finding = tuple[str, str, str]  # verdict, found, advice


def doctor(repo: Repo) -> tuple[Check, ...]:
    """Look at everything; what cannot be looked at is a finding too, and stops nothing."""
    checks: dict[str, Callable[[Repo], Iterator[Finding]]] = {
        "versions": _versions,
        "git": _git,
        "compiled parts": _compiled,
        "settings": _settings,
        "stat cache": _stat_cache,  # before anybody asks it and throws it away
        "project": _project,
        "clone": _clone,
        "workspace": _workspace,
        "store": _store,
        "links": _links,
        "flushing": _flushing,
        "free space": _free_space,
        "unfinished": _unfinished,
        "leftovers": _leftovers,
    }
    return tuple(Check(name, *row) for name, look in checks.items() for row in _looked(look, repo))


def _looked(look: Callable[[Repo], Iterator[Finding]], repo: Repo) -> list[Finding]:
    try:
        return list(look(repo))
    except MlxError as error:
        return [(FAIL, str(error), error.hint or "")]
    except OSError as error:
        where = f"{display(os.fsdecode(error.filename))}: " if error.filename else ""
        return [(FAIL, f"{where}{error.strerror or error}", "mend its permissions, or its disk")]


# programs


def _versions(repo: Repo) -> Iterator[Finding]:
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    python = f"Python {platform.python_version()}"
    yield OK, f"mlx {mlxrepo.__version__}, {python} on {platform.system()}; {packages}", ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _git(repo: Repo) -> Iterator[Finding]:
    text = repo.git.run("--version")[1].decode().strip()
    found = re.search(r"(\d+)\.(\d+)", text)
    if found and (int(found[1]), int(found[2])) < OLDEST_GIT:
        oldest = ".".join(map(str, OLDEST_GIT))
        yield FAIL, f"{text} is older than {oldest}", f"install git {oldest} or newer"
    else:
        yield OK, text, ""


def _compiled(repo: Repo) -> Iterator[Finding]:
    slow = [name for name in COMPILED if not _is_compiled(name)]
    for name in slow:
        package = name.partition(".")[0]
        yield (
            WARN,
            f"{package} runs without its compiled part",
            (f"pip install --force-reinstall {'pyyaml' if package == 'yaml' else package}"),
        )
    if not slow:
        yield OK, "blake3, xxhash and the YAML parser are compiled", ""


def _is_compiled(name: str) -> bool:
    try:
        file = importlib.import_module(name).__file__ or ""
    except ImportError:
        return False
    return file.endswith(tuple(machinery.EXTENSION_SUFFIXES))


# what people wrote


def _settings(repo: Repo) -> Iterator[Finding]:
    known = {name.lower(): name for name in SETTINGS}
    names = repo.settings.names()
    unknown = [name for name in names if not is_setting(name)]
    for name in unknown:
        hint = did_you_mean(name, list(SETTINGS)) or f"known are {', '.join(sorted(SETTINGS))}"
        yield WARN, f"mlx.{display(name)} is no setting of mlx", hint
    for name in names:
        if name.startswith("remote.") and _is_out_of_place(repo, name):
            remote = name.removeprefix("remote.").rpartition(".")[0]
            yield WARN, f"mlx.{display(name)} holds a secret", f"mlx remote rm {display(remote)}"
    if not unknown:
        listed = ", ".join(
            f"mlx.{known.get(name, name)}={display(_shown(name, repo.settings.get(name)))}"
            for name in names
        )
        yield OK, listed or "all as they come", ""


def _is_out_of_place(repo: Repo, name: str) -> bool:
    return not (is_public(name, repo.settings.get(name)) or is_own_secret(repo, name))


def _shown(name: str, value: str) -> str:
    if not name.startswith("remote."):
        return redacted(value)
    return shown_url(value) if is_public(name, value) else "***"


def _project(repo: Repo) -> Iterator[Finding]:
    if not repo.project_paths:
        yield WARN, "there is no mlx.yaml", "mlx init"
        return
    artifacts, stages = len(repo.declared.artifacts), len(repo.declared.stages)
    records = len(list(repo.observed.tracked()))
    yield OK, f"{artifacts} artifacts and {stages} stages declared, {records} paths recorded", ""


def _clone(repo: Repo) -> Iterator[Finding]:
    unset = prepared.unlike(prepared.current(repo.git))
    absent = hookfiles.lacking(repo)
    if unset:
        found = f"git is not told how to merge and show mlx.lock: {', '.join(unset)}"
        yield WARN, found, "mlx install"
    if absent:
        advice = "mlx install; if you want none: nothing to do"
        yield OK if not unset else WARN, f"without the hooks {', '.join(absent)}", advice
    if not unset and not absent:
        yield OK, "prepared: merge driver, textconv and hooks", ""


# disks


def _workspace(repo: Repo) -> Iterator[Finding]:
    with probe.workbench(repo.root) as bench:
        blind, keeps = probe.is_case_blind(bench), probe.keeps_executable(bench)
    kind = probe.disk_type(repo.root) or "an unknown file system"
    if blind:
        yield WARN, f"{kind} takes a and A for one name", "give no two files names that differ so"
    if not keeps:
        yield WARN, f"{kind} does not keep executable bits", "scripts in data lose theirs here"
    if not blind and keeps:
        yield OK, f"{display(repo.root)} on {kind}", ""


def _store(repo: Repo) -> Iterator[Finding]:
    root = repo.store.root
    if not os.path.isdir(root) or not os.path.exists(os.path.join(root, "format")):
        yield from _no_store(repo, root)
        return
    repo.store.refresh()
    for error in repo.store.packs.damaged.values():
        yield FAIL, error.message, "mlx fsck --repair"
    if not os.access(root, os.W_OK | os.X_OK):
        yield (
            FAIL,
            f"{display(root)} is not writable for you",
            "ask who owns it",
        )
        return
    with probe.workbench(root):
        pass
    if is_shared(repo.settings) and not has_group_rights(root):
        yield WARN, f"the group cannot write to {display(root)}", "its owner: run any mlx command"
    yield OK, f"{display(root)} on {probe.disk_type(root) or 'an unknown file system'}", ""


def _no_store(repo: Repo, root: str) -> Iterator[Finding]:
    if any(True for _ in repo.observed.tracked()):
        yield (
            FAIL,
            f"there is no store at {display(root)}, and this project has records",
            ("is its disk mounted? git config --show-origin mlx.store says who set it"),
        )
    else:
        yield OK, f"{display(root)} will be made by the first mlx add", ""


def _links(repo: Repo) -> Iterator[Finding]:
    with (
        probe.workbench(_nearest(repo.store.root)) as source,
        probe.workbench(repo.root) as target,
    ):
        found = probe.link_types(source, target)
    chosen = repo.store.link
    words = ", ".join(word for word, works in found.items() if works) or "none"
    if chosen != "copy" and not found[chosen]:
        yield (
            WARN,
            f"mlx.link is {chosen}, which cannot be made here (but: {words})",
            ("git config mlx.link copy, or put the store on the disk of the workspace"),
        )
        return
    copies = chosen == "copy" and not found["reflink"]
    yield (
        OK,
        f"possible from store to workspace: {words}",
        ("files are copied; git config mlx.link hardlink saves the space" if copies else ""),
    )


def _flushing(repo: Repo) -> Iterator[Finding]:
    with probe.workbench(_nearest(repo.store.root)) as bench:
        seconds = probe.flush_seconds(bench)
    text = f"{seconds * 1000:.1f} ms for a small file; mlx.fsync is {repo.store.fsync}"
    slow = seconds > SLOW_FLUSH_SECONDS
    if repo.store.fsync == "off":
        yield WARN, text, "a power cut may lose data: git config mlx.fsync batch"
    elif slow and repo.store.fsync == "always":
        yield WARN, text, "git config mlx.fsync batch flushes many files at once"
    else:
        yield OK, text, ""


def _free_space(repo: Repo) -> Iterator[Finding]:
    places = {"workspace": repo.root, "store": _nearest(repo.store.root)}
    devices = {os.stat(path).st_dev: (name, path) for name, path in places.items()}
    for name, path in devices.values():
        disk, inodes = shutil.disk_usage(path), os.statvfs(path)
        text = f"{disk.free / 2**30:,.1f} GiB of {disk.total / 2**30:,.1f} for the {name}"
        if disk.free < LITTLE_BYTES:
            yield (WARN if disk.free else FAIL), text, "mlx gc removes what nothing needs"
        elif inodes.f_files and not inodes.f_favail:
            yield FAIL, f"no more files can be made for the {name}", "remove some small files"
        else:
            yield OK, text, ""


def _nearest(path: str) -> str:
    """Return the nearest folder above a path, or itself, that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


# what is left of earlier commands


def _stat_cache(repo: Repo) -> Iterator[Finding]:
    path = repo.worktree_file("stat.sqlite")
    try:
        with open(path, "rb") as stream:
            head = stream.read(16)
    except FileNotFoundError:
        yield OK, "none yet", ""
        return
    if head and head != b"SQLite format 3\0":
        yield WARN, "it is damaged; the next command makes a new one", ""
    elif not os.access(path, os.W_OK):
        yield WARN, f"{display(path)} is not writable for you", "every file is read at each command"
    else:
        yield OK, f"{os.path.getsize(path):,} bytes", ""


def _unfinished(repo: Repo) -> Iterator[Finding]:
    found: list[Finding] = []
    move = read_move(repo)
    if move is not None:
        found.append((WARN, f"a move of {display(move.old)} was cut off", move.hint(repo)))
    store_move = read_store_move(repo)
    if store_move is not None:
        found.append((WARN, "a move of the store was cut off", store_move.hint))
    if list_folder(repo.worktree_file(MANIFESTS_FOLDER)):
        found.append((WARN, "a run is on its way, or was killed", "mlx repro puts its outs back"))
    first = repo.shared()
    if first != repo.store.root and any(list_folder(os.path.join(first, name)) for name in HOLDING):
        advice = f"mlx store move {display(repo.store.root)} takes them in"
        found.append(
            (WARN, f"objects lie in {display(first)}, which is no longer the store", advice)
        )
    yield from found or [(OK, "nothing", "")]


def _leftovers(repo: Repo) -> Iterator[Finding]:
    folders = {repo.root, repo.store.root, repo.store.temp}
    folders |= {repo.full(os.path.dirname(item.path)) for item in repo.observed.tracked()}
    left = [
        os.path.join(folder, name)
        for folder in sorted(folders)
        for name in list_folder(folder)
        if name.startswith(TEMP_PREFIX)
    ]
    size = sum(os.lstat(path).st_size for path in left if stat.S_ISREG(os.lstat(path).st_mode))
    if left:
        yield (
            OK,
            f"{len(left)} temporary files ({size:,} bytes)",
            "the next writer there removes them",
        )
    else:
        yield OK, "no temporary files", ""
