// What the scripts say, in the page's language.
const sentences = JSON.parse(document.getElementById("sentences").textContent);

export function t(sentence, values = {}) {
  const translated = sentences[sentence] ?? sentence;
  return translated.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// An element with text and children; nothing here ever becomes markup.
export function element(tag, { text = "", ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

export function toast(text, { kind = "done", action = null } = {}) {
  const close = element("button", { type: "button", class: "quiet", "aria-label": t("Close this message"), text: "×" });
  const made = element("div", { class: `toast ${kind}` }, element("p", { text }));
  if (action) {
    const button = element("button", { type: "button", text: action.text });
    button.addEventListener("click", () => { made.remove(); action.run(); });
    made.append(button);
  }
  made.append(close);
  close.addEventListener("click", () => made.remove());
  document.getElementById("toasts").append(made);
  if (kind === "done") setTimeout(() => made.remove(), 8000);
}

export function sentenceOf(problem) {
  const where = problem.where ? `${problem.where}: ` : "";
  const help = problem.do ? ` (${problem.do})` : "";
  return `${t(problem.title)}. ${where}${problem.detail}${help}`;
}
