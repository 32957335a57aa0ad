"""When a schedule is due: cron expressions in a time zone.

Days and nights with another number of hours are treated as Debian's cron treats them: what is fixed to an hour that is
skipped is due right after the skip, what is fixed to an hour that comes twice is due the first time only; what is due
every so many minutes or hours just goes on.
"""

from __future__ import annotations

import difflib
import zoneinfo
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from penstock.errors import UsageError

_FIELDS = "minute hour day-of-month month day-of-week"
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


@dataclass(frozen=True)
class Cron:
    """A cron expression of five fields in a time zone, which is checked.

    Attributes:
        expression: the five fields, nicknames replaced.
        zone: the name of the time zone in the IANA data base.
    """

    expression: str
    zone: str = "UTC"

    @classmethod
    def parse(cls, text: str, zone: str = "UTC") -> Cron:
        """Reads an expression, or a nickname like `@daily`.

        Raises:
            UsageError: it is no such expression, never due, or there is no such zone.
        """
        expression = _NICKNAMES.get(text.strip().lower(), " ".join(text.split()))
        if expression.startswith("@"):
            hint = _suggestion(expression, _NICKNAMES)
            raise UsageError(f"--cron {text!r} is no nickname; there are {', '.join(_NICKNAMES)}.{hint}")
        found = len(expression.split())
        if found != len(_FIELDS.split()):
            raise UsageError(
                f"--cron {text!r} has {found} fields; wanted are five: {_FIELDS}, as in '30 6 * * MON-FRI'."
            )
        if zone not in zoneinfo.available_timezones():
            hint = _suggestion(zone, zoneinfo.available_timezones())
            raise UsageError(f"--time-zone {zone!r} is no time zone, as in Europe/Berlin.{hint}")
        cron = cls(expression, zone)
        try:
            next(cron.after(datetime.now(UTC)))
        except CronSimError as error:
            wrong = str(error).removeprefix("Bad ")
            raise UsageError(f"--cron {text!r}: the {wrong} is wrong; the fields are {_FIELDS}.") from error
        except StopIteration:
            raise UsageError(f"--cron {text!r} is never due.") from None
        return cron

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yields the moments at which it is due, in UTC, from the first that is later than `moment` on."""
        zone = zoneinfo.ZoneInfo(self.zone)
        for due in CronSim(self.expression, moment.astimezone(zone)):
            if due > moment:
                yield due.astimezone(UTC)


def _suggestion(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
