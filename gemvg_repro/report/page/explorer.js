// The gallery's filters and cards. Queries and answers are hostile text: all text enters the page by textContent.
"use strict";
(() => {
  const root = document.currentScript.closest(".explorer");
  const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const STEP = 12;
  const CHOICES = {
    variant: data.variants.map((each) => [each.name, each.label]),
    against: [["", "any variant"], ...data.variants.map((each) => [each.name, each.label])],
    mode: data.modes,
    kind: [["", "all kinds"], ...data.kinds],
    outcome: [["", "right and wrong"], ["right", "right only"], ["wrong", "wrong only"]],
    error: [["", "any error"], ...data.errors.map((name) => [name, name])],
  };
  const answers = new Map(data.answers.map((each) => [[each.variant, each.sample, each.mode].join("\n"), each]));
  const control = (name) => root.querySelector(`[name='${name}']`);
  let shown = STEP;

  function element(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function answerOf(variant, sample, mode) {
    return answers.get([variant, sample, mode].join("\n"));
  }

  function matching() {
    const [variant, against, mode, kind, outcome, error] =
      ["variant", "against", "mode", "kind", "outcome", "error"].map((name) => control(name).value);
    const words = control("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const cards = [];
    data.samples.forEach((sample, number) => {
      const answer = answerOf(variant, number, mode);
      if (!answer || (kind && sample.kind !== kind)) return;
      const right = answer.errors.length === 0;
      if (outcome && (outcome === "right") !== right) return;
      if (error && !answer.errors.includes(error)) return;
      const other = against && answerOf(against, number, mode);
      if (against && (!other || (other.errors.length === 0) === right)) return;
      const text = `${sample.id} ${sample.query} ${answer.text}`.toLowerCase();
      if (words.every((word) => text.includes(word))) cards.push([sample, answer, other]);
    });
    return cards;
  }

  function boxes(svg, rows, position, className) {
    for (const [, x1, y1, x2, y2] of rows.filter(([at]) => at === position)) {
      const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const sides = { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
      for (const [name, value] of Object.entries(sides)) box.setAttribute(name, `${100 * value}%`);
      box.setAttribute("class", className);
      svg.append(box);
    }
  }

  function picture(name, position, sample, answer) {
    const frame = element("span", "frame");
    const image = element("img");
    image.src = data.pictures[name];
    image.alt = `Picture ${position + 1}`;
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("aria-hidden", "true");
    for (const rows of [sample.truth, answer.predicted]) boxes(svg, rows, position, "halo"); // below all lines
    boxes(svg, sample.truth, position, "truth");
    boxes(svg, answer.predicted, position, "predicted");
    frame.append(image, svg, element("span", "number", String(position + 1)));
    return frame;
  }

  function label(name) {
    return data.variants.find((each) => each.name === name).label;
  }

  function response(answer) {
    const part = element("div", "answer");
    const errors = answer.errors.length ? answer.errors.join(", ") : "right";
    part.append(element("p", answer.errors.length ? "wrong" : "right", `${label(answer.variant)}: ${errors}`));
    part.append(element("p", "text", answer.text));
    const terms = Object.entries(answer.reward).map(([name, value]) => `${name} ${value.toFixed(2)}`);
    if (terms.length) part.append(element("p", "terms", `reward terms: ${terms.join(", ")}`));
    return part;
  }

  function card([sample, answer, other]) {
    const node = element("article", "card");
    node.tabIndex = 0;
    node.append(element("p", "kind", `${sample.kind}, ${sample.id}`), element("p", "query", sample.query));
    const row = element("div", "pictures");
    sample.pictures.forEach((name, position) => row.append(picture(name, position, sample, answer)));
    node.append(row, response(answer));
    if (other) node.append(response(other));
    return node;
  }

  function draw() {
    const cards = matching();
    const list = root.querySelector(".cards");
    list.replaceChildren(...cards.slice(0, shown).map(card));
    const visible = Math.min(shown, cards.length);
    root.querySelector(".count").textContent = `${visible} of ${cards.length} predictions shown`;
    root.querySelector(".more").hidden = visible === cards.length;
  }

  function move(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const cards = [...root.querySelectorAll(".card")];
    const at = cards.indexOf(document.activeElement);
    if (!step || at < 0) return;
    const next = cards[at + step];
    if (next) next.focus();
    event.preventDefault();
  }

  for (const [name, options] of Object.entries(CHOICES)) {
    control(name).append(...options.map(([value, text]) => new Option(text, value)));
  }
  control("variant").value = data.first;
  root.querySelector("form").addEventListener("input", () => {
    shown = STEP;
    draw();
  });
  root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  root.querySelector(".more").addEventListener("click", () => {
    const first = shown;
    shown += STEP;
    draw();
    root.querySelectorAll(".card")[first].focus();
  });
  root.querySelector(".cards").addEventListener("keydown", move);
  root.querySelector(".controls").hidden = false;
  draw();
})();
