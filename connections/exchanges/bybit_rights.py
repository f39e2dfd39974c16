"""What Bybit tells of a key: its rights, its addresses and its end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from .base import Call, Known, Permissions
from .reading import iso_moment, permissions_from, whole_number

NEVER_ENDS = -2  # of `deadlineDay`

# Group and word on a key -> the rights it gives; an empty tuple is a word no rule asks about.
RIGHTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("Spot", "SpotTrade"): ("read", "spot_trade"),
    ("ContractTrade", "Order"): ("read", "futures_trade"),
    ("ContractTrade", "Position"): ("read",),
    ("Derivatives", "DerivativesTrade"): ("read", "futures_trade"),
    ("Wallet", "AccountTransfer"): ("read", "transfer"),
    ("Wallet", "SubMemberTransfer"): ("transfer",),
    ("Wallet", "SubMemberTransferList"): ("transfer",),
    ("Wallet", "Withdraw"): ("withdraw",),
    ("Options", "OptionsTrade"): (),
    ("Exchange", "ExchangeHistory"): (),
    ("Earn", "Earn"): (),
    ("CopyTrading", "CopyTrading"): (),
    ("BlockTrade", "BlockTrade"): (),
    ("NFT", "NFTQueryProductList"): (),
    ("Affiliate", "Affiliate"): (),
    ("FiatP2P", "FiatP2POrder"): (),
    ("FiatP2P", "Advertising"): (),
    ("FiatBitPay", "FaitPayOrder"): (),  # Bybit's own spelling
    ("FiatBybitPay", "FaitPayOrder"): (),
    ("FiatConvertBroker", "FiatConvertBrokerOrder"): (),
}
NEEDED = ("Spot", "ContractTrade", "Wallet")  # a list that is not there is not an empty one
PAYS_OUT = {"FiatP2P", "FiatBitPay", "FiatBybitPay"}  # no withdrawal, but value leaves by it


def permissions(groups: Mapping[str, Any], read_only: object, call: Call) -> Permissions:
    granted: dict[str, str] = {}
    words: list[str] = []
    unknown = [f"{name} missing" for name in NEEDED if name not in groups]
    for group, listed in groups.items():
        for word in listed if isinstance(listed, list) else [None]:
            rights = RIGHTS.get((group, word)) if isinstance(word, str) else None
            (unknown if rights is None else words).append(f"{group} {word}")
            for right in rights or ():
                granted.setdefault(right, f"{group} {word}")
    may = permissions_from(granted, words, unknown, call)
    return _with_flag(may, groups, read_only, str(call))


def _with_flag(
    may: Permissions, groups: Mapping[str, Any], read_only: object, call: str
) -> Permissions:
    """`readOnly` wins over the lists, which name rights that a read-only key cannot use. Reading
    and margin orders have no word of their own."""
    evidence = {**may.evidence, "margin": f"{call}: no word for it"}
    values = {**may.as_dict(), "read": may.read or None, "margin": None}
    paying = sorted(group for group in PAYS_OUT if groups.get(group))
    if values["withdraw"] is False and paying:
        values["withdraw"] = None
        evidence["withdraw"] = f"{call}: {', '.join(paying)} moves value out"
    writing = [name for name in Permissions.NAMES if name != "read"]
    if read_only == 1:
        values |= dict.fromkeys(writing, False)
        evidence |= dict.fromkeys(writing, f"{call}: readOnly 1")
    elif read_only != 0:
        unsure = [name for name in writing if name != "withdraw" and values[name]]
        values |= dict.fromkeys(unsure)
        evidence |= {name: f"{evidence[name]}, readOnly ?" for name in unsure}
    return Permissions.of(values, evidence)


def addresses(listed: Any) -> tuple[str, ...] | None:
    """The addresses a key is bound to, () for every address, None for another shape."""
    if not isinstance(listed, list) or not all(isinstance(ip, str) for ip in listed):
        return None
    return () if "*" in listed else tuple(ip.strip() for ip in listed if ip.strip())


def restricted(ips: tuple[str, ...] | None, kind: object) -> Known:
    """A key of a third-party app (type 2) is bound on Bybit's side, and its list stays empty."""
    if ips is None:
        return None
    return True if ips else (False if kind == 1 else None)


def end(moment: Any, days: Any, now: datetime) -> datetime | None:
    """As Bybit declares it, for a key without addresses or after a change of password."""
    if days == NEVER_ENDS:
        return None
    at = iso_moment(moment)
    if at and at.year > 2000:  # without an end it is 1970
        return at
    left = whole_number(days)
    return now + timedelta(days=left) if left and left < 3650 else None
