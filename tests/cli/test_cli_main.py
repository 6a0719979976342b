"""The command line: the frozen tree, exit codes, one-line errors, a light start."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill.cli.flags import parse_flags
from gristmill.cli.help import config_entries
from gristmill.cli.main import main
from gristmill.cli.present import console, print_table
from gristmill.cli.run import _tells_nothing
from gristmill.cli.stage import counts_line
from gristmill.cli.tree import COMMANDS, all_verbs
from gristmill.core.errors import GristmillError
from gristmill.stages.registry import STAGES, stage_by_verb
from gristmill.stages.workspace import Workspace

TREE = """
align best-of-n
align rank
align sample
align synthesize
arena import
arena rate
chat
config schema
config show
config validate
data crawl
data decontaminate
data dedup
data domains
data extract
data filter
data import
data index
data inspect
data mix
data quality
data sample-web
data warc
data why
diff
doctor
evaluate contamination
evaluate judge
evaluate perplexity
evaluate tasks
export gguf
export hf
gc
generate
import
lineage
ls
plan
quickstart
report
run
scaling fit
scaling recipe
score
serve
show
study ablate
study alignment
study domain-draw
study domain-fit
study domain-weights
study families
study sums
study sweep
study tokenizers
tokenizer compare
tokenizer encode
tokenizer import
tokenizer show
tokenizer train
trace
train dpo
train lm
train ppo
train pretrain
train reward
train sft
"""


def test_the_tree_of_verbs_is_frozen() -> None:
    assert sorted(all_verbs()) == TREE.split("\n")[1:-1]


@pytest.mark.parametrize("verb", sorted(STAGES))
def test_every_stage_has_help_with_an_example(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb.split(), "--help", "all"]) == 0
    shown = capsys.readouterr().out
    stage = stage_by_verb(verb)
    example = shown.rpartition("\nexample\n")[2].replace("\\\n", "").split()
    assert example == stage.example.split() and example[:1] == ["gristmill"]
    # Many choices go over several lines.
    joined = shown.replace("|\n      ", "|")
    assert [flag for flag, _ in config_entries(stage.config) if flag not in joined] == []
    assert max(len(line) for line in shown.splitlines()) <= 80


@pytest.mark.parametrize("verb", sorted(all_verbs()))
def test_every_line_of_help_says_what_to_do(verb: str) -> None:
    said = [all_verbs()[verb], *([stage_by_verb(verb).summary] if verb in STAGES else [])]
    for line in [one for one in said if not one.startswith("alias of ")]:
        first = line.split()[0]
        # "write", not "Writes", "writes", "the tables" or "tables".
        assert first.islower() and not first.endswith(("s", "ing", ".")), line
        assert first not in ("a", "an", "the", "what", "where", "whether", "from"), line
        assert not line.endswith("."), line


def test_a_guess_is_no_headline() -> None:
    figures = {
        "choices.chance": {"value": 0.25},
        "letter.accuracy.base": {"value": 0.26, "low": 0.24, "high": 0.28},
        "letter.accuracy.sft": {"value": 0.3, "low": 0.27, "high": 0.33},
        "generation.accuracy.sft": {"value": 0.0},
        "generation.unreadable.sft": {"value": 0.9},
        "generation.accuracy.base": {"value": 0.5},
        "generation.unreadable.base": {"value": 0.3},
        "sft.stops": {"value": 0.0},
    }
    hidden = {name for name in figures if _tells_nothing(name, figures)}
    assert hidden == {"letter.accuracy.base", "generation.accuracy.sft"}


def test_many_counts_fit_a_line() -> None:
    counts = {f"dropped_{number}": number for number in range(30)}
    line = counts_line(counts)
    shown, _, more = line.rpartition(", ")
    assert 60 < len(line) <= 78 and more == f"{30 - len(shown.split(', '))} more (--json)"
    assert counts_line({"kept": 1200, "dropped": 3}) == "1,200 kept, 3 dropped"


@pytest.mark.parametrize("verb", sorted(STAGES))
def test_help_fits_a_screen_or_two_and_names_every_group(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb.split(), "--help"]) == 0
    shown = capsys.readouterr().out.splitlines()
    # A command that stands before a stage tells its own ways of use as well.
    assert len(shown) <= (96 if verb in COMMANDS else 80) and max(map(len, shown)) <= 80
    for flag, _ in config_entries(stage_by_verb(verb).config):
        name = flag.split()[0]
        group = name.partition(".")[0] + "."
        assert any(line.split()[:1] in ([name], [group]) for line in shown), flag
    # In brief nothing ends in the middle of a bracket.
    brief = [line for line in shown[: shown.index("how to work")] if "--help all" in "".join(shown)]
    assert [line for line in brief if line.count("(") != line.count(")")] == []


def test_help_of_a_group_a_setting_and_a_name_that_is_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["data", "filter", "--help", "spam"]) == 0
    assert capsys.readouterr().out.startswith("spam: Keyword stuffing.\n  --spam.enabled")
    assert main(["data", "filter", "--help=spam"]) == 0
    assert capsys.readouterr().out.startswith("spam: Keyword stuffing.\n")
    assert main(["study", "families", "-h", "sweep.train.dial"]) == 0
    assert "\n  --sweep.train.dial.layers N" in capsys.readouterr().out
    assert main(["data", "filter", "--help", "lists.allowed", "dry-run", "documents"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("  --lists.allowed [A,B,...]  Hosts that no list blocks, unless")
    assert "--dry-run  " in shown and "--documents FOLDER" in shown and "spam" not in shown
    for name, mend in [
        ("spm", "did you mean 'spam'?"),
        ("min_function_share", "did you mean 'spam.min_function_share'?"),
        ("zzzzzz", "gristmill data filter --help names them"),
        ("spam.", None),
    ]:
        assert main(["data", "filter", "--help", name]) == (2 if mend else 0)
        error = f"data filter has no setting '{name}'; {mend}\n"
        assert capsys.readouterr().err == (f"gristmill: {error}" if mend else "")


def test_help_names_the_groups_of_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "filter", "--help", "all"]) == 0
    shown = capsys.readouterr().out
    assert "\n\nspam: Keyword stuffing.\n  --spam.enabled true|false  (True)\n" in shown
    # A group like another says nothing twice.
    assert "\n\ntoxic: as for adult\n" in shown
    settings = shown.partition("\nsettings\n")[2].partition("\n\n")[0]
    assert "--custom " in settings and "--spam." not in settings


@pytest.mark.parametrize("verb", [v for v in TREE.split("\n")[1:-1] if v not in STAGES])
def test_every_command_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb.split(), "--help"]) == 0
    assert "example" in capsys.readouterr().out or verb.startswith(("config", "train"))


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gristmill", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def test_a_mistyped_verb_is_one_line_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "odd.bin").write_bytes(b"odd")
    for arguments, expected in [
        (["data", "crwl"], "no command 'data crwl'; did you mean 'data crawl'?"),
        (["rnu"], "no command 'rnu'; did you mean 'run'?"),
        (["run", "demmo"], "no recipe 'demmo'"),
        (["data", "import"], "--path: is required; give --path VALUE"),
        (["data", "import", "--path", "nowhere"], "nowhere: no such file"),
        (["data", "filter", "--workspace", "w"], "data filter needs its input 'documents'"),
        (["data", "dedup", "--near.wrods", "3"], "unknown key 'wrods'; did you mean 'words'?"),
        (["data", "dedup", "--near.words", "many"], "--near.words: input should be a valid int"),
        (["run", "demo", "--seed", "x"], "--seed: must be a whole number"),
        (["show", "x", "--workspace", "none"], "none: no such workspace"),
        (["arena", "rate", "--workspac", "w"], "'workspac'; did you mean 'workspace'?"),
        (["train", "dpo", "--preference", "w"], "'preference'; did you mean 'preferences'?"),
        (["chat", "--workspac", "w"], "'workspac'; did you mean 'workspace'?"),
        (["trace", ""], "no text is given"),
        (["train", "dpo", "--model", "train.sft"], "no artifact 'train.sft'; give its folder, or"),
        (
            ["run", "demo", "--workspac", "w"],
            "unknown flag '--workspac'; did you mean '--workspace'?",
        ),
        (["run", "demo", "--dry-rnu"], "unknown flag '--dry-rnu'; did you mean '--dry-run'?"),
        (["run", "dmeo"], "no recipe 'dmeo'; did you mean 'demo'?"),
        (["ls", "foo"], "'foo' is not a flag"),
        (["doctor", "--foo"], "unknown flag '--foo'; valid here: --help, --json"),
        (["tokenizer", "encode"], "or make one first: gristmill data mix"),
        (["tokenizer", "compare"], "no tokenizer is named, and none lies in the workspace"),
        (["import", "--path", "odd.bin"], "odd.bin: not a GGUF file; give a .gguf"),
    ]:
        done = run(*arguments, cwd=tmp_path)
        assert done.returncode == 2, (arguments, done.stderr)
        assert expected in done.stderr, (arguments, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr


def test_a_wrong_flag_beside_a_file_is_named_as_a_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "dedup.yaml"
    file.write_text("near: {words: 4}\n")
    verb = ["data", "dedup", "--workspace", str(tmp_path / "w"), "--config", str(file)]
    assert main([*verb, "--near.rows", "many"]) == 2
    assert "gristmill: --near.rows: input should" in capsys.readouterr().err
    file.write_text("near: {words: few}\n")
    assert main([*verb, "--near.rows", "3"]) == 2
    assert f"gristmill: {file}:near.words: input should" in capsys.readouterr().err


def test_the_overview_and_the_doctor_keep_to_eighty_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 0 and main(["doctor"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_names_that_one_copies_stand_whole_and_a_sweep_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "evaluate.contamination-531635830221"
    row = (name, "preferences", "438.7 kB", "232.6 s", "study")
    print_table("w", ["artifact", "kind", "size", "time", ""], [row], console(), names=True)
    assert " ".join(row) in " ".join(capsys.readouterr().out.split())
    assert main(["run", "scaling", "--dry-run", "--workspace", str(tmp_path / "w")]) == 0
    shown = capsys.readouterr().out
    assert "for study.sweep@lstm" in shown and "42 would run" in shown
    assert "evaluate.perplexity@lstm" not in shown
    assert main(["run", "scaling", "--dry-run", "--json", "--workspace", str(tmp_path / "w")]) == 0
    nodes = [stage["node"] for stage in json.loads(capsys.readouterr().out)["stages"]]
    assert sum("lstm" in node for node in nodes) == 43


def test_a_label_keeps_a_result_beside_an_earlier_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, place = tmp_path / "battles.jsonl", ["--workspace", str(tmp_path / "w")]
    for winner, label in (("a", []), ("b", ["--as", "mine"])):
        file.write_text(f'{{"model_a": "x", "model_b": "y", "winner": "{winner}"}}\n')
        assert main(["arena", "import", "--files", str(file), *label, *place]) == 0
    assert "called arena.import@mine in" in capsys.readouterr().out
    names = Workspace.at(tmp_path / "w").nodes()
    assert list(names) == ["arena.import", "arena.import@mine"]
    assert names["arena.import"].content != names["arena.import@mine"].content
    assert main(["arena", "rate", "--battles", "arena.import@mine", *place]) == 0
    assert main(["arena", "rate", "--battles", names["arena.import"].name[:16], *place]) == 0
    capsys.readouterr()
    assert main(["arena", "rate", "--as", "../up", *place]) == 2
    assert "--as: a label is letters" in capsys.readouterr().err


def test_help_and_version_import_nothing_heavy() -> None:
    heavy = ("torch", "pyarrow", "numba", "matplotlib", "scipy", "aiohttp", "numpy")
    code = (
        "import sys, gristmill.cli.main as m; m.main(['--help']); m.main(['--version']);"
        f"print([n for n in {heavy!r} if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout


def test_flags_are_words_options_switches_and_settings() -> None:
    flags = parse_flags(
        ["demo", "--a.b", "3", "--c=x", "--on", "--dry-run", "--workspace", "w", "--n", "-1"],
        options=("workspace",),
        switches=("dry-run",),
    )
    assert flags.words == ["demo"]
    assert flags.settings == {"a.b": 3, "c": "x", "on": True, "n": -1}
    assert flags.on("dry-run") and flags.text("workspace", "") == "w"
    with pytest.raises(GristmillError, match="needs a value"):
        parse_flags(["--workspace"], options=("workspace",), switches=())
    with pytest.raises(GristmillError, match="did you mean '--json'"):
        parse_flags(["--jsn"], options=(), switches=("json",), settings=False)


def test_config_show_fills_in_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "demo", "--data.dedup.near.words", "4", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["data"]["dedup"]["near"]["words"] == 4
    assert shown["data"]["extract"]["inputs"] == {"pages": "data.crawl"}
    for shipped in ("demo", "compare", "scaling", "laptop"):
        assert main(["config", "validate", shipped]) == 0
    assert main(["config", "validate", "own-text"]) == 2
    assert main(["config", "validate", "own-text", "--data.import.path", "x"]) == 0
    paths = ["--import.path", "x", "--tokenizer.import.path", "x", "--data.import.path", "x"]
    assert main(["config", "validate", "long-context"]) == 2
    assert main(["config", "validate", "long-context", *paths]) == 0


def test_config_schema_is_a_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert "near" in schema["properties"]["data"]["properties"]["dedup"]["properties"]
    assert main(["config", "schema", "tokenizer", "train"]) == 0
    assert "vocab_size" in json.loads(capsys.readouterr().out)["properties"]
