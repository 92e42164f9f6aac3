"""Which process of a job this is, for what must not import torch; others find it in `pipeline.distributed`."""

import os


def first_process() -> bool:
    """Whether this process is the one that writes files. Known from the environment, so before any group is formed too."""
    if "RANK" in os.environ:  # torchrun
        return int(os.environ["RANK"]) == 0
    if "SLURM_PROCID" in os.environ and "LOCAL_RANK" not in os.environ:
        return int(os.environ["SLURM_PROCID"]) == 0
    return int(os.environ.get("LOCAL_RANK", 0)) == 0 and int(os.environ.get("NODE_RANK", 0)) == 0
