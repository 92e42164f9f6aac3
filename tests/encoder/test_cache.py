import multiprocessing

import numpy as np

from pipeline.encoder.cache import EmbeddingCache, key


def vector(text):
    return np.random.default_rng(sum(map(ord, text))).normal(size=4).astype(np.float32)


class Model:
    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked += texts
        return np.stack([vector(text) for text in texts]) if texts else np.empty((0, 4), dtype=np.float32)


def test_a_text_is_encoded_once_and_comes_back_in_its_place(tmp_path):
    model = Model()
    first = EmbeddingCache(tmp_path, model="m").encode(["a", "b", "a"], "", model)
    np.testing.assert_array_equal(first, np.stack([vector(t) for t in "aba"]))
    later = EmbeddingCache(tmp_path, model="m").encode(["c", "b"], "", model)
    np.testing.assert_array_equal(later, np.stack([vector(t) for t in "cb"]))
    assert model.asked == ["a", "b", "c"]


def test_another_model_and_another_prompt_are_asked_again(tmp_path):
    model = Model()
    EmbeddingCache(tmp_path, model="m").encode(["a"], "", model)
    EmbeddingCache(tmp_path, model="n").encode(["a"], "", model)
    EmbeddingCache(tmp_path, model="m").encode(["a"], "query: ", model)
    assert model.asked == ["a"] * 3
    assert key("b", "a") != key("ab", "")


def test_a_broken_file_and_a_half_written_one_are_passed_over(tmp_path):
    model = Model()
    cache = EmbeddingCache(tmp_path, model="m")
    cache.encode(["a"], "", model)
    (file,) = cache.folder.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:20])
    (cache.folder / ".x.1.partial").write_bytes(b"half")
    np.testing.assert_array_equal(EmbeddingCache(tmp_path, model="m").encode(["a"], "", model), [vector("a")])
    assert model.asked == ["a", "a"]


def write_many(folder, first):
    cache = EmbeddingCache(folder, model="m")
    for i in range(first, first + 20):
        cache.encode([f"text {i}", f"text {i + 1}"], "", Model())


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(tmp_path, first)) for first in (0, 10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    model = Model()
    texts = [f"text {i}" for i in range(31)]
    np.testing.assert_array_equal(
        EmbeddingCache(tmp_path, model="m").encode(texts, "", model), np.stack([vector(text) for text in texts])
    )
    assert model.asked == []
