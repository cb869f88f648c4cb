// Draws the view of `probe.widgets.explorer_view`, and asks Python for the map of what the user chooses.

const LATE = 5000; // milliseconds without an answer after which the user is told
const HINT =
  "Click a row, or move with the arrow keys, Home, End, Page Up and Page Down. " +
  "The row of a token is the position that predicts this token; columns are the same for the teacher.";

// Asks one question at a time; others wait, and waiting choices are merged. So only the newest version of a sentence is
// computed if the user types fast, and no answer can arrive after a later one.
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

// Explains only the marks that are shown.
function legend(palette, { bar, gold, chunks, student, teacher }) {
  const ramp = make("i", { class: "probe-ramp" });
  ramp.style.background = `linear-gradient(to right, ${palette.map.join()})`;
  const marks = [["dot", "largest weight of the row"], ...(gold ? [["sure", "sure link"], ["possible", "possible link"]] : [])];
  if (chunks.length) marks.push(["chunk", "chunk"]);
  const again = [...student, ...teacher].some((head) => head.tie !== null);
  return [
    make("span", {}, `${bar[2]} ${bar[0]} `, ramp, ` ${bar[1]}`),
    ...marks.map(([kind, text]) => make("span", {}, make("b", { class: `probe-${kind}` }), text)),
    ...(again ? [make("span", {}, "repeated tokens share a colour and a marker")] : []),
  ];
}

function render({ model, el }) {
  const { checkpoints, scales, gold, palettes } = model.get("fixed");
  const status = make("p", { class: "probe-status", role: "status" });
  const say = (text, refused = false) => {
    status.textContent = text;
    status.classList.toggle("probe-refused", refused);
  };
  const asking = new Asking(model, () => say("The kernel has not answered yet. It may be busy or stopped."));
  const choose = (what) => asking.ask("choose", what);
  const palette = () => palettes[document.body.dataset.jpThemeLight === "false" ? "dark" : "light"];

  const text = make("textarea", { rows: 2, spellcheck: false, dir: "auto", "aria-label": "sentence", oninput: () => choose({ text: text.value }) });
  const checkpoint = selecting(checkpoints, "Checkpoint", (value) => choose({ checkpoint: value }));
  const method = selecting(model.get("view").methods.map((one) => one.name), "Method", (value) => choose({ method: value }));
  const scale = selecting(scales, "Colour scale", (value) => choose({ scale: value }));
  const slider = make("input", { type: "range", min: "-3", max: "3", step: "0.25", "aria-label": "temperature" });
  const degrees = make("output", { class: "probe-degrees" });
  slider.oninput = () => choose({ temperature: 2 ** slider.value });
  const previous = button("◂ Previous", "Previous gold row (lower or equal top-1)", () => asking.ask("step", -1));
  const next = button("Next ▸", "Next gold row (higher or equal top-1)", () => asking.ask("step", 1));
  const place = make("span", { class: "probe-place" });
  const name = make("input", { type: "text", value: "attention.pdf", "aria-label": "file for the export", title: "A .pdf, .svg or .png file; without a folder, it is written beside the notebook" });
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
    const said = chosen.softmax ? view.temperature.toPrecision(3).replace(/\.?0+$/, "") : `not used by ${view.method}`;
    degrees.textContent = said;
    slider.setAttribute("aria-valuetext", said);
    // Setting an equal text would move the cursor to its end.
    if (text.value !== view.text) text.value = view.text;
  }

  function steps(found) {
    previous.disabled = found?.place === 0;
    next.disabled = Boolean(found) && found.place === found.of - 1;
    if (!found) place.textContent = "This sentence is in no gold row.";
    else {
      const score = found.top_1 === null ? "no sure link" : `top-1 ${percent(found.top_1)}`;
      place.textContent = `gold row ${found.id} · ${found.place + 1} of ${found.of}, worst first · ${score}`;
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
    say("The kernel of this widget has stopped. Run the cell again to continue.", true);
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
