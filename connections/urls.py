from django.urls import path

from . import key_views, views

app_name = "connections"

urlpatterns = [
    path("", views.connection_list, name="list"),
    path("new/", views.choose, name="choose"),
    path("new/<slug:code>/", key_views.new, name="new"),
    path("<uuid:pk>/", views.detail, name="detail"),
    path("<uuid:pk>/test/", views.test, name="test"),
    path("<uuid:pk>/tests/", views.tests, name="tests"),
    path("<uuid:pk>/tests/<uuid:test_pk>/", views.past_test, name="past_test"),
    path("<uuid:pk>/diagnostics/", views.diagnose, name="diagnostics"),
    path("<uuid:pk>/rename/", views.rename, name="rename"),
    path("<uuid:pk>/replace/", key_views.replace, name="replace"),
    path("<uuid:pk>/replace/discard/", key_views.discard_new_key, name="discard_new_key"),
    path(
        "<uuid:pk>/replace/other-account/",
        key_views.use_other_account,
        name="use_other_account",
    ),
    path("<uuid:pk>/replace/back/", key_views.go_back, name="go_back"),
    path("<uuid:pk>/replace/destroy/", key_views.destroy_old_key, name="destroy_old_key"),
    path("<uuid:pk>/pause/", views.pause, name="pause"),
    path("<uuid:pk>/resume/", views.resume, name="resume"),
    path("<uuid:pk>/delete/", key_views.delete, name="delete"),
]
