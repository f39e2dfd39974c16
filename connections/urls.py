from django.urls import path

from . import views

app_name = "connections"

urlpatterns = [
    path("", views.connection_list, name="list"),
    path("new/", views.choose, name="choose"),
    path("new/<slug:code>/", views.new, name="new"),
    path("<uuid:pk>/", views.detail, name="detail"),
    path("<uuid:pk>/test/", views.test, name="test"),
    path("<uuid:pk>/tests/", views.tests, name="tests"),
    path("<uuid:pk>/tests/<uuid:test_pk>/", views.past_test, name="past_test"),
    path("<uuid:pk>/rename/", views.rename, name="rename"),
    path("<uuid:pk>/replace/", views.replace, name="replace"),
    path("<uuid:pk>/replace/discard/", views.discard_new_key, name="discard_new_key"),
    path("<uuid:pk>/pause/", views.pause, name="pause"),
    path("<uuid:pk>/resume/", views.resume, name="resume"),
    path("<uuid:pk>/delete/", views.delete, name="delete"),
]
