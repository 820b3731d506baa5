"""Web addresses that settings may hold: they are recorded with every result, so they may hold no secret."""

from __future__ import annotations

from urllib.parse import urlsplit

from openretina_cli.errors import SettingError


def is_web_address(text: object) -> bool:
    """Whether a path is meant as an address on a web server; paths of files have no `://`."""
    return isinstance(text, str) and text.lower().startswith(("http://", "https://"))


def check_web_address(url: str, setting: str) -> None:
    """Check the address of a folder on a web server. Errors do not repeat the address, which may hold a password.

    Args:
        url: the address.
        setting: name of the setting that holds the address, for errors.

    Raises:
        SettingError: the address is no http(s) address, or holds a user's name, a password, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as a port that is no number
        usable = False
    if not usable or not url.isprintable():
        raise SettingError(f"{setting} is no web address", expected="http(s)://host/folder/")
    if parts.username is not None or parts.password is not None:
        raise SettingError(
            f"{setting} holds a user's name or password, which would be recorded with every result",
            expected="the address without",
            repair=f"write `machine {parts.hostname} login NAME password PASSWORD` into ~/.netrc",
        )
    if parts.query or parts.fragment:
        raise SettingError(f"{setting} holds a query (?) or fragment (#)", expected="the address of a folder")
