from django.core import mail
from django.test import TestCase, TransactionTestCase

from orders.models import Order
from orders.tasks import confirm, pack
from qcore.django.testing import QueueMixin

ANN = {"email": "ann@example.com", "item": "a kettle"}


class PlacingAnOrder(QueueMixin, TestCase):
    def test_an_order_is_confirmed_and_packed(self) -> None:
        placed = self.client.post("/orders/", ANN).json()
        self.queue.assert_enqueued(confirm, number=placed["number"])

        assert self.queue.run_tasks() == 2

        order = Order.objects.get(pk=placed["number"])
        assert order.is_confirmed
        assert order.parcel == f"P{order.pk:06}"
        assert [each.to for each in mail.outbox] == [["ann@example.com"]]
        assert pack.get_result(placed["packing"]).return_value == order.parcel

    def test_what_is_out_of_stock_leaves_neither_an_order_nor_a_task(self) -> None:
        answer = self.client.post("/orders/", {**ANN, "quantity": 11})
        assert answer.status_code == 409
        assert self.queue.run_tasks() == 0
        assert not Order.objects.exists()

    def test_each_test_has_a_queue_of_its_own(self) -> None:
        assert self.queue.run_tasks() == 0


class PlacingAnOrderWithCommits(QueueMixin, TransactionTestCase):
    def test_an_order_is_confirmed_and_packed(self) -> None:
        placed = self.client.post("/orders/", ANN).json()
        assert self.queue.run_tasks() == 2
        assert Order.objects.get(pk=placed["number"]).is_confirmed
