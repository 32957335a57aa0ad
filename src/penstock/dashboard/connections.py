"""Connections to the store, each used by one request at a time and kept for the next."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.dashboard.redaction import Redactor
from penstock.metadata.database import Database, connect
from penstock.metadata.location import StoreLocation
from penstock.metadata.runs import parameters_since
from penstock.metadata.tables import SCHEMA_VERSION
from penstock.secrets import is_secret

_KEPT = 4
_LEARNT_AT_ONCE = 5000


class Connections:
    """Lends connections for reading. A store that is not there yet answers with nothing until it is.

    What is read with a connection may be shown: `redact` learns the secret parameters of each run since the last loan.
    """

    def __init__(self, location: StoreLocation, redact: Redactor):
        self.location = location
        self._redact = redact
        self._learnt_until = 0.0
        self._idle: queue.LifoQueue[Database] = queue.LifoQueue(maxsize=_KEPT)

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """Lends a connection; one that met an error is not lent again."""
        try:
            database = self._idle.get_nowait()
        except queue.Empty:
            database = connect(self.location, create=False)
        try:
            self._learn(database)
            yield database
        except BaseException:
            database.close()
            raise
        self._give_back(database)

    @contextmanager
    def writing(self) -> Iterator[Database]:
        """Opens the store for a change; tables that an older Penstock did not make are made."""
        with connect(self.location, create=True) as database:
            yield database
        # A connection that reads has looked which tables there are.
        self.close()

    def learn(self) -> None:
        """Learns the secret parameters of all runs there are."""
        with self.reading():
            pass

    def _learn(self, database: Database) -> None:
        while True:
            found = parameters_since(database, self._learnt_until, _LEARNT_AT_ONCE)
            self._redact.learn(
                value
                for _, parameters in found
                for name, value in parameters.items()
                if isinstance(value, str) and is_secret(name)
            )
            if found:
                self._learnt_until = max(self._learnt_until, found[-1][0])
            if len(found) < _LEARNT_AT_ONCE:
                return

    def _give_back(self, database: Database) -> None:
        # A connection to a store that is not there, or is an older one, does not notice when its tables are made.
        if database.tables_version < SCHEMA_VERSION:
            database.close()
            return
        try:
            self._idle.put_nowait(database)
        except queue.Full:
            database.close()

    def close(self) -> None:
        """Closes the connections nobody uses."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return
