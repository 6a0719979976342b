import { attempt, find, get, make } from "./app.js";

find("where").textContent = `Served from this machine at ${location.host}.`;

attempt(async () => {
  const { models, damaged } = await get("/api/models");
  const rows = models.map((model) => make("tr", {},
    make("th", { scope: "row" }, model.assistant ? make("a", { href: `/chat?model=${encodeURIComponent(model.name)}` }, model.name) : model.name),
    make("td", {}, model.assistant ? "answers questions" : "goes on from a text")));
  if (!models.length) rows.push(make("tr", {}, make("td", { colspan: "2" }, "No model yet: gristmill run demo makes some.")));
  for (const [name, why] of Object.entries(damaged || {})) rows.push(make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, `not served, it is damaged: ${why}`)));
  find("models").replaceChildren(...rows);
  const name = models.length ? models[0].name : "MODEL";
  find("api").textContent = `curl ${location.origin}/v1/chat/completions -H 'content-type: application/json' \\\n  -d '{"model": "${name}", "messages": [{"role": "user", "content": "Hello"}]}'`;
});
