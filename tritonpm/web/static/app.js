// The page's own part: what a click does. Everything that changes something goes through the REST API.
import { call, packagePath, page, Refused, upload } from "./api.js";
import { bulk } from "./bulk.js";
import { follow, followJob, helpFor, listen, refresh } from "./live.js";
import { roles } from "./roles.js";
import { localised, sentenceOf, t, toast } from "./say.js";
import { asking } from "./try.js";
import { receiving } from "./uploads.js";
import { zipped } from "./zip.js";

const dialog = document.getElementById("dialog");

const actions = {
  load: (name) => operate(packagePath(name, "/load"), {}),
  unload: (name) => unload(name, false),
  optimise: (name) => optimise(name, {}),
  measure: async (name) => followJob(await call("POST", packagePath(name, "/measure"))),
  choose: (name, { dataset }) => apply(name, { changes: JSON.parse(dataset.changes) }, dataset),
  unset: (name, button) => apply(name, { unset: [button.dataset.field] }, button.dataset),
  empty: (name, { dataset }) => apply(name, { changes: { [dataset.field]: JSON.parse(dataset.empty) } }, dataset),
  cancel: async (name, button) => {
    await call("POST", `/jobs/${button.dataset.job}/cancel`);
    toast(t("Cancelled."));
  },
  remove: async (name) => {
    await unregister(name);
    dialog.close();
    if (document.querySelector(`main > #package-${CSS.escape(name)}`)) location.assign("/packages");
  },
  promote: (name) => ended(name, "/promote"),
  abort: (name) => ended(name, "/abort"),
  release: (name, { dataset }) => call("DELETE", packagePath(name, `/projects/${encodeURIComponent(dataset.project)}`)),
  start: () => operate("/server/start"),
  stop: () => { dialog.close(); return operate("/server/stop"); },
};

async function operate(path, body, method = "POST") {
  follow(await call(method, path, body));
}

// The settings change when what they ask for is made and proved: a job that fails changes none.
async function optimise(name, body) {
  const job = await call("POST", packagePath(name, "/optimise"), { ...body, compare: true });
  toast(job ? t("{name} is being optimised.", { name }) : t("Nothing is left to optimise."));
  if (job) followJob(job);
}

async function ended(name, how) {
  dialog.close();
  await operate(packagePath(name, how));
}

async function unload(name, force) {
  const operation = await call("POST", packagePath(name, "/unload"), { force });
  followBusy(operation, t("Unload anyway"), () => unload(name, true));
}

// Who is in the way is named, and what to do nevertheless is offered.
function followBusy(operation, text, again) {
  const ended = () => {};
  ended.failed = ({ problem }) => {
    if (problem.type !== "urn:tritonpm:busy") return false;
    toast(sentenceOf(problem), { kind: "failed", action: { text, run: () => guarded(again) } });
    return true;
  };
  follow(operation, ended);
}

async function guarded(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    toast(sentenceOf(error.problem), { kind: "failed", action: helpFor(error.problem) });
    htmx.trigger(document.body, "packages-changed");
  }
}

// Pressed twice it is done once.
async function pressed(button) {
  button.disabled = true;
  await guarded(() => actions[button.dataset.do](button.dataset.name, button));
  button.disabled = false;
  refresh();
}

async function several(what, names) {
  for (const name of names) await guarded(() => (what === "remove" ? unregister(name) : actions[what](name)));
}

async function unregister(name) {
  await call("DELETE", packagePath(name));
  toast(t("{name} was unregistered.", { name }));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) pressed(button);
  if (event.target.closest("[data-close]")) dialog.close();
  const copied = event.target.closest("[data-copy]");
  if (copied) navigator.clipboard?.writeText(copied.dataset.copy).then(() => toast(t("Copied: {text}", { text: copied.dataset.copy })));
  const sample = event.target.closest("[data-sample]");
  if (sample) guarded(() => asking(sample.form, sample.dataset.sample));
  const menu = event.target.closest("details.menu");
  const chosen = event.target.closest("details.menu button") !== null;
  if (chosen) menu.querySelector("summary").focus(); // where a dialog gives the focus back to
  for (const open of document.querySelectorAll("details.menu[open]")) if (open !== menu || chosen) open.open = false;
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = event.target.closest("details.menu[open], details.why[open], details.reason[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
});

// A slider in steps for a number that may be any.
document.addEventListener("input", ({ target }) => {
  if (target.dataset.steps) document.getElementById(target.dataset.for).value = JSON.parse(target.dataset.steps)[target.value];
});

// What was unfolded in a form stays so while the form is drawn anew.
document.addEventListener("toggle", ({ target }) => {
  if (target.id === "configure-advanced") target.closest("form").elements.advanced.value = target.open ? "open" : "";
}, true);

// What was typed while the form was judged is not taken away by the answer: that is thrown away, and asked for anew.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { elt, formData } = event.detail.requestConfig;
  if (elt.id !== "configure" || String(new URLSearchParams(formData)) === String(new URLSearchParams(new FormData(elt)))) return;
  event.detail.shouldSwap = false;
  htmx.trigger(elt, "change");
});

// What was chosen is named beside its button, in the page's language.
document.addEventListener("change", ({ target }) => {
  const chosen = target.closest("label.file")?.querySelector(".chosen");
  if (chosen) chosen.textContent = [...target.files].map(({ name }) => name).join(", ") || t("No file chosen");
});

document.addEventListener("dragover", (event) => { if (event.target.closest("label.file")) event.preventDefault(); });

document.addEventListener("drop", (event) => {
  const input = event.target.closest("label.file")?.querySelector("input:enabled");
  if (!input || event.defaultPrevented) return;
  event.preventDefault();
  input.files = event.dataTransfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});

// Samples are kept at once: the form that they are chosen in is drawn anew with every change of it.
document.addEventListener("change", (event) => {
  const { calibration } = event.target.dataset;
  if (!calibration) return;
  event.stopPropagation();
  guarded(() => calibrated(event.target, calibration));
}, true);

async function calibrated(input, name) {
  const stage = input.form.elements.stage?.value;
  const file = input.files.length > 1 ? await zipped(input.files) : input.files[0];
  const path = packagePath(name, `/calibration?filename=${encodeURIComponent(file.name)}${stage ? `&stage=${encodeURIComponent(stage)}` : ""}`);
  await upload(path, file, () => {});
  htmx.trigger(input.form, "change");
}

document.addEventListener("change", (event) => {
  const { set, name } = event.target.dataset;
  if (set) guarded(() => switched(event.target, name));
  if (event.target.id === "language") {
    document.cookie = `${event.target.dataset.cookie}=${event.target.value}; path=/; max-age=31536000; samesite=strict`;
    location.reload();
  }
});

// In place, what is in use is not switched without being asked once more.
async function switched(select, name, sure = false) {
  const [option] = select.selectedOptions;
  const changes = JSON.parse(option.dataset.changes);
  const { warning } = option.dataset;
  if (warning && !sure) {
    const again = () => { option.selected = true; return switched(select, name, true); };
    select.value = [...select.options].find((one) => one.defaultSelected).value;
    toast(`${name}: ${warning}`, { kind: "failed", action: { text: t("Choose it anyway"), run: () => guarded(again) } });
    return undefined;
  }
  const loaded = select.closest("tr").querySelector(".status.loaded") !== null;
  select.blur();
  if (!loaded) return apply(name, { changes }, {});
  const operation = await call("PATCH", packagePath(name, "/settings"), { changes, live: true, unused: true });
  followBusy(operation, t("Switch it live"), () => apply(name, { changes }, { live: "true" }));
}

// `what` are changes, or settings to unset; of one stage where it is named, at once to the server where it is loaded.
async function apply(name, what, { stage, live }) {
  const body = { ...what, stage: stage || null };
  if (live === "true") await operate(packagePath(name, "/settings"), { ...body, live: true }, "PATCH");
  else {
    await call("PATCH", packagePath(name, "/settings"), body);
    htmx.trigger(document.body, "packages-changed");
    toast(t("{name} was changed.", { name }));
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  const { configure, rename, back, newer } = form.dataset;
  if (configure ?? rename ?? back ?? newer ?? form.dataset.try) event.preventDefault();
  if (configure) guarded(() => configured(form, configure, event.submitter?.value === "optimise"));
  if (rename) guarded(() => renamed(rename, new FormData(form).get("new_name")));
  if (newer) guarded(() => brought(form, newer, event.submitter.value));
  if (back) {
    const revision = Number(new FormData(form).get("revision")) || null; // null: what served before
    dialog.close();
    guarded(() => operate(packagePath(back, "/rollback"), { revision }));
  }
  if (form.dataset.try) guarded(() => asking(form));
});

// The form is judged once more: what was typed last may not have been.
async function configured(form, name, optimising) {
  const values = new URLSearchParams(new FormData(form));
  const judged = new DOMParser().parseFromString(await page(form.getAttribute("hx-post"), values), "text/html");
  if (judged.querySelector("button.primary:disabled")) {
    const content = document.getElementById("dialog-content");
    content.replaceChildren(...judged.body.childNodes);
    htmx.process(content);
    return;
  }
  const changes = JSON.parse(judged.querySelector("[data-changes]").dataset.changes);
  const stage = values.get("stage") || null;
  if (optimising) await optimise(name, { changes, stage });
  else if (Object.keys(changes).length) await apply(name, { changes }, { stage, live: form.dataset.live });
  dialog.close();
}

// Another content, or other settings: beside the package or in its place.
async function brought(form, name, how) {
  const file = form.elements.file.files[0];
  const chosen = [...form.querySelectorAll("select")].map((select) => JSON.parse(select.selectedOptions[0].dataset.changes));
  const changes = Object.assign({}, ...chosen);
  const wrong = form.querySelector("[role=alert]");
  const nothing = !file && (how === "upgrade" || Object.keys(changes).length === 0);
  wrong.hidden = !nothing;
  wrong.textContent = how === "upgrade" ? t("Choose a file.") : t("Choose a file, or change a setting.");
  if (nothing) return;
  dialog.close();
  if (!file) return operate(packagePath(name, "/canary"), { changes });
  const query = new URLSearchParams({ filename: file.name, changes: JSON.stringify(changes) });
  const path = packagePath(name, `/${how === "upgrade" ? how : "canary/content"}?${query}`);
  toast(t("Sending"));
  follow(await upload(path, file, () => {}));
}

async function renamed(name, new_name) {
  await call("POST", packagePath(name, "/rename"), { new_name });
  dialog.close();
  toast(t("{name} is now {new_name}.", { name, new_name }));
  if (document.querySelector(`main > #package-${CSS.escape(name)}`)) location.assign(`/packages/${encodeURIComponent(new_name)}`);
}

// Once it is settled: what is in it works from the moment that it is seen.
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target.id === "dialog-content" && !dialog.open) dialog.showModal();
});

// The address of a list says only what is asked for.
document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (detail.elt.id !== "filters") return;
  for (const [name, value] of [...detail.formData]) if (value === "") detail.formData.delete(name);
});

// A refusal is a page, too: it is shown where the answer would be.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status >= 400 && event.detail.target.id === "dialog-content") event.detail.shouldSwap = true;
});

document.addEventListener("htmx:afterSettle", () => localised(document));
localised(document);

// One tab of a package at a time; which one says the address, so that back and reload keep it.
function turned() {
  const panels = [...document.querySelectorAll("[data-panel]")];
  if (!panels.length) return;
  const chosen = panels.find((panel) => panel.dataset.panel === location.hash.slice(1)) ?? panels[0];
  for (const panel of panels) panel.hidden = panel !== chosen;
  for (const link of document.querySelectorAll(".tabs a")) link.toggleAttribute("aria-current", link.hash === `#${chosen.dataset.panel}`);
}
addEventListener("hashchange", turned);
turned();

// On a narrow window the rail is a line: where one is can be seen.
const [rail, here] = [document.querySelector(".rail"), document.querySelector(".rail [aria-current]")];
if (here) rail.scrollLeft += here.getBoundingClientRect().x - rail.getBoundingClientRect().x - (rail.clientWidth - here.offsetWidth) / 2;

roles();
receiving();
bulk(several);
listen();
