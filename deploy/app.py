"""The application that is deployed here: put yours in its place."""

from qcore import Context, Qcore

q = Qcore()


@q.task("email:welcome")
async def send_welcome(ctx: Context, address: str) -> None:
    """Pretend to send an e-mail."""
    ctx.log.info("delivered", to=address)
