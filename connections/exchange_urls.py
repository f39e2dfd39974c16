from django.urls import path

from . import exchange_views as views

app_name = "exchanges"

urlpatterns = [
    path("", views.exchange_list, name="list"),
    path("<slug:code>/", views.detail, name="detail"),
]
