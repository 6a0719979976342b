"""`arena import`: votes and other battles as one artifact."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.core.artifact import Artifact
from gristmill.core.figure import Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, stage

if TYPE_CHECKING:
    from gristmill.evaluate.arena import Battle

BATTLES = "battles.jsonl"


class ArenaImportConfig(StageConfig):
    """Where the battles lie."""

    store: str | None = content_of(None, hashed_by="gristmill.stages.arena_import:votes_hash")
    """The votes of the arena page of `serve`: WORKSPACE/serve/store.sqlite."""
    files: tuple[str, ...] = content_of(())
    """JSON Lines of battles: {"model_a", "model_b", "winner"}, with a winner a, b, tie or both_bad,
    or as public arenas spell it: model_a, model_b, tie, tie (bothbad)."""


@stage(
    "arena import",
    version=2,
    kind="battles",
    config=ArenaImportConfig,
    inputs={
        "judgements": Slot(
            "judgement", optional=True, many=True, named=True, help="what evaluate judge decided"
        )
    },
    summary="read votes and battles into an artifact",
    example="gristmill arena import --store runs/demo/serve/store.sqlite",
)
def arena_import(config: ArenaImportConfig, inputs: Inputs, output: Output) -> None:
    """battles.jsonl: every battle once, in the order given. Counts by what judged."""
    from gristmill.core.errors import GristmillError
    from gristmill.evaluate.arena import battles_of, read_battles, write_battles

    judgements: list[Artifact] = inputs.many("judgements")
    if config.store is None and not config.files and not judgements:
        raise GristmillError(
            "no battles to import",
            mend="give --store WORKSPACE/serve/store.sqlite, --files [BATTLES.jsonl] or "
            "--judgements FOLDER",
        )
    found: list[Battle] = []
    first_reject: dict[str, str] | None = None
    sources: list[tuple[str, Any]] = []
    if config.store is not None:
        sources.append(("store", battles_of(_votes(Path(config.store)), "store")))
    sources += [("files", read_battles(path)) for path in config.files]
    sources += [("judgements", read_battles(a.file(BATTLES))) for a in judgements]
    seen: set[str] = set()
    for name, (battles, rejects) in sources:
        for battle in battles:
            if battle.id in seen:
                reason = "its id was there before"
                rejects.append(
                    {"where": battle.id, "reason": reason, "sample": battle.prompt[:200]}
                )
            else:
                seen.add(battle.id)
                found.append(battle)
        first_reject = first_reject or (rejects[0] if rejects else None)
        output.counts["rejected"] = output.counts.get("rejected", 0) + output.reject(name, rejects)
    if not found:
        why = f": {first_reject['reason']}" if first_reject else ""
        raise GristmillError(
            f"no battle came out{why}",
            where=first_reject["where"] if first_reject else config.store,
            mend="vote on the arena page of gristmill serve, or look at the files",
        )
    write_battles(output.path / BATTLES, found)
    output.counts["battles"] = len(found)
    output.counts["models"] = len({name for b in found for name in (b.model_a, b.model_b)})
    judges = Counter(battle.judge for battle in found)
    winners = Counter((battle.judge, battle.winner) for battle in found)
    rows = [
        [judge, count, *(winners[judge, side] for side in ("a", "b", "tie", "both_bad"))]
        for judge, count in sorted(judges.items())
    ]
    output.tables.append(
        Table("Battles", ["judge", "battles", "a won", "b won", "tie", "both bad"], rows)
    )


def votes_hash(path: Path) -> str:
    """The identity of a store's votes, whatever else is in the file."""
    from gristmill.core.canonical import hash_json

    return hash_json(_votes(Path(path)))


def _votes(path: Path) -> list[dict[str, Any]]:
    from gristmill.serve.store import Store

    store = Store.open(path, create=False)
    try:
        return store.battles()
    finally:
        store.close()
