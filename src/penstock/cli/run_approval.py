"""`penstock runs approve` and `reject`."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from typing import Any, TypeVar

import click

from penstock.cli.output import say
from penstock.cli.reading import store_option
from penstock.errors import UsageError
from penstock.metadata import approvals
from penstock.metadata.database import connect
from penstock.metadata.location import resolve
from penstock.metadata.runs import get_run

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _common(command: _Command) -> _Command:
    for decorate in (
        store_option,
        click.option("--by", "decided_by", metavar="NAME", help="Who decides.  [default: your user name]"),
        click.option("--comment", default="", metavar="TEXT", help="Why; it is recorded."),
        click.argument("node", metavar="NODE"),
        click.argument("run", metavar="RUN"),
    ):
        command = decorate(command)
    return command


@click.command()
@_common
def approve(run: str, node: str, comment: str, decided_by: str | None, store: str | None) -> None:
    """Approve what NODE of RUN waits for; the run then goes on."""
    run_id = _decide(run, node, approved=True, comment=comment, decided_by=decided_by, store=store)
    say(f"Approved {node} of run {run_id}.")


@click.command()
@_common
def reject(run: str, node: str, comment: str, decided_by: str | None, store: str | None) -> None:
    """Reject what NODE of RUN waits for; the node then fails, and what comes after it does not run."""
    run_id = _decide(run, node, approved=False, comment=comment, decided_by=decided_by, store=store)
    say(f"Rejected {node} of run {run_id}.")


def _decide(run: str, node: str, *, approved: bool, comment: str, decided_by: str | None, store: str | None) -> str:
    location = resolve(store)
    with connect(location, create=False) as database:  # a store that is not there is not made
        run_id = get_run(database, run).run_id
    with connect(location, create=True) as database:
        decided_by = decided_by or _user()
        approvals.decide(database, run_id, node, approved=approved, decided_by=decided_by, comment=comment)
    return run_id


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a user id without a name, as containers have
        raise UsageError("Your user has no name on this machine; say who decides with --by NAME.") from error
