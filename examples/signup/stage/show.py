"""The whole evening: the people are made up, the play is played, and the verdict is read."""

import asyncio

from rich.console import Console

from examples.signup import settings
from examples.signup.database import Users
from examples.signup.stage.audit import audit
from examples.signup.stage.closing import show_outcome
from examples.signup.stage.conductor import conduct
from examples.signup.stage.plan import Plan
from examples.signup.stage.screen import screen
from examples.signup.stage.visitors import visitors


async def show(plan: Plan, console: Console) -> int:
    """Run the demo and return its exit status: 0 if everything was done, and once."""
    Users(settings.USERS_DATABASE).create()
    console.print(f"Drawing {plan.users} portraits to be uploaded …", highlight=False)
    forms = await asyncio.to_thread(visitors, plan.users, plan.seed)
    with screen(console) as in_front:
        outcome = await conduct(plan, forms, in_front)
    verdict = audit(outcome.promises, outcome.tasks, outcome.deliveries)
    show_outcome(console, outcome, verdict)
    return verdict.exit_status
