"""HTX (Huobi) as documented: spot v1 and v2 on api.huobi.pro, contracts v5 on api.hbdm.vn.

Sources: huobiapi/docs v1_en and its contract tables, bodies recorded from users' reports, ccxt.
What nobody confirmed is marked "unconfirmed" beside it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from .htx_checks import CONTRACTS, SPOT_V1, SPOT_V2, contract, v1, v2
from .keys import OTHER_UID, UID, KeySpec, Rights, SampleMaker
from .wire import Answer, Asked, Endpoint, Exchange, Family, Refused, Reply

HOSTS: Final = ("api.huobi.pro", "api-aws.huobi.pro")
CONTRACT_HOSTS: Final = ("api.hbdm.vn", "api.hbdm.com")
ACCOUNTS: Final = {UID: 100009, OTHER_UID: 100010}  # account's number -> its spot account's


# --- what is answered --------------------------------------------------------------------------


def _ok(data: Any) -> Any:
    return {"status": "ok", "data": data}


def _ok_v2(data: Any) -> Any:
    return {"code": 200, "message": "success", "data": data}


def _market_status(asked: Asked) -> Any:
    return _ok_v2({"marketStatus": 1})


def _timestamp(asked: Asked) -> Any:
    return _ok(asked.world.now_ms())


def _uid(asked: Asked) -> Any:
    return {"code": 200, "data": int(asked.key.uid)}


def _key_list(asked: Asked) -> Any:
    """Without `accessKey` every key of the account, as recorded."""
    key, sent = asked.key, asked.request.params
    if key.fault == "no_key_endpoint":
        raise Refused(v2(1002, "forbidden"))  # of a sub-account's key; unconfirmed
    if sent.get("uid") != key.uid:
        raise Refused(v2(2002, "invalid field value in `uid`"))
    own = [
        each
        for each in asked.world.keys.values()
        if (each.exchange, each.uid, each.deleted) == ("htx", key.uid, False)
    ]
    wanted = sent.get("accessKey")
    return _ok_v2([_row(each) for each in own if wanted in (None, each.api_key)])


def _row(key: KeySpec) -> dict[str, Any]:
    made = round(key.created_at.timestamp() * 1000)
    return {
        "accessKey": key.api_key,
        "status": key.own.get("status", "expired" if key.expired else "normal"),
        "note": key.label,
        "permission": ",".join(key.permissions),
        "ipAddresses": ",".join(key.ip_whitelist),
        "validDays": -1 if key.remaining_days is None else int(key.remaining_days),
        "createTime": made,
        "updateTime": made,
    }


def _accounts(asked: Asked) -> Any:
    kinds = (("otc", 7_000_000), ("spot", ACCOUNTS[asked.key.uid]))
    return _ok(
        [{"id": number, "type": kind, "subtype": "", "state": "working"} for kind, number in kinds]
    )


def _balance(asked: Asked) -> Any:
    number = ACCOUNTS[asked.key.uid]
    if str(number) not in asked.request.path:
        raise Refused(v1("account-get-accounts-inexistent-error", "account inexistent"))
    rows = [
        {"currency": currency.lower(), "type": kind, "balance": amount, "seq-num": "1"}
        for currency, amounts in asked.key.balances.items()
        for kind, amount in zip(("trade", "frozen"), amounts, strict=True)
    ]
    return _ok({"id": number, "type": "spot", "state": "working", "list": rows})


def _none(asked: Asked) -> Any:
    return _ok([])


def _opened(asked: Asked) -> None:
    if asked.key.own.get("contracts") == "never opened":
        # Its answer in the older contract API.
        text = "You don’t have access permission as you have not opened contracts trading."
        raise Refused(contract(1220, text))


def _contract_balance(asked: Asked) -> Any:
    _opened(asked)
    rows = [_detail(name, *amounts) for name, amounts in asked.key.futures_balances.items()]
    return _ok_v2({"state": "normal", "equity": "0", "details": rows})


def _detail(currency: str, free: str, used: str) -> dict[str, str]:
    amounts = {"equity": str(Decimal(free) + Decimal(used)), "available": free}
    return {"currency": currency, **amounts, "initial_margin": used}


def _positions(asked: Asked) -> Any:
    _opened(asked)
    return _ok_v2([])


def _private(path: str, answer: Answer, family: Family, hosts: tuple[str, ...] = HOSTS) -> Endpoint:
    return Endpoint("GET", path, answer, hosts, family, "readOnly")


ENDPOINTS = (
    Endpoint("GET", "/v2/market-status", _market_status, HOSTS),
    Endpoint("GET", "/v1/common/timestamp", _timestamp, HOSTS),
    _private("/v2/user/uid", _uid, SPOT_V2),
    _private("/v2/user/api-key", _key_list, SPOT_V2),
    _private("/v1/account/accounts", _accounts, SPOT_V1),
    *(
        _private(f"/v1/account/accounts/{number}/balance", _balance, SPOT_V1)
        for number in ACCOUNTS.values()
    ),
    _private("/v1/order/openOrders", _none, SPOT_V1),
    _private("/v5/account/balance", _contract_balance, CONTRACTS, CONTRACT_HOSTS),
    _private("/v5/trade/position/opens", _positions, CONTRACTS, CONTRACT_HOSTS),
)


# --- sample keys -------------------------------------------------------------------------------


def _look(digits: str) -> tuple[str, str, str]:
    """Four groups each, as in the documents."""
    key = "-".join((digits[:8], digits[8:16], digits[16:24], f"dbuqg6{digits[24:28]}"))
    return key, "-".join((digits[28:36], digits[36:44], digits[44:52], digits[52:57])), ""


RIGHTS = Rights(
    read=("readOnly",),
    spot=("trade",),
    futures=(),  # one word for spot, margin and contracts
    withdraw=("withdraw",),
    unknown=("earn",),
)
_maker = SampleMaker("htx", _look, RIGHTS)

HTX = Exchange(
    code="htx",
    endpoints=ENDPOINTS,
    not_found=Reply(404, {"status": "error", "err-code": "not-found", "err-msg": "not found"}),
    samples=(
        *_maker.common(),
        _maker.make("expiring", "Ends in 5 days: no IPs.", ip_whitelist=(), remaining_days=5),
        _maker.make("expired", "Ended for want of use.", ip_whitelist=(), expired=True),
        _maker.make("disabled", "Its status is a word nobody documents.", own={"status": "frozen"}),
        _maker.make(
            "no_contracts",
            "Works for spot: the contract account was never opened.",
            own={"contracts": "never opened"},
        ),
        _maker.make(
            "fallback",
            "Works, but HTX does not tell a sub-account's key its rights.",
            fault="no_key_endpoint",
        ),
    ),
)
