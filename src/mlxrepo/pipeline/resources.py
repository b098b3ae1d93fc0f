"""Resources: how much of each counter this machine has, and what a stage takes of it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from functools import partial

from mlxrepo.errors import InputError
from mlxrepo.pipeline.schedule import JOBS, ONE_JOB, Demand
from mlxrepo.repo.settings import Settings
from mlxrepo.repo.stage import NOTHING, Stage

GPU = "gpu -"  # no counter of a user's has a space in its name
CPU, MEM = "cpu", "mem"
_UNLIMITED = 1 << 60  # what cgroups of version 1 say when nothing is limited


def totals(stages: Iterable[Stage], settings: Settings, jobs: int, gpus: int) -> dict[str, float]:
    """Return how much there is of each counter that the stages name.

    `git config mlx.resource.NAME` decides; else cores and memory are the machine's, and of another
    counter there is as much as the stage takes that takes most.

    Raises:
        InputError: when a setting is no number.
    """
    largest: dict[str, float] = {}
    mutexes: set[str] = set()
    for stage in stages:
        mutexes.update(stage.resources.mutexes)
        for name, amount in stage.resources.counters:
            largest[name] = max(amount, largest.get(name, 0))
    machine = {CPU: cores, MEM: memory}
    found: dict[str, float] = {JOBS: jobs, GPU: gpus, **{_mutex(name): 1 for name in mutexes}}
    for name, amount in largest.items():
        chosen = settings.amount(f"resource.{name.replace('_', '-')}")
        found[name] = machine.get(name, partial(float, amount))() if chosen is None else chosen
    return found


def demand(stage: Stage, there: dict[str, float]) -> tuple[Demand, tuple[str, ...]]:
    """Return what a stage takes, and notes about what it asks for and cannot have.

    A stage that asks for more of a counter than there is runs with nothing else beside it: a
    pipeline is written once, and should also run on the smaller machine. GPUs and mutexes are not
    stretched.

    Raises:
        InputError: when it asks for more GPUs than there are.
    """
    wanted = stage.resources
    if wanted == NOTHING:
        return ONE_JOB, ()
    if wanted.gpus > there[GPU]:
        raise InputError(
            f"stage {stage.address} asks for {wanted.gpus} GPU{'s' * (wanted.gpus > 1)}, and "
            f"{_here(int(there[GPU]))}",
            hint="run it where there are; mlx asks CUDA_VISIBLE_DEVICES, then the driver",
            where=stage.where,
        )
    notes = tuple(
        f"it asks for {shown(name, amount)} of {name} and there is {shown(name, there[name])}: "
        "it runs alone"
        for name, amount in wanted.counters
        if amount > there[name]
    )
    amounts: dict[str, float] = {_mutex(name): 1 for name in wanted.mutexes}
    amounts |= {name: min(amount, there[name]) for name, amount in wanted.counters}
    if wanted.gpus:
        amounts[GPU] = wanted.gpus
    amounts[JOBS] = there[JOBS] if notes else 1
    return Demand(tuple(sorted(amounts.items()))), notes


def shown(name: str, amount: float) -> str:
    """Return an amount as people read it: `mem` in GiB."""
    if name == MEM and amount >= 1 << 20:
        return f"{amount / (1 << 30):.1f} GiB"
    return f"{amount:g}"


def _here(gpus: int) -> str:
    return ["there is none here", "there is one here"][gpus] if gpus < 2 else f"{gpus} are here"


def _mutex(name: str) -> str:
    return f"mutex {name}"


def cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        found = os.cpu_count() or 1
    return max(1, min(found, math.ceil(_cpu_quota())))


def memory() -> float:
    """Return the bytes of memory that this process may use: the machine's, or its cgroup's."""
    machine = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    limits = [
        _number(text)
        for file in ("memory.max", "memory/memory.limit_in_bytes")
        for text in _cgroup_files(file)
    ]
    return min([machine, *(limit for limit in limits if limit < _UNLIMITED)])


def _cpu_quota() -> float:
    found = math.inf
    for text in _cgroup_files("cpu.max"):
        quota, _, period = text.partition(" ")
        found = min(found, _number(quota) / max(1.0, _number(period)))
    return found if math.isfinite(found) else 1e6


def _cgroup_files(file: str) -> list[str]:
    """Return a file of this process's cgroup and of those above it; `memory/` is of version 1."""
    controller, slash, name = file.rpartition("/")
    found = []
    for row in _read("/proc/self/cgroup").splitlines():
        number, controllers, path = [*row.split(":", 2), "", ""][:3]
        if (controller in controllers.split(",")) if slash else (number == "0"):
            base = f"/sys/fs/cgroup/{controller}".rstrip("/")
            folders = [part for part in path.split("/") if part]
            for depth in range(len(folders) + 1):
                found.append(_read("/".join([base, *folders[:depth], name])).strip())
    return [text for text in found if text]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.inf  # "max"


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
