import { attempt, clearProblem, composing, find, get, isFree, lines, make, number, post, setHtml, showEmpty, showProblem } from "./app.js";

const KEYS = { 1: "a", ArrowLeft: "a", 2: "b", ArrowRight: "b", 3: "tie", ArrowUp: "tie", 4: "both_bad", ArrowDown: "both_bad" };
const SAID = { a: "A is better", b: "B is better", tie: "a tie", both_bad: "both bad" };
const text = find("text"), composer = find("composer"), choices = find("choices");
const fit = composing(text, composer);
const answers = { a: find("answer-a"), b: find("answer-b") };
let battle = null, busy = false;

function open(yes) {
  choices.hidden = false;
  choices.querySelectorAll("button").forEach((button) => { button.disabled = !yes; });
}

async function fight() {
  const prompt = text.value.trim();
  if (!prompt || busy) return;
  busy = true;
  battle = null;
  clearProblem();
  find("send").disabled = true;
  for (const side of ["a", "b"]) {
    find(`name-${side}`).textContent = side.toUpperCase();
    answers[side].replaceChildren();
    answers[side].classList.add("plain", "waiting");
    answers[side].closest("section").classList.remove("won");
  }
  find("asked").textContent = prompt;
  find("asked").hidden = false;
  find("sides").hidden = false;
  find("ratings").hidden = true;
  find("said").replaceChildren();
  open(false);
  let begun = null;
  try {
    for await (const line of lines("/api/battles", { prompt })) {
      if (line.battle) begun = line.battle;
      if (line.text) answers[line.side].append(line.text);
      if (line.html !== undefined) {
        answers[line.side].classList.remove("plain", "waiting");
        setHtml(answers[line.side], line.html || "<p>(an empty answer)</p>");
      }
      if (line.ready) battle = begun;
    }
  } catch (error) { showProblem(error); }
  for (const side of ["a", "b"]) answers[side].classList.remove("waiting");
  busy = false;
  find("send").disabled = false;
  open(battle !== null);
  if (battle) {
    find("said").textContent = answers.a.textContent.trim() === answers.b.textContent.trim()
      ? "Both gave the same answer: a vote on it tells nothing. Ask something else, or call it a tie."
      : "Both have answered: your vote.";
    text.blur();
    text.value = "";
    fit();
  } else choices.hidden = true;
}

async function vote(winner) {
  if (!battle) return;
  const spent = battle;
  battle = null;
  open(false);
  const told = await attempt(() => post(`/api/battles/${encodeURIComponent(spent)}/vote`, { winner }));
  if (!told) return;
  choices.hidden = true;
  for (const side of ["a", "b"]) find(`name-${side}`).textContent = `${side.toUpperCase()}: ${told[side]}`;
  if (winner === "a" || winner === "b") answers[winner].closest("section").classList.add("won");
  find("said").replaceChildren(make("b", {}, `Your vote: ${SAID[winner]}. `), `A was ${told.a}, B was ${told.b}.`);
  await attempt(rate);
  text.focus({ preventScroll: true });
}

async function rate() {
  const { votes, ratings } = await get("/api/ratings");
  count(votes);
  find("rated").replaceChildren(...ratings.map((one) => make("tr", {},
    make("th", { scope: "row" }, one.model),
    make("td", { class: "n" }, one.rating === null ? ({ above: "above all", below: "below all" }[one.bound] || "not connected") : number(one.rating, 0)),
    make("td", { class: "n" }, one.low === null || one.high === null ? (one.rating === null ? "unbounded" : "too few votes") : `${number(one.low, 0)} to ${number(one.high, 0)}`),
    make("td", { class: "n" }, number(one.battles)),
    make("td", { class: "n" }, number(one.wins, 1)))));
  find("ratings").hidden = !ratings.length;
}

const count = (votes) => { find("votes").textContent = votes ? `${number(votes)} ${votes === 1 ? "vote" : "votes"} so far.` : "No votes yet."; };

composer.addEventListener("submit", (event) => { event.preventDefault(); fight(); });
choices.addEventListener("click", (event) => {
  const button = event.target.closest("[data-vote]");
  if (button) vote(button.dataset.vote);
});
document.addEventListener("keydown", (event) => {
  const winner = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
  if (winner && battle && isFree(event)) { event.preventDefault(); vote(winner); }
});

attempt(async () => {
  const { ready, votes } = await get("/api/arena");
  if (!ready) {
    find("field").hidden = true;
    showEmpty("An arena needs two assistants, and fewer are served here. Make another from the one you have:", "gristmill train dpo --model train.sft --preferences align.rank --workspace runs/demo");
    return;
  }
  count(votes);
  text.focus();
});
