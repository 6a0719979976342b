import { attempt, find, get, isFree, make, number, post, setHtml, showEmpty } from "./app.js";

const ENOUGH = 10;
const KEYS = { 1: "first", ArrowLeft: "first", 2: "second", ArrowRight: "second", t: "tie", s: "skip" };
let state = null, busy = false;

function show(found) {
  state = found;
  const pair = state.pair;
  find("pair").hidden = !pair && !state.labelled;
  for (const node of document.querySelectorAll("[data-choice]")) node.disabled = !pair;
  find("undo").disabled = !state.labelled;
  find("asked").replaceChildren(...(pair ? pair.messages : []).map((message) => make("p", { class: "asked" },
    message.role === "user" ? "" : make("span", { class: "who" }, `${message.role}: `), message.content)));
  for (const side of ["first", "second"]) {
    document.querySelector(`[data-choice="${side}"]`).hidden = !pair;
    if (!pair) continue;
    setHtml(find(side), pair[side].html);
    if (!find(side).textContent.trim()) find(side).replaceChildren(make("span", { class: "soft" }, "(an empty answer)"));
    find(`${side}-end`).textContent = pair[side].stopped ? "" : "… cut off";
  }
  progress();
  commands();
  find("empty").hidden = true;
  if (!pair) {
    if (state.labelled) showEmpty("Every pair has its label. Make more below, or train on them.");
    else showEmpty("There is no pair to label yet: sample answers first, or make a pair of your own below.", "gristmill align sample --model train.sft --workspace runs/demo");
    find("make").open = true;
  }
}

function progress() {
  const goal = Math.max(ENOUGH, state.chosen);
  find("track").setAttribute("aria-valuemax", goal);
  find("track").setAttribute("aria-valuenow", state.chosen);
  find("filled").style.width = `${(100 * state.chosen) / goal}%`;
  const parts = [`${number(state.chosen)} chosen`];
  if (state.ties) parts.push(`${number(state.ties)} tied`);
  if (state.skipped) parts.push(`${number(state.skipped)} skipped`);
  parts.push(`${number(state.left)} to go`);
  find("count").textContent = parts.join(", ");
}

function commands() {
  const ready = state.chosen >= 2 && (state.chosen >= ENOUGH || !state.pair);
  find("next").hidden = !ready || !state.commands.length;
  find("enough").textContent = `${number(state.chosen)} choices are enough to try it; hundreds teach something. In a terminal:`;
  if (find("commands").childElementCount === state.commands.length) return;
  find("commands").replaceChildren(...state.commands.map((one) => {
    const copy = make("button", { type: "button", class: "small" }, "Copy");
    copy.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(one.command); copy.textContent = "Copied"; }
      catch { getSelection().selectAllChildren(code); copy.textContent = "Press Ctrl+C"; }
    });
    const code = make("pre", { tabindex: "0" }, one.command);
    return make("li", {}, make("span", {}, one.about), copy, code);
  }));
}

async function send(path, body) {
  if (busy) return;
  busy = true;
  const found = await attempt(() => post(path, body));
  busy = false;
  if (found) show(found);
}

const choose = (choice) => { if (state?.pair) send("/api/labels", { pair: state.pair.id, choice }); };
const undo = () => { if (state?.labelled) send("/api/labels/undo", {}); };

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-choice]");
  if (button) choose(button.dataset.choice);
});
find("undo").addEventListener("click", undo);
document.addEventListener("keydown", (event) => {
  if (!isFree(event)) return;
  if (event.key === "u") undo();
  else if (Object.hasOwn(KEYS, event.key)) { event.preventDefault(); choose(KEYS[event.key]); }
});
find("sample").addEventListener("submit", (event) => {
  event.preventDefault();
  send("/api/labels/sample", { model: find("model").value, prompt: find("prompt").value });
});

attempt(async () => {
  show(await get("/api/labels"));
  const { models } = await get("/api/models");
  const assistants = models.filter((model) => model.assistant);
  find("model").replaceChildren(...assistants.map((model) => make("option", { value: model.name }, model.name)));
  find("make").hidden = !assistants.length;
});
