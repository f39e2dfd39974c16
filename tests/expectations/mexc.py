"""MEXC."""

from .base import Expectations, Served

REFUSED: Served = (
    "GET",
    "/api/v3/apiKeyInfo",
    400,
    {"code": 700007, "msg": "No permission to access the endpoint."},
)
UNCLEAR_ORDER: Served = ("POST", "/api/v3/order/test", 200, {"code": 1, "msg": "?"})

MEXC = Expectations(
    host="api.mexc.com",
    scenarios={
        # The word is not documented: the key is not usable, and we do not know why.
        "disabled": ("failed", "ambiguous"),
        # MEXC documents no answer for a region; an answer nobody has seen claims nothing.
        "restricted": ("failed", "unexpected"),
    },
    not_asked={
        "ok_apikeyinfo_edit_response": "the answer to changing a key, which is never sent",
        "ok_uid": "an account number proves no right; read with the key endpoint",
    },
    beside={
        "ok_account_flags_are_not_key_permissions": (REFUSED, UNCLEAR_ORDER),
        "ok_order_test": (REFUSED,),
    },
    test_orders=frozenset({("POST", "/api/v3/order/test")}),
)
