// Thins out the labels when the reader zooms. Draws a small overview of the sentence below; drag there to move the view.
const plot = document.getElementById("{plot_id}");
const meta = plot.layout.meta;
const DOTS = 13; // a label's height
const steps = {};

const thin = (axis, labels) => {
  const span = Math.abs(axis.range[1] - axis.range[0]);
  const step = Math.max(1, Math.ceil((span * DOTS) / axis._length));
  if (steps[axis._name] === step) return {};
  steps[axis._name] = step;
  const kept = labels.map((_, place) => place).filter((place) => place % step === 0);
  return {[axis._name + ".tickvals"]: kept, [axis._name + ".ticktext"]: kept.map((place) => labels[place])};
};

const relabel = () => {
  const full = plot._fullLayout;
  const change = {};
  for (const name of Object.keys(full).filter((key) => /^[xy]axis[0-9]*$/.test(key))) {
    Object.assign(change, thin(full[name], name[0] === "x" ? meta.columns : meta.rows));
  }
  if (Object.keys(change).length) Plotly.relayout(plot, change);
};

const navigator_ = () => {
  const rows = meta.rows.length, columns = meta.columns.length;
  const scale = Math.min(260 / rows, 260 / columns);
  const canvas = document.createElement("canvas");
  canvas.id = "navigator";
  canvas.width = Math.ceil(columns * scale);
  canvas.height = Math.ceil(rows * scale);
  canvas.style.cssText = "margin:0 0 24px " + plot._fullLayout._size.l + "px;border:1px solid;cursor:move;touch-action:none";
  canvas.title = "Overview of the whole sentence; drag to move the view";
  plot.after(canvas);
  const pen = canvas.getContext("2d");
  const draw = () => {
    const x = plot._fullLayout.xaxis.range, y = plot._fullLayout.yaxis.range;
    canvas.style.borderColor = meta.ink;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = meta.link;
    for (const [i, j] of meta.links) pen.fillRect(j * scale, i * scale, Math.max(scale, 1), Math.max(scale, 1));
    pen.fillStyle = meta.ink;
    for (const [i, j] of meta.largest) pen.fillRect(j * scale, i * scale, Math.max(scale * 0.7, 1), Math.max(scale * 0.7, 1));
    pen.strokeStyle = meta.ink;
    pen.lineWidth = 2;
    pen.strokeRect((x[0] + 0.5) * scale, (y[1] + 0.5) * scale, (x[1] - x[0]) * scale, (y[0] - y[1]) * scale);
  };
  const move = (event) => {
    if (event.buttons !== 1) return;
    const x = plot._fullLayout.xaxis.range, y = plot._fullLayout.yaxis.range;
    const wide = x[1] - x[0], tall = y[0] - y[1];
    const left = Math.min(Math.max(event.offsetX / scale - wide / 2, 0), columns - wide) - 0.5;
    const top = Math.min(Math.max(event.offsetY / scale - tall / 2, 0), rows - tall) - 0.5;
    Plotly.relayout(plot, {"xaxis.range": [left, left + wide], "yaxis.range": [top + tall, top]});
  };
  canvas.addEventListener("pointerdown", move);
  canvas.addEventListener("pointermove", move);
  plot.on("plotly_relayout", draw);
  plot.on("plotly_redraw", draw);
  draw();
};

relabel();
plot.on("plotly_relayout", relabel);
if (meta.navigator) navigator_();
