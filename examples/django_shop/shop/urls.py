from django.contrib import admin
from django.urls import include, path
from orders import views

urlpatterns = [
    path("admin/queues/", include("qcore.django.urls")),
    path("admin/", admin.site.urls),
    path("orders/", views.place),
    path("orders/<int:number>/", views.show),
]
