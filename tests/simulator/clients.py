"""Ways to ask the simulator that do not share its code: signing written from the exchanges'
documents, and three independent clients pointed at it: ccxt, KuCoin's own SDK and pymexc."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlencode

import ccxt
import requests

from .keys import KeySpec
from .server import Simulator

MEXC, MEXC_FUTURES = "api.mexc.com", "contract.mexc.com"
KUCOIN, KUCOIN_FUTURES = "api.kucoin.com", "api-futures.kucoin.com"
KEY_PATH: Final = {"mexc": "/api/v3/apiKeyInfo", "kucoin": "/api/v1/user/api-key"}
Signed = tuple[str, dict[str, str]]  # query string and headers


def hmac_of(secret: str, text: str) -> bytes:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()


def milliseconds() -> int:
    return time.time_ns() // 1_000_000


def sign(key: KeySpec, method: str, path: str, params: dict[str, str], at: int) -> Signed:
    """Signed with what people paste for this key."""
    if key.exchange == "kucoin":
        return sign_kucoin(key, method, path, params, at)
    if path.startswith("/api/v1/private/"):
        return sign_mexc_futures(key, params, at)
    return sign_mexc(key, params, at)


def sign_mexc(key: KeySpec, params: dict[str, str], at: int) -> Signed:
    query = urlencode({"recvWindow": 5000, **params, "timestamp": at})
    made = hmac_of(key.paste_secret, query).hex()
    return f"{query}&signature={made}", {"X-MEXC-APIKEY": key.api_key}


def sign_mexc_futures(key: KeySpec, params: dict[str, str], at: int) -> Signed:
    total = f"{key.api_key}{at}{urlencode(sorted(params.items()))}"
    made = hmac_of(key.paste_secret, total).hex()
    headers = {"ApiKey": key.api_key, "Request-Time": str(at), "Signature": made}
    return urlencode(params), headers


def sign_kucoin(
    key: KeySpec, method: str, path: str, params: dict[str, str], at: int, version: str = "2"
) -> Signed:
    query, secret, passphrase = urlencode(params), key.paste_secret, key.paste_passphrase
    target = f"{path}?{query}" if query else path
    if version != "1":
        passphrase = base64.b64encode(hmac_of(secret, passphrase)).decode()
    made = base64.b64encode(hmac_of(secret, f"{at}{method}{target}")).decode()
    return query, {
        "KC-API-KEY": key.api_key,
        "KC-API-SIGN": made,
        "KC-API-TIMESTAMP": str(at),
        "KC-API-PASSPHRASE": passphrase,
        "KC-API-KEY-VERSION": version,
    }


def ask(
    simulator: Simulator,
    key: KeySpec,
    path: str = "",
    method: str = "GET",
    host: str = "",
    params: dict[str, str] | None = None,
    late_ms: int = 0,
    **options: Any,
) -> requests.Response:
    """A signed request by `key`, of its key endpoint where no path is named."""
    path = path or KEY_PATH[key.exchange]
    host = host or {"mexc": MEXC, "kucoin": KUCOIN}[key.exchange]
    if params is None and path == KEY_PATH["mexc"]:
        params = {"accessKey": key.api_key}
    query, headers = sign(key, method, path, params or {}, milliseconds() - late_ms)
    return send(simulator, method, host, path, query, headers, **options)


def send(
    simulator: Simulator,
    method: str,
    host: str,
    path: str,
    query: str,
    headers: dict[str, str],
    **options: Any,
) -> requests.Response:
    """As it is: requests would normalise a query that it is given with the URL."""
    request = requests.Request(method, f"{simulator.url}/{host}{path}", headers=headers).prepare()
    request.url = f"{request.url}?{query}" if query else request.url
    with requests.Session() as session:
        return session.send(request, **{"timeout": 10, "allow_redirects": False, **options})


def told(response: requests.Response) -> tuple[int, str]:
    """HTTP status and the exchange's own code, "None" where the answer has none."""
    body = response.json()
    return response.status_code, str(body.get("code") if isinstance(body, dict) else None)


def ccxt_client(simulator: Simulator, key: KeySpec) -> Any:
    client = getattr(ccxt, key.exchange)(
        {"apiKey": key.api_key, "secret": key.paste_secret, "password": key.paste_passphrase}
    )
    client.urls["api"] = _through_gateway(simulator, client.urls["api"])
    return client


def _through_gateway(simulator: Simulator, urls: Any) -> Any:
    if isinstance(urls, dict):
        return {name: _through_gateway(simulator, url) for name, url in urls.items()}
    return urls.replace("https://", f"{simulator.url}/")


def kucoin_sdk(simulator: Simulator, key: KeySpec) -> Any:
    """The account calls of KuCoin's own SDK."""
    # Slow to import, and with fifty warnings: for those who ask for it alone.
    from kucoin_universal_sdk.api import DefaultClient
    from kucoin_universal_sdk.model import ClientOptionBuilder, TransportOptionBuilder

    options = (
        ClientOptionBuilder()
        .set_key(key.api_key)
        .set_secret(key.paste_secret)
        .set_passphrase(key.paste_passphrase)
        .set_transport_option(TransportOptionBuilder().build())
        .set_spot_endpoint(f"{simulator.url}/{KUCOIN}")
        .set_futures_endpoint(f"{simulator.url}/{KUCOIN_FUTURES}")
        .set_broker_endpoint(simulator.url)
        .build()
    )
    return DefaultClient(options).rest_service().get_account_service().get_account_api()


def pymexc_client(simulator: Simulator, key: KeySpec, market: ModuleType, host: str) -> Any:
    """`market` is `pymexc.spot` or `pymexc.futures`."""
    client = market.HTTP(api_key=key.api_key, api_secret=key.paste_secret)
    client.base_url = f"{simulator.url}/{host}"
    return client
