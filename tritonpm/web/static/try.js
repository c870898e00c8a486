// The try-it box: an image or an .npz goes to the model; classes, boxes and masks come back and are drawn.
import { call, packagePath } from "./api.js";
import { element, t } from "./say.js";

const COLOURS = ["#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000"];
const LARGEST = 640; // pixels that the picture is wide at most

export async function asking(form) {
  const file = form.elements.file.files[0];
  const place = document.getElementById("try-answer");
  place.replaceChildren(element("p", { text: t("Asking …") }));
  let answer;
  try {
    answer = await call("POST", packagePath(form.dataset.try, "/infer"), file ?? new Blob([]));
  } catch (error) {
    place.replaceChildren();
    throw error;
  }
  const parts = [element("p", { text: t("Answered in {ms} ms.", { ms: answer.ms.toFixed(1) }) })];
  if (answer.classes.length) parts.push(classes(answer.classes));
  if (answer.boxes.length) parts.push(boxes(answer.boxes));
  for (const mask of answer.masks) parts.push(legend(mask));
  parts.push(outputs(answer.outputs));
  place.replaceChildren(...parts);
  await draw(file?.type.startsWith("image/") ? file : null, answer);
}

// What is no number comes as null.
function figure(value, digits) {
  return value === null ? "NaN" : value.toFixed(digits);
}

function table(headings, rows) {
  const head = element("tr", {}, ...headings.map((text) => element("th", { scope: "col", text })));
  const body = rows.map((row) => element("tr", {}, ...row.map((text) => element("td", { text: String(text) }))));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
}

function classes(scores) {
  return table([t("Row"), t("Class"), t("Score")], scores.map((one) => [one.row + 1, one.label, figure(one.score, 4)]));
}

function boxes(detections) {
  const shown = (box) => box.corners.map((corner) => corner.toFixed(3)).join(", ");
  return table([t("Image"), t("Class"), t("Score"), t("Box")], detections.slice(0, 50).map((box) => [box.row + 1, box.label, figure(box.score, 3), shown(box)]));
}

function outputs(tensors) {
  const shown = (output) => output.values.slice(0, 16).join(" ") + (output.values.length > 16 ? " …" : "");
  const rows = tensors.map((output) => [output.name, output.dtype, output.shape.join(" × "), shown(output)]);
  return element("div", { class: "scroll", tabindex: "0" }, table([t("Output"), t("Type"), t("Shape"), t("Values")], rows));
}

function pixelsOf(mask) {
  return Uint8Array.from(atob(mask.pixels), (character) => character.charCodeAt(0));
}

function legend(mask) {
  const covered = pixelsOf(mask).filter((value) => value > 0).length;
  const share = (100 * covered) / (mask.width * mask.height);
  return element("p", { text: t("Mask {row}: {share} % of {width} × {height} pixels", { row: mask.row + 1, share: share.toFixed(2), width: mask.width, height: mask.height }) });
}

async function draw(image, answer) {
  const canvas = document.getElementById("try-canvas");
  canvas.hidden = !(image || answer.masks.length);
  if (canvas.hidden) return;
  const picture = image ? await createImageBitmap(image) : null;
  const width = picture?.width ?? answer.masks[0].width;
  const height = picture?.height ?? answer.masks[0].height;
  const scale = Math.min(LARGEST / width, 8);
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", t("The image with what the model found"));
  const context = canvas.getContext("2d");
  if (picture) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  if (answer.masks.length) context.drawImage(await overlay(answer.masks[0]), 0, 0, canvas.width, canvas.height);
  for (const box of answer.boxes.filter((one) => one.row === 0)) outline(context, box);
}

function overlay(mask) {
  const data = new ImageData(mask.width, mask.height);
  pixelsOf(mask).forEach((value, index) => {
    if (!value) return;
    const colour = parseInt(COLOURS[(value - 1) % COLOURS.length].slice(1), 16);
    data.data.set([colour >> 16, (colour >> 8) & 255, colour & 255, 140], index * 4);
  });
  return createImageBitmap(data);
}

function outline(context, box) {
  const [left, top, right, bottom] = box.corners;
  const { width, height } = context.canvas;
  context.strokeStyle = context.fillStyle = COLOURS[[...box.label].reduce((sum, c) => sum + c.charCodeAt(0), 0) % COLOURS.length];
  context.lineWidth = 2;
  context.strokeRect(left * width, top * height, (right - left) * width, (bottom - top) * height);
  context.font = "14px sans-serif";
  context.fillText(`${box.label} ${box.score.toFixed(2)}`, left * width + 3, Math.max(14, top * height - 4));
}
