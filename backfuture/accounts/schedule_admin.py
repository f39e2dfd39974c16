"""Schedules at the support desk: how often known work runs, within bounds; no other work."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTimeWidget

from backfuture.schedules import KNOWN, SET_BY_STAFF, Known
from connections import marks
from connections.desk import ReadOnlyAdmin, ShownForm
from connections.events import AccessEvent, record

IN_SECONDS = {
    IntervalSchedule.DAYS: 86_400,
    IntervalSchedule.HOURS: 3_600,
    IntervalSchedule.MINUTES: 60,
    IntervalSchedule.SECONDS: 1,
}


class ScheduleForm(ShownForm):
    """Seconds between two runs, or the time of the one run a day."""

    seconds = forms.IntegerField(
        label=_("Seconds between two runs"), widget=UnfoldAdminIntegerFieldWidget()
    )
    time = forms.TimeField(label=_("Time of day, UTC"), widget=UnfoldAdminTimeWidget())

    class Meta:
        model = PeriodicTask
        fields = ("enabled",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known = KNOWN[self.instance.name]
        if self.known.most:
            del self.fields["time"]
            self.fields["seconds"].initial = seconds_of(self.instance)
            said = _("From %(least)d to %(most)d.")
            self.fields["seconds"].help_text = said % _bounds(self.known)
        else:
            del self.fields["seconds"]
            self.fields["time"].initial = time_of(self.instance)
        if "enabled" in self.fields:
            self.fields["enabled"].label = _("Switched on")
            stays = _("This work cannot be stopped: tests and strategies depend on it.")
            self.fields["enabled"].help_text = "" if self.known.may_stop else stays

    def clean_enabled(self) -> bool:
        wanted = bool(self.cleaned_data["enabled"])
        if not wanted and not self.known.may_stop:
            raise forms.ValidationError(_("This work cannot be stopped."))
        return wanted

    def clean_seconds(self) -> int:
        wanted = int(self.cleaned_data["seconds"])
        if not self.known.least <= wanted <= self.known.most:
            said = gettext("Choose from %(least)d to %(most)d seconds.")
            raise forms.ValidationError(said % _bounds(self.known))
        return wanted


def _bounds(known: Known) -> dict[str, int]:
    return {"least": known.least, "most": known.most}


def seconds_of(task: Any) -> int | None:
    return task.interval.every * IN_SECONDS.get(task.interval.period, 1) if task.interval else None


def rhythm(task: Any) -> str:
    seconds = seconds_of(task)
    if seconds is None:
        return gettext("every day at %(time)s UTC") % {"time": time_of(task)}
    if seconds % 60:
        return ngettext("every second", "every %(n)d seconds", seconds) % {"n": seconds}
    minutes = seconds // 60
    return ngettext("every minute", "every %(n)d minutes", minutes) % {"n": minutes}


def time_of(task: Any) -> str:
    at = task.crontab
    return f"{int(at.hour):02}:{int(at.minute):02}" if at and at.hour.isdigit() else ""


class ScheduleAdmin(ReadOnlyAdmin):
    """Only what the product itself does is listed; nothing can be added or removed."""

    form = ScheduleForm
    list_display = ("title", "what", "how_often", "running", "last_run")
    list_display_links = ("title",)
    ordering = ("name",)
    readonly_fields = ("title", "what", "last_run", "times")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = PeriodicTask.objects.filter(name__in=list(KNOWN))
        return rows.select_related("interval", "crontab").order_by("name")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        pace = "seconds" if obj and KNOWN[obj.name].most else "time"
        edited = ("enabled", pace) if self.has_change_permission(request, obj) else ("enabled",)
        return ((None, {"fields": ("what", *edited, "last_run", "times")}),)

    def title_of(self, row: Any) -> str:
        return self.title(row)

    @admin.display(description=_("schedule"))
    def title(self, task: Any) -> str:
        return str(KNOWN[task.name].title)

    @admin.display(description=_("what it does"))
    def what(self, task: Any) -> str:
        return str(KNOWN[task.name].what)

    @admin.display(description=_("how often"))
    def how_often(self, task: Any) -> str:
        return rhythm(task)

    @admin.display(description=_("last started"))
    def last_run(self, task: Any) -> SafeString | str:
        return marks.ago(task.last_run_at)

    @admin.display(description=_("switched on"))
    def running(self, task: Any) -> SafeString:
        return marks.yes_no(task.enabled)

    @admin.display(description=_("started so far"))
    def times(self, task: Any) -> str:
        return str(task.total_run_count)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """What nobody altered stays as the settings say."""
        if not form.changed_data:
            return
        values = form.cleaned_data
        if "seconds" in values:
            pace = {"every": values["seconds"], "period": IntervalSchedule.SECONDS}
            obj.interval, _made = IntervalSchedule.objects.get_or_create(**pace)
        else:
            obj.crontab, _made = CrontabSchedule.objects.get_or_create(
                hour=str(values["time"].hour),
                minute=str(values["time"].minute),
                day_of_week="*",
                day_of_month="*",
                month_of_year="*",
                timezone=obj.crontab.timezone if obj.crontab else "UTC",
            )
        obj.description = SET_BY_STAFF
        obj.save()
        said = ", ".join(f"{name}: {values[name]}" for name in form.changed_data)
        why = f"{obj.name}, {said}"
        record(AccessEvent.Kind.SCHEDULE_CHANGED, actor=request.user, why=why)
