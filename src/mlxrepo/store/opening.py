"""Opening the right door for a URL; what a remote's protocol needs is loaded then."""

from __future__ import annotations

from collections.abc import Mapping

from mlxrepo.store.door import Door


def open_door(url: str, options: Mapping[str, str]) -> Door:
    """Open the door to `url`: an absolute path, or a URL that fsspec knows.

    Raises:
        InputError: when nothing here speaks its protocol.
    """
    if "://" not in url:
        from mlxrepo.store.folder import Folder

        return Folder(url)
    if url.startswith(("s3://", "s3a://")):
        from mlxrepo.store.s3 import S3

        return S3(url, options)
    if url.startswith(("http://", "https://")):
        from mlxrepo.store.http import Http

        return Http(url, options)
    if url.startswith("sftp://"):
        from mlxrepo.store.sftp import Sftp

        return Sftp(url, options)
    from mlxrepo.store.network import Network  # fsspec, only where a remote is asked

    return Network(url, options)


def is_protocol(name: str) -> bool:
    """Say whether URLs that begin with `name` mean something here, installed or not."""
    from mlxrepo.store.network import protocols

    return name in protocols()
