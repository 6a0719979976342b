"""The tree of verbs: every command, the function that does it, and its line of help."""

from __future__ import annotations

from gristmill.stages.registry import ALIASES, STAGES

# verb: (module:function, help). A verb that is not here is a stage.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("gristmill.cli.run:run", "run a recipe, from the cache where nothing changed"),
    "quickstart": ("gristmill.cli.run:quickstart", "run the demo: raw pages to an assistant"),
    "doctor": ("gristmill.cli.doctor:doctor", "say what this machine has and how fast it is"),
    "chat": ("gristmill.cli.chat:chat", "talk to a model in the terminal"),
    "serve": (
        "gristmill.cli.serve:serve",
        "serve models by an OpenAI-compatible API, and web pages",
    ),
    "ls": ("gristmill.cli.look:ls", "list the artifacts of a workspace"),
    "show": ("gristmill.cli.look:show", "show one artifact: counts, figures, files, times"),
    "lineage": (
        "gristmill.cli.look:lineage",
        "show what an artifact was made from, to the first page",
    ),
    "plan": ("gristmill.cli.plan:plan", "plan a model and its recipe from GPUs, FLOPs or money"),
    "data inspect": ("gristmill.cli.inspect:inspect", "show a page beside its text, or every step"),
    "data why": ("gristmill.cli.look:why", "tell what happened to one page, step by step"),
    "tokenizer compare": (
        "gristmill.cli.tokenizers:compare",
        "set tokenizers side by side on the same text",
    ),
    "tokenizer show": (
        "gristmill.cli.tokenizers:show",
        "show a text cut into its tokens, in colours",
    ),
    "trace": ("gristmill.cli.trace:trace", "find the training pages that hold a text's words"),
    "diff": ("gristmill.cli.diff:diff", "set two artifacts or workspaces beside each other"),
    "gc": ("gristmill.cli.gc:gc", "say what can go from a workspace, and what that frees"),
    "study ablate": ("gristmill.cli.study:ablate", "compare runs of a recipe at several settings"),
    "config show": ("gristmill.cli.config:show", "show a recipe with every default filled in"),
    "config validate": ("gristmill.cli.config:validate", "check a recipe without running it"),
    "config schema": ("gristmill.cli.config:schema", "give the JSON schema of a stage or recipe"),
}


def all_verbs() -> dict[str, str]:
    """Every verb with its line of help, commands and stages together."""
    verbs = {verb: text for verb, (_, text) in COMMANDS.items()}
    verbs.update((verb, text) for verb, (_, text) in STAGES.items())
    verbs.update((alias, f"alias of {verb}") for alias, verb in ALIASES.items())
    return verbs
