import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from threading import Event
from urllib.parse import urlencode

import pytest

from qcore import BrokerUnavailable
from qcore.errors import BrokerUnusable
from qcore.testing.builders import a_task
from qcore.testing.contract.steps import on_work, put, take
from tests.adapters.asking import Colour, both_colours, refused
from tests.adapters.redis_kit import broker_at
from tests.servers.binaries import SERVERS, Binary
from tests.servers.ports import free_port
from tests.servers.redis import HOST, RedisServer
from tests.servers.tls import TlsRelay

MANY = 600
"""More than go into one call."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate that nobody but itself trusts, for localhost."""
    if shutil.which("openssl") is None:
        pytest.skip("nothing here makes certificates")
    folder = tmp_path_factory.mktemp("certificates")
    make = (
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext "
        "subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
    )
    subprocess.run(make.split(), cwd=folder, check=True, capture_output=True)
    return folder


def speaks_tls(binary: Binary) -> bool:
    """Say whether a server was built with TLS."""
    refusal = subprocess.run(
        [binary.path, "--port", "0", "--tls-port", "0"], capture_output=True, check=False, timeout=9
    )
    return b"Bad directive" not in refusal.stdout + refusal.stderr


WITH_TLS = [binary for binary in SERVERS if speaks_tls(binary)]


@pytest.fixture(scope="module", params=["relay", *(["redis"] if WITH_TLS else [])])
def tls_port(request: pytest.FixtureRequest, certificates: Path) -> Iterator[int]:
    """The port of a server that speaks TLS there, itself or by a relay, and wants a certificate."""
    if request.param == "relay":
        with RedisServer(SERVERS[-1]) as server, TlsRelay(server.port, certificates) as relay:
            yield relay.port
        return
    port = free_port()
    with RedisServer(
        WITH_TLS[0],
        f"tls-port {port}",
        f"tls-cert-file {certificates}/cert.pem",
        f"tls-key-file {certificates}/key.pem",
        f"tls-ca-cert-file {certificates}/cert.pem",
    ):
        yield port


@both_colours
def test_a_server_that_is_trusted_is_reached(
    send: Colour, tls_port: int, certificates: Path
) -> None:
    """With a certificate on either side, by its name."""
    files = {"ca": "cert.pem", "cert": "cert.pem", "key": "key.pem"}
    options = urlencode({name: certificates / file for name, file in files.items()})
    assert send(f"rediss://localhost:{tls_port}?{options}", ("PING",)) == b"PONG"
    told = refused(send, f"rediss://{HOST}:{tls_port}?{options}")
    assert "its certificate is not trusted" in str(told)


@both_colours
def test_a_server_that_is_not_trusted_is_refused(
    send: Colour, tls_port: int, certificates: Path
) -> None:
    """Unless the URL says that nobody need be."""
    url = f"rediss://:s3cr3t@localhost:{tls_port}"
    assert "certificate is not trusted: name the file" in str(refused(send, url))
    own = urlencode({"cert": certificates / "cert.pem", "key": certificates / "key.pem"})
    told = refused(send, f"{url}?{own}&verify=none")
    assert "asks for no password" in str(told)


@both_colours
def test_a_server_that_wants_a_certificate(send: Colour, tls_port: int, certificates: Path) -> None:
    """It ends the connection, or says why; either way the options that are missing are named."""
    options = urlencode({"ca": certificates / "cert.pem"})
    told = refused(send, f"rediss://localhost:{tls_port}?{options}", ("PING",))
    assert "cert= and key=" in str(told) or "(cert=, key=)" in str(told)


@both_colours
def test_tls_spoken_with_who_does_not(send: Colour) -> None:
    """A Redis without TLS waits for the rest of what is no command of its own."""
    with RedisServer(SERVERS[0]) as server:
        told = refused(send, f"rediss://{HOST}:{server.port}?timeout=0.5&verify=none")
    assert isinstance(told, BrokerUnavailable)
    assert "if it speaks no TLS (use redis://)" in str(told)


@both_colours
def test_no_tls_spoken_with_who_does(send: Colour, tls_port: int) -> None:
    """A Redis with TLS ends the connection, or warns in TLS's own way."""
    told = refused(send, f"redis://:s3cr3t@localhost:{tls_port}", ("PING",))
    assert isinstance(told, BrokerUnavailable | BrokerUnusable)
    assert "use rediss://" in str(told)


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "awaiting"])
async def test_tasks_and_messages_go_over_tls(
    tls_port: int, certificates: Path, *, blocking: bool
) -> None:
    """Large payloads, pipelines and listeners: all that goes over a plain connection."""
    files = {"ca": "cert.pem", "cert": "cert.pem", "key": "key.pem"}
    options = urlencode({name: certificates / file for name, file in files.items()})
    broker = broker_at(f"rediss://localhost:{tls_port}?{options}&namespace={token_hex(4)}")
    broker = broker.blocking() if blocking else broker
    heard = Event()
    subscription = await on_work(broker, ["default"], heard.set)
    assert await asyncio.to_thread(heard.wait, 10.0)
    heard.clear()
    tasks = [a_task(payload=b"x" * size) for size in (0, 1 << 14, 1 << 20)] + [
        a_task() for _ in range(MANY)
    ]
    await put(broker, *tasks)
    assert await asyncio.to_thread(heard.wait, 10.0)
    claims = await take(broker, len(tasks))
    assert [claim.task.spec.payload for claim in claims] == [task.payload for task in tasks]
    await subscription.close()
    await broker.close()
