"""`mlx stage`: declare stages and list them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mlxrepo.cli import render
from mlxrepo.cli.console import emit_json, out, say
from mlxrepo.cli.options import Group, Misuse
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.tables import table
from mlxrepo.commands.stage import NewStage, Written, add, stages
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Out, Stage


class _StageGroup(Group):
    """The group, which git's people may take for `git stage`."""

    def advise(self, ctx: click.Context, args: list[str]) -> str | None:
        """Say what was probably meant by a word that is none of the two commands."""
        return super().advise(ctx, args) or "git stages; `mlx add` records data"


@click.group(
    "stage",
    cls=_StageGroup,
    examples=[
        ("mlx stage list", "every stage and what it makes"),
        ("mlx stage add --name prepare -o out.csv python prepare.py", "a stage more"),
    ],
)
def command() -> None:
    """Declare stages and list them.

    Stages stand in mlx.yaml; an editor does as well as `mlx stage add`.
    """


_Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _paths(*names: str, help: str) -> _Decorator:
    return click.option(*names, multiple=True, metavar="PATH", help=help)


@command.command(
    "add",
    examples=[
        (
            "mlx stage add --name train -d train.py -p lr -o model.pkl python train.py",
            "what it reads, what it writes, what it runs",
        ),
        (
            "mlx stage add --name init -o logs 'mkdir -p logs; date >logs/on'",
            "a line for the shell",
        ),
        ("mlx stage add --name eval -d m.pkl -M m.json --run python eval.py", "and run it"),
    ],
)
@click.argument("words", metavar="COMMAND", nargs=-1, type=click.UNPROCESSED)
@click.option("--name", help="Name of the stage.")
@_paths("-d", "--deps", help="A file or folder that it reads.")
@click.option(
    "-p", "--params", multiple=True, metavar="[FILE:]KEYS", help="Values that it reads: key,key."
)
@_paths("-o", "--outs", help="A file or folder that it writes.")
@_paths("-O", "--outs-no-cache", help="The same, kept by git and not by mlx.")
@_paths("--outs-persist", help="The same, left in place while it runs.")
@_paths("--outs-persist-no-cache", help="Both.")
@_paths("-M", "--metrics-no-cache", "--metrics", "metrics", help="A metrics file, kept by git.")
@_paths("--plots-no-cache", "--plots", "plots", help="A file of plots, kept by git.")
@click.option("-w", "--wdir", metavar="DIR", help="Where the command runs; default: here.")
@click.option("--desc", metavar="TEXT", help="What it does, for people.")
@click.option("--always-changed", is_flag=True, help="Run it each time.")
@click.option("--force", is_flag=True, help="Take the place of a stage of this name.")
@click.option("-n", "--dry-run", is_flag=True, help="Show the entry, and write nothing.")
@click.option("--run", is_flag=True, help="Run it then, as `mlx repro` does.")
@click.pass_context
def add_command(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    name: str | None,
    force: bool,
    dry_run: bool,
    run: bool,
    **given: Any,
) -> None:
    """Write a stage into mlx.yaml.

    The options stand before the command. Paths are meant from where you stand. The stage goes
    behind the others in the mlx.yaml of this folder, or the nearest above; comments stay.
    """
    screen: Screen = ctx.obj
    if not name:
        raise Misuse("the stage has no name", "--name NAME; -n is --dry-run here as anywhere", ctx)
    with Repo.open(screen.cwd) as repo:
        done = add(repo, NewStage(name, words, **given), force=force, dry_run=dry_run)
        next_step = render.next_step(repo.root, done.to_commit) if done.to_commit else ""
    _show(screen, done, dry_run)
    if run and not dry_run:
        from mlxrepo.cli.repro import command as repro

        ctx.invoke(repro, targets=(done.address,))
    elif next_step:
        say(screen, next_step)


# What follows the first word of the command belongs to it.
add_command.allow_interspersed_args = False


def _show(screen: Screen, done: Written, dry_run: bool) -> None:
    if screen.json:
        document = {
            "stage": done.address,
            "file": done.file,
            "replaced": done.replaced,
            "to_commit": list(done.to_commit),
        }
        emit_json("stage add", document)
        return
    if dry_run:
        out("\n".join(done.lines))
        return
    word = "replaced" if done.replaced else "added"
    out(f"{word} stage {display(done.address)} in {display(done.file)}")


@command.command(
    "list",
    examples=[
        ("mlx stage list", "all of them"),
        ("mlx stage list train", "one, or those of a foreach or matrix"),
        ("mlx stage list --name-only 'train@*'", "names for a script"),
    ],
)
@click.argument("targets", nargs=-1)
@click.option("--name-only", is_flag=True, help="Print names and nothing else.")
@click.pass_obj
def list_command(screen: Screen, targets: tuple[str, ...], name_only: bool) -> None:
    """List stages, each with what it is for or what it makes."""
    with Repo.open(screen.cwd) as repo:
        found = stages(repo, targets)
    if screen.json:
        emit_json("stage list", {"stages": [_document(stage) for stage in found]})
    elif name_only:
        for stage in found:
            out(display(stage.address))
    elif found:
        out(table([[display(stage.address), _about(stage)] for stage in found]))
    else:
        out("mlx.yaml declares no stage")


def _about(stage: Stage) -> str:
    """Return what DVC says of a stage: its description, or what it makes, or what it reads."""
    if stage.desc:
        return display(stage.desc.splitlines()[0])
    made = _paths_of(out for out in stage.outs if out.kind == "out")
    told = _paths_of(out for out in stage.outs if out.kind != "out")
    parts = [f"Outputs {made}"] if made else []
    parts += [f"Reports {told}"] if told else []
    if not parts and stage.deps:
        parts = [f"Depends on {render.names(dep.path for dep in stage.deps)}"]
    return "; ".join(parts) or "No outputs or dependencies"


def _paths_of(outs: Any) -> str:
    return render.names([out.path for out in outs])


def _document(stage: Stage) -> dict[str, Any]:
    return {
        "stage": stage.address,
        "group": stage.group or None,
        "file": stage.file,
        "line": stage.where.line,
        "desc": stage.desc,
        "cmd": list(stage.cmd),
        "wdir": stage.wdir,
        "deps": [dep.path for dep in stage.deps],
        "params": [{"file": ref.file, "key": ref.key} for ref in stage.params],
        "outs": [_out(out) for out in stage.outs],
        "frozen": stage.frozen,
        "always_changed": stage.always_changed,
    }


def _out(out: Out) -> dict[str, Any]:
    return {"path": out.path, "kind": out.kind, "cache": out.cache, "persist": out.persist}
