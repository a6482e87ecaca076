"""The measuring kit of developers; it is not installed."""
