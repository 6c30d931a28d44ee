"""Two or more AWS regions on one machine, with real handlers behind them."""

__version__ = "0.1.0"
