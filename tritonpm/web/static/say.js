// What the scripts say, in the page's language.
const sentences = JSON.parse(document.getElementById("sentences").textContent);

export function t(sentence, values = {}) {
  const translated = sentences[sentence] ?? sentence;
  return translated.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

const plurals = new Intl.PluralRules(document.documentElement.lang);

// One of them, or so many: in a translation there is a sentence for both.
export function tn(one, other, count) {
  const sentence = sentences[other] === other && plurals.select(count) === "one" ? one : other;
  return t(sentence, { count });
}

// An element with text and children; nothing here ever becomes markup.
export function element(tag, { text = "", ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

const AT_ONCE = 3; // messages; the bell keeps what was done
const STAYS = { done: 8000, failed: 20000 }; // milliseconds; one with something to do stays until it is closed

export function toast(text, { kind = "done", action = null } = {}) {
  const place = document.getElementById("toasts");
  const close = element("button", { type: "button", class: "quiet", "aria-label": t("Close this message"), text: "×" });
  const made = element("div", { class: `toast ${kind}` }, element("p", { text }));
  if (action) {
    const button = element("button", { type: "button", text: action.text });
    button.addEventListener("click", () => { made.remove(); action.run(); });
    made.append(button);
  }
  made.append(close);
  close.addEventListener("click", () => made.remove());
  place.append(made);
  while (place.childElementCount > AT_ONCE) (place.querySelector(".toast:not(:has(button:not(.quiet)))") ?? place.firstElementChild).remove();
  if (!action) leaving(made, STAYS[kind]);
}

// Not while somebody reads it, or is in it.
function leaving(made, after) {
  setTimeout(() => { if (made.matches(":hover, :focus-within")) leaving(made, after); else made.remove(); }, after);
}

// Moments are told in the reader's time zone.
export function localised(page) {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "short", timeStyle: "medium", hourCycle: "h23" });
  for (const time of page.querySelectorAll("main time[datetime], dialog time[datetime]")) time.textContent = format.format(new Date(time.dateTime));
}

export const NO_SERVER = "urn:tritonpm:no-server"; // a button starts it

export function sentenceOf(problem) {
  if (problem.type === NO_SERVER) return problem.title;
  const title = problem.type === "urn:tritonpm:busy" ? "" : problem.title + t(": "); // which of all that may be busy it is, the rest says
  const where = problem.where ? problem.where + t(": ") : "";
  const help = problem.do ? t(" ({text})", { text: problem.do }) : "";
  return `${title}${where}${problem.detail}${help}`;
}
