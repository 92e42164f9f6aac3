"""push: checkpoints/final to the Hugging Face Hub, private unless --public. Nothing else in this project sends anything there.

Reads:  checkpoints/final/
"""

import argparse
from pathlib import Path

from pipeline.checkpoint import read_json

FINAL = Path("checkpoints/final")


def run(words: list[str]) -> None:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    parser = argparse.ArgumentParser(prog="python -m pipeline push")
    parser.add_argument("repo", help="user/name")
    parser.add_argument("--public", action="store_true", help="for everybody to see; private without it")
    given = parser.parse_args(words)
    if given.repo.count("/") != 1 or not all(given.repo.split("/")):
        raise ValueError(f"expected user/name, got {given.repo!r}")
    for name in ("chosen.json", "README.md", "modules.json"):
        if not (FINAL / name).is_file():
            raise ValueError(f"{FINAL / name} is missing; run `dvc repro final`, which makes it")
    model = read_json(FINAL / "chosen.json")["model"]
    api = huggingface_hub.HfApi()
    try:
        api.create_repo(given.repo, private=not given.public, exist_ok=True)
        done = api.upload_folder(repo_id=given.repo, folder_path=str(FINAL), commit_message=f"Tributary: {model}")
    except (LocalTokenNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise ValueError(f"the Hub refused {given.repo}: {error}; log in with `hf auth login`, or see the message") from error
    print(f"pushed {FINAL} ({model}) to {getattr(done, 'commit_url', given.repo)}, {'public' if given.public else 'private'}")
