"""BingX."""

from .base import Expectations, Served

REFUSED = {"code": 100403, "msg": "The current account is not the main account."}
RIGHTS: Served = ("GET", "/openApi/v1/account/apiPermissions", 200, REFUSED)
RESTRICTIONS: Served = ("GET", "/openApi/v1/account/apiRestrictions", 200, REFUSED)
KEY_LIST: Served = ("GET", "/openApi/account/v1/apiKey/query", 200, REFUSED)

BINGX = Expectations(
    host="open-api.bingx.com",
    scenarios={
        "documented_shape": ("connected", ""),
        "fallback": ("connected", ""),
        "sub_account": ("warnings", ""),
        "demo": ("connected", ""),
        "futures_only": ("connected", ""),
    },
    # Shown as zF*******zQ.
    about={"bingx-ok-apikey-query": f"zF{'0' * 60}zQ"},
    not_asked={
        "bingx-probe-order-not-exist": "the answer to cancelling an order, which is never sent",
    },
    beside={
        "bingx-ok-apikey-query": (RIGHTS, RESTRICTIONS),
        "bingx-ok-apirestrictions-partial": (RIGHTS, KEY_LIST),
    },
)
