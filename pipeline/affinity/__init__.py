"""Binding affinity of protein complexes: the model, its token vectors, its training."""
