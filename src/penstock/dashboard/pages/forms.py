"""What all forms share."""

from __future__ import annotations

from starlette.exceptions import HTTPException

from penstock.dashboard.guard import Guard, Visitor


def check_form(guard: Guard, visitor: Visitor, token: str) -> None:
    """Refuses a form that none of our pages made, with 403."""
    if not guard.fits_form(visitor.session, token):
        raise HTTPException(
            403,
            "The form is not from this dashboard, or from before it was restarted. Go back, reload the page, retry.",
        )
