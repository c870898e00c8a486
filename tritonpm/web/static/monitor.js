// The monitor: what was measured in the last minutes, as it comes in, and the charts of it.
import { call } from "./api.js";
import { Chart, chip, labels, values } from "./charts.js";
import { element, t } from "./say.js";

const SHORT = 15; // minutes: of more the page's server tells means
const ENDED = { crash: t("Triton has ended by itself"), stop: t("Triton was stopped"), start: t("Triton was started") };
const time = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "short", timeStyle: "medium", hourCycle: "h23" });
const SHOWN = 8; // packages in one chart: those with the most requests

let minutes = SHORT;
let asked = 0; // when the means were asked for last
let known = { numbers: [], times: [], series: {}, marks: [], step: 0 };
let charts = [];
let fetching = false;
let paused = false;

// Whether this page is the monitor.
export function observing() {
  const place = document.getElementById("charts");
  if (!place) return false;
  charts = [...place.querySelectorAll("figure")].map((figure) => new Chart(figure));
  document.getElementById("pause").addEventListener("click", pause);
  for (const button of document.querySelectorAll("[data-minutes]")) button.addEventListener("click", () => chosen(button));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(true));
  return true;
}

function chosen(button) {
  minutes = Number(button.dataset.minutes);
  for (const other of document.querySelectorAll("[data-minutes]")) other.setAttribute("aria-pressed", other === button);
  begin();
}

// The table of packages by a column of it; a stage stays below its package.
let order = null;

document.addEventListener("click", ({ target }) => {
  const { sort } = target.dataset;
  if (sort === undefined) return;
  order = { column: Number(sort), down: order?.column === Number(sort) ? !order.down : sort !== "0" };
  sorted();
  document.querySelector(`#now [data-sort="${sort}"]`).focus();
});
document.addEventListener("htmx:afterSettle", () => { if (order) sorted(); });

function sorted() {
  const body = document.querySelector("#now [data-sort]")?.closest("table").tBodies[0];
  if (!body) return;
  const groups = [];
  for (const row of body.rows) {
    if (row.classList.contains("stage")) groups.at(-1).push(row);
    else groups.push([row]);
  }
  const key = ([row]) => row.cells[order.column].dataset.value ?? row.cells[order.column].textContent;
  const compare = (one, other) => (order.column ? Number(key(one)) - Number(key(other)) : key(one).localeCompare(key(other)));
  groups.sort((one, other) => (order.down ? compare(other, one) : compare(one, other)));
  body.replaceChildren(...groups.flat());
  for (const heading of body.closest("table").tHead.rows[0].cells) heading.removeAttribute("aria-sort");
  body.closest("table").tHead.rows[0].cells[order.column].setAttribute("aria-sort", order.down ? "descending" : "ascending");
}

// Everything anew: after a connection began, or where a snapshot was missed.
export async function begin() {
  if (fetching) return;
  fetching = true;
  try {
    const wanted = minutes;
    known = await call("GET", `/monitor/history?minutes=${wanted}`);
    asked = Date.now();
    show();
    if (minutes !== wanted) setTimeout(begin);
  } finally {
    fetching = false;
  }
}

export function observed(more) {
  if (minutes !== SHORT) {
    if (Date.now() - asked > 1000 * known.step) begin();
    else show();
  } else if (more.numbers[0] !== known.numbers.at(-1) + 1) begin();
  else {
    add(more);
    show();
  }
}

function add(more) {
  const before = known.times.length;
  known.numbers.push(...more.numbers);
  known.times.push(...more.times);
  known.marks.push(...more.marks);
  for (const name of new Set([...Object.keys(known.series), ...Object.keys(more.series)])) {
    const column = (known.series[name] ??= Array(before).fill(null));
    column.push(...(more.series[name] ?? Array(more.times.length).fill(null)));
  }
  const old = known.times.findIndex((time) => time > known.times.at(-1) - 60 * SHORT);
  if (old > 0) for (const column of [known.numbers, known.times, ...Object.values(known.series)]) column.splice(0, old);
}

function pause(event) {
  paused = !paused;
  event.target.setAttribute("aria-pressed", paused);
  show();
}

// What somebody reads is not taken from under the cursor: neither while it is paused nor where the focus is in it.
function show(anew = false) {
  if (paused) return;
  if (!document.getElementById("now").contains(document.activeElement)) htmx.trigger(document.body, "snapshot-taken");
  const packages = busiest();
  document.getElementById("legend").replaceChildren(...packages.shown.map((label, index) => element("li", {}, chip(index), label)));
  for (const chart of charts) chart.draw(known, chart.of === "package" ? packages.shown : labels(known, chart), 60 * minutes, anew);
  happened();
  const more = document.getElementById("more");
  more.hidden = packages.left === 0;
  more.textContent = t("The charts show the {shown} packages with the most requests; {left} more are in the table.", { shown: SHOWN, left: packages.left });
}

// Since when there are figures, and what happened meanwhile, for who does not see the charts too.
function happened() {
  const measured = document.getElementById("measured");
  measured.hidden = known.times.length === 0 || known.times.at(-1) - known.times[0] > 60 * minutes - 2 * known.step;
  if (!measured.hidden) measured.textContent = t("Measured since {time}, when the page was started.", { time: time.format(known.times[0] * 1000) });
  const place = document.getElementById("marks");
  place.hidden = known.marks.length === 0;
  const items = known.marks.toReversed().map((mark) => element("li", { class: mark.kind }, element("time", { datetime: new Date(mark.time * 1000).toISOString(), text: time.format(mark.time * 1000) }), element("span", { text: said(mark) })));
  if (!place.contains(document.activeElement)) place.querySelector("ol").replaceChildren(...items);
}

function said({ kind, package: name }) {
  if (kind === "load") return t("{name} was loaded", { name });
  if (kind === "unload") return t("{name} was unloaded", { name });
  return kind === "switch" ? t("{name} was switched", { name }) : ENDED[kind];
}

function busiest() {
  const requests = { of: "package", figure: "requests_per_second" };
  const sum = (label) => values(known, requests, label).reduce((all, value) => all + (value ?? 0), 0);
  const busy = labels(known, requests).map((label) => [sum(label), label]);
  const shown = busy.toSorted(([one], [other]) => other - one).slice(0, SHOWN).map(([, label]) => label);
  return { shown: shown.sort(), left: busy.length - shown.length };
}
