// Packages come in: chosen or dropped, several at once, each with its progress, and what to do where one is refused.
import { packagePath, Refused, upload } from "./api.js";
import { bar, follow } from "./live.js";
import { element, sentenceOf, t } from "./say.js";

const AT_ONCE = 3;
const waiting = [];
let running = 0;

export function receiving() {
  const input = document.getElementById("files");
  const drop = document.getElementById("drop");
  if (!input) return;
  document.getElementById("choose").addEventListener("click", () => input.click());
  addEventListener("beforeunload", (event) => { if (running || waiting.length) event.preventDefault(); });
  input.addEventListener("change", () => { take(input.files); input.value = ""; });
  document.addEventListener("dragenter", (event) => { if (hasFiles(event)) drop.hidden = false; });
  document.addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
  drop.addEventListener("dragleave", () => { drop.hidden = true; });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    drop.hidden = true;
    take(event.dataTransfer.files);
  });
}

function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files");
}

function take(files) {
  for (const file of files) add(file);
  next();
}

function add(file) {
  const progress = element("progress", { max: 1, value: 0, "aria-label": file.name });
  const state = element("span", { text: t("Waiting") });
  const more = element("span", { class: "more" });
  const item = element("li", {}, element("b", { text: file.name }), progress, state, more);
  document.getElementById("uploads").append(item);
  again({ file, item, progress, state, more, path: "/packages", query: {} });
}

// It waits for its turn, the first time or with another name.
function again(one) {
  const calling = new AbortController();
  one.item.classList.remove("failed");
  one.progress.hidden = false;
  one.state.textContent = t("Waiting");
  one.more.replaceChildren(button(t("Cancel"), `${t("Cancel")}: ${one.file.name}`, () => {
    calling.abort();
    waiting.splice(waiting.indexOf(one), waiting.includes(one) ? 1 : 0);
    one.item.remove();
  }));
  waiting.push({ ...one, signal: calling.signal });
  next();
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    bring(waiting.shift()).finally(() => { running -= 1; next(); });
  }
}

async function bring(one) {
  if (one.signal.aborted) return;
  const { file, item, progress, state, more, signal } = one;
  const query = new URLSearchParams({ filename: file.name, ...one.query });
  try {
    const operation = await upload(`${one.path}?${query}`, file, (done, total) => {
      bar(progress, { done, total });
      state.textContent = t("{done} of {total} MB · {percent} %", { done: megabytes(done), total: megabytes(total), percent: Math.floor((100 * done) / total) });
    }, { signal });
    if (!operation) return;
    progress.removeAttribute("value");
    state.textContent = t("Reading and checking");
    more.replaceChildren();
    const ended = () => item.remove();
    ended.failed = ({ problem }) => { refused(one, problem); return true; };
    follow(operation, ended);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refused(one, error.problem);
  }
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}

// What stands in the way has another name, gets this as its next version, or is what was looked for.
function refused(one, problem) {
  const { item, progress, state, more, file } = one;
  progress.hidden = true;
  item.classList.add("failed");
  state.textContent = sentenceOf(problem);
  const choices = [];
  if (problem.type === "urn:tritonpm:name-taken") {
    choices.push(button(t("Rename…"), `${t("Rename…")} ${file.name}`, () => renaming(one, problem.existing)));
    choices.push(button(t("Replace as new version"), `${t("Replace as new version")}: ${problem.existing}`, () => again({ ...one, path: packagePath(problem.existing, "/upgrade"), query: {} })));
  }
  if (problem.existing) choices.push(element("a", { class: "button", href: `/packages/${encodeURIComponent(problem.existing)}`, text: t("Open {name}", { name: problem.existing }) }));
  more.replaceChildren(...choices, button("×", `${t("Close this message")}: ${file.name}`, () => item.remove()));
}

function renaming(one, existing) {
  const input = element("input", { value: `${existing}-2`, maxlength: "64", "aria-label": t("New name"), required: "" });
  const form = element("form", { class: "more" }, input, element("button", { class: "primary", text: t("Import") }));
  form.addEventListener("submit", (event) => { event.preventDefault(); again({ ...one, query: { name: input.value.trim() } }); });
  one.more.replaceChildren(form, button("×", `${t("Close this message")}: ${one.file.name}`, () => one.item.remove()));
  input.select();
}

function button(text, label, run) {
  const made = element("button", { type: "button", "aria-label": label, text });
  made.addEventListener("click", run);
  return made;
}
