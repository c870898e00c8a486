// What happens elsewhere, as it happens: operations and jobs in their rows, and the list when it has changed.
import { call, Refused } from "./api.js";
import { bell, recorded } from "./history.js";
import { begin, observed, observing } from "./monitor.js";
import { localised, NO_SERVER, sentenceOf, t, toast } from "./say.js";

const watched = new Map(); // operation id → what to do when it has ended
const jobs = new Set(); // ids of the optimisations that this page has started
const working = new Map(); // operation id → what is being done
const KEPT = "tritonpm-watched"; // in this tab: a reload does not lose what an operation comes to
const AGAIN = 2000; // milliseconds between two attempts to reach the page's server
let stream = null;

export function listen() {
  const monitor = observing();
  bell();
  connect(monitor);
  setInterval(askAgain, 3000);
  setInterval(elapsed, 1000);
  setInterval(() => { if (!document.hidden && document.getElementById("listing")) changed(); }, 10000); // its traffic
  document.addEventListener("htmx:afterSettle", refresh);
  document.addEventListener("htmx:responseError", ({ detail }) => { if (detail.target.id === "state") location.reload(); }); // it is gone
  const server = document.getElementById("server");
  server.addEventListener("htmx:timeout", () => lost(true)); // a cable that is out says nothing
  server.addEventListener("htmx:afterOnLoad", () => { if (stream.readyState === EventSource.OPEN) lost(false); });
  document.addEventListener("focusout", () => setTimeout(changedLater, 50));
  document.addEventListener("toggle", () => setTimeout(changedLater, 50), true);
}

function connect(monitor) {
  stream = new EventSource(`/api/v1/events?snapshots=${monitor}`);
  stream.addEventListener("open", () => { lost(false); resume(); changed(); serverChanged(); });
  stream.addEventListener("error", () => {
    lost(true);
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN, monitor); // refused; else it tries by itself
  });
  if (monitor) {
    stream.addEventListener("open", begin);
    stream.addEventListener("snapshot", (event) => observed(JSON.parse(event.data)));
  }
  stream.addEventListener("packages", changed);
  stream.addEventListener("server", serverChanged);
  stream.addEventListener("operation", (event) => seen(JSON.parse(event.data)));
  stream.addEventListener("job", (event) => seenJob(JSON.parse(event.data)));
}

// What is on the page is how it was: it says so, and since when.
function lost(now) {
  const banner = document.getElementById("lost");
  if (now === !banner.hidden) return;
  if (now) {
    const time = new Date().toLocaleTimeString(document.documentElement.lang, { hourCycle: "h23" });
    banner.textContent = t("The page's server does not answer. What is shown here is from {time}; the page keeps trying.", { time });
  }
  banner.hidden = !now;
  document.body.classList.toggle("stale", now);
}

// What this tab has asked for and what others are doing, after a reload.
async function resume() {
  const mine = new Set(JSON.parse(sessionStorage.getItem(KEPT) ?? "[]"));
  try {
    for (const operation of (await call("GET", "/operations")).reverse()) {
      recorded(operation, true);
      if (mine.has(operation.id) && !watched.has(operation.id)) follow(operation);
      else if (operation.state === "running" || watched.has(operation.id)) seen(operation);
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error; // the banner tells it
  }
}

function remember() {
  sessionStorage.setItem(KEPT, JSON.stringify([...watched.keys()]));
}

// `ended` is called when it went well; `ended.failed`, where there is one, says whether it said the failure itself, and
// `ended.told` is called while it runs.
export function follow(operation, ended = () => {}) {
  watched.set(operation.id, ended);
  remember();
  seen(operation);
}

export function followJob(job) {
  jobs.add(job.id);
  seenJob(job);
}

let later = false;

function changed() {
  if (shown()) htmx.trigger(document.body, "packages-changed");
}

// What is under somebody's hand is not taken away, also not by an answer that was asked for before: of a page, and of a list
// with the same packages, only what differs is drawn anew.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.requestConfig.triggeringEvent?.type !== "packages-changed" || event.detail.xhr.status !== 200 || event.detail.requestConfig.elt !== shown()) return;
  const fresh = new DOMParser().parseFromString(event.detail.serverResponse, "text/html");
  localised(fresh);
  const [now, then] = [parts(document), parts(fresh)];
  if (shown().id === "listing" && now.map(({ id }) => id).join() !== then.map(({ id }) => id).join()) {
    if (!inUse(shown())) return; // other packages: the whole list is drawn
    later = true;
  } else now.forEach((part, index) => merge(part, then[index]));
  event.detail.shouldSwap = false;
  refresh();
});

function parts(page) {
  const list = page.getElementById("listing");
  if (!list) return [...page.querySelectorAll("[data-part]")];
  return [...list.querySelectorAll("tbody tr"), ...[...list.children].filter((part) => part.tagName !== "TABLE")];
}

function merge(part, fresh) {
  if (!fresh || bare(part).isEqualNode(bare(fresh))) return;
  if (inUse(part)) later = true;
  else {
    const unfolded = [...part.querySelectorAll("details")];
    const details = fresh.querySelectorAll("details");
    if (unfolded.length === details.length) details.forEach((one, index) => { one.open = unfolded[index].open; });
    part.replaceWith(fresh);
    htmx.process(fresh);
  }
}

// What a reader has unfolded is no difference.
function bare(part) {
  const copy = part.cloneNode(true);
  for (const details of copy.querySelectorAll("details")) details.removeAttribute("open");
  return copy;
}

// The list, or how a package stands: what is drawn anew when something has changed.
function shown() {
  return document.querySelector("#listing, #state");
}

function inUse(part) {
  const chosen = part.contains(document.activeElement) && document.activeElement.matches("select");
  return chosen || part.querySelector("details.menu[open], details.why[open], details.reason[open]") !== null;
}

function changedLater() {
  if (!later) return;
  later = false;
  changed();
}

function seen(operation) {
  if (operation.state === "running") working.set(operation.id, operation);
  else working.delete(operation.id);
  recorded(operation);
  show(operation);
  const ended = watched.get(operation.id);
  if (operation.state === "running") {
    if (operation.step) ended?.told?.(operation);
    return;
  }
  watched.delete(operation.id);
  remember();
  if (ended) {
    if (operation.state === "done") toast([operation.result, ...operation.notes].join(" "));
    else if (!ended.failed?.(operation)) toast(sentenceOf(operation.problem), { kind: "failed", action: helpFor(operation.problem) });
    if (operation.state === "done") ended(operation);
  }
  if (["start", "stop"].includes(operation.kind)) serverChanged();
  changed();
}

// What helps, where a click does it.
export function helpFor(problem) {
  if (problem.type !== NO_SERVER) return null;
  return { text: t("Start Triton"), run: async () => follow(await call("POST", "/server/start")) };
}

function serverChanged() {
  htmx.trigger(document.body, "server-changed");
}

// What is being done as its row shows it; what would do it twice cannot be pressed meanwhile.
export function refresh() {
  working.forEach(show);
}

function show(operation) {
  const row = document.querySelector(`[data-name="${CSS.escape(operation.package)}"]:has(> .actions)`);
  for (const button of row?.querySelectorAll(".actions > [data-do]:not([data-do=cancel])") ?? []) button.disabled = operation.state === "running";
  const place = document.querySelector(`[data-doing="${CSS.escape(operation.package)}"]`);
  if (!place) return;
  place.hidden = operation.state !== "running";
  stepped(place, operation, operation.step);
}

function seenJob(job) {
  showJob(job);
  if (job.state === "running" || !jobs.delete(job.id)) return;
  const values = { name: job.package, reason: job.reason };
  if (job.state === "done") toast(job.measures ? t("{name} was measured.", values) : [t("{name} was optimised.", values), ...job.comparison.map((line) => `– ${line}`)].join("\n"));
  else if (job.measures && job.state !== "cancelled") toast(t("{name} was not measured: {reason}", values), { kind: "failed" });
  else if (job.state !== "cancelled") toast(t("{name} was not optimised, and its settings are what they were: {reason}", values), { kind: "failed" });
  changed();
}

function showJob(job) {
  const place = document.querySelector(`[data-job="${job.id}"].job`);
  if (!place) return;
  stepped(place, job, job.stage ? `${job.stage}: ${job.step}` : job.step);
}

// On one line: a row keeps its height while its step changes.
function stepped(place, what, step) {
  const small = place.querySelector("small");
  small.textContent = small.title = step || t("Waiting");
  bar(place.querySelector("progress"), what);
}

// How long a job has run.
function elapsed() {
  for (const time of document.querySelectorAll("[data-since]")) {
    const seconds = Math.max(0, Math.round(Date.now() / 1000 - Number(time.dataset.since)));
    time.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }
}

export function bar(progress, { done, total }) {
  if (!total) progress.removeAttribute("value");
  else {
    progress.max = total;
    progress.value = done;
  }
}

// An event may be lost with its connection; an operation's end must not be.
async function askAgain() {
  for (const id of watched.keys()) {
    try {
      seen(await call("GET", `/operations/${id}`));
    } catch {
      if (stream.readyState === EventSource.OPEN) watched.delete(id);
    }
  }
  for (const id of jobs) {
    try {
      seenJob(await call("GET", `/jobs/${id}`));
    } catch {
      if (stream.readyState === EventSource.OPEN) jobs.delete(id);
    }
  }
}
