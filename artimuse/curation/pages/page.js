"use strict";

const SVG = "http://www.w3.org/2000/svg";
const plots = JSON.parse(document.getElementById("plots").textContent);
const { images, values } = JSON.parse(document.getElementById("details").textContent);
const cards = [...document.querySelectorAll(".card")];
const dialog = document.querySelector("dialog");

// Text goes into the page by textContent only, so that no text becomes markup.
function add(parent, tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== null) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

function drawing(parent, tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

// A bar for each value that the model may answer, over the points from 0 to 100.
function distribution(parent, image, name) {
  const points = values[image.table];
  const width = 100 / Math.max(points.length - 1, 1);
  const most = Math.max(...image.probs, 1e-9);
  const named = name ? { class: name, role: "img", "aria-label": "distribution of the score" } : { "aria-hidden": "true" };
  const plot = drawing(parent, "svg", { viewBox: `${-width / 2} 0 ${100 + width} 100`, preserveAspectRatio: "none", ...named });
  plot.classList.add("distribution");
  image.probs.forEach((share, index) => {
    const height = 100 * share / most;
    if (height < 0.5) return;
    const left = points[index] - width * 0.4;
    drawing(plot, "rect", { x: left, y: 100 - height, width: width * 0.8, height });
  });
}

// ---- galleries

for (const picture of document.querySelectorAll(".card img:not([src])")) {
  const number = picture.closest(".card").dataset.image;
  picture.src = document.querySelector(`.card[data-image="${number}"] img[src]`).src;
}
for (const item of document.querySelectorAll(".gallery li")) {
  const ratio = Number(item.dataset.ratio);
  item.style.flex = `${ratio} 1 calc(var(--height) * ${ratio})`;
  item.style.maxWidth = `min(100%, var(--height) * ${2 * ratio})`;
}

// A last row that is nearly full is filled like the others; a shorter one is not blown up.
function settle() {
  for (const gallery of document.querySelectorAll(".gallery")) {
    gallery.classList.remove("full");
    const last = gallery.lastElementChild;
    const used = last.offsetLeft + last.offsetWidth - gallery.offsetLeft;
    gallery.classList.toggle("full", used > 0.85 * gallery.clientWidth);
  }
}
settle();
addEventListener("resize", settle);

for (const card of document.querySelectorAll(".large .card")) {
  const image = images[card.dataset.image];
  if (image.probs.length) distribution(card.querySelector(".caption"), image, "");
}

function galleryOf(card) {
  return [...card.closest(".gallery").querySelectorAll(".card")];
}

// Cards of a row have their tops in common.
function middle(card) {
  const box = card.getBoundingClientRect();
  return { x: box.left + box.width / 2, y: box.top };
}

// The nearest card of the next row of cards, upwards or downwards, also of another gallery.
function vertical(card, direction) {
  const from = middle(card);
  const there = cards.filter((other) => (middle(other).y - from.y) * direction > 8);
  const distance = (other) => Math.abs(middle(other).y - from.y) * 1000 + Math.abs(middle(other).x - from.x);
  return there.sort((one, other) => distance(one) - distance(other))[0];
}

function neighbour(card, key) {
  const place = cards.indexOf(card);
  if (key === "ArrowRight") return cards[place + 1];
  if (key === "ArrowLeft") return cards[place - 1];
  if (key === "ArrowDown") return vertical(card, 1);
  if (key === "ArrowUp") return vertical(card, -1);
  if (key === "Home") return galleryOf(card)[0];
  if (key === "End") return galleryOf(card).at(-1);
  return undefined;
}

// One card of each gallery is reached by Tab: the one that had the focus last.
function focusOn(card) {
  for (const other of galleryOf(card)) other.tabIndex = -1;
  card.tabIndex = 0;
  card.focus();
}

// ---- one image

let shown = null;

function open(card) {
  shown = card;
  const image = images[card.dataset.image];
  const picture = dialog.querySelector(".picture");
  const said = dialog.querySelector(".said");
  picture.replaceChildren();
  said.replaceChildren();
  const small = card.querySelector("img");
  if (small) add(picture, "img", null, { src: small.src, alt: image.name });
  else add(picture, "p", `No picture: ${card.querySelector(".reason").textContent}`);
  add(said, "h2", image.name, { id: "detail-name", dir: "auto" });
  const points = add(said, "p", image.score, { class: "points" });
  if (image.std) add(points, "small", ` ± ${image.std}`);
  if (image.probs.length) {
    distribution(said, image, "whole");
    const ticks = add(said, "div", null, { class: "ticks", "aria-hidden": "true" });
    for (const tick of [0, 25, 50, 75, 100]) add(ticks, "span", tick);
  }
  for (const [name, text] of image.texts) {
    add(said, "h3", name);
    add(said, "p", text, { class: "text", dir: "auto" });
  }
  const list = add(said, "dl", null, { class: "facts" });
  for (const [name, text] of image.facts) {
    const row = add(list, "div", null);
    add(row, "dt", name);
    add(row, "dd", text, { dir: "auto" });
  }
  const turns = add(said, "div", null, { class: "turns" });
  add(turns, "button", "Previous", { type: "button" }).addEventListener("click", () => turn(-1));
  add(turns, "button", "Next", { type: "button" }).addEventListener("click", () => turn(1));
  if (!dialog.open) dialog.showModal();
  said.scrollTop = dialog.scrollTop = 0;
}

function turn(step) {
  const others = galleryOf(shown);
  open(others[(others.indexOf(shown) + step + others.length) % others.length]);
}

document.addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  if (card) open(card);
  else if (event.target === dialog) dialog.close();
});

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (dialog.open) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) turn(step);
    return;
  }
  const card = event.target.closest?.(".card");
  const next = card && neighbour(card, event.key);
  if (!next) return;
  event.preventDefault();
  focusOn(next);
});

dialog.addEventListener("close", () => focusOn(shown));

// ---- plots

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function configuration() {
  const quiet = colour("--quiet");
  const accent = colour("--accent");
  const text = { labelColor: quiet, titleColor: quiet, titleFontWeight: 400, labelFontSize: 13, titleFontSize: 13 };
  return {
    background: "transparent",
    font: getComputedStyle(document.body).fontFamily,
    view: { stroke: null },
    axis: { ...text, gridColor: colour("--line"), domainColor: colour("--faint"), tickColor: colour("--faint"), titlePadding: 12 },
    legend: { ...text, symbolType: "square" },
    bar: { color: accent },
    rect: { color: accent },
    circle: { color: accent },
    point: { color: accent },
    rule: { color: quiet },
    text: { color: quiet, fontSize: 13 },
    range: {
      category: ["--accent", "--two", "--three", "--four", "--five", "--faint"].map(colour),
      ramp: [colour("--mat"), accent],
      heatmap: [colour("--mat"), accent],
    },
  };
}

// What is kept has the accent; all images, behind it, are faint.
function withColours(plot) {
  const copy = structuredClone(plot);
  for (const layer of [copy, ...(copy.layer ?? [])]) {
    const scale = layer.encoding?.color?.scale;
    if (scale?.domain?.includes("kept")) scale.range = [colour("--faint"), colour("--accent")];
  }
  return copy;
}

async function draw() {
  document.documentElement.removeAttribute("data-drawn");
  for (const [id, plot] of Object.entries(plots)) {
    await vegaEmbed(document.getElementById(id), withColours(plot), {
      actions: false,
      ast: true,
      config: configuration(),
      defaultStyle: false,
      renderer: "svg",
      tooltip: { disableDefaultStyle: true },
    });
  }
  document.documentElement.dataset.drawn = "yes";
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();

// ---- where in the page the reader is

const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const inView = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-30% 0px -65% 0px" });
for (const section of document.querySelectorAll("main > section")) inView.observe(section);
