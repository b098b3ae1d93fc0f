"""The console entry: answers at once what has to be quick, hands all else to the screen floor."""

import gc
import sys


def main() -> None:
    """Run mlx on the process's own arguments and exit with its code.

    `--version` is answered before click is imported: it is what editors and scripts ask first. So
    is `lock text`, which git runs for each version of an mlx.lock that it shows.
    """
    if sys.argv[1:] == ["--version"]:
        from mlxrepo import __version__

        print(f"mlx {__version__}")
        return
    if sys.argv[1:3] == ["lock", "text"] and len(sys.argv) == 4 and sys.argv[3][:1] != "-":
        from mlxrepo.cli.locktext import print_text

        sys.exit(print_text(sys.argv[3]))
    # A command makes many small values and few circles: looking for those costs a tenth of it.
    gc.set_threshold(100_000, 50, 50)
    try:
        from mlxrepo.cli.main import main as screen

        screen()
    except KeyboardInterrupt:
        # Ctrl-C before the screen could take care of it, or while it ended.
        sys.exit(130)
    finally:
        # The interpreter looks for circles once more as it ends; nothing is gained by that.
        gc.freeze()


def forget_cwd() -> None:
    """Take the current folder off the import path, where `python -m` puts it.

    A project may hold a `click.py` or a `yaml.py`; they are the user's data, not ours to run.
    """
    if not sys.flags.safe_path and sys.path:
        del sys.path[0]


if __name__ == "__main__":
    forget_cwd()
    main()
