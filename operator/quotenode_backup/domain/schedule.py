"""When a schedule is due: the slots, in UTC, of a cron expression in a time zone. Pure: `now` is an argument."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

COUNTED_AT_MOST = 1000
"""Missed slots of one downtime. Without a limit, counting those of a schedule with a slot each minute would take
minutes after a year of downtime.
"""


class ScheduleInvalid(ValueError):
    """The expression or the zone can't be read. The message says which, and why."""


@dataclass(frozen=True, slots=True)
class Due:
    """The newest slot that is due, and those since the last known one, oldest first, at most COUNTED_AT_MOST."""

    slot: datetime
    passed: tuple[datetime, ...]


class CronSchedule:
    """A cron expression of five fields, or of six with one number of seconds first, as QuoteNode has it.

    The seconds are removed and then added to each slot, so that both forms behave alike when daylight saving time
    begins or ends. As in Debian's cron, a slot in the hour that is left out comes right after that hour, and a slot in
    the repeated hour comes once; cronsim does this only for five fields.
    """

    def __init__(self, expression: str, zone: str) -> None:
        fields = expression.split()
        seconds = fields.pop(0) if len(fields) == 6 else "0"
        if len(fields) != 5 or not _is_second(seconds):
            raise ScheduleInvalid(
                f"schedule {expression!r} needs five cron fields, or six with one number of seconds first"
            )
        self._fields = " ".join(fields)
        self._shift = timedelta(seconds=int(seconds))
        try:
            self._zone = ZoneInfo(zone)
        except (ValueError, OSError, KeyError):
            raise ScheduleInvalid(f"timeZone {zone!r} is not in the IANA time zone database") from None
        try:
            CronSim(self._fields, datetime(2026, 1, 1, tzinfo=self._zone))
        except CronSimError as error:
            raise ScheduleInvalid(f"schedule {expression!r} is not a cron expression: {error}") from None

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The slots after a moment, each later than the one before."""
        last = moment
        for slot in self._run(moment, reverse=False):
            if slot > last:
                yield slot
                last = slot

    def next_after(self, moment: datetime) -> datetime | None:
        """None when there is none within cronsim's fifty years."""
        return next(self.after(moment), None)

    def due(self, after: datetime, now: datetime) -> Due | None:
        """The slots after `after` up to `now`, which is included; None when there are none."""
        newest = next((slot for slot in self._run(now + timedelta(seconds=1), reverse=True) if slot <= now), None)
        if newest is None or newest <= after:
            return None
        return Due(newest, tuple(islice(takewhile(lambda slot: slot < newest, self.after(after)), COUNTED_AT_MOST)))

    def _run(self, moment: datetime, *, reverse: bool) -> Iterator[datetime]:
        start = (moment - self._shift).astimezone(self._zone)
        for slot in CronSim(self._fields, start, reverse=reverse):
            yield slot.astimezone(UTC) + self._shift


def _is_second(text: str) -> bool:
    return text.isdecimal() and int(text) < 60
