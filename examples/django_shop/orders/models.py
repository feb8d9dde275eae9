from django.db import models


class Order(models.Model):
    """What somebody has bought, and how far it has come."""

    email = models.EmailField()
    item = models.CharField(max_length=100)
    quantity = models.PositiveIntegerField(default=1)
    is_confirmed = models.BooleanField(default=False)
    parcel = models.CharField(max_length=20, blank=True)

    def __str__(self) -> str:
        return f"order {self.pk}"
