"""URLs with a user in them, such as "https://user:password@host/"."""

from urllib.parse import unquote, urlsplit, urlunsplit


def without_user(url: str) -> tuple[str, tuple[str, str] | None]:
    """Return a URL without the user that is in it, and that user with its password."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, None
    place = parts.netloc.rpartition("@")[2]
    user = unquote(parts.username), unquote(parts.password or "")
    return urlunsplit(parts._replace(netloc=place)), user
