from django.urls import path

from . import form_views, views

app_name = "strategies"

urlpatterns = [
    path("", views.strategy_list, name="list"),
    path("new/", views.choose, name="choose"),
    path("new/<uuid:connection>/", form_views.new, name="new"),
    path("new/<uuid:connection>/preview/", form_views.preview_new, name="preview_new"),
    path("new/<uuid:connection>/pairs/", form_views.pairs, name="pairs"),
    path("<uuid:pk>/", views.detail, name="detail"),
    path("<uuid:pk>/edit/", form_views.edit, name="edit"),
    path("<uuid:pk>/preview/", form_views.preview, name="preview"),
    path("<uuid:pk>/enable/", views.enable, name="enable"),
    path("<uuid:pk>/disable/", views.disable, name="disable"),
    path("<uuid:pk>/move/", views.move, name="move"),
    path("<uuid:pk>/delete/", views.delete, name="delete"),
    path("<uuid:pk>/history/", views.history, name="history"),
]
