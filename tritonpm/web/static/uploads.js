// Packages come in: chosen or dropped, several at once; what is in them is shown, and what of it may be said otherwise,
// before any is imported.
import { call, fragment, Refused, upload } from "./api.js";
import { bar, follow } from "./live.js";
import { element, sentenceOf, t, tn } from "./say.js";

const AT_ONCE = 3;
const KEPT = "tritonpm-imports"; // in this tab: a reload does not lose what waits
const waiting = [];
let running = 0;

export function receiving() {
  const input = document.getElementById("files");
  const drop = document.getElementById("drop");
  if (!input) return;
  document.getElementById("choose").addEventListener("click", () => input.click());
  document.getElementById("hide-imports").addEventListener("click", () => shown(false));
  document.getElementById("show-imports").addEventListener("click", () => shown(true));
  document.getElementById("import-all").addEventListener("click", importAll);
  panel().addEventListener("keydown", (event) => { if (event.key === "Escape") shown(false); });
  addEventListener("beforeunload", (event) => { if (running || waiting.length) event.preventDefault(); });
  input.addEventListener("change", () => { take(input.files); input.value = ""; });
  for (const { id, name } of JSON.parse(sessionStorage.getItem(KEPT) ?? "[]")) again(name, id);
  document.addEventListener("dragenter", (event) => { if (hasFiles(event)) drop.hidden = false; });
  document.addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
  drop.addEventListener("dragleave", () => { drop.hidden = true; });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    drop.hidden = true;
    if (event.defaultPrevented) return; // it fell on a field that takes a file
    event.preventDefault();
    take(event.dataTransfer.files);
  });
}

function panel() {
  return document.getElementById("imports");
}

function shown(open) {
  panel().hidden = !open;
  if (open) panel().querySelector("h2").focus();
  counted();
  if (!open) document.getElementById("choose").focus();
}

// How many are still there, for who has closed the panel; the last one closes it.
function counted() {
  const left = document.querySelectorAll("#uploads > li").length;
  const again = document.getElementById("show-imports");
  again.hidden = !panel().hidden || left === 0;
  again.textContent = tn("{count} import", "{count} imports", left);
  document.getElementById("import-all").hidden = importable().length < 2;
  if (left === 0) panel().hidden = true;
  const forms = [...document.querySelectorAll("#uploads form")];
  sessionStorage.setItem(KEPT, JSON.stringify(forms.map(({ dataset }) => ({ id: dataset.incoming, name: dataset.filename }))));
}

// What was there before this page was opened anew; what has become something meanwhile is not.
function again(name, id) {
  const one = line(name);
  preview(one, id).catch(() => gone(one.item));
}

// What is being imported is hidden.
function importable() {
  return [...document.querySelectorAll("#uploads form:not([hidden]) button[value=import]")];
}

function importAll() {
  for (const made of importable()) made.click();
}

function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files");
}

function take(files) {
  for (const file of files) add(file);
  if (files.length) shown(true);
  next();
}

function line(name) {
  const progress = element("progress", { max: 1, value: 0, "aria-label": name });
  const state = element("span", { text: t("Waiting") });
  const more = element("span", { class: "more" });
  const item = element("li", {}, element("b", { text: name }), progress, state, more);
  document.getElementById("uploads").append(item);
  return { item, progress, state, more };
}

function add(file) {
  const made = line(file.name);
  const { item, more } = made;
  const calling = new AbortController();
  more.replaceChildren(button(t("Cancel"), `${t("Cancel")}: ${file.name}`, () => {
    calling.abort();
    const at = waiting.findIndex((one) => one.item === item);
    if (at >= 0) waiting.splice(at, 1);
    gone(item);
  }));
  waiting.push({ ...made, file, signal: calling.signal });
}

function gone(item) {
  item.remove();
  counted();
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    bring(waiting.shift()).finally(() => { running -= 1; next(); });
  }
}

async function bring(one) {
  const { file, progress, state, more, signal } = one;
  const query = new URLSearchParams({ filename: file.name });
  try {
    const view = await upload(`/incoming/packages?${query}`, file, (done, total) => {
      bar(progress, { done, total });
      state.textContent = t("{done} of {total} MB · {percent} %", { done: megabytes(done), total: megabytes(total), percent: Math.floor((100 * done) / total) });
      if (done === total) state.textContent = t("Reading and checking");
    }, { signal });
    if (!view) return;
    more.replaceChildren();
    await preview(one, view.id);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refused(one, error.problem);
  }
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}

// What the file holds, its name and tasks to be changed, until it is said what becomes of it.
async function preview(one, id) {
  const form = await fragment(`/incoming/${id}`);
  one.progress.hidden = true;
  one.state.textContent = "";
  one.item.append(form);
  form.addEventListener("submit", (event) => { event.preventDefault(); imported(one, form, id, event.submitter?.value === "replace"); });
  form.querySelector("[data-discard]").addEventListener("click", () => {
    call("DELETE", `/incoming/packages/${id}`).catch(() => {}); // it leaves by itself, too
    gone(one.item);
  });
  counted();
}

async function imported(one, form, id, replacing) {
  const changed = [...form.querySelectorAll("[name=task]")].filter((select) => select.value !== select.dataset.was);
  const trust = form.elements.allow_code;
  if (replacing && trust && !trust.reportValidity()) return;
  const body = { tasks: Object.fromEntries(changed.map((select) => [select.dataset.stage, select.value])), allow_code: trust?.checked ?? false };
  if (replacing) body.replaces = form.dataset.existing;
  else body.name = form.elements.name.value.trim();
  busy(one, form, true);
  const failed = (problem) => {
    busy(one, form, false);
    const wrong = form.querySelector("[role=alert]");
    wrong.hidden = false;
    wrong.textContent = sentenceOf(problem);
    return true;
  };
  try {
    const ended = () => gone(one.item);
    ended.failed = ({ problem }) => failed(problem);
    ended.told = ({ step, done, total }) => {
      one.state.textContent = step;
      bar(one.progress, { done, total });
    };
    follow(await call("POST", `/incoming/packages/${id}/import`, body), ended);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    failed(error.problem);
  }
}

function busy(one, form, now) {
  form.hidden = now;
  one.progress.hidden = !now;
  one.progress.removeAttribute("value");
  one.state.textContent = now ? t("Reading and checking") : "";
  counted();
}

// A file of which nothing can be imported.
function refused({ item, progress, state, more, file }, problem) {
  progress.hidden = true;
  item.classList.add("failed");
  state.textContent = sentenceOf(problem);
  more.replaceChildren(button("×", `${t("Close this message")}: ${file.name}`, () => gone(item)));
}

function button(text, label, run) {
  const made = element("button", { type: "button", "aria-label": label, text });
  made.addEventListener("click", run);
  return made;
}
