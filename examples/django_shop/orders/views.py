from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from orders.models import Order
from orders.tasks import confirm, pack


class OutOfStock(Exception):
    """There are not as many as were ordered."""


STOCK = 10


@csrf_exempt
@require_POST
def place(request: HttpRequest) -> JsonResponse:
    """Store an order, with all that is to be done for it, or nothing."""
    email, item = request.POST["email"], request.POST["item"]
    try:
        with transaction.atomic():
            order = Order.objects.create(
                email=email, item=item, quantity=int(request.POST.get("quantity", 1))
            )
            confirm.enqueue_sync(order.pk)
            packing = pack.enqueue(order.pk)
            take_from_stock(order)
    except OutOfStock:
        return JsonResponse({"error": "out of stock"}, status=409)
    return JsonResponse({"number": order.pk, "packing": packing.id}, status=201)


def take_from_stock(order: Order) -> None:
    """Raise `OutOfStock` where there is too little."""
    if order.quantity > STOCK:
        raise OutOfStock


def show(_: HttpRequest, number: int) -> JsonResponse:
    """Say how far an order has come."""
    order = get_object_or_404(Order, pk=number)
    return JsonResponse({"is_confirmed": order.is_confirmed, "parcel": order.parcel})
