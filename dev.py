"""Set up everything and run the example or the tests: needs Python 3.11+ and git, nothing else.

    python3 dev.py example [FOLDER]     play the main job on real data, in a new folder
    python3 dev.py test [-- ARGS...]    lint, types and tests; ARGS go to pytest
    python3 dev.py env                  only make or renew the environment

The environment is made in .venv beside this file, or in $MLXREPO_DEV_VENV.
"""

# Read by Pythons that are too old as well, which must get a sentence and no syntax error.
import hashlib
import os
import shutil
import subprocess
import sys
import time

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.abspath(os.environ.get("MLXREPO_DEV_VENV") or os.path.join(ROOT, ".venv"))
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "mlxrepo-dev-stamp")
PIP_INTO_IT = ["pip", "--python", PYTHON]
ELSEWHERE = "not root and not debian and not browser and not nightly"  # .ci/run runs the first 3
UNREACHABLE = ("NewConnectionError", "No matching distribution", "Retrying (", "timed out", "SSL")


def stop(why):
    """End with a clear sentence."""
    sys.stdout.flush()
    sys.exit("dev.py: " + why)


def clean_environment():
    """Return the environment without what would lead Python, pip or git elsewhere."""
    misleading = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX")
    misleading += ("PYTHONDONTWRITEBYTECODE",)  # else every mlx compiles all of itself
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in misleading and not name.startswith("GIT_")
    }
    env["PIP_USER"] = "0"
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return env


def step(what, command, quiet=False):
    """Run one command in the project's folder and say how long it took; return its exit status.

    When `quiet`, what it prints is kept back and returned as the second value.
    """
    print("==> " + what, flush=True)
    begun = time.monotonic()
    pipe = subprocess.PIPE if quiet else None
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environment(),
        stdout=pipe,
        stderr=subprocess.STDOUT if quiet else None,
        check=False,
    )
    word = f"FAILED (exit status {done.returncode})" if done.returncode else "done"
    print(f"    {what}: {word} in {time.monotonic() - begun:.1f} s", flush=True)
    return done.returncode, (done.stdout or b"").decode("utf-8", "replace")


def check_machine():
    """Stop when Python is too old or git is missing."""
    if sys.version_info[:2] < OLDEST:
        newer = [f"python3.{minor}" for minor in range(19, OLDEST[1] - 1, -1)]
        found = next((name for name in newer if shutil.which(name)), None)
        way_out = f"run it with {found}, which is here" if found else "install a newer one"
        wanted, here = ".".join(map(str, OLDEST)), sys.version.split()[0]
        stop(f"needs Python {wanted} or newer, this is {here}; {way_out}.")
    if not shutil.which("git"):
        stop("git is not installed (Debian and Ubuntu: apt install git).")


def identity():
    """Return what the environment was made for: (which place and Python, which requirements)."""
    place = "\n".join((ROOT, VENV, sys.base_prefix, sys.version))
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        return [hashlib.sha256(text).hexdigest() for text in (place.encode(), file.read())]


def make_venv():
    """Make an empty virtual environment that has pip, by whichever way this machine offers."""
    if os.path.isdir(VENV) and os.listdir(VENV):
        if not os.path.exists(STAMP):
            stop(f"{VENV} was not made by dev.py and is left alone; set MLXREPO_DEV_VENV.")
        shutil.rmtree(VENV)
    os.makedirs(VENV, exist_ok=True)
    with open(STAMP, "w"):  # ours from now on, also if this is interrupted
        pass
    ways = (
        ("ensurepip", [["venv", VENV]]),
        ("virtualenv", [["virtualenv", "-q", VENV]]),
        ("pip", [["venv", "--without-pip", VENV], [*PIP_INTO_IT, "install", "-q", "pip"]]),
    )
    for module, commands in ways:
        look = [sys.executable, "-c", "import venv, " + module]
        if subprocess.run(
            look, env=clean_environment(), capture_output=True, check=False
        ).returncode:
            continue
        for command in commands:
            status, said = step("make " + VENV, [sys.executable, "-m", *command], quiet=True)
            if status:
                stop(f"python -m {' '.join(command)} failed:\n{said}")
        return
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    stop(
        "this Python cannot make virtual environments. Debian and Ubuntu keep that in a package:\n"
        f"    apt install {package}\nElsewhere: python3 -m pip install --user virtualenv"
    )


def make_environment():
    """Make or renew the environment; nothing is done when it fits already."""
    wanted, had = identity(), []
    if os.path.exists(STAMP) and os.path.exists(PYTHON):
        with open(STAMP) as file:
            had = file.read().split()
    if had == wanted:
        return
    if had[:1] != wanted[:1]:
        make_venv()
    install = [PYTHON, "-m", "pip", "install", "-q", "-e", ".[dev]"]
    status, said = step("install mlx and what its tests need (a minute)", install, quiet=True)
    if status:
        reach = (
            "pip could not reach its package index, or the index lacks a package. Check the network"
            " and `pip config list`, then run the same command again."
        )
        why = reach if any(word in said for word in UNREACHABLE) else "pip could not install."
        stop(why + "\npip said:\n" + "\n".join(said.strip().splitlines()[-15:]))
    with open(STAMP, "w") as file:
        file.write("\n".join(wanted) + "\n")


def example(arguments):
    """Play the main job on the example's data."""
    script = os.path.join(ROOT, "examples", "digits", "run.py")
    folders = [os.path.abspath(folder) for folder in arguments]
    return step("examples/digits", [PYTHON, script, *folders])[0]


def test(arguments):
    """Run every check; the first that fails ends it."""
    checks = (
        ("ruff check", ["ruff", "check", "."]),
        ("ruff format", ["ruff", "format", "--check", "."]),
        ("mypy", ["mypy", "--strict", "src"]),
        ("pytest", ["pytest", "-n", "2", "-m", ELSEWHERE, *arguments]),
    )
    for what, command in checks:
        status, _ = step(what, [PYTHON, "-m", *command])
        if status:
            return status
    print("\nAll checks passed.")
    return 0


def env(arguments):
    """Say where the environment is."""
    print("The environment is ready: " + VENV)
    return 0


COMMANDS = {"example": example, "test": test, "env": env}


def main(arguments):
    """Run one of the commands."""
    if not arguments or arguments[0] not in COMMANDS:
        print(__doc__.strip())
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    check_machine()
    make_environment()
    rest = arguments[1:]
    return COMMANDS[arguments[0]](rest[1:] if rest[:1] == ["--"] else rest)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
