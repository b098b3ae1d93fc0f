"""Every file name mlx owns, once."""

from __future__ import annotations

PROJECT_FILE = "mlx.yaml"
LOCK_FILE = "mlx.lock"
IGNORE_FILE = ".mlxignore"
PARAMS_FILE = "params.yaml"

# What git has to keep: none of these can be data.
KEPT_BY_GIT = frozenset(
    (PROJECT_FILE, LOCK_FILE, IGNORE_FILE, ".gitignore", ".gitattributes", ".gitmodules")
)

# In the common git dir, shared by worktrees.
STORE_FOLDER = "mlx"
ACTIONS_FOLDER = "actions"
RUNS_FOLDER = "runs"
TRASH_FOLDER = "trash"
REMOTES_FOLDER = "remotes"

# In the git dir of each worktree.
WORKTREE_FOLDER = "mlx/worktree"
STAT_CACHE = "stat.sqlite"
PLACED_FILE = "placed.json"
MUTEX_FILE = "mutex"
PLOTS_FILE = "plots.html"
CLAIMS_FOLDER = "claims"
MANIFESTS_FOLDER = "aside"

# In the folder of runs, and in that of one run.
ENVIRONMENTS_FOLDER = "environments"
SIZES_FILE = "sizes.json"
JOURNAL_FILE = "run.jsonl"
ALIVE_FILE = "alive"
LOG_FILE = "log"
FAILED_FOLDER = "failed"

GITATTRIBUTES_LINE = "mlx.lock -text merge=mlx diff=mlx"


def stage_folder(address: str) -> str:
    """Return the name of a stage's folder in that of a run."""
    return address.replace("/", "__").replace(":", "__")
