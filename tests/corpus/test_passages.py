from pipeline.corpus.passages import halves, passages, sentences


def test_a_text_is_cut_behind_full_stops_and_at_line_ends():
    assert sentences("The cat sat. A dog ran!  Why?\nv 3.5 is out … \n--\nend") == [
        "The cat sat.", "A dog ran!", "Why?", "v 3.5 is out …", "end",
    ]  # fmt: skip
    assert sentences("猫坐着。狗跑了！") == ["猫坐着。", "狗跑了！"]
    assert sentences("") == []


def test_passages_stand_between_blank_lines_and_short_ones_go_with_the_next():
    text = "Title\n\nThe cat sat\non a mat today.\n \nA dog ran in the park.\n\nend\n"
    assert passages(text, 5) == ["Title The cat sat on a mat today.", "A dog ran in the park. end"]
    assert passages("only this", 5) == ["only this"]
    assert passages(" \n\n ", 5) == []


def test_a_passage_is_its_first_sentence_and_the_rest_or_two_halves():
    assert halves("The cat sat. A dog ran! Why?") == ("The cat sat.", "A dog ran! Why?")
    assert halves("one two three four five") == ("one two three", "four five")
    assert halves("word") is None
