// The bell: what is being done and what was done last, how it ended, and what of it nobody has looked at yet.
import { element, sentenceOf, t } from "./say.js";

const operations = new Map(); // id → operation, the oldest first
const SHOWN = 50;
let unseen = 0;

export function bell() {
  draw();
  place().addEventListener("toggle", () => {
    if (!place().open) return;
    unseen = 0;
    draw();
  });
}

// `known`: it was so when the page was opened, and is no news.
export function recorded(operation, known = false) {
  const before = operations.get(operation.id);
  operations.set(operation.id, operation);
  if (!known && before?.state !== operation.state && operation.state !== "running" && !place().open) unseen += 1;
  draw();
}

function place() {
  return document.getElementById("bell");
}

function draw() {
  const count = place().querySelector(".badge");
  count.textContent = unseen || "";
  count.hidden = unseen === 0;
  if (!place().open) return;
  place().querySelector("ul").replaceChildren(...entries(), element("li", {}, element("a", { href: "/activity", text: t("All activity") })));
}

function entries() {
  const listed = [...operations.values()].sort((one, other) => other.started - one.started).slice(0, SHOWN);
  return listed.length ? listed.map(entry) : [element("li", { class: "none", text: t("Nothing has been done yet.") })];
}

function entry(operation) {
  const moment = new Date((operation.ended || operation.started) * 1000);
  const time = element("time", { datetime: moment.toISOString(), text: moment.toLocaleTimeString(document.documentElement.lang, { hourCycle: "h23" }) });
  return element("li", { class: operation.state }, time, element("span", { text: told(operation) }));
}

function told(operation) {
  return operation.by ? `${outcome(operation)} · ${operation.by}` : outcome(operation);
}

function outcome(operation) {
  if (operation.state === "done") return operation.result;
  const what = operation.state === "failed" ? sentenceOf(operation.problem) : operation.step || t("Waiting");
  return operation.package && !what.startsWith(operation.package) ? `${operation.package}: ${what}` : what;
}
