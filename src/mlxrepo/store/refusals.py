"""What a remote's refusal means: from whatever a library raised to one sentence and a way out.

By names and codes, so that none of the libraries has to be loaded to ask. Pure.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.paths import display

_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or log in"
# Codes of S3, names of exceptions -> what it means, what to do.
_MEANINGS: dict[str, tuple[str, str | None]] = {
    "NoCredentialsError": ("wants credentials, and none were found", _CREDENTIALS),
    "PartialCredentialsError": ("wants credentials, and only a part was found", _CREDENTIALS),
    "ProfileNotFound": ("names a profile that is not configured here", "aws configure"),
    "InvalidAccessKeyId": ("does not know these credentials", _CREDENTIALS),
    "SignatureDoesNotMatch": ("does not accept these credentials", _CREDENTIALS),
    "ExpiredToken": ("says that the credentials have expired", "log in again, then the same"),
    "ExpiredTokenException": ("says that the credentials have expired", "log in again"),
    "TokenRefreshRequired": ("says that the credentials have expired", "log in again"),
    "AccessDenied": ("is closed to these credentials", "ask its owner for the right to do this"),
    "403": ("is closed to these credentials", "ask its owner for the right to do this"),
    "RequestTimeTooSkewed": ("finds the clock of this machine wrong", "set the clock, then again"),
    "NoSuchBucket": ("is in a bucket that does not exist", "create the bucket, or mend the URL"),
    "EndpointConnectionError": ("cannot be reached", "is the network there, and the URL right?"),
    "ConnectTimeoutError": ("cannot be reached", "is the network there, and the URL right?"),
    "ConnectionRefusedError": ("cannot be reached", "is the network there, and the URL right?"),
    "ClientConnectorError": ("cannot be reached", "is the network there, and the URL right?"),
    "gaierror": ("cannot be reached: its host has no address", "is the URL right?"),
    "SSLError": ("cannot be trusted: its certificate is not accepted", "is the URL right?"),
    "NotImplementedError": (
        "can only be read through this protocol",
        "push by another URL of the same place: s3://, sftp://",
    ),
    "HostKeyNotVerifiable": (
        "shows a key that is not in ~/.ssh/known_hosts",
        "ssh to that host once, and compare the key with what its owner says",
    ),
    "PermissionDenied": (
        "lets none of your keys in",
        "ssh to that host has to work without a question: ssh-add, or ~/.ssh/config",
    ),
    "SFTPPermissionDenied": ("is closed to you", "ask its owner for the right to do this"),
    "SFTPWriteProtect": ("is read-only", "ask its owner for the right to write"),
    "SFTPNoSpaceOnFilesystem": ("has no space left", "make room there, then again"),
    "SFTPQuotaExceeded": ("has no space left for you", "make room there, then again"),
    "ConnectionLost": ("broke the connection", "again later: what arrived stays"),
    "SFTPConnectionLost": ("broke the connection", "again later: what arrived stays"),
    "ReadTimeoutError": ("stopped answering", "again later: what arrived stays"),
    "BadDigest": (
        "got other bytes than were sent, and refused them (BadDigest)",
        "something between here and there changes them: mlx remote test NAME",
    ),
}
_TRANSIENT = {
    "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionError",
    "ClientConnectorError",
    "ConnectionClosedError", "ConnectionResetError", "ConnectionRefusedError", "HTTPClientError",
    "ResponseStreamingError", "IncompleteRead", "IncompleteReadError", "ClientPayloadError",
    "ServerDisconnectedError", "TimeoutError", "FSTimeoutError", "ResponseParserError",
    "BrokenPipeError", "InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout",
    "Throttling", "ThrottlingException", "TooManyRequests", "XAmzContentSHA256Mismatch",
    "BadDigest", "InvalidDigest", "ConnectionLost", "SFTPConnectionLost", "SFTPNoConnection",
}  # fmt: skip
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_hidden: set[str] = set()  # secrets that came from elsewhere
_NAMED = {"abfs", "abfss", "az", "sftp", "ssh"}  # a user's or a container's name comes first
_BUCKETS = {"abfs", "abfss", "adl", "az", "gcs", "gs", "s3", "s3a"}  # no host, so no port
# No password: only the name of a user may stand before the host.
_PLAIN = re.compile(r"(?:[^/@:]*@)?(?:\[[^]/@]*\]|[^/@:]*)(?P<port>:\d{1,5})?(?:/.*)?", re.DOTALL)
_IN_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://((?:(?![A-Za-z0-9+.-]://).)*@)", re.DOTALL)
_IN_QUERY = re.compile(
    r"(?i)([^&?=\s]*(?:signature|x-amz|token|sig|secret|passw|credential|key)[^&=\s]*)=[^&\s]+"
)


def hide(secret: str) -> None:
    """Let no message show a secret that is not in the environment."""
    _hidden.add(secret)


def redacted(text: str) -> str:
    """Return a text without what might be a secret in it."""
    for value in {os.environ.get(name, "") for name in _SECRETS} | _hidden:
        if len(value) > 3:
            text = text.replace(value, "***")
    return _IN_QUERY.sub(r"\1=***", _IN_URL.sub(_without_user, text))


def _without_user(found: re.Match[str]) -> str:
    protocol, before = found.groups()
    if has_password(f"{found[0]}host"):
        return f"{protocol}://***@"
    hidden = before if protocol.lower() in _NAMED else re.sub(r"^[^/@\s]+@", "***@", before)
    return f"{protocol}://{hidden}"


def shown_url(url: str) -> str:
    """Return a URL as it may be printed: a query may be a secret whatever it is called."""
    start, mark, _ = url.partition("?") if "://" in url else (url, "", "")
    return redacted(start) + (mark and "?***")


def has_password(url: str) -> bool:
    """Say whether a URL holds a password, also one that is not written as URLs want it."""
    protocol, _, rest = url.partition("://")
    plain = _PLAIN.fullmatch(rest)
    if plain and not (plain["port"] and protocol.lower() in _BUCKETS):
        return False
    return ":" in rest.rpartition("@")[0]


def is_bucket_absent(error: BaseException) -> bool:
    """Say whether what is not there is the bucket, and not the object."""
    return any("NoSuchBucket" in _words(link) for link in _chain(error)) or (
        "bucket does not exist" in str(error)
    )


def is_transient(error: BaseException) -> bool:
    """Say whether trying again may help."""
    return any(
        not _TRANSIENT.isdisjoint(_words(link)) or _status(link) in (429, 500, 502, 503, 504)
        for link in _chain(error)
    )


def is_wordless(error: BaseException) -> bool:
    """Say whether a store refused without saying why: the answer to a HEAD has no body."""
    return any(
        _status(link) in (400, 403) and not {"400", "403"}.isdisjoint(_words(link))
        for link in _chain(error)
    )


def is_mismatch(error: BaseException) -> bool:
    """Say whether a store refused because a body is not what its checksum says."""
    codes = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"}
    return any(not codes.isdisjoint(_words(link)) for link in _chain(error))


def refusal(
    error: BaseException, url: str, role: str = "remote", endpoint: str = ""
) -> EnvironmentFailed:
    """Return the error to show for what a library raised while it asked the remote at `url`."""
    place = f"the {role} {display(redacted(url))}"
    if is_bucket_absent(error):
        what, hint = _MEANINGS["NoSuchBucket"]
        return EnvironmentFailed(f"{place} {what}", hint=hint)
    links = list(_chain(error))
    for word, (what, hint) in _MEANINGS.items():
        if any(word in _words(link) for link in links):
            if endpoint and what.startswith("cannot be"):
                place = f"{place} (at {display(shown_url(endpoint))})"
            return EnvironmentFailed(f"{place} {what}", hint=hint)
    if any(_status(link) in (429, 500, 502, 503, 504) for link in links):
        return EnvironmentFailed(
            f"{place} is overloaded or out of order ({_said(error)})",
            hint="again later: what arrived stays",
        )
    if isinstance(error, OSError) and error.errno in _FULL:
        return EnvironmentFailed(f"{place} has no space left", hint="make room there, then again")
    if any(isinstance(link, PermissionError) for link in links):
        what, hint = _MEANINGS["AccessDenied"]
        return EnvironmentFailed(f"{place} {what} ({_said(error)})", hint=hint)
    hint = "mlx remote test NAME says what works" if role == "remote" else None
    return EnvironmentFailed(f"{place} failed: {_said(error)}", hint=hint)


def _said(error: BaseException) -> str:
    return display(redacted(f"{type(error).__name__}: {error}"[:300]))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _words(error: BaseException) -> set[str]:
    """Return the names of an exception's classes, and the code that a server gave."""
    words = {kind.__name__ for kind in type(error).__mro__}
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        words.add(str(response.get("Error", {}).get("Code", "")))
    if isinstance(getattr(error, "status", None), int):  # of aiohttp
        words.add(str(_status(error)))
    return words


def _status(error: BaseException) -> int:
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        status = getattr(error, "status", 0)  # of aiohttp
        return status if isinstance(status, int) else 0
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)
