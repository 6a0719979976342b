"""Every stage by its verb, imported when asked for, so that the command line starts fast."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.stages.stage import Stage

# verb: (module, one line of help). The help stands here so that listing imports nothing. A module
# of another room stands with its whole path: it is imported by name, so that no arrow is turned.
STAGES: dict[str, tuple[str, str]] = {
    "data sample-web": ("data_sample_web", "write a small web of real texts, to try everything on"),
    "data import": ("data_import", "texts, tables, dumps, code, LaTeX, mail, PDF as documents"),
    "data crawl": ("data_crawl", "fetch pages politely into WARC files"),
    "data warc": ("data_warc", "take pages out of WARC files, Common Crawl's or others'"),
    "data extract": ("data_extract", "main text, title and links from crawled pages"),
    "data filter": ("data_filter", "language, blocklists, heuristics, adult text, personal data"),
    "data dedup": ("data_dedup", "copies of documents, and lines and passages that repeat"),
    "data quality": ("data_quality", "score pages by likeness to those a reference links to"),
    "data domains": ("data_domains", "label documents with a domain"),
    "data decontaminate": ("data_decontaminate", "drop documents that overlap evaluation texts"),
    "data mix": ("data_mix", "choose and weigh documents, hold some out, shuffle"),
    "data index": ("data_index", "where every run of tokens stands, for trace"),
    "data inspect": ("data_inspect", "a page beside its text, or what every step kept"),
    "tokenizer train": ("tokenizer_train", "train a byte-level BPE vocabulary"),
    "tokenizer import": ("tokenizer_import", "someone else's: tokenizer.json, .tiktoken or GGUF"),
    "tokenizer encode": ("tokenizer_encode", "turn documents into token shards"),
    "tokenizer compare": ("tokenizer_compare", "tokenizers side by side on the same text"),
    "import": ("import_model", "a Llama or Qwen model of someone else's, to go on from"),
    "train lm": ("train_lm", "pre-train a language model"),
    "train sft": ("train_sft", "teach a model to answer, from chats; loss on answers only"),
    "train reward": ("train_reward", "a reward model from preferences"),
    "train dpo": ("train_dpo", "direct preference optimisation, one model in memory"),
    "train ppo": ("train_ppo", "PPO against a reward model, near the reference"),
    "align synthesize": ("align_synthesize", "questions and answers from articles"),
    "align sample": ("align_sample", "several answers of a model to each prompt"),
    "align rank": ("align_rank", "preferences from answers: by rule, reward model or hand"),
    "align best-of-n": ("align_best_of_n", "expected best of n answers, against KL"),
    "evaluate perplexity": ("evaluate_perplexity", "held-out bits per byte beside n-gram models"),
    "evaluate tasks": ("evaluate_tasks", "multiple choice by likelihood, letter and generation"),
    "evaluate contamination": (
        "evaluate_contamination",
        "whether models know the order of a test set",
    ),
    "evaluate judge": ("evaluate_judge", "win rates by a judge, raw and length-controlled"),
    "arena import": ("arena_import", "votes and battles as an artifact"),
    "arena rate": ("arena_rate", "ratings from battles: Bradley-Terry and Elo"),
    "score": ("score", "log-probability of sentences, pair by pair"),
    "export hf": ("export_hf", "a model as a folder for transformers, with a card"),
    "export gguf": ("export_gguf", "a model as one file for llama.cpp"),
    "generate": ("generate", "continue prompts"),
    "scaling fit": ("scaling_fit", "laws of loss from runs; the largest predicted"),
    "scaling recipe": ("scaling_recipe", "what the size dial says, with reasons, as YAML"),
    "study alignment": (
        "gristmill.study.alignment",
        "SFT, DPO, PPO and best-of-n from one base, side by side",
    ),
    "study sweep": (
        "gristmill.study.sweep",
        "one architecture at several sizes and token budgets",
    ),
    "study families": (
        "gristmill.study.families",
        "transformer against LSTM: slope, intercept, a prediction",
    ),
    "study tokenizers": (
        "gristmill.study.tokenizers",
        "models on several tokenizers: bits per byte, and addition",
    ),
    "study sums": ("gristmill.study.sums", "additions as a mixture, to train and to be asked"),
    "study domain-weights": (
        "gristmill.study.domain_weights",
        "weights of domains, learned from small runs and confirmed",
    ),
    "study domain-draw": ("gristmill.study.domain_draw", "one mixture of domains, drawn at random"),
    "study domain-fit": ("gristmill.study.domain_fit", "weights from proxy runs, by a law of loss"),
    "report": ("report", "the figures and the one-file HTML report of a workspace"),
}

ALIASES = {"train pretrain": "train lm"}


def verbs_that_make(kinds: Sequence[str]) -> list[str]:
    """The verbs whose results are of these kinds, in the order of a model's making. Not those of
    studies, which are rarely what an input lacks."""
    own = [verb for verb, (path, _) in STAGES.items() if "." not in path]
    return [verb for verb in own if stage_by_verb(verb).kind in kinds]


def stage_by_verb(verb: str) -> Stage[Any]:
    """The stage of a verb. Raises GristmillError with the nearest one where there is none."""
    verb = ALIASES.get(verb, verb)
    if verb not in STAGES:
        raise GristmillError(f"no stage '{verb}'", mend=did_you_mean(verb, STAGES))
    path = STAGES[verb][0]
    module = importlib.import_module(path if "." in path else f"gristmill.stages.{path}")
    found = getattr(module, path.rpartition(".")[2])
    assert isinstance(found, Stage) and found.verb == verb, verb
    return found
