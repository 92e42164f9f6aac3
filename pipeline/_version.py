"""The version of this package. It stands in every provenance, so a new one makes all models anew."""

__version__ = "0.1.0"
