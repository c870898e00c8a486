// The try-it box: an image, an .npz or a sample goes to the model; what the package says that it finds is listed and drawn.
import { call, packagePath, picture } from "./api.js";
import { element, t } from "./say.js";

const LARGEST = 640; // pixels that a picture is wide at most
const COVER = 115; // of 255, how much of an area's colour is seen
const LISTED = 50; // objects

export async function asking(form, sample = null) {
  const file = sample ? null : form.elements.file.files[0];
  const place = document.getElementById("try-answer");
  place.replaceChildren(element("p", { text: t("Running …") }));
  const of = form.dataset.try; // both are asked with its sample
  const sides = [{ name: of, version: "", title: of }];
  const other = form.elements.other?.selectedOptions[0];
  if (other?.value) sides.push({ ...JSON.parse(other.value), title: other.textContent });
  try {
    for (const side of sides) side.answer = await asked(side, file, sample ?? 1, of);
  } catch (error) {
    place.replaceChildren();
    throw error;
  }
  const images = await Promise.all(sides[0].answer.pictures.map((_, row) => behind(form, file, sample, row)));
  shown(place, sides, images);
}

function asked({ name, version }, file, sample, of) {
  const query = new URLSearchParams({ sample, of, version });
  return call("POST", packagePath(name, `/infer?${query}`), file ?? new Blob([]));
}

// The picture that objects are drawn over, null where none can be shown.
async function behind(form, file, sample, row) {
  if (file) return file.type.startsWith("image/") ? createImageBitmap(file).catch(() => null) : null;
  if (form.dataset.shows !== "true") return null;
  return picture(packagePath(form.dataset.try, `/samples/${sample ?? 1}/picture?row=${row}`));
}

// What moves the threshold draws and lists anew; nobody is asked again.
function shown(place, sides, images) {
  const views = sides.map((side) => view(side, images, sides.length > 1));
  const threshold = sides[0].answer.threshold;
  const draw = (least) => views.forEach((one) => one.draw(least));
  const parts = views.map((one) => one.node);
  if (threshold !== null && threshold < 1) parts.unshift(slider(threshold, draw));
  place.replaceChildren(...parts);
  draw(threshold);
}

function slider(threshold, draw) {
  const input = element("input", { type: "range", min: threshold, max: 1, step: 0.01, value: threshold });
  const value = element("output", { text: threshold.toFixed(2) });
  input.addEventListener("input", () => {
    value.textContent = Number(input.value).toFixed(2);
    draw(Number(input.value));
  });
  return element("label", { class: "threshold" }, t("Score from"), input, value);
}

function view({ title, answer }, images, titled) {
  const said = element("p", { text: t("Answered in {ms} ms.", { ms: answer.ms.toFixed(1) }) });
  const figures = element("div", { class: "seen" });
  const drawings = answer.pictures.map((one, row) => figure(figures, one, row, images[row]));
  const listed = element("div", { class: "found" });
  const node = element("div", { class: "side" }, ...(titled ? [element("h3", { text: title })] : []), said, figures, listed);
  if (answer.reason) node.append(element("p", { class: "hint", text: t("Shown as tensors: {names} ({reason}).", { names: answer.unknown.join(", "), reason: answer.reason }) }));
  node.append(element("details", answer.unknown.length ? { open: "" } : {}, element("summary", { text: t("Tensors") }), outputs(answer.outputs)));
  const draw = (least) => {
    const pictures = answer.pictures.map((one) => one.objects.filter((object) => counts(object, least)));
    pictures.forEach((objects, row) => drawings[row](objects));
    listed.replaceChildren(...(pictures.length ? [legend(pictures.flat()), found(pictures)] : []));
  };
  return { node, draw };
}

function counts(object, least) {
  return least === null || !["detection", "classification"].includes(object.kind) || object.score >= least;
}

// One picture in its place; how to draw it.
function figure(figures, one, row, image) {
  const caption = element("figcaption", { text: [t("Picture {number}", { number: row + 1 }), one.verdict, ...one.failed].filter(Boolean).join(" · ") });
  if (!one.width) {
    if (one.verdict) figures.append(element("figure", {}, caption));
    return () => {};
  }
  const scale = Math.min(LARGEST / one.width, 8);
  const label = t("The image with what the model found");
  const canvas = element("canvas", { role: "img", "aria-label": label, width: Math.round(one.width * scale), height: Math.round(one.height * scale) });
  figures.append(element("figure", {}, canvas, caption));
  return (objects) => drawn(canvas, image, one, objects);
}

function drawn(canvas, image, { width, height }, objects) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (image) context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const areas = objects.flatMap((object) => object.areas);
  if (areas.length) context.drawImage(painted(areas, width, height), 0, 0, canvas.width, canvas.height);
  const to = canvas.width / width;
  for (const object of objects.filter((one) => one.outline.length)) outlined(context, object, to);
  for (const object of objects.filter((one) => one.outline.length)) labelled(context, object, to);
}

// Areas are run lengths, row by row; what belongs to none comes first.
function painted(areas, width, height) {
  const layer = new OffscreenCanvas(width, height);
  const data = new ImageData(width, height);
  const pixels = new Uint32Array(data.data.buffer);
  for (const { colour, runs } of areas) {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    const value = new Uint32Array(Uint8Array.of(red, green, blue, COVER).buffer)[0];
    let at = 0;
    runs.forEach((length, index) => {
      if (index % 2) pixels.fill(value, at, at + length);
      at += length;
    });
  }
  layer.getContext("2d").putImageData(data, 0, 0);
  return layer;
}

function outlined(context, { outline, keypoints, colour }, to) {
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 2;
  context.beginPath();
  for (const [x, y] of outline) context.lineTo(x * to, y * to);
  context.closePath();
  context.stroke();
  for (const [x, y] of keypoints) context.fillRect(x * to - 2, y * to - 2, 5, 5);
}

function labelled(context, object, to) {
  const text = `${named(object)} ${figureOf(object.score, 2)}`;
  context.font = "14px sans-serif";
  const wide = context.measureText(text).width + 6;
  const [x, y] = object.outline[0].map((at) => at * to);
  const left = Math.max(0, Math.min(x, context.canvas.width - wide));
  const top = Math.max(0, Math.min(y - 18, context.canvas.height - 18));
  context.fillStyle = object.colour;
  context.fillRect(left, top, wide, 18);
  context.fillStyle = "#000";
  context.fillText(text, left + 3, top + 14);
}

// With what later stages say of it.
function named(object) {
  return [object.label, ...object.answers.map((answer) => `${valuesOf(answer)} ${figureOf(answer.score, 2)}`.trim())].join(", ");
}

function valuesOf(object) {
  return object.values.length ? object.values.slice(0, 16).map((value) => figureOf(value, 4)).join(", ") : object.label;
}

// What is no number comes as null.
function figureOf(value, digits) {
  return value === null ? "" : value.toFixed(digits);
}

function legend(objects) {
  const classes = new Map(objects.flatMap((object) => object.areas.map((area) => [area.label, area.colour])));
  for (const object of objects) if (object.outline.length) classes.set(object.label, object.colour);
  const entries = [...classes].map(([label, colour]) => {
    const chip = element("span", { class: "chip", "aria-hidden": "true" });
    chip.style.background = colour;
    return element("li", {}, chip, label);
  });
  return element("ul", { class: "legend", "aria-label": t("Classes") }, ...entries);
}

function found(pictures) {
  const rows = pictures.flatMap((objects, row) => objects.flatMap(rowsOf).map((cells) => [row + 1, ...cells]));
  if (!rows.length) return element("p", { class: "none", text: t("Nothing was found.") });
  return table([t("Picture"), t("Class"), t("Score"), t("Box")], rows.slice(0, LISTED));
}

function rowsOf(object) {
  if (object.kind === "segmentation") return object.areas.map((area) => [area.label, `${(100 * area.share).toFixed(1)} %`, ""]);
  const name = object.label ? named(object) : valuesOf(object);
  return [[name, figureOf(object.score, 3), (object.box ?? []).map((corner) => figureOf(corner, 1)).join(", ")]];
}

function table(headings, rows) {
  const head = element("tr", {}, ...headings.map((text) => element("th", { scope: "col", text })));
  const body = rows.map((row) => element("tr", {}, ...row.map((text) => element("td", { text: String(text) }))));
  return element("div", { class: "scroll", tabindex: "0" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}

function outputs(tensors) {
  const shortened = (output) => output.values.slice(0, 16).join(" ") + (output.values.length > 16 ? " …" : "");
  const rows = tensors.map((output) => [output.name, output.dtype, output.shape.join(" × "), shortened(output)]);
  return table([t("Output"), t("Type"), t("Shape"), t("Values")], rows);
}
