"""When periodic tasks are due: schedules as pure values, and their form as text."""

from qcore.domain.schedules.cron import AmbiguousDays, Cron
from qcore.domain.schedules.every import Every
from qcore.domain.schedules.schedule import Schedule
from qcore.domain.schedules.texts import schedule_from

__all__ = ["AmbiguousDays", "Cron", "Every", "Schedule", "schedule_from"]
