"""What can be done with a strategy."""

from __future__ import annotations

from connections.services import reasons_against_trading

from .models import StrategyConfig


class NotSafe(Exception):
    """The strategy may not run on its connection; `reasons` are sentences for its owner."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("the strategy may not be enabled")
        self.reasons = reasons


def enable(strategy: StrategyConfig) -> None:
    """Switches a strategy on. Raises NotSafe while its connection's key is not proven safe."""
    if reasons := reasons_against_trading(strategy.connection, strategy.market):
        raise NotSafe(reasons)
    StrategyConfig.objects.filter(pk=strategy.pk).update(enabled=True)
    strategy.enabled = True
