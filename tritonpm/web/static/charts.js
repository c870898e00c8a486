// A figure over time: a chart, and for who does not see it a table of the same, minute by minute.
import { element, t } from "./say.js";

const HEIGHT = 150;
const STEPS = [60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200]; // seconds between two times that are written
const MINUTE = 60;
const HOUR = 3600;
const LEAST = { [15 * MINUTE]: 2 * MINUTE, [HOUR]: 15 * MINUTE, [24 * HOUR]: HOUR }; // seconds that a chart shows of a period
const COLOURS = 8; // --line-1 to --line-8 of the style sheet
const language = document.documentElement.lang;
const minute = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const second = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const figures = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });

// The packages or GPUs that a history tells a figure of; of the machine there is one, without a name.
export function labels(history, { of, figure }) {
  if (of === "machine") return [""];
  const names = Object.keys(history.series).map((name) => name.split("/"));
  return names.filter(([kind, , last]) => kind === of && last === figure).map(([, label]) => label).sort();
}

export function values(history, { of, figure }, label) {
  return history.series[label ? `${of}/${label}/${figure}` : `${of}/${figure}`] ?? [];
}

export class Chart {
  constructor(root) {
    this.root = root;
    this.of = root.dataset.of;
    this.figure = root.dataset.figure;
    this.divide = Number(root.dataset.divide);
    this.title = root.querySelector("figcaption").textContent;
    this.place = root.querySelector(".plot");
    this.labels = [];
    this.data = [[]];
    this.most = Number(root.dataset.most) / this.divide; // 0: not known
    this.at = root.querySelector(".at");
    this.marks = [];
    this.period = 15 * MINUTE; // seconds that are shown at most
    this.plot = null;
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.place);
    const table = root.querySelector("details");
    table.addEventListener("toggle", () => { if (table.open) this.tabulate(table.querySelector(".scroll")); });
  }

  // `anew` where its colours have changed.
  draw(history, labels, period, anew) {
    this.marks = history.marks;
    this.period = period;
    const scaled = (label) => values(history, this, label).map((value) => (value === null ? null : value / this.divide));
    this.data = [history.times, ...labels.map(scaled)];
    this.root.hidden = labels.length === 0 || history.times.length === 0;
    if (this.root.hidden) return;
    if (anew || !this.plot || this.data[0].length < 4 || labels.join("/") !== this.labels.join("/")) this.make(labels);
    else this.plot.setData(this.data);
  }

  make(labels) {
    this.plot?.destroy();
    this.labels = labels;
    const series = labels.map((label, index) => ({
      label: this.named(label), stroke: colour(`--line-${(index % COLOURS) + 1}`), width: 2, spanGaps: false,
      dash: index % 2 ? [6, 3] : undefined, points: { show: this.data[0].length < 3 }, value: (_, value) => shown(value),
    }));
    const time = { label: t("Time"), value: (_, value) => (value === null ? "–" : second.format(value * 1000)) };
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const axes = [
      { ...axis, values: (_, splits) => splits.map((split) => minute.format(split * 1000)), incrs: STEPS, space: 60, size: 30 },
      { ...axis, values: (_, splits) => splits.map(shown), size: 60 },
    ];
    const scales = {
      x: { range: (_, first, last) => [Math.min(first, last - LEAST[this.period]), last] },
      y: { range: (_, least, most) => [0, this.most || Math.max(most * 1.1, 1e-3)] },
    };
    const hooks = { setCursor: [() => this.tell()], draw: [(plot) => marked(plot, this.marks)] };
    const options = { ...this.size(), series: [time, ...series], axes, scales, hooks, legend: { show: false }, cursor: { sync: { key: "monitor" } } };
    this.plot = new uPlot(options, this.data, this.place);
  }

  // What the charts show where the cursor is, which all of them share; whose line it is says the legend.
  tell() {
    const { idx } = this.plot?.cursor ?? {};
    if (idx === null || idx === undefined) return this.at.replaceChildren();
    const parts = this.labels.map((label, index) => element("span", {}, chip(index), shown(this.data[index + 1][idx])));
    this.at.replaceChildren(element("b", { text: second.format(this.data[0][idx] * 1000) }), ...parts);
    return undefined;
  }

  size() {
    return { width: this.place.clientWidth, height: HEIGHT };
  }

  named(label) {
    return this.of === "gpu" ? `GPU ${label}` : label;
  }

  // Minute by minute; of a day hour by hour.
  tabulate(place) {
    const [times, ...columns] = this.data;
    const long = this.period > 2 * HOUR;
    const span = long ? HOUR : MINUTE;
    const minutes = new Map();
    times.forEach((time, index) => {
      const name = minute.format(Math.floor(time / span) * span * 1000);
      minutes.set(name, [...(minutes.get(name) ?? []), index]);
    });
    const rows = [...minutes].map(([name, indices]) => {
      const means = columns.map((column) => element("td", { text: shown(mean(indices.map((index) => column[index]))) }));
      return element("tr", {}, element("th", { scope: "row", text: name }), ...means);
    });
    const names = this.labels.map((label) => this.named(label) || this.title);
    const head = element("tr", {}, ...[t("Time"), ...names].map((text) => element("th", { scope: "col", text })));
    const caption = element("caption", { text: long ? t("{title}: the mean of each hour", { title: this.title }) : t("{title}: the mean of each minute", { title: this.title }) });
    place.replaceChildren(element("table", {}, caption, element("thead", {}, head), element("tbody", {}, ...rows)));
  }
}

export function chip(index) {
  const made = element("span", { class: "chip", "aria-hidden": "true" });
  made.style.background = colour(`--line-${(index % COLOURS) + 1}`);
  return made;
}

const MARKED = { crash: "--bad", stop: "--busy", start: "--good", load: "--good", switch: "--key", unload: "--faint" };

// Loads, switches, crashes and the like.
function marked(plot, marks) {
  const { ctx } = plot;
  ctx.save();
  for (const { time, kind } of marks) {
    const x = plot.valToPos(time, "x", true);
    if (x < plot.bbox.left || x > plot.bbox.left + plot.bbox.width) continue;
    ctx.strokeStyle = colour(MARKED[kind]);
    ctx.lineWidth = kind === "crash" ? 3 : 1;
    ctx.setLineDash(kind === "crash" ? [] : [2, 4]);
    ctx.beginPath();
    ctx.moveTo(x, plot.bbox.top);
    ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function shown(value) {
  return value === null || value === undefined ? "–" : figures.format(value);
}

function mean(numbers) {
  const known = numbers.filter((value) => value !== null && value !== undefined);
  return known.length ? known.reduce((all, value) => all + value, 0) / known.length : null;
}
