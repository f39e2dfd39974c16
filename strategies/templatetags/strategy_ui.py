"""What pages of other apps show of strategies, without their views knowing of them."""

from __future__ import annotations

from typing import Any

from django import template

from connections.models import Connection
from strategies import pages

register = template.Library()


@register.inclusion_tag("strategies/_of_connection.html")
def strategies_of(connection: Connection) -> dict[str, Any]:
    """The section of a connection's page: what runs on it, or could."""
    return {"connection": connection, "lines": pages.of_connection(connection)}
