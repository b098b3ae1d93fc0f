"""Play the main job on real data, from an empty folder to a proven way back.

    python examples/digits/run.py [FOLDER]

FOLDER must be empty or absent; without it a temporary folder is made and kept. Every command is
printed as it would be typed. The exit status is 0 only if each step did what it should.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
STAGES = ("prepare", "featurize", "train", "evaluate")

# The sentence each script prints: the evidence, independent of mlx, that its command ran.
SAID = {
    "prepare": r"\d+ images checked",
    "featurize": r"\d+ features computed",
    "train": r"\d+ trees grown",
    "evaluate": r"\d+ images judged",
}


def fail(why: str) -> NoReturn:
    """End with a clear word."""
    sys.stdout.flush()
    raise SystemExit(f"\nexamples/digits: FAILED: {why}")


def environment() -> dict[str, str]:
    """Return the environment of every command: this Python first, no settings of the user's git."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{role}_NAME": "A. Reader", f"GIT_{role}_EMAIL": "reader@example.invalid"}
    return env


class Shell:
    """Runs commands in one folder and shows them like a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = environment()

    def run(self, *command: str) -> str:
        """Show and run one command; return what it printed. Ends the example when it fails."""
        print(f"\n$ {shlex.join(command)}", flush=True)
        program = shutil.which(command[0], path=self.env["PATH"])
        if program is None:
            fail(f"there is no `{command[0]}` on the PATH")
        done = subprocess.run(
            [program, *command[1:]],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        print(done.stdout, end="", flush=True)
        if done.returncode != 0:
            fail(f"`{shlex.join(command)}` ended with exit status {done.returncode}")
        return done.stdout

    def repro(self, *expected: str) -> None:
        """Run `mlx repro` and check that the commands of exactly these stages ran."""
        output = self.run("mlx", "repro")
        ran = tuple(stage for stage in STAGES if re.search(SAID[stage], output))
        if ran != expected:
            fail(f"expected to run: {', '.join(expected) or 'nothing'}; ran: {', '.join(ran)}")


def say(text: str) -> None:
    """Print a remark between the commands, as a comment in a shell."""
    print(f"\n# {text}", flush=True)


def empty_folder(arguments: list[str]) -> Path:
    """Return the folder to play in, made if need be."""
    if len(arguments) > 1 or any(text.startswith("-") for text in arguments):
        raise SystemExit("usage: python examples/digits/run.py [FOLDER]")
    if not arguments:
        return Path(tempfile.mkdtemp(prefix="mlx-digits-")).resolve()
    folder = Path(arguments[0]).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        fail(f"{folder} is not an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def copy_data(folder: Path) -> None:
    """Unpack the digits that scikit-learn ships as a plain CSV file."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        fail("scikit-learn is not installed: pip install 'mlxrepo[example]'")
    packed = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    (folder / "data").mkdir()
    (folder / "data" / "digits.csv").write_bytes(gzip.decompress(packed.read_bytes()))
    print("\n$ gunzip -c …/sklearn/datasets/data/digits.csv.gz > data/digits.csv", flush=True)


def copy_project(folder: Path) -> None:
    """Put the scripts, the params and the declared stages into the project."""
    print("\n$ cp -R …/examples/digits/{src,params.yaml,mlx.yaml} .", flush=True)
    shutil.copytree(HERE / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "mlx.yaml"):
        shutil.copyfile(HERE / name, folder / name)


def edit(path: Path, old: str, new: str) -> None:
    """Replace one piece of text, as an editor would."""
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        fail(f"{path.name} does not hold {old!r} exactly once")
    path.write_text(text.replace(old, new), encoding="utf-8")
    print(f"\n$ $EDITOR {path.name}      # {old!r} becomes {new!r}", flush=True)


def read_lock(text: str) -> dict[str, Any]:
    """Return the records of an mlx.lock by name (a header, then name and record in turn)."""
    header, *rest = [json.loads(line) for line in text.splitlines() if line.strip()]
    if header.get("oid") != "blake3":
        fail(f"mlx.lock names its objects by {header.get('oid')}, not by blake3")
    return dict(zip(rest[::2], rest[1::2], strict=True))


def recorded_files(records: dict[str, Any]) -> dict[str, str]:
    """Return path -> oid of every file that a lock says the project consists of."""
    data = [record for name, record in records.items() if not name.startswith("stage:")]
    outs = [out for name in STAGES for out in records[f"stage:{name}"]["outs"]]
    return {entry["path"]: entry["oid"] for entry in data + outs}


def recorded_metrics(records: dict[str, Any]) -> dict[str, float]:
    """Return the numbers that a lock holds for the evaluation."""
    metrics: dict[str, float] = records["stage:evaluate"]["metrics"]["metrics.json"]
    return metrics


def differing(a: dict[str, str], b: dict[str, str]) -> set[str]:
    """Return the paths whose oids differ."""
    return {path for path in a.keys() | b.keys() if a.get(path) != b.get(path)}


def first_model(shell: Shell) -> dict[str, Any]:
    """Start the project, run all four stages, commit; return the records of the lock."""
    shell.run("git", "init", "-q", "-b", "main")
    shell.run("mlx", "init")
    copy_data(shell.folder)
    shell.run("mlx", "add", "data/digits.csv")
    copy_project(shell.folder)
    say("Four stages have never run, so four stages run.")
    shell.repro(*STAGES)
    shell.run("git", "add", "-A")
    shell.run("git", "commit", "-q", "-m", "first model")
    say("Nothing has changed, so nothing runs.")
    shell.repro()
    return read_lock((shell.folder / "mlx.lock").read_text(encoding="utf-8"))


def second_model(shell: Shell) -> dict[str, Any]:
    """Change a param and a comment, compare, commit; return the records of the lock."""
    say("A param of `train` changes: its stage runs, and what the change reaches.")
    edit(shell.folder / "params.yaml", "trees: 5 ", "trees: 80")
    shell.repro("train", "evaluate")
    shell.run("mlx", "metrics", "diff")
    shell.run("mlx", "plots", "diff", "--text")
    say("Only a comment changes: `prepare` runs, its bytes are equal, so the wave ends there.")
    edit(shell.folder / "src" / "prepare.py", "SIDE = 8\n", "SIDE = 8  # pixels\n")
    shell.repro("prepare")
    shell.run("git", "commit", "-q", "-a", "-m", "more trees")
    return read_lock((shell.folder / "mlx.lock").read_text(encoding="utf-8"))


def way_back(shell: Shell, first: dict[str, Any]) -> dict[str, str]:
    """Check out the first commit and what it records; return the oids of the files found then."""
    say("Back to the first commit: git brings code and params, mlx brings data and models.")
    shell.run("git", "-c", "advice.detachedHead=false", "checkout", "-q", "HEAD~1")
    shell.run("mlx", "checkout")
    shell.run("mlx", "status", "--exit-code")
    if shell.run("git", "status", "--porcelain").strip():
        fail("git sees changes after `mlx checkout`")
    now = read_lock((shell.folder / "mlx.lock").read_text(encoding="utf-8"))
    if now != first:
        fail("mlx.lock is not the one of the first commit")
    found = {path: blake3_of(shell.folder / path) for path in recorded_files(first)}
    say("And `mlx repro` agrees that there is nothing to do.")
    shell.repro()
    return found


def blake3_of(path: Path) -> str:
    """Hash a file without mlx."""
    import blake3

    return blake3.blake3(path.read_bytes()).hexdigest() if path.is_file() else "(no such file)"


def compare(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Print the metrics of both commits; ends the example if they differ nowhere."""
    old, new = recorded_metrics(first), recorded_metrics(second)
    print("\nMetrics of the two commits, from their mlx.lock")
    print(f"  {'':<12}{'first model':>12}{'more trees':>12}")
    for name in old:
        print(f"  {name:<12}{old[name]:>12}{new[name]:>12}")
    if old["accuracy"] == new["accuracy"]:
        fail("more trees made no difference to the accuracy")


def prove(first: dict[str, Any], found: dict[str, str]) -> None:
    """Print recorded and recomputed oids side by side; ends the example where they differ."""
    print("\nProof: what the first commit recorded, and BLAKE3 of the files that `mlx checkout`")
    print("put back, recomputed without mlx")
    for path, oid in recorded_files(first).items():
        word = "equal" if found[path] == oid else "DIFFERENT"
        print(f"  {oid[:12]}…  {found[path][:12]}…  {word}  {path}")
    wrong = differing(recorded_files(first), found)
    if wrong:
        fail(f"not what the first commit recorded: {', '.join(sorted(wrong))}")


def main() -> None:
    """Play every step in order."""
    folder = empty_folder(sys.argv[1:])
    print(f"$ cd {shlex.quote(str(folder))}", flush=True)
    shell = Shell(folder)
    first = first_model(shell)
    second = second_model(shell)
    changed = differing(recorded_files(first), recorded_files(second))
    if changed != {"models/forest.joblib", "metrics.json", "confusion.csv"}:
        fail(f"more trees should change model, metrics and plot; changed: {sorted(changed)}")
    found = way_back(shell, first)
    compare(first, second)
    prove(first, found)
    print("\nData, features and model of the first commit are back, byte for byte.")
    print("The project is yours to play on with; it stands at the first commit:")
    print(f'  export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
    print(f"  cd {shlex.quote(str(folder))} && git checkout main && mlx checkout")


if __name__ == "__main__":
    main()
