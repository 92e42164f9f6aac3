"""Files that people might bring, damaged in every way that comes to mind, and what must hold of whatever is read of them.

Each record is numbered: its query holds ``q<n>.`` and its document ``d<n>.``, so a row that joins two records, or shifts a column, is seen.
A case is made from its number alone.
"""

import bz2
import gzip
import io
import json
import lzma
import random
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).parents[1]
STRANGE = (
    "", " ", "\u200b", "\x00", "\x07", "\ud800", "\U0001f9ed" * 3, "e\u0301" * 5, "\u202eright to left", '"', '""', '"open', 'closed"', "'",
    ",", ";", "\t", "|", "\\", "\\n", "\n", "\r", "\r\n", "null", "None", "nan", "-inf", "1e400", "1_0", "１２", "0x10",
    "=cmd|' /C calc'!A0",
    "#REF!", "<script>alert(1)</script>", "]]>", "${oc.env:HOME}", "$\\frac{1}{2}$", "../../etc/passwd", "{{7*7}}", "%s%n", "x" * 200_000,
)  # fmt: skip
VALUES = (None, True, False, 0, -1, 3.5, 10**400, float("nan"), float("inf"), [], {}, ["a", None], {"a": {"b": []}}, [[["x"]]])
RELEVANT = (0, 1, 2)


@dataclass
class Case:
    """``source``: a node as `conf/source` has it. ``touched``: numbers of records that were changed on purpose; ``total``: of all."""

    name: str
    source: dict[str, Any]
    total: int
    touched: set[int]
    whole: bool = False  # every untouched record must become a row or be counted


def record(n: int) -> dict[str, Any]:
    return {"q": f"what is q{n}. of this set", "d": f"it is d{n}. and nothing else", "s": n % 5 / 1.0}


def settings(name: str, **changes: Any) -> dict[str, Any]:
    node = yaml.safe_load((ROOT / f"conf/source/{name}.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        node[key] = node[key] | value if isinstance(node.get(key), dict) and isinstance(value, dict) else value
    return node


COLUMNS = {"query": "q", "document": "d"}
Maker = Callable[[random.Random, Path], Case]


def delimited(draw: random.Random, folder: Path) -> Case:
    """CSV or TSV: fields replaced, quotes anywhere, lines broken, joined, doubled."""
    mark, quoting = draw.choice([",", ",", "\t", ";", "|"]), draw.random() < 0.8
    total, touched = draw.randint(3, 60), set[int]()
    lines = []
    for n in range(total):
        one = record(n)
        fields = [one["q"], one["d"], str(one["s"])]
        if draw.random() < 0.15:
            touched.add(n)
            at = draw.randrange(3)
            strange = draw.choice(STRANGE)
            fields[at] = draw.choice([strange, fields[at] + strange, strange + fields[at], f'"{fields[at]}{strange}"'])
            if draw.random() < 0.2:
                fields = fields * 2 if draw.random() < 0.5 else fields[:at]
        quote = quoting and n not in touched and draw.random() < 0.2
        lines.append(mark.join(f'"{field}"' for field in fields) if quote else mark.join(fields))
    text = draw.choice(["", "\ufeff"]) + mark.join(["q", "d", "s"]) + "\n" + "\n".join(lines) + draw.choice(["", "\n", "\n\n"])
    end = draw.choice(["\n", "\n", "\r\n", "\r"])
    name = draw.choice([".csv", ".csv", ".tsv"])
    content = text.replace("\n", end).encode("utf-8", "surrogatepass")
    source = settings("table", path=f"x{name}", columns=COLUMNS, delimiter=mark, quoting=quoting)
    return _written(draw, folder, Case(f"delimited {name}", source, total, touched, whole=True), content, damage=0.3)


def json_lines(draw: random.Random, folder: Path) -> Case:
    """JSON lines, or one array: values of other types, keys that lack, lines that are none."""
    total, touched, lines = draw.randint(3, 60), set[int](), []
    for n in range(total):
        one: Any = record(n)
        line = None
        if draw.random() < 0.2:
            touched.add(n)
            key = draw.choice(["q", "d", "s"])
            match draw.randrange(6):
                case 0:
                    one[key] = draw.choice(VALUES)
                case 1:
                    one[key] = draw.choice(STRANGE)
                case 2:
                    del one[key]
                case 3:
                    line = json.dumps(one)[: draw.randrange(1, 30)]
                case 4:
                    line = draw.choice(
                        ["[" * 100_000, "1" * 5000, "null", "[]", '"x"', "\\ud800", '{"q": "a", "q": "b"}', "{}" * 3]
                    )
                case _:
                    one = {draw.choice(STRANGE): draw.choice(VALUES), **one}
        lines.append(line if line is not None else json.dumps(one, ensure_ascii=draw.random() < 0.5))
    array = draw.random() < 0.2
    text = "[" + ",\n".join(lines) + "]" if array else "\n".join(lines) + draw.choice(["", "\n"])
    name = draw.choice([".jsonl", ".json", ".ndjson"])
    source = settings("table", path=f"x{name}", columns=COLUMNS | ({"score": "s"} if draw.random() < 0.4 else {}))
    case = Case(f"json {'array' if array else 'lines'} {name}", source, total, touched, whole=not array)
    return _written(draw, folder, case, text.encode("utf-8", "surrogatepass"), damage=0.3)


def columns_of_types(draw: random.Random, folder: Path) -> Case:
    """Parquet and Arrow: columns of other types, nulls, texts that are no UTF-8; then bits flipped."""
    total, touched = draw.randint(3, 60), set[int]()
    records = [record(n) for n in range(total)]
    for n in range(total):
        if draw.random() < 0.1:
            touched.add(n)
            records[n][draw.choice(["q", "d"])] = draw.choice([None, "", " ", "\x00", "x" * 100_000])
    table = pa.Table.from_pylist(records, schema=pa.schema([("q", pa.string()), ("d", pa.string()), ("s", pa.float64())]))
    if draw.random() < 0.2:
        kind = draw.choice([pa.int64(), pa.list_(pa.string()), pa.bool_(), pa.date32(), pa.decimal128(30, 2), pa.binary()])
        table = table.set_column(1, "d", pa.nulls(total, kind))
        touched = set(range(total))
    if draw.random() < 0.1:
        table = table.rename_columns(draw.choice([["q", "q", "s"], ["a", "b", "c"], ["", "d", "s"]]))
    out = io.BytesIO()
    name = draw.choice([".parquet", ".parquet", ".arrow"])
    if name == ".parquet":
        compression = draw.choice(["none", "snappy", "zstd", "gzip"])
        pq.write_table(table, out, compression=compression, write_page_checksum=True, row_group_size=draw.choice([None, 7]))
    else:
        opener = draw.choice([pyarrow.ipc.new_file, pyarrow.ipc.new_stream])
        with opener(out, table.schema) as writer:
            writer.write_table(table)
    source = settings("table", path=f"x{name}", columns=COLUMNS)
    case = Case(f"columns {name}", source, total, touched, whole=True)
    damage = 0.6 if name == ".parquet" else 0.2
    found = _written(draw, folder, case, out.getvalue(), damage=damage, pack=False)
    # Arrow has no checksums: what a flip in a text changed cannot be seen.
    found.touched |= set(range(total)) if name == ".arrow" and not found.whole else set()
    return found


def workbook(draw: random.Random, folder: Path) -> Case:
    """XLSX: headers with gaps, numbers, dates, formulas, errors, sheets; then the archive damaged."""
    total, touched = draw.randint(3, 40), set[int]()
    book = openpyxl.Workbook()
    sheet: Any = book.active
    header = draw.choice(
        [["q", "d", "s"], ["q", None, "d", "s"], ["s", "d", None, None, "q"], ["q", "q", "d", "s"], ["a", "b", "c"]]
    )
    sheet.append(header)
    for n in range(total):
        one = record(n)
        if draw.random() < 0.15:
            touched.add(n)
            one[draw.choice(["q", "d"])] = draw.choice(
                [None, "", " ", 3, 3.5, True, "=1/0", "#REF!", "=HYPERLINK(1)", "x" * 30_000]
            )
        sheet.append([one.get(name, "a note") if name else "a note" for name in header])
    if draw.random() < 0.2:
        book.create_sheet("other", draw.choice([0, 1])).append(["x"])
    if draw.random() < 0.05:
        book.create_chartsheet("chart", 0)
    out = io.BytesIO()
    book.save(out)
    content = out.getvalue()
    if draw.random() < 0.3:
        content = _member_replaced(draw, content)
    source = settings("table", path="x.xlsx", columns=COLUMNS)
    case = Case("workbook", source, total, touched, whole=header in (["q", "d", "s"], ["q", None, "d", "s"]))
    return _written(draw, folder, case, content, damage=0.3, pack=False)


def _member_replaced(draw: random.Random, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        chosen = draw.choice(old.namelist())
        for name in old.namelist():
            data = old.read(name)
            if name == chosen:
                bomb = (
                    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
                    + b"".join(b'<!ENTITY %c "%s">' % (c + 1, (b"&%c;" % c) * 10) for c in b"abcdefgh")
                    + b"]><x>&i;</x>"
                )
                data = draw.choice(
                    [b"", b"<x/>", b"<", bomb, data[: len(data) // 2], data.replace(b"1", b"9" * 30), b"\x00" * 100]
                )
            new.writestr(name, data)
    return out.getvalue()


def collection(draw: random.Random, folder: Path) -> Case:
    """BEIR: ids twice, ids that there are not, grades that are none, columns by other names."""
    total, touched = draw.randint(3, 40), set[int]()
    corpus, queries, judged = [], [], ["query-id\tcorpus-id\tscore"]
    for n in range(total):
        one = record(n)
        document: dict[str, Any] = {"_id": f"D{n}", "title": "", "text": one["d"]}
        query: dict[str, Any] = {"_id": f"Q{n}", "text": one["q"]}
        line = f"Q{n}\tD{n}\t{draw.choice((1, 2))}"
        if draw.random() < 0.15:
            touched.add(n)
            match draw.randrange(7):
                case 0:
                    document["_id"] = draw.choice([f"D{max(0, n - 1)}", "", None, 7, [], "\ud800"])
                case 1:
                    query["_id"] = draw.choice([f"Q{max(0, n - 1)}", "", None, 7, {}])
                case 2:
                    document[draw.choice(["text", "title"])] = draw.choice([*VALUES, *STRANGE])
                case 3:
                    query["text"] = draw.choice([*VALUES, *STRANGE])
                case 4:
                    line = f"Q{n}\tD{total + 5}\t1"
                case 5:
                    line = f"Q{n}\tD{n}\t{draw.choice(['nan', 'inf', '', 'x', '-1', '1e400', '1_0', '0.5', '１'])}"
                case _:
                    line = draw.choice([f"Q{n}", f"Q{n}\tD{n}", f"Q{n}\tD{n}\t1\t1", f"Q{n} 0 D{n} 1", '"Q', ""])
        touched |= {n - 1} if touched and n in touched and n else set()
        corpus.append(json.dumps(document))
        queries.append(json.dumps(query))
        judged.append(line)
    (folder / "set/qrels").mkdir(parents=True)
    harm = draw.random() < 0.3
    for name, lines in (("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels/train.tsv", judged)):
        content = "\n".join(lines).encode("utf-8", "surrogatepass")
        (folder / "set" / name).write_bytes(damaged(draw, content) if harm and draw.random() < 0.4 else content)
    source = settings("beir", path="set", splits={"train": "train", "test": None})
    return Case("collection", source, total, touched, whole=not harm)


def graded(draw: random.Random, folder: Path) -> Case:
    total, touched, lines = draw.randint(3, 40), set[int](), ["id\tsentence1\tsentence2\tscore"]
    for n in range(total):
        one = record(n)
        fields = [str(n), one["q"], one["d"], str(one["s"])]
        if draw.random() < 0.2:
            touched.add(n)
            fields[draw.randrange(4)] = draw.choice(STRANGE)
        lines.append("\t".join(fields))
    (folder / "set").mkdir()
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    harm = draw.random() < 0.3
    (folder / "set/train.tsv").write_bytes(damaged(draw, content) if harm else content)
    source = settings("sts", path="set", files={"train": "train.tsv", "validation": None, "test": None})
    return Case("graded", source, total, touched, whole=not harm)


def chains(draw: random.Random, folder: Path) -> Case:
    """FASTA: chains that are none."""
    lines, total = [], draw.randint(3, 30)
    for n in range(total):
        chain = "MKV" + "".join(draw.choices("ACDEFGHIKLMNPQRSTVWY", k=20))
        if draw.random() < 0.3:
            chain = draw.choice([*STRANGE[:40], "MKV*", "MK1", "mkv", "", "M K V", "MKÄ", ">", chain + "\n" + chain])
        lines.append(f">{draw.choice([f'c{n}', f'c{n}', f'c{n} name', '', ' ', f'c{max(0, n - 1)}'])}\n{chain}")
    content = draw.choice(["\n", "\n", "\r\n", "\r"]).join("\n".join(lines).split("\n")).encode("utf-8", "surrogatepass")
    source = settings("fasta", path="x.fasta")
    return _written(draw, folder, Case("chains", source, 0, set()), content, damage=0.3)


def texts(draw: random.Random, folder: Path) -> Case:
    (folder / "set").mkdir()
    for n in range(draw.randint(1, 5)):
        words = " ".join(draw.choices(["a", "b.", "Ω", "word", *STRANGE[:20]], k=draw.randint(0, 80)))
        content = (words + "\n\n" + words).encode("utf-8", "surrogatepass")
        (folder / f"set/{n}.{draw.choice(['txt', 'md', 'pdf'])}").write_bytes(damaged(draw, content))
    return Case("texts", settings("texts", path="set"), 0, set())


def places(draw: random.Random, folder: Path) -> Case:
    """What is no file, lies elsewhere, or unpacks to far more than it is."""
    import os

    name = draw.choice(["x.jsonl", "x.csv", "x.parquet", "x.arrow", "x.xlsx", "x.tsv.gz", "x.json.zst"])
    file = folder / name
    kind = draw.choice(["folder", "pipe", "device", "loop", "empty", "bomb", "magic", "missing", "outside", "zeros"])
    match kind:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "device":
            file.symlink_to(draw.choice(["/dev/zero", "/dev/urandom", "/dev/null"]))
        case "loop":
            file.symlink_to(name)
        case "empty":
            file.write_bytes(b"")
        case "bomb":
            line = draw.choice([b"\n" * (1 << 20), b"x" * (1 << 20), b'{"q": "a", "d": "b"}\n' * 50_000])
            file.write_bytes(packed_many(draw, line, 64))
        case "magic":
            magic = draw.choice(
                [
                    b"PAR1",
                    b"ARROW1",
                    b"PK\x03\x04",
                    b"\x1f\x8b",
                    b"\x28\xb5\x2f\xfd",
                    b"BZh",
                    b"\xfd7zXZ\x00",
                    b"\xff\xff\xff\xff",
                ]
            )
            file.write_bytes(magic + draw.randbytes(draw.randint(0, 500)))
        case "zeros":
            file.write_bytes(b"\x00" * draw.choice([1, 100, 1 << 20]))
        case "outside":
            name = draw.choice(["../x.csv", "/etc/passwd", "a/../../x.csv", "", ".", "x\x00.csv", "~/../x.csv"])
        case _:
            pass
    return Case(f"place: {kind}", settings("table", path=name, columns=COLUMNS), 0, set())


def packed_many(draw: random.Random, part: bytes, times: int) -> bytes:
    """``part`` so many times, packed into little."""
    match draw.randrange(3):
        case 0:
            return gzip.compress(part, 6) * times
        case 1:
            return bz2.compress(part) * times
        case _:
            return lzma.compress(part) * times


def damaged(draw: random.Random, content: bytes) -> bytes:
    """Bits flipped, bytes lost, doubled or put in, the end cut off."""
    out = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        if not out:
            break
        at = draw.randrange(len(out))
        match draw.randrange(6):
            case 0 | 1:
                out[at] ^= 1 << draw.randrange(8)
            case 2:
                del out[at : at + draw.randint(1, 20)]
            case 3:
                out[at:at] = draw.randbytes(draw.randint(1, 5))
            case 4:
                del out[at:]
            case _:
                out[at:at] = out[at : at + draw.randint(1, 50)]
    return bytes(out)


def _written(draw: random.Random, folder: Path, case: Case, content: bytes, *, damage: float, pack: bool = True) -> Case:
    """``content`` into the case's file, perhaps damaged, perhaps packed."""
    if draw.random() < damage:
        content, case.whole = damaged(draw, content), False
        case.name += ", damaged"
    path = case.source["path"]
    if pack and draw.random() < 0.15:
        kind = draw.choice(["gz", "zst", "bz2", "xz"])
        packer = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": _zst}[kind]
        content, path = packer(content), f"{path}.{kind}"
        case.source["path"] = path
        if draw.random() < 0.3:
            content, case.whole = damaged(draw, content), False
    (folder / path).write_bytes(content)
    return case


def _zst(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


MAKERS: tuple[Maker, ...] = (
    delimited, delimited, delimited, json_lines, json_lines, columns_of_types, workbook, collection, graded, chains, texts, places,
)  # fmt: skip


def case(number: int, folder: Path) -> Case:
    draw = random.Random(f"file {number}")
    return draw.choice(MAKERS)(draw, folder)


def faults(case: Case, records: Iterable[Any], kinds: tuple[type, type]) -> Iterator[str]:
    """What must not be: a row of two records, a good text changed, a loss that nobody counts. ``kinds``: of rows and rejected records."""
    of_row, of_rejected = kinds
    seen: set[int] = set()
    lost = 0
    for one in records:
        if isinstance(one, of_rejected):
            lost += one.lines
            if not one.reason or not one.file:
                yield f"a rejected record without a reason or a file: {one}"
        if not isinstance(one, of_row):
            continue
        numbers = [
            set(map(int, re.findall(rf"\b{mark}(\d+)\.", text))) for mark, text in (("q", one.query), ("d", one.document))
        ]
        own = numbers[0] | numbers[1]
        seen |= own
        if case.total and len(own) > 1 and case.whole and not own & case.touched:
            yield f"a row of records {sorted(own)}: {one.query[:80]!r} | {one.document[:80]!r}"
        for n in own - case.touched if case.whole else ():
            if (one.query.strip(), one.document.strip()) != (record(n)["q"], record(n)["d"]):
                yield f"record {n} became {one.query[:80]!r} | {one.document[:80]!r}"
    if case.whole:
        gone = set(range(case.total)) - seen - case.touched
        if len(gone) > lost:
            yield f"{len(gone)} good records are gone, {lost} lines are counted as rejected: {sorted(gone)[:5]}"
