"""Keys and passwords of the environment stand in no output of a whole run."""

from tests.stage.conftest import SECRETS


def test_no_file_of_a_whole_run_holds_a_secret(finished):
    files = [file for file in finished.rglob("*") if file.is_file()]
    assert len(files) > 100
    found = [
        (file.relative_to(finished).as_posix(), name)
        for file in files
        for name, value in SECRETS.items()
        if value.encode() in file.read_bytes()
    ]
    assert found == []
