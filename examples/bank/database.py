"""The bank's own database, by SQLAlchemy. It knows nothing of tasks."""

from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_urlsafe

from sqlalchemy import Engine, String, case, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker
from sqlalchemy.schema import CreateIndex, CreateTable


class Base(DeclarativeBase):
    """What the tables are declared with."""


class User(Base):
    """A customer."""

    __tablename__ = "users"

    username: Mapped[str] = mapped_column(String(40), primary_key=True)
    full_name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str] = mapped_column(String(254), unique=True)
    code: Mapped[str] = mapped_column(String(32))
    """What the link of the verification e-mail proves knowledge of."""
    created_at: Mapped[float] = mapped_column(index=True)
    """Seconds since 1970."""
    is_verified: Mapped[bool] = mapped_column(default=False)


class UserExists(Exception):
    """Say that a username or an e-mail address is taken."""


@dataclass(frozen=True, slots=True)
class SignUps:
    """How many users were created in a period, and how many of them have verified since."""

    users: int
    verified: int


class Store:
    """The users. Safe to use from threads: each call has a session of its own.

    While the database is away, each method raises SQLAlchemy's `OperationalError`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    def create_tables(self) -> None:
        """Make the tables that are not there. With a schema that changes, a migration does that."""
        with self._engine.begin() as connection:
            for table in Base.metadata.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(CreateIndex(index, if_not_exists=True))

    def create_user(
        self,
        username: str,
        full_name: str,
        email: str,
        *,
        now: float,
        then: Callable[[User], object],
    ) -> User:
        """Store a new user, and call `then` before the commit: if that raises, there is no user.

        Raises `UserExists` if the username or the e-mail address is taken.
        """
        with self._sessions.begin() as session:
            user = User(
                username=username,
                full_name=full_name,
                email=email,
                code=token_urlsafe(16),
                created_at=now,
                is_verified=False,
            )
            session.add(user)
            try:
                session.flush()
            except IntegrityError as error:
                raise UserExists(f"{username!r} or {email!r} is taken") from error
            then(user)
        return user

    def user(self, username: str) -> User | None:
        """Return a user, None if there is none of that name."""
        with self._sessions() as session:
            return session.get(User, username)

    def verify(self, username: str, code: str) -> bool:
        """Note that the user's address is theirs, if the code is right. Twice does no harm."""
        right = (User.username == username, User.code == code)
        with self._sessions.begin() as session:
            statement = update(User).where(*right).values(is_verified=True)
            return session.scalar(statement.returning(User.username)) is not None

    def sign_ups(self, start: float, end: float) -> SignUps:
        """Count the users who were created from `start` on and before `end`."""
        verified = func.coalesce(func.sum(case((User.is_verified, 1), else_=0)), 0)
        period = (User.created_at >= start, User.created_at < end)
        with self._sessions() as session:
            row = session.execute(select(func.count(), verified).where(*period)).one()
        return SignUps(*row)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()
