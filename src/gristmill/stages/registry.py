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
    "data import": ("data_import", "read texts, tables, dumps, code, LaTeX, mail and PDF"),
    "data crawl": ("data_crawl", "fetch pages politely into WARC files"),
    "data warc": ("data_warc", "take pages out of WARC files, Common Crawl's or others'"),
    "data extract": ("data_extract", "take main text, title and links from crawled pages"),
    "data filter": ("data_filter", "drop by language, lists and rules; mask personal data"),
    "data dedup": ("data_dedup", "drop copies, and lines and passages that repeat"),
    "data quality": ("data_quality", "score pages by likeness to those a reference links to"),
    "data domains": ("data_domains", "label documents with a domain"),
    "data decontaminate": ("data_decontaminate", "drop documents that overlap evaluation texts"),
    "data mix": ("data_mix", "choose and weigh documents, hold some out, shuffle"),
    "data index": ("data_index", "sort all runs of tokens, so that trace finds them"),
    "data inspect": ("data_inspect", "show a page beside its text, or what every step kept"),
    "tokenizer train": ("tokenizer_train", "train a byte-level BPE vocabulary"),
    "tokenizer import": (
        "tokenizer_import",
        "take someone else's: tokenizer.json, .tiktoken or GGUF",
    ),
    "tokenizer encode": ("tokenizer_encode", "turn documents into token shards"),
    "tokenizer compare": ("tokenizer_compare", "set tokenizers side by side on the same text"),
    "import": ("import_model", "take a Llama or Qwen model of someone else's, to go on from"),
    "train lm": ("train_lm", "pre-train a language model"),
    "train sft": ("train_sft", "teach a model to answer, from chats; loss on answers only"),
    "train reward": ("train_reward", "train a reward model on preferences"),
    "train dpo": ("train_dpo", "tune by DPO on preferences, one model in memory"),
    "train ppo": ("train_ppo", "tune by PPO against a reward model, near the reference"),
    "align synthesize": ("align_synthesize", "make questions and answers from articles"),
    "align sample": ("align_sample", "draw several answers of a model to each prompt"),
    "align rank": ("align_rank", "order answers into preferences: by rule, reward or hand"),
    "align best-of-n": ("align_best_of_n", "measure the expected best of n answers, against KL"),
    "evaluate perplexity": (
        "evaluate_perplexity",
        "measure held-out bits per byte beside n-gram models",
    ),
    "evaluate tasks": (
        "evaluate_tasks",
        "ask multiple choice by likelihood, letter and generation",
    ),
    "evaluate contamination": (
        "evaluate_contamination",
        "test whether models know the order of a test set",
    ),
    "evaluate judge": ("evaluate_judge", "count wins by a judge, raw and length-controlled"),
    "arena import": ("arena_import", "read votes and battles into an artifact"),
    "arena rate": ("arena_rate", "rate models from battles: Bradley-Terry and Elo"),
    "score": ("score", "give the log-probability of sentences, pair by pair"),
    "export hf": ("export_hf", "write a model as a folder for transformers, with a card"),
    "export gguf": ("export_gguf", "write a model as one file for llama.cpp"),
    "generate": ("generate", "continue prompts"),
    "scaling fit": ("scaling_fit", "fit laws of loss to runs; predict the largest"),
    "scaling recipe": ("scaling_recipe", "write what the size dial says, with reasons, as YAML"),
    "study alignment": (
        "gristmill.study.alignment",
        "compare SFT, DPO, PPO and best-of-n from one base",
    ),
    "study sweep": (
        "gristmill.study.sweep",
        "train one architecture at several sizes and budgets",
    ),
    "study families": (
        "gristmill.study.families",
        "compare transformer and LSTM: slope, intercept, prediction",
    ),
    "study tokenizers": (
        "gristmill.study.tokenizers",
        "compare tokenizers by equal models: bits per byte, sums",
    ),
    "study sums": ("gristmill.study.sums", "make a mixture of additions, to train and to be asked"),
    "study domain-weights": (
        "gristmill.study.domain_weights",
        "learn weights of domains from small runs; confirm them",
    ),
    "study domain-draw": ("gristmill.study.domain_draw", "draw one mixture of domains at random"),
    "study domain-fit": (
        "gristmill.study.domain_fit",
        "fit weights to proxy runs, by a law of loss",
    ),
    "report": ("report", "write the figures and the one-file report of a workspace"),
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
