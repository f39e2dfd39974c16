from django.urls import path

from . import notice_views as views

app_name = "notices"

urlpatterns = [
    path("", views.notice_list, name="list"),
    path("settings/", views.notice_settings, name="settings"),
    path("test/", views.test, name="test"),
    path("channels/new/", views.new_channel, name="new_channel"),
    path("channels/<uuid:pk>/test/", views.test, name="test_channel"),
    path("channels/<uuid:pk>/remove/", views.remove_channel, name="remove_channel"),
]
