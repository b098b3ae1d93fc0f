"""Good copies from remotes: what a repair asks for when nothing here has them."""

from __future__ import annotations

from collections.abc import Mapping

from mlxrepo.errors import MlxError
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.losses import Loss
from mlxrepo.repo.remotes import default_name, opened, specs
from mlxrepo.repo.repo import Repo
from mlxrepo.store.fetch import Fetch
from mlxrepo.store.inventory import Key
from mlxrepo.store.lease import binary_key
from mlxrepo.store.remote import Remote
from mlxrepo.store.remoteindex import Known


class Afar:
    """All configured remotes, the default one first; each is asked for its indexes once.

    `unreached` says of remotes that could not be asked why, in a sentence.
    """

    def __init__(self, repo: Repo, progress: Progress = SILENT):
        self.unreached: dict[str, str] = {}
        self._repo = repo
        self._progress = progress
        self._open: dict[str, tuple[Remote, Known]] | None = None

    def has(self, keys: Mapping[Key, Loss]) -> dict[Key, str]:
        """Return which of some objects the remotes list, and which remote."""
        found: dict[Key, str] = {}
        for name, (_, known) in self._remotes().items():
            here = (key for key in keys if key not in found and known.has(binary_key(*key)))
            found.update(dict.fromkeys(here, f"the remote {name}"))
        return found

    def get(self, keys: Mapping[Key, Loss]) -> dict[Key, str]:
        """Fetch objects, hash them, publish them in the store; return where each came from.

        A remote that cannot be asked, or has other bytes, is passed over for the next one.
        """
        found: dict[Key, str] = {}
        for name, (remote, known) in self._remotes().items():
            wanted = {
                binary_key(*key): (loss.size, loss.needs[0].path if loss.needs else "")
                for key, loss in keys.items()
                if key not in found and known.has(binary_key(*key))
            }
            if not wanted:
                continue
            work = Fetch(
                self._repo.store, remote, known,
                jobs=remote.door.jobs, progress=self._progress,
            )  # fmt: skip
            try:
                work.only(wanted)
            except MlxError as error:
                self.unreached[name] = str(error)
            self._repo.store.refresh()
            for key in keys:
                if binary_key(*key) in wanted and self._repo.store.has(*key):
                    found.setdefault(key, f"the remote {name}")
        return found

    def _remotes(self) -> dict[str, tuple[Remote, Known]]:
        if self._open is None:
            self._open = {}
            try:
                known = specs(self._repo)
                first = default_name(self._repo, known)
            except MlxError as error:  # mlx.yaml or a setting is wrong
                self.unreached[""] = str(error)
                return self._open
            for name in sorted(known, key=lambda name: (name != first, name)):
                try:
                    remote = opened(self._repo, known[name])
                    self._open[name] = remote, remote.known(condemned=True, damaged=[])
                except MlxError as error:
                    self.unreached[name] = str(error)
        return self._open
