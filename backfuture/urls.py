"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="connections:list"), name="home"),
    path("accounts/", include("backfuture.accounts.urls")),
    path("accounts/", include("allauth.urls")),
    path("connections/", include("connections.urls")),
    path("admin/", admin.site.urls),
]
