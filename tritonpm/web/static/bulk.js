// Several packages of the list at once: what is selected stays so while the list is drawn anew.
import { element, t, tn } from "./say.js";

const selected = new Set();

export function bulk(run) {
  const place = document.getElementById("bulk");
  if (!place) return;
  document.addEventListener("change", ({ target }) => {
    if (target.id === "select-all") boxes().forEach((box) => mark(box.dataset.select, target.checked));
    else if (target.dataset.select) mark(target.dataset.select, target.checked);
    else return;
    draw(place);
  });
  document.addEventListener("htmx:afterSettle", () => draw(place));
  place.addEventListener("click", ({ target }) => {
    const { bulk: what } = target.dataset;
    if (!what) return;
    const names = [...selected];
    if (what !== "none") {
      if (what === "remove") return asked(names, () => { none(place); run(what, names); });
      run(what, names);
    }
    none(place);
  });
}

function none(place) {
  selected.clear();
  draw(place);
}

function boxes() {
  return [...document.querySelectorAll("[data-select]")];
}

function mark(name, on) {
  if (on) selected.add(name);
  else selected.delete(name);
}

function draw(place) {
  for (const box of boxes()) box.checked = selected.has(box.dataset.select);
  const all = document.getElementById("select-all");
  if (all) all.checked = boxes().length > 0 && boxes().every((box) => box.checked);
  place.hidden = selected.size === 0;
  place.querySelector("b").textContent = tn("{count} selected", "{count} selected", selected.size);
}

// What is not got back is asked about, by name.
function asked(names, then) {
  const yes = element("button", { type: "button", class: "danger", text: t("Unregister") });
  yes.addEventListener("click", () => { document.getElementById("dialog").close(); then(); });
  document.getElementById("dialog-content").replaceChildren(
    element("h2", { id: "dialog-title", text: t("Unregister the selected packages?") }),
    element("p", { text: t("The packages, their revisions and their files are deleted from this workspace; what is loaded or in use stays.") }),
    element("ul", {}, ...names.map((name) => element("li", { text: name }))),
    element("div", { class: "buttons" }, yes, element("button", { type: "button", "data-close": "", text: t("Close") })),
  );
  document.getElementById("dialog").showModal();
}
