from django.urls import path

from . import views

app_name = "accounts"

urlpatterns = [
    path("security/", views.security, name="security"),
    path("activity/", views.activity, name="activity"),
    path("support/let-in/", views.let_support_look, name="let_support_look"),
    path("support/end/", views.end_support_look, name="end_support_look"),
    path("support/leave/", views.stop_viewing, name="stop_viewing"),
    path("export/", views.export, name="export"),
    path("delete/", views.delete, name="delete"),
    path("confirm/", views.confirm, name="confirm"),
    path("confirmed/", views.confirmed, name="confirmed"),
]
