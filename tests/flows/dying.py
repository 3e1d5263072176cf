"""Workers that die at any step, and a world that is put back to try the next one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Table, select

from connector import database, handlers, jobs, syncs
from connector.clients.http import Http
from connector.models import Base
from tests.flows.conftest import World

# Where a worker may die at its nth step.
PLACES = ("before a call", "after a call", "after a commit")


class Died(BaseException):
    """The worker's process is gone: nothing after this line runs, and nothing is tidied up."""


def drain(world: World) -> None:
    """Do all that is due now, as one worker, without the queue between."""
    jobs.dispatch(world.services)
    while True:
        with world.services.transaction() as db:
            due = syncs.take_due(db, world.services.now(), requeue_seconds=0)
        if not due:
            return
        for sync_id, _ in due:
            syncs.attempt(world.services, sync_id, handlers.KINDS)


def rows(world: World) -> dict[Table, list[dict[str, Any]]]:
    """All that the connector's database holds."""
    with world.services.engine.connect() as db:
        return {
            table: [dict(row) for row in db.execute(select(table)).mappings()] for table in Base.metadata.sorted_tables
        }


def put_back(world: World, kept: dict[Table, list[dict[str, Any]]]) -> None:
    with world.services.engine.begin() as db:
        for table in reversed(kept):
            db.execute(table.delete())
        for table, found in kept.items():
            if found:
                db.execute(table.insert(), found)


@contextmanager
def dying_at(step: int, where: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The worker dies at its nth call or commit, before it is made or after."""
    taken = [0]

    def dies() -> bool:
        taken[0] += 1
        return taken[0] == step

    call, transaction = Http.call, database.transaction

    def dying_call(self: Http, **request: Any) -> Any:
        hit = dies()
        if hit and where == "before a call":
            raise Died
        answer = call(self, **request)
        if hit:
            raise Died
        return answer

    @contextmanager
    def dying_transaction(engine: Any) -> Iterator[Any]:
        with transaction(engine) as db:
            yield db
        if dies():
            raise Died

    with monkeypatch.context() as patched:
        if where == "after a commit":
            patched.setattr(database, "transaction", dying_transaction)
        else:
            patched.setattr(Http, "call", dying_call)
        yield taken
