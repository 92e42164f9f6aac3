"""compose: what is chosen becomes what is run.

Reads:  conf/, params.yaml
Writes: data/config.yaml
"""

from pathlib import Path

from pipeline.checkpoint import write_yaml
from pipeline.params import CONFIG, compose_config, read_page


def run(out: Path) -> None:
    config = compose_config(read_page())
    write_yaml(out / CONFIG, config)
    corpora = ", ".join(config["ingest"]["corpora"])
    print(f"{CONFIG}: corpora {corpora}; experts {', '.join(config['train'])}; merges {', '.join(config['merge'])}")
