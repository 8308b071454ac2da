"""sovbroker: a multi-cloud sovereignty broker."""

__version__ = "0.1.0"
