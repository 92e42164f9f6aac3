import huggingface_hub
import pytest
from huggingface_hub.errors import LocalTokenNotFoundError


class StandIn:
    """The Hub's API, which keeps what it is asked."""

    asked: list = []  # noqa: RUF012

    def create_repo(self, repo_id, *, private, exist_ok):
        self.asked.append(("create", repo_id, private))

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        self.asked.append(("upload", repo_id, folder_path, commit_message))


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(StandIn, "asked", [])
    monkeypatch.setattr(huggingface_hub, "HfApi", StandIn)
    return StandIn


def test_the_final_model_goes_to_a_private_place_unless_told_otherwise(copied, run, hub, capsys):
    folder = copied("data/config.yaml", "checkpoints/final")
    assert run(folder, "push", "me/mine") == 0
    create, upload = hub.asked
    assert create == ("create", "me/mine", True)
    assert upload[:3] == ("upload", "me/mine", "checkpoints/final")
    assert "private" in capsys.readouterr().out
    assert run(folder, "push", "me/mine", "--public") == 0
    assert hub.asked[2] == ("create", "me/mine", False)


def test_nothing_is_sent_without_a_model_or_a_full_name(copied, run, hub, capsys):
    folder = copied("data/config.yaml")
    assert run(folder, "push", "me/mine") == 1
    assert "chosen.json is missing; run `dvc repro final`" in capsys.readouterr().err
    assert run(folder, "push", "mine") == 1
    assert "expected user/name, got 'mine'" in capsys.readouterr().err
    assert hub.asked == []


def test_without_a_login_it_says_how_to(copied, run, hub, capsys, monkeypatch):
    def refuse(*_, **__):
        raise LocalTokenNotFoundError("no token")

    monkeypatch.setattr(StandIn, "create_repo", refuse)
    assert run(copied("data/config.yaml", "checkpoints/final"), "push", "me/mine") == 1
    assert "the Hub refused me/mine: no token; log in with `hf auth login`" in capsys.readouterr().err
