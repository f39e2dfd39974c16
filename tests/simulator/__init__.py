"""A simulator of exchanges for tests and demonstrations: real HTTP, real signatures, no network.

`https://HOST/PATH?QUERY` is served at `http://127.0.0.1:PORT/HOST/PATH?QUERY`.

    with Simulator() as simulator:
        settings.EXCHANGE_GATEWAY_URL = simulator.url

A further exchange is one module like `mexc.py`, written into the list in `registry.py`.
"""

from .keys import SEEN_IP, KeySpec
from .registry import EXCHANGES, SAMPLE_KEYS, sample
from .server import Seen, Simulator

__all__ = ["EXCHANGES", "SAMPLE_KEYS", "SEEN_IP", "KeySpec", "Seen", "Simulator", "sample"]
