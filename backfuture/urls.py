"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="connections:list"), name="home"),
    path("accounts/", include("backfuture.accounts.urls")),
    path("accounts/", include("allauth.urls")),
    path("connections/", include("connections.urls")),
    path("findings/", include("connections.finding_urls")),
    path("exchanges/", include("connections.exchange_urls")),
    path("notices/", include("connections.notice_urls")),
    path("strategies/", include("strategies.urls")),
    path("admin/", admin.site.urls),
]
