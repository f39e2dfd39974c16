from django.urls import path

from . import views

app_name = "accounts"

urlpatterns = [
    path("security/", views.security, name="security"),
    path("activity/", views.activity, name="activity"),
    path("export/", views.export, name="export"),
    path("delete/", views.delete, name="delete"),
    path("confirm/", views.confirm, name="confirm"),
    path("confirmed/", views.confirmed, name="confirmed"),
]
