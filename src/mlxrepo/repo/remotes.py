"""Which remotes there are: those of mlx.yaml, and over them those of git's settings, by name."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from mlxrepo.errors import CannotDecide, InputError, Where
from mlxrepo.nearest import nearest
from mlxrepo.paths import display
from mlxrepo.repo.grammar import check_name
from mlxrepo.repo.layout import PROJECT_FILE, REMOTES_FOLDER
from mlxrepo.repo.repo import Repo
from mlxrepo.store.opening import is_protocol, open_door
from mlxrepo.store.refusals import has_password, hide, shown_url
from mlxrepo.store.remote import Remote

OPTIONS = ("endpoint", "region", "profile", "anonymous", "timeout")
# Only where no repository can put them: in the user's own settings. A password would be told to
# any host that a cloned mlx.yaml names, so it is for URLs that stand in git's settings, too.
SECRETS = ("access_key_id", "secret_access_key", "session_token", "password")
GIT, YAML = "git config", PROJECT_FILE


class RemoteSpec(NamedTuple):
    """A remote as it is configured; `source` says where its URL stands.

    One with a `fault` can be listed and forgotten, and nothing else.
    """

    name: str
    url: str
    options: Mapping[str, str]
    source: str
    fault: InputError | None = None
    secrets: Mapping[str, str] = {}

    @property
    def shown(self) -> str:
        """Its URL as it may be printed."""
        return shown_url(self.url)


def specs(repo: Repo) -> dict[str, RemoteSpec]:
    """Return every remote by name, sorted; what is wrong with one is its `fault`.

    Raises:
        InputError: when remotes stand in the mlx.yaml of a folder.
    """
    keys: dict[str, dict[str, str]] = {}
    sources: dict[str, str] = {}
    faults: dict[str, InputError] = {}
    for name, given, where in _declared(repo):
        try:
            check_shareable(given, where)
        except InputError as error:
            faults[name] = error
        keys[name], sources[name] = dict(given), YAML
    secrets: dict[str, dict[str, str]] = {}
    for name, key, value, is_secret in _configured(repo):
        if is_secret:
            secrets.setdefault(name, {})[key] = value
            continue
        keys.setdefault(name, {})[key] = value
        if key == "url":
            sources[name] = GIT
        fault = _fault_of_setting(name, key, value)
        if fault:
            faults.setdefault(name, fault)
    found = {}
    for name in sorted(keys):
        url = keys[name].get("url", "")
        if not url:
            faults.setdefault(name, _without_url(name))
        options = {key: value for key, value in keys[name].items() if key in OPTIONS}
        source, hidden = sources.get(name, GIT), secrets.get(name, {})
        if "password" in hidden and source != GIT:
            faults.setdefault(name, _password_for_anyone(name))
        found[name] = RemoteSpec(name, url, options, source, faults.get(name), hidden)
    return found


def _without_url(name: str) -> InputError:
    return InputError(
        f'the remote "{name}" has no URL', hint=f"git config mlx.remote.{name}.url URL"
    )


def _password_for_anyone(name: str) -> InputError:
    return InputError(
        f'the remote "{name}" has a password, and its URL stands in {PROJECT_FILE}, which others '
        "can change to a host of theirs",
        hint=f"git config mlx.remote.{name}.url URL, to say which host may have it",
    )


def _fault_of_setting(name: str, key: str, value: str) -> InputError | None:
    setting = f"mlx.remote.{name}.{key.replace('_', '-')}"
    if key in SECRETS:
        return InputError(
            f"the setting {setting} is a secret, and stands in this repository's settings",
            hint=f"git config --unset {setting}, and git config --global {setting} VALUE",
        )
    if key not in ("url", *OPTIONS):
        return InputError(
            f"the setting {setting} is none of mlx",
            hint=f"a remote has url, {', '.join(OPTIONS)}; secrets belong into the "
            "environment, or as "
            f"{', '.join(SECRETS).replace('_', '-')} into git config --global: "
            f"git config --unset {setting}",
        )
    if is_public(key, value):
        return None
    return InputError(
        f"the setting {setting} holds a secret: {shown_url(value)}",
        hint=f"mlx remote rm {name}, and add it without; secrets belong into the environment, or "
        "where your cloud keeps them",
    )


def _declared(repo: Repo) -> list[tuple[str, dict[str, str], Where]]:
    found = []
    for file in repo.declared.files:
        for remote in file.remotes:
            if file.path != PROJECT_FILE:
                raise InputError(
                    f"remotes stand in the {PROJECT_FILE} at the root", where=remote.where
                )
            keys = {key: _text(value) for key, value in remote.keys if key != "default"}
            found.append((remote.name, keys, remote.where))
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _configured(repo: Repo) -> list[tuple[str, str, str, bool]]:
    """Return name, key, value and whether it is a secret in its place, of remotes' settings."""
    found = []
    for setting in repo.settings.names():
        if setting.startswith("remote.") and setting.count(".") > 1:
            name, _, key = setting[7:].rpartition(".")
            own = is_own_secret(repo, setting)
            found.append((name, key.replace("-", "_"), repo.settings.get(setting), own))
    return found


def is_own_secret(repo: Repo, setting: str) -> bool:
    """Say whether a setting such as `remote.NAME.password` is a secret where one may stand."""
    key = setting.rpartition(".")[2].replace("-", "_")
    return key in SECRETS and repo.settings.is_of_user(setting)


def chosen(repo: Repo, name: str | None = None) -> RemoteSpec:
    """Return the remote called `name`, or the default one.

    Raises:
        InputError: when there is none of that name, for a secret in it, an option that there is
            not, or one of mlx.yaml that only this machine could reach.
        CannotDecide: when there is no remote, or several and none is the default.
    """
    spec = named(repo, name)
    if spec.fault:
        raise spec.fault
    return spec


def named(repo: Repo, name: str | None) -> RemoteSpec:
    """Return the remote that `chosen` does, whatever is wrong with it.

    Raises:
        InputError, CannotDecide: as `chosen`, for the name.
    """
    known = specs(repo)
    name = name or default_name(repo, known)
    if name is None:
        if not known:
            raise CannotDecide("there is no remote yet", hint="mlx remote add origin URL")
        raise CannotDecide(
            f"there are several remotes: {', '.join(known)}",
            hint="say which with -r NAME, or mlx remote default NAME",
        )
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near}?" if near else "mlx remote list"
        raise InputError(f'there is no remote "{display(name)}"', hint=hint)
    return known[name]


def default_name(repo: Repo, known: Mapping[str, RemoteSpec]) -> str | None:
    """Return the name of the default remote: git's setting, mlx.yaml's, or the only one."""
    setting = repo.settings.get("remote")
    if setting:
        return setting
    flagged = [
        remote.name
        for file in repo.declared.files
        for remote in file.remotes
        if ("default", True) in remote.keys
    ]
    if len(flagged) > 1:
        raise InputError(f"{' and '.join(flagged)} are both the default remote of {PROJECT_FILE}")
    return flagged[0] if flagged else next(iter(known)) if len(known) == 1 else None


def opened(repo: Repo, spec: RemoteSpec) -> Remote:
    """Open a remote.

    Raises:
        InputError: when something is wrong with it, or nothing here speaks its protocol.
    """
    if spec.fault:
        raise spec.fault
    url = spec.url
    if "://" not in url:
        url = os.path.expanduser(url)
        if not os.path.isabs(url):
            raise InputError(
                f'the remote "{spec.name}" is at "{display(url)}"; it has to be an absolute path',
                hint=f'git config mlx.remote.{spec.name}.url "$PWD/{url}"',
            )
    cache = repo.shared(REMOTES_FOLDER, spec.name)
    for value in spec.secrets.values():
        hide(value)
    return Remote(spec.name, open_door(url, {**spec.options, **spec.secrets}), cache)


# what may stand where


def is_local(keys: Mapping[str, str]) -> bool:
    """Say whether only this machine, or its link, can reach a remote."""
    url = keys.get("url", "")
    if "://" not in url or url.startswith(("file:", "local:", "memory:")):
        return True
    places = [keys["endpoint"]] if keys.get("endpoint") else []
    if not url.startswith(("s3://", "s3a://", "gs://", "gcs://", "az://", "abfs://")):
        places.append(url)  # a bucket is no host
    return any(_is_near(urlsplit(place).hostname or "") for place in places)


def _is_near(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local")):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local or address.is_unspecified


def check_shareable(keys: Mapping[str, str], where: Where | None) -> None:
    """Check that a remote may stand in a committed file.

    Raises:
        InputError: when it holds a secret, or nobody else could reach it.
    """
    check_no_secret(keys, where)
    if is_local(keys):
        raise InputError(
            f'"{shown_url(keys.get("endpoint") or keys["url"])}" is only there for this machine',
            hint="take it out and let git's settings keep it: mlx remote add NAME URL",
            where=where,
        )


def check_no_secret(keys: Mapping[str, str], where: Where | None) -> None:
    """Check that neither URL nor endpoint holds a secret.

    Raises:
        InputError: when one does; the message does not show it.
    """
    for key in ("url", "endpoint"):
        if holds_secret(keys.get(key, "")):
            raise InputError(
                f"the {key} {shown_url(keys[key])} holds a secret",
                hint="secrets belong into the environment, or where your cloud keeps them",
                where=where,
            )


def holds_secret(url: str) -> bool:
    """Say whether a URL holds a password, or a query: nothing but secrets stands there."""
    return "://" in url and ("?" in url or has_password(url))


def is_public(setting: str, value: str) -> bool:
    """Say whether the value of a setting such as `remote.NAME.url` is none that is kept secret."""
    return setting.rpartition(".")[2] in ("url", *OPTIONS) and not holds_secret(value)


def check_new(name: str, keys: Mapping[str, str]) -> None:
    """Check the name and the URL, as it was typed, of a remote that is to be added.

    Raises:
        InputError: when it cannot be.
    """
    check_name(name, "remote")
    check_no_secret(keys, None)
    url = keys.get("url", "")
    if not url.strip():
        raise InputError("a remote needs a URL", hint=f"mlx remote add {name} s3://bucket/folder")
    slip = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.@-]*):/*(.*)", url, re.DOTALL)
    if "://" in url:
        _check_address(url)
    elif slip:
        start, rest = slip.groups()
        meant = f"{start}://{rest}" if is_protocol(start) else f"sftp://{start}/{rest}"
        raise InputError(
            f"{display(url)} is neither a URL nor the path of a folder",
            hint=f"did you mean {display(meant)}?",
        )


def _check_address(url: str) -> None:
    protocol, _, rest = url.partition("://")
    if not is_protocol(protocol):
        known = ["s3", "sftp", "gs", "az", "abfs", "https", "file"]
        near = nearest(protocol, known)
        raise InputError(
            f"nothing speaks {display(protocol)}:// of {display(shown_url(url))}",
            hint=f"did you mean {near}://?" if near else "s3://, sftp://, gs://, az://, https://",
        )
    if protocol not in ("file", "local", "memory") and not rest.split("/")[0]:
        raise InputError(
            f"{display(url)} names neither a bucket nor a host",
            hint=f"{protocol}://BUCKET-OR-HOST/folder",
        )
