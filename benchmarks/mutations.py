"""Would the tests notice? Plants faults, one at a time, and runs the closest tests of the fast tier on each.

    python benchmarks/mutations.py [--only <name or part of it> ...] [--workers 2] [--out benchmarks/mutations.md]

The tree is copied, the working tree itself is never touched. First the same tests must pass unmutated. A fault whose old text does not
stand in its file exactly once is an error: the list is stale (`tests/test_mutations.py` tells that in CI). Writes a table: killed,
survived, out of time, broken (the tests could not start, which says nothing). Exit status 1 where more than `MOST` survive, or one
that has no reason in `ALLOWED`.

Measured (`mutations.md`): 60 of 60 killed, in 5 to 38 s each on two busy cores. When first planted 4 of them survived and were given
tests of their own: identity by the shorter chain, the last run of a chain, equal differences told apart by rounding, a merge that passes
by its mean as measured.
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
    """In ``file`` the text ``old``, which stands there once, becomes ``new``; ``tests`` are paths, or tests of slow files."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def at(place: str, *tests: str, tree: str = "pipeline"):
    """Faults of one file with the same tests."""
    paths = tuple(f"tests/{test}" for test in tests)
    return lambda name, old, new, *own: Mutation(name, f"{tree}/{place}", old, new, tuple(f"tests/{t}" for t in own) or paths)


negatives = at("objective/negatives.py", "objective/test_infonce.py")
infonce = at("objective/infonce.py", "objective/test_infonce.py")
candidates = at("objective/candidates.py", "objective/test_candidates.py")
similarity = at("objective/codiemb_sts.py", "objective/test_codiemb_sts.py")
contrastive = at("training/contrastive.py", "training/test_contrastive.py")
data = at("training/data.py", "training/test_data.py")
fit = at("training/fit.py", "training/test_fit.py")
trial = at("probing/trial.py", "probing/test_trial.py")
metric = at("metric.py", "test_metric.py")
over_seeds = at("over_seeds.py", "test_over_seeds.py", tree="benchmarks")
comparison = at(
    "evaluator/comparison.py", "evaluator/test_comparison.py::test_the_interval_is_that_of_paired_draws_made_by_hand"
)
gate = at("evaluator/gate.py", "evaluator/test_gate.py")
group = at("split/group.py", "split/test_group.py")

MUTATIONS = (
    # objectives
    negatives("only the first positive is masked", "    positive = pairs.positive[rows]\n", "    positive = pairs.positive[rows][:, :1]\n"),
    negatives("what other rows mark is punished", "found = belonging(pairs.query_text[rows], text, pairs.known), answers",
              "found = belonging(pairs.query_text[rows], text, pairs.known[:0]), answers",
              "training/test_no_negatives.py::test_no_objective_punishes_what_belongs_to_the_query"),
    at("training/reading.py", "training/test_reading.py")(
        "texts are the same by their letters, not as they are read", "codes.append(code_of(ids[len(codes)]))",
        "codes.append(_hash((prompt + text).encode()))"),
    at("objective/cosine.py", "training/test_contrastive.py::test_under_bf16_mixed_the_positive_and_the_negatives_have_one_precision")(
        "autocast rounds the positive's cosine", "enabled=False):\n        return torch.einsum(\"rd,rpd->rp\"",
        "enabled=torch.is_autocast_enabled(query.device.type)):\n        return torch.einsum(\"rd,rpd->rp\""),
    infonce("costs of several positives are added up", "return (cost * given).sum(1) / given.sum(1)", "return (cost * given).sum(1)"),
    candidates("the largest stands for the sum", "whole = share.sum(1)", "whole = share.amax(1)"),
    candidates("the last block is skipped in backward", "        for start, stop, entries in ctx.blocks:\n            if kept:",
               "        for start, stop, entries in ctx.blocks[:-1] or ctx.blocks:\n            if kept:"),
    at("objective/cosent.py", "objective/test_cosent.py")(
        "cosent orders equal scores", "num_below = torch.searchsorted(ordered, ordered)",
        "num_below = torch.arange(len(ordered), device=ordered.device)"),
    similarity("correlation with the wrong sign", "return 1 - (c * s).mean()", "return 1 + (c * s).mean()"),
    at("objective/codiemb_ir.py", "objective/test_codiemb_ir.py")(
        "mined negatives are not seen", "*([] if hard is None else [hard])", "*([])"),
    at("objective/matryoshka.py", "objective/test_matryoshka.py")(
        "short vectors are not of unit length", "return F.normalize(precise(vectors[:, :width]), dim=-1)",
        "return precise(vectors[:, :width])"),
    # training
    contrastive("progress is always 0", "progress=batch.number / self.steps", "progress=0.0"),
    contrastive("uneven shares of processes are not weighed", "* (rows * size / batch.size)", "* (size / batch.size)"),
    data("what is known to answer a query is mined for it", "                if code in taken:\n", "                if False:\n"),
    data("a control keeps the negatives of its own query", "mined = [found.get(source, ()) for source in sources]",
         "mined = [found.get(source, ()) for source in queries]",
         "training/test_control.py::test_a_document_is_dealt_with_the_negatives_and_the_teachers_scores_that_were_found_with_it"),
    at("training/planned.py", "training/test_data.py")(
        "a resumed training starts anew", "        self.start = self.given = state[\"given\"]", "        self.start = self.given = 0"),
    fit("the control is not shuffled", "shuffled=[task for task, settings in tasks.items() if settings[\"shuffle_documents\"]],",
        "shuffled=[],"),
    fit("rows that are not trained on mark nothing", "reader, known[\"train\"], objectives", "reader, [], objectives"),
    fit("early stopping looks at training rows", "_looks(reader, held_out,", "_looks(reader, rows,"),
    at("corpus/row.py", "training/test_mined.py")(
        "rows judged irrelevant are trained on", "return not kind_of(row).answers or row.score is None or row.score > 0", "return True"),
    at("teacher/encoder.py", "teacher/test_encoder.py::test_a_teacher_scores_the_main_document_of_several")(
        "the teacher scores the last positive", "candidate = torch.cat([positive[:, :1], negative], dim=1)",
        "candidate = torch.cat([positive[:, -1:], negative], dim=1)"),
    at("training/optimizer.py", "training/test_optimizer.py")(
        "weights decay by their shape, not by name", "(name in decayed) is matrix", "(weight.ndim > 1) is matrix"),
    at("training/module.py",
       "training/test_sharded.py::test_two_processes_decay_what_one_decays_and_clip_by_the_norm_of_the_whole_gradient[fsdp]")(
        "the gradient's norm is that of a process' part", "sharded=self.sharded)", "sharded=False)"),
    at("protein/training.py", "protein/test_training.py::test_the_best_weights_are_chosen_on_validation_and_not_on_test")(
        "the best weights are chosen on test rows", "_spread(rows.get(\"validation\", [])", "_spread(rows.get(\"test\", [])"),
    at("mining/nearest.py", "mining/test_nearest.py")(
        "a query's own answer is its negative", "if row not in out[i]][self", "][self"),
    # merging
    at("probing/search.py", "probing/test_search.py")(
        "the coefficients climb the loss", "((c[n] - c[n].detach()) * p.to(c[n]))", "((c[n].detach() - c[n]) * p.to(c[n]))"),
    at("merging/dare.py", "merging/test_dare.py")(
        "what DARE keeps is not enlarged", " * torch.tensor(self.factors[name])[:, None]", ""),
    at("merging/ties.py", "merging/test_ties.py")(
        "TIES keeps one value more", "max(1, int(self.density * numel))", "max(1, int(self.density * numel) + 1)"),
    at("merging/model_stock.py", "merging/test_model_stock.py")(
        "Model Stock for two experts only", "/ (1 + (num - 1) * cosine)", "/ (1 + cosine)"),
    trial("Fisher takes absolute gradients", "addcmul_(g, g, value=", "addcmul_(g, g.sign(), value="),
    trial("RegMean reads padding", "(x[mask[0]] if x.ndim == 3 and x.shape[:2] == mask[0].shape else x.reshape(-1, x.shape[-1]))",
          "x.reshape(-1, x.shape[-1])"),
    trial("an expert is asked about all tasks", "for batch in own or self.batches[\"search\"]]", "for batch in self.batches[\"search\"]]"),
    trial("held-out losses are those of the search half", "for batch in self.batches[half]:", "for batch in self.batches[\"search\"]:"),
    trial("the probe is made of train rows", "read_rows(CURATED, \"probe\", [task])", "read_rows(CURATED, \"train\", [task])"),
    # curation, split, leakage
    at("split/set_aside.py", "split/test_set_aside.py")(
        "rows tied to a probe row stay in train", "                    found.tied[name].append(i)\n", "                    pass\n"),
    at("curation/data.py",
       "stage/test_curate.py::test_a_train_row_near_a_validation_row_stops_the_stage_where_nothing_took_it_out")(
        "the audit passes validation over", "            \"validation in train\": (train, validation),\n", ""),
    at("curation/data.py",
       "stage/test_curate.py::test_a_train_row_that_shows_a_text_of_either_held_out_split_alone_is_taken_out")(
        "contamination passes validation over", "HELD_OUT: tuple[Split, ...] = (\"test\", \"validation\")",
        "HELD_OUT: tuple[Split, ...] = (\"test\",)"),
    at("stage/pretrain.py", "stage/test_held_out_words.py")(
        "the vocabulary reads held-out rows", "rows = [row for _, row in read_rows(CURATED, \"train\")]",
        "rows = [row for split in (\"train\", \"validation\", \"test\") for _, row in read_rows(CURATED, split)]"),
    at("cluster/join.py", "cluster/test_join.py::test_pairs_exactly_at_the_threshold_are_found_whatever_their_sizes")(
        "bounds are not rounded to the safe side", "SLACK = 1e-9", "SLACK = 0.0"),
    group("groups are torn apart",
          "loose = rows.columns[\"group\"].is_null().to_numpy(zero_copy_only=False)", "loose = np.ones(len(rows), bool)"),
    group("one group may fill a split", "min(room[fit][task], most[fit][task]) >= n", "room[fit][task] >= n"),
    at("protein/split/alignment.py", "protein/split/test_alignment.py")(
        "identity by the shorter chain", "return Pair(same / max(1, len(over)),", "return Pair(same / max(1, min(len(left), len(right))),"),
    at("protein/split/alike.py", "protein/audit/test_chains.py::test_the_most_alike_pairs_show_a_faulty_screen")(
        "the audit's sample is of the least alike", "top = np.argpartition(-flat,", "top = np.argpartition(flat,"),
    at("protein/audit/shared.py", "protein/audit/test_shared.py")(
        "the last run of a chain is not looked at", "for i in range(len(chain) - letters + 1) if (piece",
        "for i in range(len(chain) - letters) if (piece"),
    at("corpus/collection.py", "corpus/test_collection_affinity.py")(
        "affinity baselines learn from the rows they are tested on", "for of in (rows, train))", "for of in (rows, rows))"),
    # statistics
    over_seeds("a claim holds the trainings fixed", "for variance, free in spread)))", "for variance, free in spread[1:])))"),
    metric("equal differences are told apart by rounding", " - max(1e-10 * largest, 1e-14)", ""),
    metric("Holm forgets the steps before", "np.minimum(1, np.maximum.accumulate(steps))", "np.minimum(1, steps)"),
    metric("the interval of few items is not widened", "np.sqrt(num_items / (num_items - 1)) * t.isf(tail, num_items - 1)",
           "norm.isf(tail)"),
    metric("p is one-sided", "return np.abs(found) >= abs(observed)", "return found >= abs(observed)"),
    comparison("the bootstrap is not paired", "- evaluator.resampled(b[name], counts)", "- evaluator.resampled(b[name], counts[::-1])"),
    comparison("answers are exchanged item by item", "names, group = np.unique(groups, return_inverse=True)",
               "names, group = np.unique(a[name][\"id\"], return_inverse=True)",
               "evaluator/test_comparison.py::test_up_to_twelve_differing_groups_the_p_value_is_that_of_all_exchanges_of_groups"),
    at("evaluator/items.py", "evaluator/test_items.py")(
        "each item is a group of its own", "collection.groups.get(key, key)", "key"),
    at("corpus/grouping.py", "corpus/test_grouping.py")(
        "queries with one answer are not tied", "by_text = _components({key: item.texts for",
        "by_text = _components({key: item.texts[:1] for"),
    at("evaluator/price.py", "evaluator/test_price.py")("both samples have equal draws", "seed=seed + i)", "seed=seed)"),
    at("protein/evaluator/affinity.py", "protein/evaluator/test_affinity.py::test_intervals_of_few_groups_are_those_that_so_few_ask_for")(
        "intervals of strata as if groups were many", "confidence, num_items=num_groups, ends", "confidence, num_items=len(score), ends"),
    gate("a merge passes by its mean as measured", "passed = mean[merge].low > 0 and", "passed = mean[merge].value > 0 and"),
    gate("a task is lost where its upper bound is", "all(one.low > -margin for", "all(one.high > -margin for"),
    gate("the best of many merges is taken for one", "np.quantile(np.max(apart, axis=0), share)", "np.quantile(apart[0], share)"),
    at("evaluator/verdict.py", "stage/test_judge.py")(
        "the final model is chosen on test rows", "at_home(scores[name].validation, guards) for", "at_home(scores[name].test, guards) for"),
)  # fmt: skip


def faults_of_the_list(mutations: Sequence[Mutation]) -> list[str]:
    """Everything in the list that does not fit the tree."""
    faults = [f"{name!r} stands in the list twice" for name, num in Counter(m.name for m in mutations).items() if num > 1]
    faults += [
        f"ALLOWED names {name!r}, which is no fault of the list" for name in ALLOWED if name not in {m.name for m in mutations}
    ]
    for one in mutations:
        if (found := _text(one.file).count(one.old)) != 1:
            faults.append(
                f"{one.name!r}: expected its old text once in {one.file}, found it {found} times: {one.old.strip()!r}"
            )
        for test in one.tests:
            file, _, name = test.partition("::")
            if f"def {name.partition('[')[0]}(" not in _text(file) if name else not _text(file):
                faults.append(f"{one.name!r}: no {test}")
    return faults


def _text(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).is_file() else ""


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
        f"{len(found)} faults planted, each alone: {told} (`python benchmarks/mutations.py --out benchmarks/mutations.md`).",
        "",
        "| fault | file | outcome |",
        "|---|---|---|",
    ]
    for one in chosen:
        outcome, _ = found[one.name]
        reason = f": {ALLOWED[one.name]}" if outcome != "killed" and one.name in ALLOWED else ""
        lines.append(f"| {one.name} | {one.file.removeprefix('pipeline/')} | {outcome}{reason} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.out and asked.only:
        sys.exit("--out is of the whole list, --only of a part of it; leave one of them out")
    if faults := faults_of_the_list(MUTATIONS):
        sys.exit("the list is stale:\n" + "\n".join(faults))
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
