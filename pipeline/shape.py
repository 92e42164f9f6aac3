"""The shape of `params.yaml` and of each stage's section of `data/config.yaml`: every key, its type and its bounds."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.names import as_folders, own_folders, plain_names
from pipeline.spelling import nearest


def _with_target(node: dict[str, Any]) -> dict[str, Any]:
    if "_target_" not in node:
        raise ValueError(f"expected `_target_: pipeline...` beside its arguments{nearest('_target_', node)}")
    return node


Node = Annotated[dict[str, Any], AfterValidator(_with_target)]  # a ``_target_`` and its keyword arguments


Places = Annotated[dict[str, str], AfterValidator(plain_names)]  # by name, directories


class Shape(BaseModel):
    """A section whose keys are all known and all present: defaults live in YAML."""

    model_config = ConfigDict(extra="forbid", strict=True)


Listed = list[str] | dict[str, str]


class Page(Shape):
    """`params.yaml`."""

    choose: dict[str, str]
    corpora: Annotated[dict[str, dict[str, Any]], AfterValidator(as_folders)]
    experts: Annotated[Places, AfterValidator(own_folders)]
    methods: list[str]
    derivations: dict[str, dict[str, Any]] = {}
    baselines: list[str]
    models: Places
    # What replaces the lists of the catalogue, by name or as names of one's own; null: the catalogue's (`pipeline/choice.py`).
    filters: Listed | None = None
    measures: Listed | None = None
    evaluators: Listed | None = None
    forms: Listed | None = None
    behaviours: Listed | None = None
    set: dict[str, Any]


class Corpus(Shape):
    source: Node
    mirror: Node | None  # the same data as local files below runtime.mirror
    licence: str = "not stated"  # of its rows, for the model card


class Ingest(Shape):
    corpora: dict[str, Corpus]
    max_rejected: float = Field(ge=0, le=1)


class Curate(Shape):
    normal: Node
    filters: dict[str, Node]
    dedup: Node
    split: Node
    controls: dict[str, Node]  # further deals of the same rows, by name
    near: Node
    contamination: Literal["text", "query", "document", "pair", "off"]
    audit: Node
    measures: dict[str, Node]
    probe: Node


def _one_text(prompt: str) -> str:
    if prompt.count("{text}") > 1:
        raise ValueError("expected {text} at most once, where the text stands; without it the prompt stands before")
    return prompt


class Prompts(Shape):
    pooled: bool
    texts: dict[str, dict[Literal["query", "document"], Annotated[str, AfterValidator(_one_text)]]]  # by task


class Length(Shape):
    quantile: float | None = Field(gt=0, le=1)
    at_least: int = Field(gt=2)


class Encoder(Shape):
    backbone: Node
    length: Length
    pooling: Node | None  # replaces the model's own
    projection: Node | None  # is added behind the model's own modules
    adapter: Node | None
    prompts: Prompts
    max_length_tokens: int | None = Field(gt=2)  # None: the model's own limit


class Task(Shape):
    objective: Node
    view: Node
    batch_size: int = Field(gt=1)
    negatives: Literal["in_batch", "gathered", "own"]
    num_positives: int = Field(gt=0)
    num_negatives: int = Field(ge=0)
    turns: float = Field(gt=0)
    teachers: dict[str, Node]
    shuffle_documents: bool


class Best(Shape):
    looks: int = Field(gt=0)
    rows_per_task: int = Field(gt=9)


class EarlyStop(Shape):
    every_steps: int = Field(gt=0)
    patience: int = Field(gt=0)
    batches_per_task: int = Field(gt=0)


class Spike(Shape):
    policy: Literal["stop", "skip", "back"]
    factor: float = Field(gt=1)
    window: int = Field(gt=1)


class Steps(Shape):
    """What every training has. ``fit`` names what trains, and by its class the shape of the whole section (`shape_of`)."""

    fit: Node
    optimizer: Node
    warmup: float = Field(ge=0, le=1)  # share of the steps
    max_length_tokens: int | None = Field(gt=2)  # None: as the encoder is served
    precision: Literal["32-true", "bf16-mixed", "bf16-true"]
    chunk_tokens: int = Field(gt=2)
    gradient_clip: float = Field(gt=0)
    on_nonfinite: Literal["stop", "skip", "back"]
    on_spike: Spike | None = None


class Training(Steps):
    """A training on the rows of tasks: an expert, or a phase of pretraining."""

    tasks: dict[str, Task] = Field(min_length=1)
    batches: Literal["single", "mixed"]
    turns: Literal["own", "uniform", "size", "temperature", "explicit"]
    turns_temperature: float = Field(ge=1)
    by_length: bool
    epochs: float | None = Field(gt=0)
    max_steps_per_task: int | None = Field(gt=0, lt=2**31)
    steps_per_task: int | None = Field(gt=0, lt=2**31)  # replaces the other two
    budget_minutes: float | None = Field(gt=0)
    early_stop: EarlyStop | None
    best: Best | None


class Kept(Shape):
    every_steps: int = Field(gt=0)
    last: int = Field(gt=0)


class Expert(Training):
    corpora: list[str] | None = Field(min_length=1)  # None: all
    control: str | None  # a name under curate.controls
    share: float | None = Field(gt=0, le=1)
    seed: int | None = Field(ge=0, lt=2**32)
    snapshots: Kept | None


class Mine(Shape):
    miner: Node
    near: Node  # which texts a query and its answers take for their own
    max_queries: int | None = Field(ge=0)  # None: all
    max_length_tokens: int | None = Field(gt=2)


class Phase(Training):
    """A phase of pretraining: on the rows of ``corpora`` (null: of all), with hard negatives that the model so far finds (null: none)."""

    order: int
    corpora: list[str] | None
    mine: Mine | None


class Pretext(Steps):
    """A phase of pretraining on the texts of ``corpora`` (null: of all), whatever their task."""

    order: int
    corpora: list[str] | None
    steps: int = Field(gt=0, lt=2**31)


class AnyTraining(BaseModel):
    """An expert or a phase whose `fit` is still to be asked for the shape of the rest."""

    model_config = ConfigDict(extra="allow", strict=True)

    fit: Node


class Pretrain(Shape):
    phases: dict[str, AnyTraining]


class Probe(Shape):
    objectives: dict[str, Node] = Field(min_length=1)
    relative: bool
    pairs_per_task: int = Field(gt=1)
    batch_size: int = Field(gt=1)
    steps: int = Field(gt=0, lt=2**31)
    max_length_tokens: int | None = Field(gt=2)
    chunk_tokens: int = Field(gt=2)
    optimizer: Literal["adam", "sgd"]
    lr: float = Field(gt=0)
    landscape: int = Field(ge=0)


class Merge(Shape):
    method: Node
    probe: Probe | None
    snapshots: bool
    max_distance: float = Field(gt=0)


class Derive(Shape):
    of: str  # a directory
    derivation: Node


class KnownTask(Shape):
    """A task that some corpus has rows of. ``learned``: an expert or a phase is trained on it."""

    kind: str
    learned: bool


class Evaluate(Shape):
    evaluators: dict[str, Node | None]
    mteb: list[str]  # names of its tasks
    resamples: int = Field(gt=0, le=1_000_000)
    confidence: float = Field(gt=0, lt=1)
    max_length_tokens: int | None = Field(gt=2)  # None: where the model cuts
    general: bool
    guards: list[str]  # names of corpora
    guard_texts: int = Field(gt=2)


class Final(Shape):
    forms: dict[str, Node | None]
    candidates: list[str] | None  # None until compose has filled it
    confidence: float = Field(gt=0, lt=1)
    task_confidence: float = Field(gt=0.5, lt=1)
    margin: float = Field(gt=0, lt=1)
    retention: float | None = Field(ge=-1, le=1)
    resamples: int = Field(gt=0, le=1_000_000)
    fit_texts: int = Field(gt=0)
    texts_compared: int = Field(gt=0)
    paraphrases: Node | None  # its `by_model` is asked


class Stress(Shape):
    behaviours: dict[str, Node | None]


class Part(Shape):
    """A section of the page, among the others by its ``order``."""

    order: int
    part: Node


class Report(Shape):
    examples: int = Field(ge=0)
    parts: dict[str, Part | None]


class Runtime(Shape):
    accelerator: str
    devices: int = Field(gt=0)
    num_nodes: int = Field(gt=0)
    strategy: Literal[
        "auto",
        "ddp",
        "fsdp",
        "deepspeed_stage_1",
        "deepspeed_stage_2",
        "deepspeed_stage_3",
        "deepspeed_stage_2_offload",
        "deepspeed_stage_3_offload",
    ]
    threads: int = Field(ge=0)
    batch_tokens: int = Field(gt=0)
    kept_tokens: int = Field(ge=0)
    similarities_at_once: int = Field(gt=0)
    return_memory: bool
    checkpoint_every_steps: int = Field(gt=0)
    checkpoint_every_minutes: float = Field(gt=0)
    tracker: Literal["auto", "online", "offline", "disabled"]
    project: str
    embeddings: str | None
    tokens: str
    mirror: str | None


class Shared(Shape):
    """The sections of `data/config.yaml` that are one for the whole page."""

    seed: int = Field(ge=0, lt=2**32)
    ingest: Ingest
    curate: Curate
    encoder: Encoder
    pretrain: Pretrain
    mine: Mine
    evaluate: Evaluate
    final: Final
    stress: Stress
    report: Report
    runtime: Runtime


class Config(Shared):
    """`data/config.yaml`."""

    experts: dict[str, str]
    models: dict[str, str]
    tasks: dict[str, KnownTask]  # filled by compose from what the corpora declare
    left_out: dict[str, dict[str, str]]  # by stage the items of the page that have no rows, with their directories
    train: dict[str, AnyTraining]
    merge: dict[str, Merge]
    derive: dict[str, Derive]
    baseline: dict[str, Node]
