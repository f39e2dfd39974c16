"""Coinbase as documented: Advanced Trade v3 with the signed tokens of CDP keys, ECDSA and Ed25519.

Sources: docs.cdp.coinbase.com, Coinbase's own SDK, bodies recorded from users' reports, and ccxt.
What nobody confirmed is marked "unconfirmed" beside it. Private keys are derived from their
scenario like all sample values; the exchange would know the public half alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from .keys import KeySpec, Rights, SampleMaker
from .wire import Answer, Asked, Endpoint, Exchange, Family, Refused, Reply, Request

HOSTS: Final = ("api.coinbase.com",)
BROKERAGE: Final = "/api/v3/brokerage"
LONGEST_LIFE_S: Final = 120  # of a token
LEEWAY_S: Final = 60  # how early a token may be; unconfirmed
ISSUERS: Final = ("cdp", "coinbase-cloud")  # Coinbase's SDK and ccxt; ccxt's ECDSA tokens
FLAGS: Final = ("can_view", "can_trade", "can_transfer", "can_receive")
# "cfm" is no right of a key: it says that the account is enabled for futures.
FUTURES: Final = "cfm"


def error(status: int, code: str, message: str) -> Reply:
    """Without blanks, as it is sent: Coinbase's own SDK looks for a piece of that text."""
    body = {"error": code, "error_details": message, "message": message}
    text = json.dumps(body, separators=(",", ":"))
    return Reply(status, text, {"Content-Type": "application/json"})


UNAUTHORIZED = Reply(401, "Unauthorized\n")
NO_SCOPE = error(403, "unknown", "Missing required scopes")


# --- what is checked ---------------------------------------------------------------------------


@cache
def public_half(secret: str) -> tuple[str, Any]:
    """The algorithm a key signs with, and what its signatures are checked with."""
    if secret.startswith("-----BEGIN"):
        return "ES256", load_pem_private_key(secret.encode(), None).public_key()
    seed = base64.b64decode(secret)[:32]
    return "EdDSA", ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def _header(request: Request) -> dict[str, Any]:
    return _part(_token(request).split(".")[0])


def _part(text: str) -> dict[str, Any]:
    """One part of a token: base64 without padding, of a JSON object. {} for anything else."""
    try:
        found = json.loads(_bytes(text))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _fits(algorithm: str, public: Any, token: str) -> bool:
    signed, _, signature = token.rpartition(".")
    try:
        raw = _bytes(signature)
        if algorithm == "EdDSA":
            public.verify(raw, signed.encode())
        else:  # ES256: r and s, 32 bytes each
            numbers = (int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
            der = encode_dss_signature(*numbers)
            public.verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return len(raw) == 64 and _part(token.split(".")[0]).get("alg") == algorithm


def _api_key(request: Request) -> str:
    kid = _header(request).get("kid")
    return kid if isinstance(kid, str) else ""


def _require(fulfilled: bool) -> None:
    if not fulfilled:
        raise Refused(UNAUTHORIZED)


def _key_exists(asked: Asked) -> None:
    _require(asked.found is not None and not asked.key.disabled)


def _address_allowed(asked: Asked) -> None:
    _require(asked.address_allowed)


def _header_complete(asked: Asked) -> None:
    header = _header(asked.request)
    nonce = header.get("nonce")
    _require(header.get("typ") == "JWT")
    _require(isinstance(nonce, str) and 0 < len(nonce) <= 64 and nonce.isalnum())


def claims(asked: Asked) -> dict[str, Any]:
    """What the token says, once its signature fits. Times are checked by this exchange's clock."""
    algorithm, public = public_half(asked.key.secret)
    token = _token(asked.request)
    _require(_fits(algorithm, public, token))
    return _part(token.split(".")[1])


def _signature_fits(asked: Asked) -> None:
    said = claims(asked)
    _require(said.get("sub") == asked.key.api_key and said.get("iss") in ISSUERS)


def _for_this_call(asked: Asked) -> None:
    """`uri` or `uris`: method, host and path, without scheme and query."""
    said, request = claims(asked), asked.request
    named = said.get("uris", [said.get("uri")])
    _require(isinstance(named, list) and f"{request.method} {HOSTS[0]}{request.path}" in named)


def _in_time(asked: Asked) -> None:
    said, now = claims(asked), asked.world.now_ms() / 1000
    begins, ends = said.get("nbf"), said.get("exp")
    _require(isinstance(begins, int) and isinstance(ends, int))
    _require(begins - LEEWAY_S <= now < ends <= begins + LONGEST_LIFE_S)


def _permitted(asked: Asked) -> None:
    wanted = asked.endpoint.permission
    if wanted and wanted not in asked.key.permissions:
        raise Refused(NO_SCOPE)


CDP = Family(
    api_key=_api_key,
    # The order cannot be seen from outside: all of them are the same 401.
    checks=(
        _key_exists,
        _header_complete,
        _signature_fits,
        _for_this_call,
        _in_time,
        _address_allowed,
        _permitted,
    ),
    faults={
        "down": Reply(503, "Service Unavailable"),  # body unconfirmed
        "rate_limit": Reply(429, "<html> <head> <title>Coinbase</title> </head> </html>"),
        "clock": UNAUTHORIZED,
        "restricted": error(400, "INVALID_ARGUMENT", "account is not available"),
    },
)


# --- what is answered --------------------------------------------------------------------------


def _time(asked: Asked) -> Any:
    now = asked.world.now_ms()
    iso = datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds")
    return {"iso": iso, "epochSeconds": str(now // 1000), "epochMillis": str(now)}


def portfolio(key: KeySpec) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, key.uid))


def _key_permissions(asked: Asked) -> Any:
    key = asked.key
    if key.fault == "no_key_endpoint":
        raise Refused(NO_SCOPE)  # unconfirmed: which right it needs
    undocumented = {
        flag: True for flag in key.permissions if flag.startswith("can_") and flag not in FLAGS
    }
    return {
        **{flag: flag in key.permissions for flag in FLAGS},
        **undocumented,
        "portfolio_uuid": portfolio(key),
        "portfolio_type": "DEFAULT",
    }


def _accounts(asked: Asked) -> Any:
    params = asked.request.params
    start, limit = int(params.get("cursor") or 0), int(params.get("limit", "49"))
    rows = [_account(asked.key, *balance) for balance in asked.key.balances.items()]
    page, more = rows[start : start + limit], start + limit < len(rows)
    cursor = str(start + limit) if more else ""
    return {"accounts": page, "has_next": more, "cursor": cursor, "size": len(page)}


def _account(key: KeySpec, currency: str, amounts: tuple[str, str]) -> dict[str, Any]:
    free, used = amounts
    return {
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{key.uid} {currency}")),
        "name": f"{currency} Wallet",
        "currency": currency,
        "available_balance": {"value": free, "currency": currency},
        "default": False,
        "active": True,
        "created_at": "2021-05-31T09:59:59Z",
        "updated_at": "2021-05-31T09:59:59Z",
        "deleted_at": None,
        "type": "ACCOUNT_TYPE_CRYPTO",
        "ready": True,
        "platform": "ACCOUNT_PLATFORM_CONSUMER",
        "hold": {"value": used, "currency": currency},
        "retail_portfolio_id": portfolio(key),
    }


def _orders(asked: Asked) -> Any:
    return {"orders": [], "sequence": "0", "has_next": False, "cursor": ""}


def _futures_balance(asked: Asked) -> Any:
    if FUTURES not in asked.key.permissions:
        message = "User does not have the correct permissions"
        raise Refused(error(403, "PERMISSION_DENIED", message))
    free, used = asked.key.futures_balances.get("USDT", ("0", "0"))  # dollars here
    amounts = {"futures_buying_power": free, "initial_margin": used, "unrealized_pnl": "0"}
    amounts |= dict.fromkeys(("total_usd_balance", "cfm_usd_balance"), str(float(free)))
    dollars = {name: {"value": value, "currency": "USD"} for name, value in amounts.items()}
    return {"balance_summary": dollars}


def _futures_positions(asked: Asked) -> Any:
    return {"positions": []}


def _changes(asked: Asked) -> Any:
    return {"success": True}


def _private(path: str, answer: Answer, permission: str = "can_view") -> Endpoint:
    return Endpoint("GET", BROKERAGE + path, answer, HOSTS, CDP, permission)


def _dangerous(path: str, permission: str) -> Endpoint:
    return Endpoint("POST", BROKERAGE + path, _changes, HOSTS, CDP, permission, dangerous=True)


# Rights: as named beside each call in Coinbase's own SDK.
ENDPOINTS = (
    Endpoint("GET", f"{BROKERAGE}/time", _time, HOSTS),
    _private("/key_permissions", _key_permissions, ""),
    _private("/accounts", _accounts),
    _private("/orders/historical/batch", _orders),
    _private("/cfm/balance_summary", _futures_balance),
    _private("/cfm/positions", _futures_positions),
    _dangerous("/orders", "can_trade"),
    _dangerous("/orders/batch_cancel", "can_trade"),
    _dangerous("/portfolios/move_funds", "can_transfer"),
)


# --- sample keys -------------------------------------------------------------------------------


def ed25519_look(digest: str) -> tuple[str, str, str]:
    """A bare ID, and seed and public half in base64: what the portal makes by default."""
    seed = bytes.fromhex(digest)
    public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    name = uuid.UUID(hashlib.sha256(seed).hexdigest()[:32], version=4)
    return str(name), base64.b64encode(seed + public).decode(), ""


def ecdsa_look(digest: str) -> tuple[str, str, str]:
    """A name with two IDs, and a SEC1 PEM in one line, as it looks copied from some pages."""
    key = ec.derive_private_key(int(digest, 16) % 2**255 + 1, ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    name, _, _ = ed25519_look(digest)
    organization = uuid.uuid5(uuid.NAMESPACE_OID, digest)
    return f"organizations/{organization}/apiKeys/{name}", " ".join(pem.decode().split("\n")), ""


RIGHTS = Rights(
    read=("can_view",),
    spot=("can_trade",),
    futures=(FUTURES,),
    withdraw=("can_transfer",),
    unknown=("can_export",),
)
_maker = SampleMaker("coinbase", ed25519_look, RIGHTS)
_older = SampleMaker("coinbase", ecdsa_look, RIGHTS)

COINBASE = Exchange(
    code="coinbase",
    endpoints=ENDPOINTS,
    not_found=Reply(404, "404 page not found\n"),  # unconfirmed
    samples=(
        *_maker.common(),
        _maker.make("disabled", "Switched off: looks like a wrong key.", disabled=True),
        _maker.make(
            "fallback",
            "Works, but Coinbase does not tell the key's rights: balances must show reading.",
            fault="no_key_endpoint",
        ),
        _older.make("ecdsa", "Works: a key of the older kind, with ECDSA."),
    ),
)
