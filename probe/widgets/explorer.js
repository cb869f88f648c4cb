// Draws what `probe.plots.explorer_view.view` says, and asks for what the reader chooses. Python decides and computes.

const LATE = 5000; // milliseconds without an answer after which the reader is told
const HINT =
  "Click a row, or focus the map and press the arrow keys; Home, End, Page Up and Page Down go further. " +
  "Rows and columns are target tokens: the row of a token is the position that predicts it.";

// One question at a time. What is asked meanwhile waits, and choices that wait become one: of a sentence that is typed
// faster than it is computed only the newest text is, and no answer can overtake a later one.
class Asking {
  constructor(model, late) {
    Object.assign(this, { model, late, open: null, waiting: [], number: 0, self: Math.random().toString(36).slice(2) });
  }

  ask(act, what) {
    const last = this.waiting.at(-1);
    if (act === "choose" && last?.do === "choose") Object.assign(last.what, what);
    else this.waiting.push({ do: act, what });
    this.#next();
  }

  answered(id) {
    if (id !== this.open) return;
    this.open = null;
    clearTimeout(this.timer);
    this.#next();
  }

  get idle() {
    return this.open === null && !this.waiting.length;
  }

  #next() {
    if (this.open !== null || !this.waiting.length) return;
    this.open = `${this.self}-${this.number++}`;
    this.timer = setTimeout(this.late, LATE);
    this.model.send({ ...this.waiting.shift(), id: this.open });
  }
}

function selecting(names, title, act) {
  const options = names.map((name) => make("option", { value: name }, name));
  const select = make("select", { title, "aria-label": title.toLowerCase(), onchange: () => act(select.value) }, ...options);
  return select;
}

// For what is shown, and for nothing else.
function legend(palette, { bar, gold, chunks, student, teacher }) {
  const ramp = make("i", { class: "probe-ramp" });
  ramp.style.background = `linear-gradient(to right, ${palette.map.join()})`;
  const marks = [["dot", "largest in its row"], ...(gold ? [["sure", "sure link"], ["possible", "possible link"]] : [])];
  if (chunks.length) marks.push(["chunk", "chunk"]);
  const again = [...student, ...teacher].some((head) => head.tie !== null);
  return [
    make("span", {}, `${bar[2]} ${bar[0]} `, ramp, ` ${bar[1]}`),
    ...marks.map(([kind, text]) => make("span", {}, make("b", { class: `probe-${kind}` }), text)),
    ...(again ? [make("span", {}, "one colour and mark: a piece that comes again")] : []),
  ];
}

function render({ model, el }) {
  const { checkpoints, scales, gold, palettes } = model.get("fixed");
  const status = make("p", { class: "probe-status", role: "status" });
  const say = (text, refused = false) => {
    status.textContent = text;
    status.classList.toggle("probe-refused", refused);
  };
  const asking = new Asking(model, () => say("The kernel has not answered yet. It may be busy, or gone."));
  const choose = (what) => asking.ask("choose", what);
  const palette = () => palettes[document.body.dataset.jpThemeLight === "false" ? "dark" : "light"];

  const text = make("textarea", { rows: 2, spellcheck: false, dir: "auto", "aria-label": "sentence", oninput: () => choose({ text: text.value }) });
  const checkpoint = selecting(checkpoints, "Checkpoint", (value) => choose({ checkpoint: value }));
  const method = selecting(model.get("view").methods.map((one) => one.name), "Method", (value) => choose({ method: value }));
  const scale = selecting(scales, "Scale of the colours", (value) => choose({ scale: value }));
  const slider = make("input", { type: "range", min: "-3", max: "3", step: "0.25", "aria-label": "temperature" });
  const degrees = make("output", { class: "probe-degrees" });
  slider.oninput = () => choose({ temperature: 2 ** slider.value });
  const previous = button("◂ Previous", "Previous gold row, on which top-1 is lower or equal", () => asking.ask("step", -1));
  const next = button("Next ▸", "Next gold row, on which top-1 is higher or equal", () => asking.ask("step", 1));
  const place = make("span", { class: "probe-place" });
  const name = make("input", { type: "text", value: "attention.pdf", "aria-label": "file to export to", title: "A .pdf, .svg or .png file, beside the notebook unless it has a folder" });
  const save = button("Export", "Write the heatmap to this file", () => {
    say("Writing…");
    asking.ask("export", name.value);
  });
  const pointed = make("p", { class: "probe-pointed", dir: "ltr" });
  const row = new RowPanel();
  const marks = make("div", { class: "probe-bar probe-legend" });
  const map = new HeatMap((cell) => (pointed.textContent = cellName(map, cell)), () => row.show(map));

  const root = make(
    "div", { class: "probe-widget probe-explorer", role: "group", "aria-label": "explorer" }, text, status,
    make("div", { class: "probe-bar" }, checkpoint, method, make("label", {}, "temperature ", slider), degrees, make("label", {}, "scale ", scale)),
    ...(gold ? [make("div", { class: "probe-bar" }, previous, next, place)] : []),
    make("div", { class: "probe-panes" }, map.node, make("div", { class: "probe-side" }, row.node, map.overview.node)),
    pointed, marks, make("div", { class: "probe-bar" }, name, save), make("p", { class: "probe-help" }, HINT),
  );

  function controls(view) {
    const chosen = view.methods.find((one) => one.name === view.method);
    for (const one of view.methods) {
      const option = method.querySelector(`[value="${one.name}"]`);
      option.disabled = Boolean(one.lacks);
      option.title = one.lacks && `needs ${one.lacks}`;
    }
    [checkpoint.value, method.value, scale.value, slider.value] = [view.checkpoint, view.method, view.scale, Math.log2(view.temperature)];
    slider.disabled = !chosen.softmax;
    const said = chosen.softmax ? view.temperature.toPrecision(3).replace(/\.?0+$/, "") : `${view.method} has none`;
    degrees.textContent = said;
    slider.setAttribute("aria-valuetext", said);
    // The cursor would jump to the end of a text that is put in anew.
    if (text.value !== view.text) text.value = view.text;
  }

  function steps(found) {
    previous.disabled = found?.place === 0;
    next.disabled = Boolean(found) && found.place === found.of - 1;
    if (!found) place.textContent = "No gold row has this sentence.";
    else {
      const score = found.top_1 === null ? "no sure link" : `top-1 ${percent(found.top_1)}`;
      place.textContent = `gold row ${found.id} · ${found.place + 1} of ${found.of}, the worst first · ${score}`;
    }
  }

  function draw() {
    const view = model.get("view");
    asking.answered(view.answers);
    if (asking.idle) {
      controls(view);
      say(view.message, view.refused);
    }
    steps(view.gold);
    root.classList.toggle("probe-stale", view.stale);
    map.show(view, palette());
    dress();
  }

  function dress() {
    const colours = palette();
    for (const name of ["link", "chunk"]) root.style.setProperty(`--${name}`, colours[name]);
    marks.replaceChildren(...legend(colours, model.get("view")));
  }

  function redress() {
    dress();
    map.paint(palette());
  }

  function gone() {
    say("The kernel of this widget is gone: what is shown stays. Run the cell again to go on.", true);
    root.querySelectorAll("button, input, select, textarea").forEach((control) => (control.disabled = true));
  }

  const themes = new MutationObserver(redress);
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  model.on("change:view", draw);
  model.on("comm_live_update", gone);
  el.append(root);
  draw();
  // A saved notebook can hold the widget without its kernel; the notebook marks it once it is drawn.
  setTimeout(() => el.closest(".jupyter-widgets-disconnected") && gone());
  return () => {
    themes.disconnect();
    map.watch.disconnect();
    model.off("change:view", draw);
    model.off("comm_live_update", gone);
  };
}

export default { render };
