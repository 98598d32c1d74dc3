"use strict";

const plots = JSON.parse(document.getElementById("plots").textContent);
const details = JSON.parse(document.getElementById("details").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// The plots take the page's colours, and are drawn again when those change.
function theme() {
  const quiet = colour("--quiet"), line = colour("--line");
  const series = ["--accent", "--second", "--third", "--fourth"].map(colour);
  return {
    background: null,
    font: getComputedStyle(document.body).fontFamily,
    view: { stroke: null },
    axis: {
      labelColor: quiet, titleColor: quiet, gridColor: line, domainColor: line, tickColor: line,
      titleFontWeight: 400, labelFontSize: 12, titleFontSize: 12, titlePadding: 10,
    },
    legend: { labelColor: quiet, titleColor: quiet, titleFontWeight: 400, labelFontSize: 12, titleFontSize: 12 },
    bar: { color: series[0] }, rule: { color: series[0] }, point: { color: series[0] }, line: { color: series[0] },
    range: { category: series, ramp: [colour("--line"), series[0]], heatmap: [colour("--line"), series[0]] },
  };
}

async function draw() {
  for (const [id, specification] of Object.entries(plots)) {
    const place = document.getElementById(id);
    const shown = structuredClone(specification);
    const scale = shown.encoding?.color?.scale;
    // Where a selection stands out of all images, these are the quiet ones.
    if (scale?.domain?.includes("kept")) scale.range = [colour("--faint"), colour("--accent")];
    const result = await vegaEmbed(place, shown, {
      actions: false, ast: true, config: theme(), renderer: "svg", defaultStyle: false,
    });
    place.querySelector("svg")?.setAttribute("role", "img");
    place.dataset.drawn = result ? "yes" : "no";
  }
  document.documentElement.dataset.drawn = "yes";
}

const dialog = document.querySelector("dialog");
let cards = [];
let open = 0;

function element(tag, text, parent, className) {
  const made = document.createElement(tag);
  if (text !== null) made.textContent = text;
  if (className) made.className = className;
  parent.append(made);
  return made;
}

// The distribution of a score: a bar for each value that the model may give.
function distribution(values, probabilities, parent) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 404 74");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "probs");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "distribution of the score from 0 to 100");
  const most = Math.max(...probabilities);
  const width = 400 / Math.max(values.length, 40);
  values.forEach((value, index) => {
    const bar = document.createElementNS(space, "rect");
    const height = most ? 70 * probabilities[index] / most : 0;
    bar.setAttribute("x", value * 4);
    bar.setAttribute("y", 72 - height);
    bar.setAttribute("width", width * 0.85);
    bar.setAttribute("height", height);
    svg.append(bar);
  });
  const line = document.createElementNS(space, "line");
  for (const [name, value] of Object.entries({ x1: 0, x2: 404, y1: 73, y2: 73 })) line.setAttribute(name, value);
  svg.append(line);
  parent.append(svg);
}

function show(position) {
  open = (position + cards.length) % cards.length;
  const card = cards[open];
  const detail = details[Number(card.dataset.image)];
  const picture = dialog.querySelector(".picture");
  const said = dialog.querySelector(".said");
  picture.replaceChildren();
  said.replaceChildren();
  const source = card.querySelector("img");
  if (source) {
    const image = element("img", null, picture);
    image.src = source.src;
    image.alt = detail.name;
  } else {
    element("p", "This picture cannot be read here.", picture);
  }
  element("h2", detail.name, said).id = "shown";
  const score = element("p", detail.score, said, "score");
  element("small", ` ± ${detail.std}`, score);
  if (detail.probs) distribution(detail.values, detail.probs, said);
  const list = element("dl", null, said);
  for (const [name, text] of detail.facts) {
    element("dt", name, list);
    element("dd", text, list).dir = "auto";
  }
  const turns = element("div", null, said, "turns");
  element("button", "Previous", turns).onclick = () => show(open - 1);
  element("button", "Next", turns).onclick = () => show(open + 1);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function columnsOf(card) {
  const row = [...card.closest(".gallery").querySelectorAll(".card")];
  const top = row[0].getBoundingClientRect().top;
  return row.filter((other) => Math.abs(other.getBoundingClientRect().top - top) < 4).length;
}

document.addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  if (card) {
    cards = [...card.closest(".gallery").querySelectorAll(".card")];
    show(cards.indexOf(card));
  } else if (event.target === dialog || event.target.closest(".close")) {
    dialog.close();
  }
});

document.addEventListener("keydown", (event) => {
  const card = document.activeElement?.closest?.(".card");
  const steps = { ArrowRight: 1, ArrowLeft: -1 };
  if (dialog.open) {
    if (event.key in steps) show(open + steps[event.key]);
    return;
  }
  if (!card) return;
  const all = [...document.querySelectorAll(".card")];
  const down = { ArrowDown: columnsOf(card), ArrowUp: -columnsOf(card) };
  const step = steps[event.key] ?? down[event.key];
  if (!step) return;
  event.preventDefault();
  all[Math.min(Math.max(all.indexOf(card) + step, 0), all.length - 1)].focus();
});

dialog.addEventListener("close", () => cards[open]?.focus());
dark.addEventListener("change", draw);
draw();
