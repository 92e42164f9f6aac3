"""Tributary: raw pairs in, one evaluated embedding model out. docs/README.md holds the map."""
