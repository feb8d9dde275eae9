"""Whether a request was made by a page of the dashboard, or by somebody else's.

Tokens against forged requests fail with replicas and proxies, so browsers are believed: first
`Sec-Fetch-Site`, which pages cannot set and which is not sent over plain HTTP except to localhost,
else `Origin`, against the host or the public origins that are configured. Without either, a request
that changes something is refused.
"""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final, cast
from urllib.parse import SplitResult, urlsplit

from starlette.requests import Request

from qcore.domain.errors import InvalidOption
from qcore.domain.text import shown
from qcore.entrypoints.dashboard.refusals import Forbidden

PORTS: Final = {"http": 80, "https": 443}


def origin_of(text: object) -> str:
    """Return a public origin such as "https://ops.example.com", without the port that is usual.

    Raises `InvalidOption` for what is none.
    """
    parts = _split(text) if isinstance(text, str) else None
    if (
        parts is None
        or parts.scheme not in PORTS
        or not parts.hostname
        or parts.username is not None
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        raise InvalidOption(
            f"the public origin is {shown(text)}: expected such as 'https://ops.example.com'"
        )
    return f"{parts.scheme}://{_authority(parts)}"


def refuse_forged(request: Request, public_origins: Collection[str]) -> None:
    """Raise `Forbidden` for a request that no page of the dashboard has made."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise Forbidden(
                f"this request comes from another site ({shown(site)}): nothing was done"
            )
        return
    origin = request.headers.get("origin")
    if origin is None:
        raise Forbidden(
            "this request does not say which page has made it: expected a browser that sends "
            "Sec-Fetch-Site or Origin; nothing was done"
        )
    if not _is_ours(origin, request, public_origins):
        raise Forbidden(
            f"this request comes from {shown(origin)}, which is not this dashboard: nothing was "
            "done; behind a proxy, name its address as the public origin"
        )


def _is_ours(origin: str, request: Request, public_origins: Collection[str]) -> bool:
    try:
        given = origin_of(origin)
    except InvalidOption:
        # such as null
        return False
    if public_origins:
        return given in public_origins
    scheme = given.partition(":")[0]
    host = _split(f"{scheme}://{request.headers.get('host', '')}")
    return host is not None and given == f"{scheme}://{_authority(host)}"


PASSED_ON: Final = ("forwarded", "via", "x-real-ip", "x-client-ip", "cf-connecting-ip")
PASSED_ON_AS: Final = ("x-forwarded-", "x-envoy-")
"""Headers of proxies, and how others of theirs begin."""


def is_passed_on(request: Request) -> bool:
    """Return whether a request to this machine's own name has come through a proxy that tells so.

    By its headers; by HTTP/1.0, which nginx speaks unless it is told otherwise, and no browser; or
    by a page of ours, as a browser says, at another machine's name.
    """
    if any(each in PASSED_ON or each.startswith(PASSED_ON_AS) for each in request.headers):
        return True
    if request.scope.get("http_version") == "1.0":
        return True
    if request.headers.get("sec-fetch-site") != "same-origin":
        return False
    pages = (_split(request.headers.get(name, "")) for name in ("origin", "referer"))
    names = [page.hostname for page in pages if page is not None and page.hostname]
    return not all(map(is_loopback, names))


def is_loopback(host: str) -> bool:
    """Return whether an address or a name is this machine's own."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Return whether it is an address, which no name server can turn to another machine."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def host_of(request: Request) -> str:
    """Return the name or address that a request was made to, without a port."""
    parts = _split(f"http://{request.headers.get('host', '')}")
    return "" if parts is None or parts.username is not None else parts.hostname or ""


def address_of(request: Request) -> str:
    """Return the address that a request comes from; "" where the server does not tell."""
    if request.client is not None:
        return request.client.host
    environ: object = request.scope.get("wsgi_environ")
    found: object = cast("dict[str, object]", environ).get("REMOTE_ADDR") if environ else None
    return found if isinstance(found, str) else ""


def _authority(parts: SplitResult) -> str:
    name = parts.hostname or ""
    shown_name = f"[{name}]" if ":" in name else name
    port = parts.port
    return shown_name if port in {None, PORTS.get(parts.scheme)} else f"{shown_name}:{port}"


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return parts
