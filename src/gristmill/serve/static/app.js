// What every page uses. Text goes into the page as text; `setHtml` alone takes markup, and only
// that of an answer, which the server made and sanitised.

export const find = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const setHtml = (node, html) => { node.innerHTML = html; };

export class Refused extends Error {
  constructor(error) {
    super(error.what || error.message || "something went wrong");
    this.mend = error.mend || "";
    this.where = error.where || "";
  }
}

async function refusal(response) {
  let error = null;
  try { error = (await response.json()).error; } catch { /* not JSON */ }
  return new Refused(error || { what: `the server answered ${response.status}`, mend: "look at its terminal" });
}

async function ask(path, options) {
  try { return await fetch(path, { credentials: "same-origin", ...options }); }
  catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused({ what: "the server does not answer", mend: "start it again: gristmill serve" });
  }
}

const posted = (body, signal) => ({
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
});

export async function get(path) {
  const response = await ask(path);
  if (!response.ok) throw await refusal(response);
  return response.json();
}

export async function post(path, body) {
  const response = await ask(path, posted(body));
  if (!response.ok) throw await refusal(response);
  return response.json();
}

// One object for each line of the answer, as they come.
export async function* lines(path, body, signal) {
  const response = await ask(path, posted(body, signal));
  if (!response.ok) throw await refusal(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) {
        const line = JSON.parse(part);
        if (line.error) throw new Refused(line.error);
        yield line;
      }
    }
  } catch (error) {
    if (error instanceof Refused || error.name === "AbortError") throw error;
    throw new Refused({ what: "the server stopped in the middle of an answer", mend: "try again" });
  } finally { reader.cancel().catch(() => {}); }
}

export function showProblem(error) {
  const box = find("problem");
  box.replaceChildren(make("b", {}, (error.where ? `${error.where}: ` : "") + error.message), make("br"), error.mend || "");
  box.hidden = false;
  if (!(error instanceof Refused)) console.error(error);
}

export const clearProblem = () => { find("problem").hidden = true; };

// Runs an action of the user; what goes wrong is shown with its mend.
export async function attempt(act) {
  clearProblem();
  try { return await act(); }
  catch (error) { if (error.name !== "AbortError") showProblem(error); return undefined; }
}

export function showEmpty(what, command) {
  const box = find("empty");
  box.replaceChildren(make("p", {}, what), command ? make("pre", { tabindex: "0" }, command) : "");
  box.hidden = false;
}

export function number(value, digits = 3) {
  if (value === null || value === undefined) return "";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 1e6) ? value.toExponential(2) : value.toLocaleString("en", { maximumFractionDigits: digits });
}

// Enter sends, Shift+Enter breaks the line; the field grows with what is in it.
export function composing(field, form) {
  const fit = () => { field.style.height = "auto"; field.style.height = `${Math.min(field.scrollHeight + 2, 200)}px`; };
  field.addEventListener("input", fit);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  });
  return fit;
}

// Whether a key is meant for the page: not while something is typed, nor with a modifier.
export function isFree(event) {
  const place = event.target;
  return !(event.ctrlKey || event.metaKey || event.altKey || event.repeat)
    && !(place instanceof HTMLElement && place.closest("input, textarea, select, [contenteditable]"));
}
