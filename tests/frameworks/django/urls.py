"""Where the dashboard is in the tests."""

from django.urls import include, path

urlpatterns = [path("staff/queues/", include("qcore.django.urls"))]
