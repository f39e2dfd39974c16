from django.urls import path

from . import finding_views as views

app_name = "findings"

urlpatterns = [
    path("", views.finding_list, name="list"),
    path("<int:number>/acknowledge/", views.acknowledge, name="acknowledge"),
    path("<int:number>/snooze/", views.snooze, name="snooze"),
    path("<int:number>/suppress/", views.suppress, name="suppress"),
    path("<int:number>/reopen/", views.reopen, name="reopen"),
]
