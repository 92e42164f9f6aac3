"""Tributary: raw pairs in, one evaluated embedding model out. docs/ARCHITECTURE.md holds the map."""
