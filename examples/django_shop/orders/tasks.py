from django.conf import settings
from django.core.mail import send_mail

from orders.models import Order
from qcore import Context
from qcore.django import q

if settings.HAS_TASKS:
    from django.tasks import task
else:
    from django_tasks import task


@q.task("order:confirm")
def confirm(ctx: Context, number: int) -> None:
    """Tell a customer that the order has arrived. Run twice, it tells once."""
    ctx.progress(0.1, "looking for the order")
    order = Order.objects.get(pk=number)
    if order.is_confirmed:
        return
    send_mail(f"Your order {number}", "Thank you!", "shop@example.com", [order.email])
    order.is_confirmed = True
    order.save(update_fields=["is_confirmed"])


@task(queue_name="warehouse", priority=10)
def pack(number: int) -> str:
    """Pack an order, and return the number of its parcel."""
    parcel = f"P{number:06}"
    Order.objects.filter(pk=number).update(parcel=parcel)
    return parcel


@q.every(3600)
@q.task("order:count-open")
async def count_open(ctx: Context) -> None:
    """Say each hour how many orders are not packed yet."""
    ctx.log.info("open orders", number=await Order.objects.filter(parcel="").acount())
