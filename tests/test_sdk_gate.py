"""Gate.io: the simulator asked by clients nobody here wrote, ccxt and Gate's own SDK."""

from __future__ import annotations

from typing import Any

import ccxt
import gate_api
import pytest
from gate_api.exceptions import GateApiException

from tests.simulator import SEEN_IP, KeySpec, Simulator, gate, sample
from tests.simulator.clients import ccxt_client

HOST, EU_HOST = "api.gateio.ws", "api.gateeu.com"
MAIN_KEYS, DETAIL = "/api/v4/account/main_keys", "/api/v4/account/detail"
ACCOUNTS, FUTURES = "/api/v4/spot/accounts", "/api/v4/futures/usdt/accounts"


# --- clients nobody here wrote -------------------------------------------------------------------


class ToSimulator:
    """Below Gate's SDK, which signs the path of the address it is given."""

    def __init__(self, pool: Any, simulator: Simulator) -> None:
        self.pool, self.simulator = pool, simulator

    def request(self, method: str, url: str, **options: Any) -> Any:
        url = url.replace("https://", f"{self.simulator.url}/", 1)
        return self.pool.request(method, url, **options)


def sdk(simulator: Simulator, key: KeySpec) -> Any:
    configuration = gate_api.Configuration(
        host=f"https://{HOST}/api/v4", key=key.api_key, secret=key.paste_secret
    )
    made = gate_api.ApiClient(configuration)
    made.rest_client.pool_manager = ToSimulator(made.rest_client.pool_manager, simulator)
    return made


def test_ccxt_is_accepted(simulator: Simulator) -> None:
    key = sample("gate", "good_futures")
    asking = ccxt_client(simulator, key)
    masks = [row["key"] for row in asking.privateAccountGetMainKeys()]
    assert f"{key.api_key[:12]}*****" in masks and len(masks) == len(set(masks))
    assert asking.privateAccountGetDetail()["user_id"] == int(key.uid)
    assert asking.privateSpotGetAccounts()[1]["available"] == "1250.5"
    assert asking.privateSpotGetOpenOrders() == []
    settle = {"settle": "usdt"}
    assert asking.privateFuturesGetSettleAccounts(settle)["currency"] == "USDT"
    assert asking.privateFuturesGetSettlePositions(settle) == []


def test_ccxt_signs_a_query_before_it_is_escaped(simulator: Simulator) -> None:
    asking = ccxt_client(simulator, sample("gate", "good"))
    assert asking.privateSpotGetAccounts({"currency": "A B,C"})


@pytest.mark.parametrize(
    ("scenario", "error", "label"),
    [
        ("deleted", ccxt.AuthenticationError, "Invalid key provided"),
        ("wrong_secret", ccxt.AuthenticationError, "INVALID_SIGNATURE"),
        ("wrong_ip", ccxt.PermissionDenied, f"Request IP not in whitelist: {SEEN_IP}"),
        ("futures_only", ccxt.PermissionDenied, "does not have spot permission"),
        ("clock", ccxt.AuthenticationError, "REQUEST_EXPIRED"),
        ("rate_limited", ccxt.RateLimitExceeded, "TOO_MANY_REQUESTS"),
        ("down", ccxt.ExchangeNotAvailable, "TOO_BUSY"),
        ("european", ccxt.AuthenticationError, "Invalid key provided"),
    ],
)
def test_ccxt_is_refused(
    simulator: Simulator, scenario: str, error: type[Exception], label: str
) -> None:
    with pytest.raises(error, match=label):
        ccxt_client(simulator, sample("gate", scenario)).privateSpotGetAccounts()


def test_ccxt_is_told_that_futures_were_never_opened(simulator: Simulator) -> None:
    with pytest.raises(ccxt.AccountNotEnabled, match="USER_NOT_FOUND"):
        asking = ccxt_client(simulator, sample("gate", "no_futures"))
        asking.privateFuturesGetSettleAccounts({"settle": "usdt"})


def test_ccxt_is_accepted_at_the_european_site(simulator: Simulator) -> None:
    asking = ccxt_client(simulator, sample("gate", "european"))
    asking.urls["api"]["private"]["spot"] = f"{simulator.url}/{EU_HOST}/api/v4"
    assert asking.privateSpotGetAccounts()


def test_gates_own_sdk_is_accepted(simulator: Simulator) -> None:
    key = sample("gate", "good_futures")
    own = sdk(simulator, key)
    detail = gate_api.AccountApi(own).get_account_detail()
    assert (detail.user_id, detail.ip_whitelist) == (int(key.uid), list(key.ip_whitelist))
    assert [row.locked for row in gate_api.SpotApi(own).list_spot_accounts()] == ["0", "100"]
    [usdt] = gate_api.SpotApi(own).list_spot_accounts(currency="A B")[1:]
    assert usdt.currency == "USDT"
    assert gate_api.FuturesApi(own).list_futures_accounts("usdt").available == "640.25"


def test_gates_own_sdk_takes_the_list_of_keys_for_one_object(simulator: Simulator) -> None:
    listed = gate_api.AccountApi(sdk(simulator, sample("gate", "good"))).get_account_main_keys()
    assert listed.perms is None
    alone = gate_api.AccountApi(sdk(simulator, sample("gate", "object"))).get_account_main_keys()
    assert [perm.name for perm in alone.perms] == ["account", "spot"]


@pytest.mark.parametrize(
    ("scenario", "label"), [("deleted", "INVALID_KEY"), ("wrong_secret", "INVALID_SIGNATURE")]
)
def test_gates_own_sdk_is_refused(simulator: Simulator, scenario: str, label: str) -> None:
    with pytest.raises(GateApiException) as refusal:
        gate_api.AccountApi(sdk(simulator, sample("gate", scenario))).get_account_detail()
    assert refusal.value.label == label


# --- signatures and time -------------------------------------------------------------------------


def test_signing_vector_of_the_documents() -> None:
    query = "contract=BTC_USD&status=finished&limit=50"
    made = gate.signature("secret", "GET", "/api/v4/futures/orders", query, "1541993715")
    assert made.startswith("55f84ea195d6") and made.endswith("418b8a")


@pytest.mark.parametrize(("offset_s", "works"), [(55, True), (65, False), (-65, False)])
def test_time_window(simulator: Simulator, offset_s: int, works: bool) -> None:
    asking = ccxt_client(simulator, sample("gate", "good"))
    simulator.world.clock_offset_ms = offset_s * 1000
    try:
        asking.privateSpotGetAccounts()
        assert works
    except ccxt.AuthenticationError as refusal:
        assert not works and "REQUEST_EXPIRED" in str(refusal)
    finally:
        simulator.world.clock_offset_ms = 0


# --- rights --------------------------------------------------------------------------------------

CALLS = {
    "account": ("privateAccountGetDetail", "privateAccountGetMainKeys"),
    "spot": ("privateSpotGetAccounts", "privateSpotGetOpenOrders"),
    "futures": ("privateFuturesGetSettleAccounts", "privateFuturesGetSettlePositions"),
}


@pytest.mark.parametrize("right", CALLS)
@pytest.mark.parametrize("number", [0, 1])
def test_every_call_needs_its_right(simulator: Simulator, right: str, number: int) -> None:
    key = sample("gate", "good")
    ask = getattr(ccxt_client(simulator, key), CALLS[right][number])
    for word in (right, f"{right}:r"):
        simulator.change(key.api_key, permissions=(word,))
        assert ask({"settle": "usdt"}) is not None
    simulator.change(key.api_key, permissions=("wallet",))
    with pytest.raises(ccxt.PermissionDenied, match=f"does not have {right} permission"):
        ask({"settle": "usdt"})


def test_every_call_that_needs_a_right_is_named_here() -> None:
    needed = [each.permission for each in gate.ENDPOINTS if each.family]
    assert sorted(needed) == sorted(right for right, calls in CALLS.items() for _ in calls)
