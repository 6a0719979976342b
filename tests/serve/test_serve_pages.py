"""The pages over the wire: battles that name no one, labels, documents, and markup that is text."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from serve_workspace import INJECTIONS, SENTENCE, build_workspace
from serve_world import Answer, Running, running, write_model

from gristmill.cli.serve_view import FolderView, open_view
from gristmill.serve.markdown import render

NAMES = ("quagga-first", "okapi-second", "numbat-base")
PAGES = ("/", "/chat", "/arena", "/labels", "/documents", "/runs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("pages")
    models = [
        write_model(folder / n, assistant="base" not in n, seed=i) for i, n in enumerate(NAMES)
    ]
    view = open_view(build_workspace(folder))
    with running(models, folder / "store.sqlite", view=view) as server:
        yield server


def lines(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_no_byte_before_the_vote_names_a_model(site: Running) -> None:
    seen = [site.get(path) for path in ("/arena", "/static/arena.js", "/static/app.js",
                                        "/static/page.css", "/api/arena")]  # fmt: skip
    settings = {"prompt": "Who are you?", "max_tokens": 8}
    battles = [site.post("/api/battles", settings) for _ in range(4)]
    # What fails names no one either: too long, no prompt, a wrong setting, a vote on nothing.
    failed = [
        site.post("/api/battles", {"prompt": "x" * 5000}),
        site.post("/api/battles", {"prompt": " "}),
        site.post("/api/battles", {"prompt": "x", "temperature": 99}),
        site.post("/api/battles/none/vote", {"winner": "a"}),
        site.post("/api/battles/none/vote", {"winner": NAMES[0][:3]}),
    ]
    for answer in [*seen, *battles, *failed]:
        everything = json.dumps(answer.headers) + answer.text
        assert not [name for name in NAMES if name in everything], everything[:300]
    assert "error" in lines(failed[0])[-1] and "battle" not in failed[0].text
    ids = {lines(battle)[0]["battle"] for battle in battles}
    assert len(ids) == 4
    for battle in battles:
        name = lines(battle)[0]["battle"]
        assert lines(battle)[-1] == {"ready": True}
        told = site.post(f"/api/battles/{name}/vote", {"winner": "tie"})
        assert {told.json()["a"], told.json()["b"]} == set(NAMES[:2])
        again = site.post(f"/api/battles/{name}/vote", {"winner": "a"})
        assert again.status == 409 and not [n for n in NAMES if n in again.text]
    rated = site.get("/api/ratings").json()
    assert rated["votes"] == 4 and {one["model"] for one in rated["ratings"]} == set(NAMES[:2])


def test_answers_stream_and_are_what_is_stored(site: Running) -> None:
    # Answers are drawn, and a model may end one at once: seldom, so not ten times in a row.
    for _ in range(10):
        found = lines(site.post("/api/battles", {"prompt": "Hello?", "max_tokens": 12}))
        said = {side: "".join(line.get("text", "") for line in found if line.get("side") == side)
                for side in "ab"}  # fmt: skip
        if all(said.values()):
            break
    site.post(f"/api/battles/{found[0]['battle']}/vote", {"winner": "b"})
    chat = lines(site.post("/api/chat", {
        "model": NAMES[0], "max_tokens": 12, "messages": [{"role": "user", "content": "Hi"}],
    }))  # fmt: skip
    assert "".join(line.get("text", "") for line in chat) == chat[-1]["said"]
    assert chat[-1]["html"] == render(chat[-1]["said"])
    assert all(said.values())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"model": "nobody", "messages": [{"role": "user", "content": "x"}]}),
        ("/api/chat", {"model": NAMES[0], "messages": []}),
        ("/api/chat", {"model": NAMES[0], "messages": [{"role": "robot", "content": "x"}]}),
        ("/api/chat", {"model": NAMES[0], "messages": [{"role": "user", "content": 3}]}),
        ("/api/chat", {"model": NAMES[0], "messages": [{"role": "user", "content": "x" * 999}]}),
        ("/api/chat", [1]),
        ("/api/markdown", {"texts": "x"}),
        ("/api/trace", {"text": "x" * 30_000}),
        ("/api/labels", {"pair": "none", "choice": "first"}),
        ("/api/labels/sample", {"model": NAMES[0], "prompt": ""}),
    ],
)
def test_what_is_wrong_is_said(site: Running, path: str, body: Any) -> None:
    answer = site.post(path, body)
    assert answer.status in (400, 404) and answer.json()["error"]["what"]
    assert answer.headers["cache-control"] == "no-store"


def test_labels_go_on_until_nothing_is_left(site: Running) -> None:
    state = site.get("/api/labels").json()
    total, first = state["left"], state["pair"]["id"]
    assert total == 12 and not state["labelled"]
    state = site.post("/api/labels", {"pair": first, "choice": "second"}).json()
    assert state["pair"]["id"] != first and (state["chosen"], state["left"]) == (1, 11)
    state = site.post("/api/labels/undo", {}).json()
    assert state["pair"]["id"] == first and state["left"] == 12
    for one, verb in zip(
        state["commands"], ("align rank", "train reward", "train dpo"), strict=True
    ):
        # It is there whether or not the environment is active in that terminal.
        assert shutil.which(shlex.split(one["command"])[0]) and f" {verb} --" in one["command"]
    # Chosen are those that prefer one answer; ties and skips are labelled and choose nothing.
    for choice in ("first", "second", "tie", "skip", "second"):
        state = site.post("/api/labels", {"pair": state["pair"]["id"], "choice": choice}).json()
    counted = {name: state[name] for name in ("labelled", "chosen", "ties", "skipped", "left")}
    assert counted == {"labelled": 5, "chosen": 3, "ties": 1, "skipped": 1, "left": 7}
    for _ in range(5):
        state = site.post("/api/labels/undo", {}).json()
    assert (state["labelled"], state["chosen"], state["left"]) == (0, 0, 12)
    sampled = site.post("/api/labels/sample", {"model": NAMES[0], "prompt": "My own?"}).json()
    assert sampled["pair"]["messages"][0]["content"] == "My own?" and sampled["left"] == 13


def test_documents_with_why_and_trace(site: Running) -> None:
    found = site.get("/api/documents?q=is:dropped").json()
    assert [one["title"] for one in found["documents"]] == ["Dropped"]
    assert found["counts"] == {"kept": len(INJECTIONS) + 1, "dropped": 1}
    assert site.get("/api/documents?q=BRAMLEY%20nine").json()["total"] == 1
    assert site.get("/api/documents?page=999").json()["page"] == 2
    assert site.get("/api/documents?page=x").status == 400
    why = site.get("/api/why?url=http://mill.example/dull").json()
    assert why["steps"][-1]["said"] == "dropped: too.dull" and why["text"].startswith("dull")
    assert site.get("/api/why?url=http://mill.example/nowhere").status == 400
    traced = site.post("/api/trace", {"text": SENTENCE}).json()
    assert traced["spans"][0]["documents"][0]["url"] == "http://mill.example/bramley"
    assert "not causes" in traced["note"]


def test_an_empty_workspace_says_what_to_do(tmp_path: Path) -> None:
    for view in (open_view(None), FolderView(tmp_path / "none")):
        assert view.runs() == [] and view.pairs() == [] and not view.can_trace
        assert view.start is None
    with running([], tmp_path / "store.sqlite") as empty:
        for path in ("/api/documents", "/api/why?url=x"):
            answer = empty.get(path)
            assert answer.status == 400 and "gristmill" in answer.json()["error"]["mend"]
        assert empty.get("/api/labels").json()["pair"] is None
        assert empty.get("/api/arena").json() == {"ready": False, "votes": 0}
        assert empty.post("/api/battles", {"prompt": "x"}).status == 400


@pytest.mark.parametrize(
    "hostile",
    [
        '{"step": 9, "loss": NaN}', '{"step": 9, "loss": 1e999}', '{"step": NaN, "loss": 1}',
        '{"step": "<b>", "loss": 1}', f'{{"step": 9, "loss": {"9" * 400}}}', "[1]", "{}", "\x00",
        f'{{"step": {"9" * 400}, "loss": 1}}', '{"step": 9, "loss": true}',
    ],
)  # fmt: skip
def test_metrics_that_are_none_take_no_other_run_away(tmp_path: Path, hostile: str) -> None:
    for name, line in (("train.lm-1", '{"step": 1, "loss": 2}'), ("train.lm-2", hostile)):
        folder = tmp_path / "w" / "unfinished" / name
        folder.mkdir(parents=True)
        (folder / "metrics.jsonl").write_text(line + "\n", encoding="utf-8")
    with running([], tmp_path / "store.sqlite", view=open_view(tmp_path / "w")) as server:
        answer = server.get("/api/runs")
    assert answer.status == 200
    curves = {one["name"]: one["curves"] for one in answer.json()["runs"]}
    assert curves == {"train.lm-1": {"loss": [[1, 2]]}, "train.lm-2": {}}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        self._script = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        self.inline += data if self._script else ""


@pytest.mark.parametrize("path", PAGES)
def test_a_shell_has_nothing_inline_and_nothing_from_elsewhere(site: Running, path: str) -> None:
    answer = site.get(path)
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    tags = Tags()
    tags.feed(answer.text)
    assert not tags.inline.strip() and not [a for _, a in tags.seen if "style" in a]
    ids = [a["id"] for _, a in tags.seen if "id" in a]
    assert len(ids) == len(set(ids))
    for tag, attributes in tags.seen:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "action"):
            link = attributes.get(name)
            assert link is None or (link.startswith(("/", "#")) and not link.startswith("//"))
            if link and link.startswith("/"):
                assert site.get(link).status == 200, link
        assert tag != "button" or attributes.get("type") in ("button", "submit")


SLY = (
    "[x](java\tscript:alert(1))", "[x](&#106;avascript:alert(1))", "[x](javascript&colon;alert(1))",
    "<javascript:alert(1)>",
    "[x]: JaVaScRiPt:alert(1)\n[x]", "[![x](vbscript:a)](vbscript:alert(1))",
    "[x](http://a 'title\" onclick=alert(1)')", '[x](http://a"onmouseover="alert(1))',
    '```"><script>alert(1)</script>\nx\n```', "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<!-- --><script>alert(1)</script>", "<![CDATA[<script>alert(1)</script>]]>",
)  # fmt: skip


@pytest.mark.parametrize("text", [*INJECTIONS, *SLY])
def test_markdown_gives_no_markup_that_acts(text: str) -> None:
    for wrapped in (text, f"**{text}**", f"> {text}", f"- {text}", f"| a |\n|--|\n| {text} |"):
        tags = Tags()
        tags.feed(render(wrapped))
        for tag, attributes in tags.seen:
            assert tag not in ("script", "style", "img", "iframe", "svg", "form", "input", "math")
            assert set(attributes) <= {"href", "rel", "start"}
            assert (attributes.get("href") or "http:").startswith(("http:", "https:", "mailto:"))


def test_static_serves_its_own_files_alone(site: Running) -> None:
    assert site.get("/static/page.css").headers["content-type"].startswith("text/css")
    for path in ("/static/page.html", "/static/..%2fstore.py", "/static/%2e%2e/store.py",
                 "/static/none.js", "/static/"):  # fmt: skip
        assert site.get(path).status == 404, path
