// Packages come in: chosen or dropped, several at once, each with its progress.
import { Refused, upload } from "./api.js";
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
  for (const file of files) {
    const progress = element("progress", { max: 1, value: 0, "aria-label": file.name });
    const state = element("span", { text: t("Waiting") });
    const item = element("li", {}, element("b", { text: file.name }), progress, state);
    document.getElementById("uploads").append(item);
    waiting.push({ file, item, progress, state });
  }
  next();
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    bring(waiting.shift()).finally(() => { running -= 1; next(); });
  }
}

async function bring({ file, item, progress, state }) {
  state.textContent = t("Sending");
  try {
    const path = `/packages?filename=${encodeURIComponent(file.name)}`;
    const operation = await upload(path, file, (done, total) => bar(progress, { done, total }));
    progress.removeAttribute("value");
    state.textContent = t("Reading and checking");
    const ended = () => item.remove();
    ended.failed = ({ problem }) => { refused(item, progress, state, sentenceOf(problem)); return true; };
    follow(operation, ended);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refused(item, progress, state, sentenceOf(error.problem));
  }
}

function refused(item, progress, state, sentence) {
  progress.remove();
  item.classList.add("failed");
  state.textContent = sentence;
  const close = element("button", { type: "button", class: "quiet", "aria-label": t("Close this message"), text: "×" });
  close.addEventListener("click", () => item.remove());
  item.append(close);
}
