"""Tributary: raw pairs in, one evaluated embedding model out.

    ingest -> curate -> pretrain -> mine -> train@expert -> merge@method -> evaluate@model -> report

Floors, imports only go down:

    4  __main__     python -m pipeline <stage> [item] [hydra overrides]
    3  stage        one file per node of dvc.yaml; reads files, writes files
    -  probing      what merges are tried on, and the search for their coefficients
    -  training     the Lightning module, data module and trainer that pretrain and train share
    2  source filter dedup cluster split mining merging evaluator    know nothing of each other
    1  corpus encoder pooling objective metric delta
    0  params checkpoint tensors weights

Letters in shapes: B queries, N candidates, L tokens, D width, K experts.
"""

__version__ = "0.1.0"
