"""compose: what is chosen becomes what is run.

Reads:  conf/, params.yaml
Writes: data/config.yaml
"""

from pathlib import Path

from pipeline.checkpoint import write_yaml
from pipeline.code_hash import code_hashes
from pipeline.params import CONFIG, compose_config, read_page
from pipeline.trainable import check_probes, check_trainings


def run(out: Path) -> None:
    config = compose_config(read_page())
    check_trainings(config)
    check_probes(config)
    write_yaml(out / CONFIG, config | {"code": code_hashes(config)})
    corpora = ", ".join(config["ingest"]["corpora"])
    print(f"{CONFIG}: corpora {corpora}; experts {', '.join(config['train'])}; merges {', '.join(config['merge'])}")
