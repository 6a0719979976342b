"""A small real workspace for the pages: documents and a step that drops some, tokens to trace
into, sampled answers, a training that moves, and models that say what they were taught."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from serve_world import byte_tokenizer

from gristmill.core.artifact import Artifact
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import save_model
from gristmill.stages.data_import import ImportConfig, data_import
from gristmill.stages.data_mix import MixConfig, data_mix
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage
from gristmill.stages.tokenizer_encode import TokenizerEncodeConfig, tokenizer_encode
from gristmill.stages.tokenizer_train import TokenizerTrainConfig, tokenizer_train
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.chat import ChatFormat, Message

SENTENCE = "The old mill at Bramley ground barley for nine villages until the river froze."

INJECTIONS = (
    "<script>window.pwned=1</script>",
    "<img src=x onerror='window.pwned=1'>",
    '"><svg onload=window.pwned=1>',
    "<svg><script>window.pwned=1</script></svg>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<a href='javascript:window.pwned=1'>x</a>",
    "[x](javascript:window.pwned=1)",
    "[x](data:text/html,<script>window.pwned=1</script>)",
    "![x](http://elsewhere.invalid/leak.png)",
    "<link rel=stylesheet href=//elsewhere.invalid/a.css>",
    "<style>@import '//elsewhere.invalid/a.css'</style>",
    "<math><mtext></p><img src=x onerror=window.pwned=1></mtext></math>",
    "</textarea><script>window.pwned=1</script>",
    "</title><script>window.pwned=1</script>",
    "<details open ontoggle=window.pwned=1>x</details>",
    "<input autofocus onfocus=window.pwned=1>",
    "<body onload=window.pwned=1>",
    "<form action=//elsewhere.invalid><button>x</button></form>",
    "<meta http-equiv=refresh content='0;url=//elsewhere.invalid'>",
    "`</code><script>window.pwned=1</script>` {{7*7}} ${7*7} <%= 7 %>",
)


class _Nothing(StageConfig):
    pass


@stage("data filter", version=1, kind="layer", config=_Nothing,
       inputs={"documents": Slot("documents")}, summary="drops the last", example="")  # fmt: skip
def drops(config: _Nothing, inputs: Inputs, output: Output) -> None:
    from gristmill.data.documents import DocumentSet, write_layer

    documents = DocumentSet.open(inputs["documents"])
    for part, table in documents.tables(["id", "title"]):
        keep = np.array([title != "Dropped" for title in table["title"].to_pylist()])
        reason = [None if kept else "too.dull" for kept in keep]
        rows = np.arange(len(keep), dtype=np.int64)
        write_layer(output.path, part, table["id"], rows, keep=keep, reason=reason)


@stage("align sample", version=1, kind="answers", config=_Nothing, inputs={},
       summary="answers", example="")  # fmt: skip
def answers(config: _Nothing, inputs: Inputs, output: Output) -> None:
    lines = [
        {
            "id": f"q{number}", "group": f"group {number}", "truth": {"name": INJECTIONS[number]},
            "messages": [{"role": "user", "content": f"Question {number} {INJECTIONS[number]}"}],
            "answers": [{"content": "greedy"}, {"content": f"yes {INJECTIONS[number]}"},
                        {"content": "no", "stopped": False}],
        }
        for number in range(12)
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (output.path / "train.jsonl").write_text(text, encoding="utf-8")


def build_workspace(folder: Path) -> Path:
    """The path of a workspace in `folder`."""
    documents = [
        {"url": f"http://mill.example/{number}", "title": f"{hostile} {number}",
         "text": f"{hostile} stands in page {number}. " + "Barley is ground by stones. " * 8}
        for number, hostile in enumerate(INJECTIONS)
    ]  # fmt: skip
    documents += [
        {"url": "http://mill.example/bramley", "title": "Bramley", "text": f"{SENTENCE} " * 3},
        {"url": "http://mill.example/dull", "title": "Dropped", "text": "dull " * 30},
    ]
    source = folder / "own.jsonl"
    source.write_text("".join(json.dumps(one) + "\n" for one in documents), encoding="utf-8")
    workspace = Workspace.at(folder / "workspace")
    imported = _made(workspace, data_import, ImportConfig(path=source), {})
    layer = _made(workspace, drops, _Nothing(), {"documents": imported})
    mixture = _made(workspace, data_mix, MixConfig(heldout_share=0.0), {"documents": layer})
    tokenizer = _made(
        workspace, tokenizer_train, TokenizerTrainConfig(vocab_size=300), {"mixture": mixture}
    )
    _made(workspace, tokenizer_encode, TokenizerEncodeConfig(),
          {"mixture": mixture, "tokenizer": tokenizer})  # fmt: skip
    _made(workspace, answers, _Nothing(), {})
    moving = workspace.path / "unfinished" / "train.lm-0123456789ab"
    moving.mkdir(parents=True)
    log_steps(moving / "metrics.jsonl", range(1, 40))
    return workspace.path


def log_steps(path: Path, steps: Sequence[int]) -> None:
    """Adds records as a trainer does."""
    with open(path, "a", encoding="utf-8") as file:
        for step in steps:
            file.write(json.dumps({"step": step, "loss": 5 / step + 1, "lr": 0.1}) + "\n")


def teach(folder: Path, said: Mapping[str, str], *, context: int = 224, seed: int = 0) -> Path:
    """An assistant that gives each of these prompts its answer, learnt by heart."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer()
    chat = ChatFormat.native(tokenizer)
    model = Transformer(
        TransformerConfig(
            tokenizer.vocab_size, width=64, layers=2, heads=2, kv_heads=2, head_dim=32,
            mlp_width=128, context=context, tied=False,
        )
    )  # fmt: skip
    model.init_weights(seed)
    rows = [
        chat.render([Message("user", asked), Message("assistant", answer)])
        for asked, answer in said.items()
    ]
    longest = max(len(row.ids) for row in rows)
    assert longest <= context
    tokens_BT = torch.tensor([row.ids + [0] * (longest - len(row.ids)) for row in rows])
    mask_BT = torch.tensor([row.mask + [False] * (longest - len(row.ids)) for row in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)
    for _ in range(400):
        logits_BTV = model.head(model(tokens_BT[:, :-1]))
        wanted = mask_BT[:, 1:]
        loss = torch.nn.functional.cross_entropy(logits_BTV[wanted], tokens_BT[:, 1:][wanted])
        if loss.item() < 0.01:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    else:
        raise AssertionError(f"it did not learn its answers: {loss.item():.3f}")
    tokenizer.save(folder)
    save_model(folder, model.eval(), folder)
    chat.save(folder)
    return folder


def _made(workspace: Workspace, step: Any, config: Any, inputs: dict[str, Artifact]) -> Artifact:
    artifact: Artifact = step.run(config, inputs, workspace)
    workspace.name_node(step.name, artifact)
    return artifact
