def test_the_texts_of_the_corpora_are_found_and_indexed_once(copied, run, capsys):
    folder = copied("checkpoints/final", "data/raw", "data/config.yaml")
    assert run(folder, "search", "How do I clean the lamp in the attic?") == 0
    first = capsys.readouterr().out.splitlines()
    assert first[0] == "indexing 150 documents, once for this model"  # 100 answers and 50 labelled notes
    scores = [float(line.split()[0]) for line in first[1::2]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 10
    index = {file: file.stat().st_mtime_ns for file in folder.glob("data/index/*/*/*")}
    assert sorted(file.name for file in index) == ["names.json", "vectors.npy"]
    assert run(folder, "search", "How", "do", "I", "clean", "the lamp in the attic?") == 0
    assert capsys.readouterr().out.splitlines() == first[1:]
    assert {file: file.stat().st_mtime_ns for file in index} == index


def test_another_model_gets_another_index(copied, run, capsys, finished):
    folder = copied("checkpoints/final", "data/raw", "data/config.yaml")
    assert run(folder, "search", "lamp") == 0
    weights = folder / "checkpoints/final/model.safetensors"
    weights.write_bytes((finished / "checkpoints/backbone/model.safetensors").read_bytes())
    capsys.readouterr()
    assert run(folder, "search", "lamp") == 0
    assert capsys.readouterr().out.startswith("indexing 150 documents")
    assert len(list(folder.glob("data/index/*"))) == 2


def test_without_a_question_or_a_model_it_says_what_to_do(copied, run, capsys):
    folder = copied("data/raw", "data/config.yaml")
    assert run(folder, "search") == 1
    assert "search needs a question: python -m pipeline search" in capsys.readouterr().err
    assert run(folder, "search", "lamp") == 1
    assert "checkpoints/final is no encoder directory" in capsys.readouterr().err
    assert not (folder / "data/index").exists()
