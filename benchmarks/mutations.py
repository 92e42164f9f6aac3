"""Would the tests notice? Plants faults, one at a time, and runs the closest test files of the fast tier on each.

    python benchmarks/mutations.py [--only <name or part of it> ...] [--workers 2] [--out benchmarks/mutations.md]

The tree is copied, the working tree itself is never touched. First the same test files must pass unmutated. A fault whose old text does
not stand in its file exactly once is an error: the list is stale. Writes a table: killed, survived, out of time, broken (the
tests could not start, which says nothing). Exit status 1 where more than `MOST` survive, or one that has no reason in `ALLOWED`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("pipeline", "conf", "tests", "benchmarks", "docs", ".ci", ".github")
FILES = ("dvc.yaml", "params.yaml", "pyproject.toml", "constraints.txt", "README.md", "Makefile", ".gitignore", ".dvcignore")
TIMEOUT_SECONDS = 600  # of one run of pytest; the slowest takes a tenth of it on two idle cores
MOST = 3  # survivors
ALLOWED: dict[str, str] = {}  # name -> why it may survive


class Mutation(NamedTuple):
    """In ``file`` the text ``old``, which stands there once, becomes ``new``; ``tests`` are paths, or nodes of slow files."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def at(place: str, *tests: str):
    """Faults of one file with the same tests."""
    paths = tuple(f"tests/{test}" for test in tests)
    return lambda name, old, new, *own: Mutation(name, f"pipeline/{place}", old, new, tuple(f"tests/{t}" for t in own) or paths)


infonce = at("objective/infonce.py", "objective/test_infonce.py")
candidates = at("objective/candidates.py", "objective/test_candidates.py")
similarity = at("objective/codiemb_sts.py", "objective/test_codiemb_sts.py")
contrastive = at("training/contrastive.py", "training/test_contrastive.py")
data = at("training/data.py", "training/test_data.py")
fit = at("training/fit.py", "training/test_checks.py", "stage/test_train.py")
nearest = at("mining/nearest.py", "mining/test_nearest.py")
trial = at("probing/trial.py", "probing/test_trial.py")
search = at("probing/search.py", "probing/test_search.py")
metric = at("metric.py", "test_metric.py")
comparison = at("evaluator/comparison.py", "evaluator/test_comparison.py")
curate = at(
    "stage/curate.py",
    "stage/test_curate.py::test_a_train_row_that_shows_a_text_of_either_held_out_split_alone_is_taken_out",
    "stage/test_curate.py::test_a_train_row_near_a_validation_row_stops_the_stage_where_nothing_took_it_out",
    "stage/test_curate.py::test_contamination_that_looks_elsewhere_takes_what_is_near_the_probe_all_the_same",
)
gate = at("evaluator/gate.py", "evaluator/test_gate.py")
final = at("stage/final.py", "stage/test_final.py")
join = at("cluster/join.py", "cluster/test_join.py")
aside = at("split/set_aside.py", "split/test_set_aside.py")
collection = at("corpus/collection.py", "corpus/test_collection.py", "corpus/test_collection_tasks.py")

MUTATIONS = (
    # objectives
    infonce("only the first positive is masked", "    answers = equal_text(own_text, given, pairs.document_text)\n",
            "    answers = equal_text(own_text[:, :1], given[:, :1], pairs.document_text)\n"),
    infonce("costs of several positives are added up", "return (cost * given).sum(1) / given.sum(1)", "return (cost * given).sum(1)"),
    infonce("the symmetric cost leaves the way back out", "cost = (cost + share_cost(match, back)) / 2", "cost = cost + 0 * back"),
    candidates("the largest stands for the sum", "whole = share.sum(1)", "whole = share.amax(1)"),
    candidates("the last block is skipped in backward", "        for start, stop, entries in ctx.blocks:\n            if kept:",
               "        for start, stop, entries in ctx.blocks[:-1] or ctx.blocks:\n            if kept:"),
    candidates("similarities are multiplied by the temperature", "*left_out, 1 / temperature, rows_at_once)",
               "*left_out, temperature, rows_at_once)"),
    at("objective/cosent.py", "objective/test_cosent.py")(
        "cosent orders equal scores", "num_below = torch.searchsorted(ordered, ordered)",
        "num_below = torch.arange(len(ordered), device=ordered.device)"),
    similarity("correlation with the wrong sign", "return 1 - (c * s).mean()", "return 1 + (c * s).mean()"),
    similarity("rank-KL is not divided by the pairs", "(target - predicted)).sum() / size", "(target - predicted)).sum()"),
    similarity("PRO counts equal scores as lower", ".masked_fill(gap <= TIE,", ".masked_fill(gap < -TIE,"),
    similarity("the last block stands for the middle one", "middle = (len(pairs.layers) + 1) // 2 - 1", "middle = len(pairs.layers) - 1"),
    at("objective/codiemb_ir.py", "objective/test_codiemb_ir.py")(
        "mined negatives are not seen", "others if hard is None else torch.logaddexp(others, hard)", "others"),
    at("objective/matryoshka.py", "objective/test_matryoshka.py")(
        "short vectors are not of unit length", "return F.normalize(vectors[:, :width], dim=-1)", "return vectors[:, :width]"),
    at("objective/angle.py", "objective/test_angle.py")(
        "the quotient's imaginary part with the wrong sign", "(b * c - a * d).sum(-1)", "(b * c + a * d).sum(-1)"),
    # training
    contrastive("progress is always 0", "progress=batch.number / self.steps", "progress=0.0"),
    contrastive("padding is attended to", "[None, :] < length[:, None]).long()", "[None, :] <= length[:, None]).long()"),
    contrastive("uneven shares of processes are not weighed", "* (rows * size / batch.size)", "* (size / batch.size)"),
    data("an answer is mined as its own negative", "[text for text in known.get(query, []) if text not in own]",
         "[text for text in known.get(query, [])]"),
    data("a resumed training starts anew", "        self.start = self.given = state[\"given\"]", "        self.start = self.given = 0"),
    fit("the control is not shuffled", "shuffled(rows[task], seed) if tasks[task][\"shuffle_documents\"] else rows[task]", "rows[task]"),
    fit("early stopping looks at training rows", "{task: held_out[task] for task in tasks}, {}, encoder,",
        "{task: rows[task] for task in tasks}, {}, encoder,", "training/test_stopping.py"),
    at("training/mined.py", "mining/test_nearest.py", "training/test_data.py")(
        "rows judged irrelevant are trained on", "return row.task == \"sts\" or row.score is None or row.score > 0", "return True"),
    at("training/teacher.py", "objective/test_teacher_kl.py", "objective/test_margin_mse.py", "training/test_data.py")(
        "the teacher scores the last positive", "candidate = torch.cat([positive[:, :1], negative], dim=1)",
        "candidate = torch.cat([positive[:, -1:], negative], dim=1)"),
    at("training/optimizer.py", "training/test_optimizer.py")("biases decay", "\"weight_decay\": 0.0}", "\"weight_decay\": weight_decay}"),
    at("training/optimizer.py", "training/test_optimizer.py")(
        "the rate does not end at 0", "max(0.0, (steps - step)", "max(0.1, (steps - step)"),
    at("masking.py", "test_masking.py")(
        "masked residues alone are asked for", "asked.append(torch.where(chosen, true,",
        "asked.append(torch.where(chosen & (fate < MASKED), true,"),
    at("affinity/training.py", "affinity/test_training.py")(
        "the best weights are chosen on test rows", "_spread(rows.get(\"validation\", [])", "_spread(rows.get(\"test\", [])"),
    nearest("a query's own answer is its negative", "if row not in out[i]][self", "][self"),
    nearest("what is nearer than the answer is a negative", "for score, row in ranked if score <= limit]", "for score, row in ranked]"),
    # merging
    search("the coefficients climb the loss", "((c[n] - c[n].detach()) * p.to(c[n]))", "((c[n].detach() - c[n]) * p.to(c[n]))"),
    search("the norm costs nothing", "return loss + self.method.cost() + slope", "return loss + slope"),
    at("merging/dare.py", "merging/test_dare.py")(
        "what DARE keeps is not enlarged", " * torch.tensor(self.factors[name])[:, None]", ""),
    at("merging/dare.py", "merging/test_dare.py")(
        "one expert that stood still takes the others' factors", "factor = torch.where(after > 0, before / after, 1 / self.density)",
        "factor = before / after if bool((after > 0).all()) else torch.full((num,), 1 / self.density)"),
    at("merging/della.py", "merging/test_della.py")("what DELLA keeps is not enlarged", "deltas[k] / stay, 0.0)", "deltas[k], 0.0)"),
    at("merging/della.py", "merging/test_della.py")(
        "an element alone in its row has the smallest chance", "return torch.full_like(delta, self.density)",
        "return torch.full_like(delta, self.density - self.spread)"),
    at("merging/ties.py", "merging/test_ties.py")(
        "TIES keeps one value more", "max(1, int(self.density * numel))", "max(1, int(self.density * numel) + 1)"),
    at("merging/model_stock.py", "merging/test_model_stock.py")(
        "Model Stock for two experts only", "/ (1 + (num - 1) * cosine)", "/ (1 + cosine)"),
    at("merging/slerp.py", "merging/test_slerp.py")(
        "SLERP swaps the shares", "(torch.sin((1 - share) * angle) * c + torch.sin(share * angle) * unit)",
        "(torch.sin(share * angle) * c + torch.sin((1 - share) * angle) * unit)"),
    at("merging/delta_guided.py", "merging/test_delta_guided.py")("below 0 who stood still decides", "    if beta:\n",
       "    if beta > 0:\n"),
    at("merging/regmean.py", "merging/test_probed.py")(
        "RegMean weighs all experts alike", "delta @ gram for delta, gram in zip(deltas, inner, strict=True)",
        "delta @ inner[0] for delta, gram in zip(deltas, inner, strict=True)"),
    at("delta.py", "test_delta.py")("tensors without elements have no place for experts", "torch.zeros(num, num, dtype",
       "torch.zeros(1, 1, dtype"),
    trial("Fisher takes absolute gradients", "addcmul_(g, g, value=", "addcmul_(g, g.sign(), value="),
    trial("RegMean reads padding", "(x[mask[0]] if x.ndim == 3 and x.shape[:2] == mask[0].shape else x.reshape(-1, x.shape[-1]))",
          "x.reshape(-1, x.shape[-1])"),
    trial("an expert is asked about all tasks", "for batch in own or self.batches[\"search\"]]", "for batch in self.batches[\"search\"]]"),
    trial("held-out losses are those of the search half", "for batch in self.batches[half]:", "for batch in self.batches[\"search\"]:"),
    trial("the halves of the probe are one", "return rows[:half], rows[half : 2 * half]", "return rows[:half], rows[:half]"),
    trial("the probe is made of train rows", "read_rows(CURATED, \"probe\", [task])", "read_rows(CURATED, \"train\", [task])"),
    at("trainable.py", "test_trainable.py")(
        "half a probe is enough for compose", "need = 2 * section", "need = section"),
    # curation and leakage
    aside("rows tied to a probe row stay in train", "                    found.tied[name].append(i)\n", "                    pass\n"),
    aside("a text stands in two probe rows", "and not seen & texts:", "and (texts or not seen):"),
    aside("a probe may take every row", "any(gone[task] + size[task] > self.share * num[task] for task in size)", "False"),
    curate("train rows near a probe row stay", "        self._drop(reasons)\n", ""),
    curate("contamination passes validation over", "HELD_OUT: tuple[Split, ...] = (\"test\", \"validation\")",
           "HELD_OUT: tuple[Split, ...] = (\"test\",)"),
    curate("the audit passes validation over", "            \"validation in train\": (self._of(\"train\"), validation),\n", ""),
    at("stage/pretrain.py", "stage/test_held_out_words.py")(
        "the vocabulary reads held-out rows", "rows = [row for _, row in read_rows(CURATED, \"train\")]",
        "rows = [row for split in (\"train\", \"validation\", \"test\") for _, row in read_rows(CURATED, split)]"),
    at("stage/pretrain.py", "stage/test_held_out_words.py")(
        "the vocabulary reads probe rows", "rows = [row for _, row in read_rows(CURATED, \"train\")]",
        "rows = [row for split in (\"train\", \"probe\") for _, row in read_rows(CURATED, split)]"),
    join("bounds are not rounded to the safe side", "SLACK = 1e-9", "SLACK = 0.0"),
    join("the index prefix is one short", "(2 * threshold / (1 + threshold) * size - SLACK)) + 1",
         "(2 * threshold / (1 + threshold) * size - SLACK))"),
    join("the probe prefix is one short", "range(min(size - needed + 1 - alone, length))", "range(min(size - needed - alone, length))"),
    at("split/group.py", "split/test_group.py")(
        "groups are torn apart", "[f\"g {row.group}\"] if row.group is not None else", "[f\"g {row.group}\"] if False else"),
    at("split/alignment.py", "split/test_identity.py")(
        "identity by the shorter chain", "return Pair(same / max(1, len(over)),", "return Pair(same / max(1, min(len(left), len(right))),"),
    collection("affinity baselines learn from the rows they are tested on", "for part in (split, \"train\"))",
               "for part in (split, split))"),
    collection("a probe of classes learns from test rows", "_labelled(read(place / \"train.parquet\", Row), task)",
               "_labelled(rows, task)"),
    # statistics
    metric("a claim holds the items fixed", "for variance, free in spread)))", "for variance, free in spread[:1])))"),
    metric("a claim holds the trainings fixed", "for variance, free in spread)))", "for variance, free in spread[1:])))"),
    metric("a t interval of one degree more", "t.ppf((1 + confidence) / 2, len(values) - 1)", "t.ppf((1 + confidence) / 2, len(values))"),
    metric("Holm forgets the steps before", "np.minimum(1, np.maximum.accumulate(steps))", "np.minimum(1, steps)"),
    metric("the interval of few items is not widened", "norm.cdf(np.sqrt(num_items / (num_items - 1)) * t.ppf(tail, num_items - 1))",
           "norm.cdf(norm.ppf(tail))"),
    metric("p is one-sided", "return np.abs(found) >= abs(observed)", "return found >= abs(observed)"),
    comparison("the bootstrap is not paired", "- evaluator.resampled(b[name], counts)", "- evaluator.resampled(b[name], counts[::-1])"),
    at("evaluator/price.py", "evaluator/test_price.py")("both samples have equal draws", "seed=seed + i)", "seed=seed)"),
    at("evaluator/affinity.py", "evaluator/test_affinity.py")(
        "intervals of strata as if groups were many", "confidence, num_items=num_groups)", "confidence, num_items=len(score))"),
    final("merges are judged on test rows", "stand(evaluators, own, {name: items[name][\"validation\"] for name in merges}",
          "stand(evaluators, items[best][\"test\"], {name: items[name][\"test\"] for name in merges}"),
    gate("a merge passes by its mean as measured", "passed = mean[merge].low > 0 and", "passed = mean[merge].value > 0 and"),
    gate("a task is lost where its upper bound is", "all(one.low > -margin for", "all(one.high > -margin for"),
    gate("the best of many merges is taken for one", "np.quantile(np.max(apart, axis=0), share)", "np.quantile(apart[0], share)"),
    final("the final model is chosen on test rows", "for name, score in scores[model][\"validation\"].items()",
          "for name, score in scores[model][\"test\"].items()"),
    at("evaluator/retrieval.py", "evaluator/test_retrieval.py")(
        "documents are encoded as queries", "encode(documents, \"document\", \"retrieval\")",
        "encode(documents, \"query\", \"retrieval\")"),
    at("evaluator/ranking.py", "evaluator/test_ranking.py")("the ideal order has no end", "np.where(rank < depth, best",
       "np.where(rank >= 0, best"),
)  # fmt: skip


def check(mutations: Sequence[Mutation]) -> None:
    """SystemExit with everything in the list that does not fit the tree."""
    faults = [f"{name!r} stands in the list twice" for name, num in Counter(m.name for m in mutations).items() if num > 1]
    faults += [
        f"ALLOWED names {name!r}, which is no fault of the list" for name in ALLOWED if name not in {m.name for m in mutations}
    ]
    for one in mutations:
        text = (ROOT / one.file).read_text(encoding="utf-8") if (ROOT / one.file).is_file() else ""
        if (found := text.count(one.old)) != 1:
            faults.append(
                f"{one.name!r}: expected its old text once in {one.file}, found it {found} times: {one.old.strip()!r}"
            )
        faults += [f"{one.name!r}: no {test}" for test in one.tests if not (ROOT / test.split("::")[0]).is_file()]
    if faults:
        sys.exit("the list is stale:\n" + "\n".join(faults))


def copied(folder: Path) -> Path:
    """A copy of what tests read. Compiled code comes along, so that only what a fault touches is compiled anew."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
    for name in FILES:
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, folder / name)
    return folder


def passed(
    folder: Path, tests: Sequence[str], numba: Path | None = None, *, told_faults: bool = False
) -> tuple[str, float]:  # fmt: skip
    """``(killed | survived | out of time | broken, seconds)``. What pytest said goes to stderr where it is broken, and where a test
    fails that should not (``told_faults``)."""
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment |= {"NUMBA_CACHE_DIR": str(numba)} if numba else {}
    start = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status = process.wait(TIMEOUT_SECONDS * (4 if told_faults else 1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # its own group alone, which it was started with
            process.wait()
            return "out of time", time.perf_counter() - start
        if status > int(not told_faults):
            output.seek(0)
            print(output.read()[-2000:], file=sys.stderr, flush=True)
    return {0: "survived", 1: "killed"}.get(status, "broken"), time.perf_counter() - start


def run(one: Mutation, folder: Path) -> tuple[str, float]:
    """Plants one fault in the copy, asks its tests, and takes it out."""
    place = folder / one.file
    text, before = place.read_text(encoding="utf-8"), place.stat()
    with tempfile.TemporaryDirectory() as numba:
        try:
            place.write_text(text.replace(one.old, one.new), encoding="utf-8")
            # Compiled functions of other files may hold this one's in themselves, and would not be compiled anew.
            return passed(folder, one.tests, Path(numba) if "njit" in text else None)
        finally:
            place.write_text(text, encoding="utf-8")
            os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))  # what is compiled goes by it


def table(found: dict[str, tuple[str, float]], chosen: Sequence[Mutation]) -> str:
    counts = Counter(outcome for outcome, _ in found.values())
    told = ", ".join(
        f"{counts[outcome]} {outcome}" for outcome in ("killed", "survived", "out of time", "broken") if counts[outcome]
    )
    lines = [
        f"{len(found)} faults planted, each alone: {told}.",
        "",
        "| fault | file | outcome | seconds |",
        "|---|---|---|---|",
    ]
    for one in chosen:
        outcome, seconds = found[one.name]
        reason = f": {ALLOWED[one.name]}" if outcome != "killed" and one.name in ALLOWED else ""
        lines.append(f"| {one.name} | {one.file.removeprefix('pipeline/')} | {outcome}{reason} | {seconds:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    check(MUTATIONS)
    chosen = [one for one in MUTATIONS if not asked.only or any(part in f"{one.file} {one.name}" for part in asked.only)]
    if not chosen:
        sys.exit(f"no fault has a name or file with {' or '.join(asked.only)} in it")
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(asked.workers) as pool:
        free: Queue[Path] = Queue()
        for k in range(asked.workers):
            free.put(copied(Path(name) / f"tree{k}"))

        def on_a_copy(work):
            folder = free.get()
            try:
                return work(folder)
            finally:
                free.put(folder)

        tests = sorted({test for one in chosen for test in one.tests})
        shares = [share for k in range(asked.workers) if (share := tests[k :: asked.workers])]
        clean = list(pool.map(lambda share: on_a_copy(lambda folder: passed(folder, share, told_faults=True)), shares))
        if {outcome for outcome, _ in clean} != {"survived"}:
            sys.exit("the tests do not pass without a fault; mend them first")
        print(f"{len(tests)} test files pass without a fault; {len(chosen)} faults to plant", flush=True)

        def told(one: Mutation) -> tuple[str, float]:
            outcome, seconds = on_a_copy(lambda folder: run(one, folder))
            print(f"{outcome:11} {seconds:4.0f} s  {one.file}: {one.name}", flush=True)
            return outcome, seconds

        found = dict(zip((one.name for one in chosen), pool.map(told, chosen), strict=True))
    text = table(found, chosen)
    if asked.out:
        asked.out.write_text(text, encoding="utf-8")
    print("\n" + text)
    left = [name for name, (outcome, _) in found.items() if outcome != "killed"]
    return int(len(left) > MOST or any(name not in ALLOWED for name in left))


if __name__ == "__main__":
    sys.exit(main())
