import pytest

from qcore import connect
from qcore.adapters.links.postgres import parse
from qcore.adapters.links.postgres.server import Server
from qcore.domain.errors import InvalidOption


def test_options_of_ours_are_told_from_those_of_libpq() -> None:
    """Each goes to whom it is for, percent-decoded."""
    address = parse(
        "postgres://ann:p%40ss@db:5433/shop?schema=bg&sslmode=disable&timeout=2.5&connections=9"
        "&application_name=my%20app"
    )
    assert (address.schema, address.timeout, address.connections) == ("bg", 2.5, 9)
    assert address.conninfo == {
        "user": "ann",
        "password": "p@ss",
        "host": "db",
        "port": "5433",
        "dbname": "shop",
        "sslmode": "disable",
        "application_name": "my app",
    }


def test_several_hosts_and_a_socket_can_be_named() -> None:
    """As libpq has them."""
    assert parse("postgresql://a:1,b:2/d").conninfo["host"] == "a,b"
    assert parse("postgresql:///d?host=/run/postgresql").conninfo["host"] == "/run/postgresql"


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("", 2),
        ("?timeout=30", 10),
        ("?timeout=0.5", 2),
        ("?timeout=30&connect_timeout=7", "7"),
    ],
)
def test_each_of_several_hosts_has_its_share_of_the_timeout(query: str, seconds: object) -> None:
    """One that answers nothing leaves time for the others; libpq waits 2 seconds at least."""
    server = Server(parse(f"postgresql://a,b:5433,c/d{query}"))
    assert server.conninfo()["connect_timeout"] == seconds


def test_no_password_is_shown() -> None:
    """Neither by an address, nor by a broker's errors."""
    address = parse("postgresql://ann:secret@db/shop")
    assert "secret" not in repr(address)
    assert "secret" not in address.shown


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://db/d?schema=1a", "option schema='1a'"),
        ("postgresql://db/d?schema=pg_mine", "option schema='pg_mine'"),
        ("postgresql://db/d?schema=" + "x" * 41, "1 to 40"),
        ("postgresql://db/d?timeout=0", "option timeout='0'"),
        ("postgresql://db/d?timeout=nan", "option timeout='nan'"),
        ("postgresql://db/d?connections=0", "from 1 to 1000"),
        ("postgresql://db/d?pooler=maybe", "expected auto or none or transaction"),
        ("postgresql://db/d?schema=a&schema=b", "given twice"),
        ("postgresql://db/d?shcema=a", "there is no option shcema"),
        ("postgresql://ann:secret@db:port:5/d", "a port is no number"),
    ],
)
def test_what_is_wrong_in_a_url_is_named(url: str, words: str) -> None:
    """With what was expected, and without a password."""
    with pytest.raises(InvalidOption) as caught:
        connect(url)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
