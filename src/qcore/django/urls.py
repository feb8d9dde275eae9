"""The dashboard's URLs: `path("queues/", include("qcore.django.urls"))`."""

from django.urls import path, re_path

from qcore.django.dashboard import dashboard

app_name = "qcore"

urlpatterns = [
    path("", dashboard, name="dashboard"),
    re_path("^(?P<page>.+)$", dashboard),
]
