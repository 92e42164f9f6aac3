"""Tables as people have them: quotes, encodings, line ends, forms and names that go wrong, through the source that reads them."""

import gzip
import json
import os
import random
import time

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl.chart import BarChart, Reference

from pipeline.corpus.row import Document, Rejected, Row
from pipeline.protein.source.fasta import Fasta
from pipeline.source.beir import Beir
from pipeline.source.table import Table

SETTINGS = {
    "root": None, "columns": {"query": "q", "document": "d"}, "task": "retrieval", "kind": None, "split": None, "delimiter": None,
    "quoting": True, "encoding": None, "sheet": None, "documents": None, "relevant_above": 0,
}  # fmt: skip
JUDGED = {"root": None, "splits": {"test": "test"}, "task": "retrieval", "kind": None, "relevant_above": 0}


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def made(name, content, **settings):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(Table(path=name, **(SETTINGS | settings)).read())

    return made


def pairs(records):
    return [(one.query, one.document) for one in records if isinstance(one, Row)]


def rejected(records):
    return [one for one in records if isinstance(one, Rejected)]


def plain(count, first=0):
    return "".join(f"q{i},d{i}\n" for i in range(first, first + count))


# A: a record swallows no lines

STRAY = {
    "never closed, first field": ('"open quote,doc\n' + plain(300), 300),
    "never closed, last field": ('x,"open quote\n' + plain(300), 300),
    "closed far below": ('x,"open\n' + plain(300) + 'y,and left"\n' + plain(3, 300), 304),
    "closed by the first field of a record": ('x,"open\n' + plain(9) + '"quoted",d\n', 10),
    "closed in the next line": ('x,"open\ny,and left"\n' + plain(3), 4),
    "every field in quotes": ('"x","open\n' + "".join(f'"q{i}","d{i}"\n' for i in range(50)), 50),
    "two at once": ('x,"open\n' + plain(20) + '"also open,y\n' + plain(20), 40),
}


@pytest.mark.parametrize("case", STRAY)
def test_a_stray_quote_costs_its_own_line(read, case):
    text, count = STRAY[case]
    records = read("x.csv", "q,d\n" + plain(5, 900) + text)
    lost = rejected(records)
    assert len(pairs(records)) == 5 + count
    assert lost[0].line == 7
    assert "left open" in lost[0].reason or "stands behind the quote" in lost[0].reason
    assert len(lost) == (2 if case == "two at once" else 1)


def test_a_tab_in_a_field_in_quotes_of_a_tsv_is_the_end_of_a_record(read):
    records = read("x.tsv", 'q\td\nq one\t"to be\nq two\tthat is"\nq three\tx\n')
    assert pairs(records) == [("q two", 'that is"'), ("q three", "x")]
    assert rejected(records)[0].line == 2


TEXTS = [
    "one, two\nthree, four",
    "a\n\nb",
    'he said "yes"\nand "no"',
    "1,000 people\nin 1,200 towns, or so",
    "\n",
    "x\n" * 500,
    'q",d',
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_of_several_lines_that_is_quoted_well_is_one_text(read, text):
    quoted = text.replace('"', '""')
    records = read("x.csv", f'q,d\n{plain(3)}long,"{quoted}\nend"\n{plain(3, 3)}')
    assert rejected(records) == []
    assert pairs(records)[3] == ("long", f"{text}\nend")


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_several_texts_of_several_lines_in_one_record_are_read(read, delimiter):
    """The line that closes one text and opens the next is no record, though it has as many fields as one."""
    record = delimiter.join(['"a\nb"', '"c\nd"'])
    last = delimiter.join(['"a\nb"', "c"])
    records = read("x.csv", f"q{delimiter}d\n{record}\n{last}\n", delimiter=delimiter)
    assert pairs(records) == [("a\nb", "c\nd"), ("a\nb", "c")]


def test_lines_of_a_broken_record_are_not_taken_for_records(read):
    records = read("x.csv", 'q,d\na,"He said "hi" to\nFirst, do this.\nThen, do that."\nb,c\n')
    assert pairs(records) == [("b", "c")]
    assert [one.line for one in rejected(records)] == [2, 3, 4]


def test_many_open_quotes_take_time_that_grows_with_the_file(read):
    begun = time.perf_counter()
    read("x.csv", "q,d\n" + 'x,"open\n' * 20_000 + plain(20_000))
    assert time.perf_counter() - begun < 10  # quadratic: minutes


# F: encodings, line ends, packing and forms are seen in the content


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl"])
def test_encodings_and_line_ends_are_seen(read, encoding, end, name):
    rows = {"x.csv": ["q,d", "Größe of it,süß", "b,c"], "x.tsv": ["q\td", "Größe of it\tsüß", "b\tc"]}
    rows["x.jsonl"] = ['{"q": "Größe of it", "d": "süß"}', '{"q": "b", "d": "c"}']
    found = read(name, (end.join(rows[name]) + end).encode(encoding), quoting=name == "x.csv")
    assert pairs(found) == [("Größe of it", "süß"), ("b", "c")]


def test_windows_1252_is_a_guess_that_is_told_and_may_be_chosen(read, capsys):
    raw = "q,d\nGröße,süß\nÄpfel and more,“quoted”\n".encode("cp1252")
    assert pairs(read("x.csv", raw))[0] == ("Größe", "süß")
    assert "read as Windows-1252 (cp1252)" in capsys.readouterr().out
    assert pairs(read("x.csv", raw, encoding="cp1252"))[1] == ("Äpfel and more", "“quoted”")
    assert capsys.readouterr().out == ""


ALPHABETS = {
    "cp1251": "привет,вопросы\n",
    "shift_jis": "こんにちは,質問です\n",
    "gb18030": "你好世界,这是问题\n",
    "big5": "你好世界,這是問題\n",
    "euc_kr": "안녕하세요,질문입니다\n",
    "tis_620": "สวัสดี,คำถาม\n",
}


@pytest.mark.parametrize("encoding", ALPHABETS)
def test_another_alphabet_is_not_guessed_and_what_it_may_be_is_told(read, encoding, capsys):
    text = ALPHABETS[encoding]
    assert {one.reason for one in read("x.csv", b"q,d\n" + text.encode(encoding) * 3)} == {"not valid UTF-8"}
    (line,) = capsys.readouterr().out.splitlines()
    assert "x.csv: neither UTF-8 nor Windows-1252; it would be text in " in line
    assert encoding in line.partition(" text in ")[2].partition(": say which by `encoding: `")[0].split(", ")
    assert pairs(read("x.csv", b"q,d\n" + text.encode(encoding), encoding=encoding)) == [tuple(text.strip().split(","))]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "raw", ["q,d\nü,ö\n".encode() * 9 + b"\xe9,x\n", b"q,d\na,b\n\xff,x\n", "q,d\n你好,世界\n".encode() * 9 + b"\xd6\xd0,x\n"]
)
def test_a_broken_byte_in_utf_8_is_no_other_encoding(read, raw, capsys):
    read("x.csv", raw)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-16-le"])
def test_a_mark_of_byte_order_is_no_part_of_the_header(read, encoding):
    assert pairs(read("x.csv", "\ufeffq,d\na,b\n".encode(encoding), encoding=encoding)) == [("a", "b")]


def test_an_unknown_encoding_is_an_error(read):
    with pytest.raises(ValueError, match="encoding must be one that Python knows, got 'latin-17'"):
        read("x.csv", "q,d\n", encoding="latin-17")


def test_a_carriage_return_in_a_text_stays(read):
    assert pairs(read("x.csv", 'q,d\na,"b\rc"\n"d\r\ne",f\n')) == [("a", "b\rc"), ("d\r\ne", "f")]
    assert pairs(read("x.tsv", "q\td\na\tb\rc\n", quoting=False)) == [("a", "b\rc")]


@pytest.mark.parametrize(
    "content",
    [
        '[{"q": "a", "d": "b"}, {"q": "c", "d": "d"}]', '[\n{"q": "a", "d": "b"},\n{"q": "c", "d": "d"}\n]',
        json.dumps([{"q": "a", "d": "b"}, {"q": "c", "d": "d"}], indent=2), '{"q": "a", "d": "b"}\n{"q": "c", "d": "d"}',
        '{\n "q": "a",\n "d": "b"\n}\n{\n "q": "c",\n "d": "d"\n}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.ndjson", "x.csv"])
def test_json_is_read_by_its_content(read, name, content):
    assert pairs(read(name, content)) == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"q": "a", "d": "b"},\n{"q": "c" "d": "d"}]', r"x\.json:2: expected JSON lines .* or one array"),
        ('[{"q": "a", "d": "b"}]\n[{"q": "a"}]', "found more behind the array"),
        (
            '{"version": 1, "data": [{"q": "a", "d": "b"}]}',
            r"one object with the keys version, data; take the list out \(jq -c '\.data",
        ),
        ('{"q": {"0": "a"}, "d": {"0": "b"}}', 'orient="records"'),
    ],
)
def test_json_that_is_no_table_is_an_error_that_says_where_and_what_to_do(read, content, message):
    with pytest.raises(ValueError, match=message):
        read("x.json", content)


def test_a_bad_element_of_an_array_costs_itself(read):
    found = read("x.json", '[{"q": "a", "d": "b"},\n 7,\n {"q": "c", "d": "d"}]')
    (bad,) = rejected(found)
    assert pairs([one for one in found if one is not bad]) == [("a", "b"), ("c", "d")]
    assert (bad.line, bad.reason) == (2, "expected a JSON object, got int")


def test_what_is_packed_is_seen_and_a_wrong_name_is_told(read):
    assert pairs(read("x.jsonl", gzip.compress(b'{"q": "a", "d": "b"}\n'))) == [("a", "b")]
    with pytest.raises(ValueError, match="is a damaged archive"):
        read("x.jsonl.zst", '{"q": "a", "d": "b"}\n')
    packed = pa.compress(b'{"q": "a", "d": "b"}\n' * 1000, codec="zstd", asbytes=True)
    with pytest.raises(ValueError, match=r"x\.jsonl\.zst is a damaged file"):
        read("x.jsonl.zst", packed[:-9])


def test_very_long_fields_are_read(read):
    long = "word " * 60_000
    assert pairs(read("x.csv", f'q,d\na,{long}\nb,"{long}"\n'))[1] == ("b", long)


def test_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "x.jsonl")
    with pytest.raises(ValueError, match="expected a file, found a pipe or a device"):
        list(Table(path="x.jsonl", **SETTINGS).read())


def test_one_bad_text_of_a_parquet_file_costs_its_row(read, tmp_path):
    bad = pa.array([b"a", b"\xff", b"c"]).cast(pa.binary())
    column = pa.StringArray.from_buffers(3, bad.buffers()[1], bad.buffers()[2])
    pq.write_table(pa.table({"q": column, "d": ["x", "y", "z"]}), tmp_path / "x.parquet")
    records = list(Table(path="x.parquet", **SETTINGS).read())
    assert pairs(records) == [("a", "x"), ("c", "z")]
    assert [(one.line, one.reason) for one in rejected(records)] == [(2, "not valid UTF-8")]


# D and E: columns without a name, other sheets, files beside


def book(path, **sheets):
    made = openpyxl.Workbook()
    made.remove(made.active)
    for title, rows in sheets.items():
        sheet = made.create_sheet(title)
        for row in rows:
            sheet.append(row)
    made.save(path)


@pytest.mark.parametrize("header", [["q", None, "d"], [None, "q", "d"], ["q", "d", None], ["q", "", "d", None]])
def test_a_column_without_a_name_keeps_its_place(tmp_path, monkeypatch, header):
    monkeypatch.chdir(tmp_path)
    row = [{"q": "question", "d": "answer"}.get(name, "a note") for name in header]
    book("x.xlsx", one=[header, row, [None] * len(header), row])
    assert pairs(Table(path="x.xlsx", **SETTINGS).read()) == [("question", "answer")] * 2


def test_other_sheets_are_told_and_one_may_be_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    book("x.xlsx", first=[["q", "d"], ["a", "b"]], more=[["q", "d"], ["c", "#N/A"], ["e", "f"]])
    assert pairs(Table(path="x.xlsx", **SETTINGS).read()) == [("a", "b")]
    assert "sheet 'first' is read; not read: 'more'" in capsys.readouterr().out
    records = list(Table(path="x.xlsx", **(SETTINGS | {"sheet": "more"})).read())
    assert pairs(records) == [("e", "f")]
    assert rejected(records)[0].reason == "'d' holds the error #N/A; mend its formula"
    with pytest.raises(ValueError, match=r"expected a sheet 'mor', found 'first', 'more' \(did you mean 'more'"):
        list(Table(path="x.xlsx", **(SETTINGS | {"sheet": "mor"})).read())


@pytest.mark.parametrize("first", [True, False])
def test_a_sheet_that_is_a_chart_is_passed_over(tmp_path, monkeypatch, first):
    monkeypatch.chdir(tmp_path)
    made = openpyxl.Workbook()
    for row in (["q", "d"], ["a", "b"]):
        made.worksheets[0].append(row)
    bars = BarChart()
    bars.add_data(Reference(made.worksheets[0], min_col=1, min_row=2, max_row=2))
    made.create_chartsheet("chart", 0 if first else 1).add_chart(bars)
    made.save("x.xlsx")
    assert pairs(Table(path="x.xlsx", **SETTINGS).read()) == [("a", "b")]
    broken = openpyxl.Workbook()
    broken.create_chartsheet("nothing", 0)  # on which openpyxl itself stumbles
    broken.save("x.xlsx")
    with pytest.raises(ValueError, match=r"x\.xlsx is a damaged workbook"):
        list(Table(path="x.xlsx", **SETTINGS).read())


def test_a_header_of_one_long_name_is_told_in_a_few_words(read):
    with pytest.raises(ValueError, match=r"expected a column 'd', found 'q', 'x+…'") as told:
        read("x.csv", f"q,{'x' * 9000}\na,b\n")
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_arrow_file_ends_no_process(tmp_path, monkeypatch, seed):
    monkeypatch.chdir(tmp_path)
    table = pa.table({"q": [f"q {i}" for i in range(200)], "d": [f"d {i}" for i in range(200)]})
    with pa.ipc.new_stream("x.arrow", table.schema) as out:
        out.write_table(table)
    raw = bytearray((tmp_path / "x.arrow").read_bytes())
    draw = random.Random(seed)
    raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    (tmp_path / "x.arrow").write_bytes(raw)
    told = ""
    try:
        found = list(Table(path="x.arrow", **SETTINGS).read())
    except ValueError as error:
        found, told = [], str(error)
    assert "x.arrow" in told or len(found) >= 199


def test_what_lies_beside_and_is_not_read_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f/sub").mkdir(parents=True)
    (tmp_path / "f/a.csv").write_text("q,d\na,b\n")
    (tmp_path / "f/notes.docx").write_text("")
    (tmp_path / "f/.hidden.csv").write_text("")
    assert pairs(Table(path="f", **SETTINGS).read()) == [("a", "b")]
    assert capsys.readouterr().out == f"{tmp_path}/f: not read: notes.docx, sub/\n"


def test_a_shard_that_lies_there_twice_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").mkdir()
    (tmp_path / "f/a.csv").write_text("q,d\na,b\n")
    (tmp_path / "f/a.csv.gz").write_bytes(gzip.compress(b"q,d\na,b\n"))
    with pytest.raises(ValueError, match=r"a\.csv and a\.csv\.gz, found both"):
        list(Table(path="f", **SETTINGS).read())


def test_files_called_train_and_test_keep_their_splits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").mkdir()
    for name in ("train-1", "train-2", "dev", "x.test"):
        (tmp_path / f"f/{name}.jsonl").write_text(json.dumps({"q": name, "d": "b"}))
    found = {row.query: row.split for row in Table(path="f", **SETTINGS).read()}
    assert found == {"train-1": "train", "train-2": "train", "dev": "validation", "x.test": "test"}
    assert "split by the names of the files" in capsys.readouterr().out
    (tmp_path / "f/other.jsonl").write_text('{"q": "a", "d": "b"}')
    with pytest.raises(ValueError, match=r"tell a split, those of other\.jsonl none"):
        list(Table(path="f", **SETTINGS).read())


# H: identity by spelling


def test_one_number_in_two_spellings_is_refused_over_all_shards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").mkdir()
    (tmp_path / "f/1.csv").write_text("q,d,g\na,b,1\n")
    (tmp_path / "f/2.csv").write_text("q,d,g\nc,d,1.0\n")
    columns = SETTINGS["columns"] | {"group": "g"}
    with pytest.raises(ValueError, match=r"f/2\.csv:2: group '1\.0' is '1' at f/1\.csv:2: one number in two spellings"):
        list(Table(path="f", **(SETTINGS | {"columns": columns})).read())


@pytest.mark.parametrize("spelled", ["1.0", "007", "1e5", " 7", "0x1F", "TRUE"])
def test_a_name_in_a_text_is_kept_as_it_is_spelled(read, spelled):
    columns = SETTINGS["columns"] | {"group": "g", "query_id": "g"}
    (row,) = read("x.csv", f"q,d,g\na,{spelled},{spelled}\n", columns=columns)
    assert (row.document, row.group, row.query_id) == (spelled, spelled, spelled)


def test_an_id_that_stands_for_two_texts_is_rejected(read):
    columns = SETTINGS["columns"] | {"document_id": "i"}
    records = read("x.csv", "q,d,i\na,b,1\nc,other,1\nd,b,1\n", columns=columns)
    assert [(one.line, one.reason.split(",")[0]) for one in rejected(records)] == [(3, "document id '1' stands for two texts")]
    assert len(pairs(records)) == 2


# G and J: empty texts and judgements


@pytest.mark.parametrize("text", ["\u200b", "\u200b\u00a0", "\ufeff ", "\x00\x01", "\u2028"])
def test_what_nobody_can_see_is_no_text(read, text):
    (one,) = rejected(read("x.jsonl", json.dumps({"q": "a", "d": text}) + "\n"))
    assert one.reason == "empty document"


def test_a_threshold_says_what_is_relevant_for_training_and_evaluation(read, capsys):
    columns = SETTINGS["columns"] | {"score": "s"}
    found = read("x.csv", "q,d,s\na,b,0.4\na,c,0.6\na,e,1\n", columns=columns, relevant_above=0.5)
    assert [row.score for row in found] == [0.0, 0.6, 1.0]
    assert "x.csv: 2 judgements are fractions; above 0.5 counts as relevant" in capsys.readouterr().out


def test_a_pair_that_is_judged_twice_and_unlike_is_rejected(read):
    columns = SETTINGS["columns"] | {"score": "s"}
    found = read("x.csv", "q,d,s\na,b,2\na,b,0\n", columns=columns)
    (second,) = rejected(found)
    (first,) = (one for one in found if one is not second)
    assert (first.score, second.reason) == (2.0, "this pair is judged 2.0 at x.csv:2 and 0.0 here; keep one of them")


@pytest.mark.parametrize("score", ["1_0", "٣", "0,5", "1 000", "0x10", "true"])
def test_only_numbers_as_tables_write_them_are_scores(read, score):
    (one,) = rejected(
        read("x.jsonl", json.dumps({"q": "a", "d": "b", "s": score}), columns=SETTINGS["columns"] | {"score": "s"})
    )
    assert "'s' must hold a number" in one.reason


# Forms


def test_nested_columns_are_named_by_their_path(read, tmp_path):
    record = {"q": {"text": "a"}, "p": [{"title": "t", "text": "b"}, {"title": "t", "text": "c"}], "x.y": "literal"}
    columns = {"query": "q.text", "document": "p.text"}
    assert pairs(read("x.jsonl", json.dumps(record), columns=columns)) == [("a", "b"), ("a", "c")]
    assert pairs(read("x.jsonl", json.dumps(record), columns=columns | {"document": "p.1.text"})) == [("a", "c")]
    assert pairs(read("x.jsonl", json.dumps(record), columns=columns | {"document": "x.y"})) == [("a", "literal")]
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "x.parquet")
    assert pairs(Table(path="x.parquet", **(SETTINGS | {"columns": columns})).read()) == [("a", "b"), ("a", "c")]


@pytest.mark.parametrize(
    ("record", "columns"),
    [
        (
            {"anchor": "a", "positive": "b", "negative": "c"},
            {"query": "anchor", "document": "positive", "negative": "negative"},
        ),
        ({"query": "a", "pos": ["b"], "neg": ["c"]}, {"query": "query", "document": "pos", "negative": "neg"}),
        ({"q": "a", "d": "b", "n_2": None, "n_1": "c"}, {"query": "q", "document": "d", "negative": "n_*"}),
        ({"q": "a", "d": "b", "n_1": "c", "n_2": ""}, {"query": "q", "document": "d", "negative": ["n_1", "n_2"]}),
        ({"q": "a", "c": ["b", "c"], "s": [1, 0]}, {"query": "q", "document": "c", "score": "s"}),
    ],
)
def test_negatives_become_judgements_of_0_of_their_query(read, record, columns):
    found = read("x.jsonl", json.dumps(record), columns=columns)
    assert [(row.query, row.document, (row.score or 0) > 0 or row.score is None) for row in found] == [
        ("a", "b", True),
        ("a", "c", False),
    ]


def test_numbered_columns_come_in_the_order_of_their_numbers(read):
    columns = SETTINGS["columns"] | {"negative": "n_*"}
    found = read("x.csv", "q,d,n_10,n_2,n_1\na,b,ten,two,one\n", columns=columns)
    assert [row.document for row in found] == ["b", "one", "two", "ten"]


def test_conversations_are_read_turn_by_turn_and_stay_in_one_split(read):
    for speaker, content, names in (("role", "content", ("user", "assistant")), ("from", "value", ("human", "gpt"))):
        turns = [("system", "s"), (names[0], "hi"), (names[1], "ho"), (names[0], "why"), (names[1], "so"), (names[0], "open")]
        record = {"m": [{speaker: name, content: text} for name, text in turns]}
        found = read("x.jsonl", json.dumps(record), columns={"query": "query", "document": "document", "conversation": "m"})
        assert pairs(found) == [("hi", "ho"), ("why", "so")]
        assert len({row.group for row in found}) == 1
        assert found[0].group is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"columns": SETTINGS["columns"] | {"negative": "n"}, "task": "sts"},
            r"columns\.negative is for pairs of tasks of the kinds retrieval and reranking.*got task 'sts' of kind sts",
        ),
        (
            {"columns": SETTINGS["columns"] | {"negative_score": "n"}},
            r"columns\.negative_score: a row holds no scores of a teacher",
        ),
        ({"columns": SETTINGS["columns"] | {"negative_id": "n"}}, "negative_id names documents of the file"),
        ({"columns": SETTINGS["columns"] | {"group": ["a", "b"]}}, r"columns\.group must name one column"),
        (
            {"columns": {"query": "q", "document": "d", "conversation": "m"}},
            r"columns\.query is 'q', and conversation takes its place",
        ),
        ({"documents": {"path": "x", "text": "t"}}, "must name the column of 'id'"),
    ],
)
def test_a_column_that_cannot_be_used_is_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        Table(path="x.jsonl", **(SETTINGS | settings))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"q": "a", "d": "b", "n": "b"}, "'b' stands among the positives and among the negatives"),
        ({"q": "a", "d": '["x", "y"]', "n": "c"}, "'d' holds a list that was written as a text"),
        ({"q": "a", "d": "['x', 'y']", "n": "c"}, "'d' holds a list that was written as a text"),
        ({"q": "a", "d": {"text": "b"}, "n": "c"}, "'d' must hold a text, got a record of text; name one of them, as d.text"),
        ({"q": "a", "d": [], "n": "c"}, "'d' must hold a text, got none"),
        ({"q": ["a", "b"], "d": "x", "n": "c"}, "'q' must hold a text, got ['a', 'b'] (list)"),
    ],
)
def test_a_record_that_cannot_be_read_as_its_columns_say_is_rejected_whole(read, record, reason):
    more = {"q": "fine", "d": "fine", "n": None}
    bad, good = read("x.jsonl", f"{json.dumps(record)}\n{json.dumps(more)}\n", columns=SETTINGS["columns"] | {"negative": "n"})
    assert reason in bad.reason
    assert pairs([good]) == [("fine", "fine")]


def test_a_column_that_no_record_has_is_an_error(read):
    with pytest.raises(ValueError, match=r"x\.jsonl: no record holds 'negs'; name the right column as negative"):
        read("x.jsonl", '{"q": "a", "d": "b", "neg": "c"}\n', columns=SETTINGS["columns"] | {"negative": "negs"})


def test_texts_may_stand_in_a_file_of_their_own_also_those_of_negatives(read, tmp_path):
    (tmp_path / "texts.csv").write_text("key,head,body\n1,T,one\n2,,two\n3,,three\n")
    settings = {
        "columns": {"query": "q", "document_id": "p", "negative_id": "n"},
        "documents": {"path": "texts.csv", "id": "key", "text": "body", "title": "head"},
    }
    found = read("x.jsonl", '{"q": "a", "p": [1], "n": [2]}\n{"q": "b", "p": [9], "n": []}\n', **settings)
    (missing,) = rejected(found)
    found.remove(missing)
    assert found == [
        Document("1", "T\none"), Document("2", "two"), Document("3", "three"), found[3], found[4],
    ]  # fmt: skip
    assert [(row.query, row.document_id, row.document, row.score) for row in found[3:5]] == [
        ("a", "1", "T\none", None),
        ("a", "2", "two", 0.0),
    ]
    assert "names the document '9', which is not among the documents" in missing.reason


# Collections in folders


def test_the_newer_layout_of_mteb_gives_the_same_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = [{"_id": "1", "title": None, "text": "one"}, {"_id": "2", "title": "T", "text": "two"}]
    judged = [{"query-id": "q", "corpus-id": "2", "score": 1}]
    for name in ("old", "new/corpus", "new/queries", "new/qrels", "old/qrels"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "old/corpus.jsonl").write_text("".join(json.dumps(one) + "\n" for one in texts))
    (tmp_path / "old/queries.jsonl").write_text('{"_id": "q", "text": "what"}\n')
    (tmp_path / "old/qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t2\t1\n")
    newer = [{"id": one["_id"], "title": one["title"], "text": one["text"]} for one in texts]
    for place, records in (("corpus", newer), ("queries", [{"id": "q", "text": "what"}]), ("qrels", judged)):
        pq.write_table(pa.Table.from_pylist(records), tmp_path / f"new/{place}/test-00000-of-00001.parquet")
    old, new = (list(Beir(path=path, **JUDGED).read()) for path in ("old", "new"))
    assert old == new == [
        Document("1", "one"), Document("2", "T\ntwo"), Row("retrieval", "q", "what", "2", "T\ntwo", 1.0, "test"),
    ]  # fmt: skip


def test_judgements_that_no_split_names_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b/qrels").mkdir(parents=True)
    (tmp_path / "b/corpus.jsonl").write_text('{"_id": "1", "text": "one"}\n')
    (tmp_path / "b/queries.jsonl").write_text('{"_id": "q", "text": "what"}\n')
    for part in ("test", "dev"):
        (tmp_path / f"b/qrels/{part}.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n")
    assert len(list(Beir(path="b", **JUDGED).read())) == 2
    assert capsys.readouterr().out == f"{tmp_path}/b/qrels: not read: dev.tsv\n"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_chain_that_is_none_is_rejected(tmp_path, monkeypatch, end):
    monkeypatch.chdir(tmp_path)
    chains = [">good", "MKV", "aa", ">empty", ">digits", "MK1", ">stop", "MKV*", ">markup", "<b>"]
    (tmp_path / "x.fasta").write_bytes((end.join(chains) + end).encode())
    found = list(Fasta(path="x.fasta", root=None).read())
    assert found[0] == Document("good", "MKVAA")
    assert [one.reason.split()[1] for one in rejected(found)] == ["'empty'", "'digits'", "'stop'", "'markup'"]


@pytest.mark.parametrize("name", ["t.xlsx", "t.csv", "t.tsv", "t.jsonl"])
def test_a_workbook_is_one_whatever_it_is_called(read, name, tmp_path):
    book = openpyxl.Workbook()
    for values in (["q", "d"], ["q0", "d0"], ["q1", "d1"]):
        book.worksheets[0].append(values)
    book.save(tmp_path / "made.xlsx")
    content = (tmp_path / "made.xlsx").read_bytes()
    (tmp_path / "made.xlsx").unlink()
    assert pairs(read(name, content)) == [("q0", "d0"), ("q1", "d1")]
