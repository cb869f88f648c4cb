// Paints the parts of the heatmap.

const CELL = 20, FONT = 12, LONGEST = 24, SLANT = Math.PI / 3, PAD = 6, CORNER = [86, 46];
const LARGEST = 1, SURE = 2, POSSIBLE = 4; // bits of a cell's flags
// These keep the writing direction of each token to itself.
const FIRST_STRONG = "\u2068", POP = "\u2069";

function rampOf(anchors) {
  // Linear between the anchors, as in matplotlib and plotly.
  const rgb = anchors.map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, level) => {
    const place = (level / 255) * (rgb.length - 1);
    const low = Math.min(Math.floor(place), rgb.length - 2);
    return `rgb(${rgb[low].map((value, channel) => Math.round(value + (rgb[low + 1][channel] - value) * (place - low)))})`;
  });
}

function short(label) {
  const chars = [...label];
  return FIRST_STRONG + (chars.length > LONGEST ? `${chars.slice(0, LONGEST - 1).join("")}…` : label) + POP;
}

function within(pen, [x, y, width, height], act) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, width, height);
  pen.clip();
  act();
  pen.restore();
}

function paintCells(map, x, y) {
  const { pen, palette } = map;
  const each = (act) => {
    for (let i = map.from[0]; i < map.to[0]; i++)
      for (let j = map.from[1]; j < map.to[1]; j++) act(i, j, x + j * CELL, y + i * CELL, map.flags[i * map.columns + j]);
  };
  each((i, j, left, top) => {
    pen.fillStyle = map.ramp[map.levels[i * map.columns + j]];
    pen.fillRect(left, top, CELL, CELL);
  });
  pen.strokeStyle = palette.muted;
  pen.lineWidth = 1;
  pen.strokeRect(x + 0.5, y + 0.5, map.columns * CELL - 1, map.rows * CELL - 1);
  pen.strokeStyle = palette.chunk;
  for (const [i, k, j, l] of map.view.chunks) pen.strokeRect(x + j * CELL + 0.5, y + i * CELL + 0.5, (l - j) * CELL - 1, (k - i) * CELL - 1);
  pen.strokeStyle = palette.link;
  pen.lineWidth = 2;
  each((i, j, left, top, flags) => {
    if (!(flags & (SURE | POSSIBLE))) return;
    pen.setLineDash(flags & SURE ? [] : [3, 3]);
    pen.strokeRect(left + 1, top + 1, CELL - 2, CELL - 2);
  });
  pen.setLineDash([]);
  pen.lineWidth = 1;
  each((i, j, left, top, flags) => flags & LARGEST && paintDot(pen, left + CELL / 2, top + CELL / 2));
  pen.strokeStyle = palette.ink;
  const row = y + map.at[0] * CELL;
  pen.strokeRect(x - 1, row - 0.5, map.columns * CELL + 2, CELL + 1);
}

function paintDot(pen, x, y) {
  pen.beginPath();
  pen.arc(x, y, CELL * 0.15, 0, 2 * Math.PI);
  [pen.fillStyle, pen.strokeStyle] = ["white", "black"];
  pen.fill();
  pen.stroke();
}

function paintRowNames(map, y) {
  const { pen, palette } = map;
  [pen.font, pen.textAlign, pen.textBaseline] = [map.font, "right", "middle"];
  for (let i = map.from[0]; i < map.to[0]; i++) {
    const { text, colour, mark } = map.rowLabels[i];
    const middle = y + (i + 0.5) * CELL;
    if (i === map.at[0]) {
      pen.fillStyle = palette.ink;
      pen.fillRect(0, middle - CELL / 2 - 1, map.left, CELL + 2);
    }
    pen.fillStyle = i === map.at[0] ? palette.ground : colour;
    pen.fillText(text, map.left - PAD - (mark ? FONT : 0), middle);
    if (mark) pen.fillText(mark, map.left - PAD / 2, middle);
  }
}

function paintColumnNames(map, x) {
  const { pen, palette } = map;
  [pen.font, pen.textAlign, pen.textBaseline] = [map.font, "left", "middle"];
  for (let j = Math.max(0, map.from[1] - 1); j < map.to[1]; j++) {
    const { text, colour, mark } = map.columnLabels[j];
    pen.save();
    pen.translate(x + (j + 0.5) * CELL, map.top - PAD);
    pen.rotate(-SLANT);
    if (j === map.at[1]) {
      pen.fillStyle = palette.ink;
      pen.fillRect(-PAD / 2, -CELL / 2 + 2, pen.measureText(text).width + (mark ? FONT : 0) + PAD, CELL - 4);
    }
    pen.fillStyle = j === map.at[1] ? palette.ground : colour;
    if (mark) pen.fillText(mark, 0, 0);
    pen.fillText(text, mark ? FONT : 0, 0);
    pen.restore();
  }
}

function paintCorner(map) {
  const { pen, palette } = map;
  pen.fillStyle = palette.ground;
  pen.fillRect(0, 0, map.left - PAD, map.top - 2);
  pen.fillStyle = palette.muted;
  [pen.font, pen.textAlign, pen.textBaseline] = [map.font.replace(`${FONT}px`, "10px"), "left", "alphabetic"];
  pen.fillText("teacher token →", 2, map.top - 20);
  pen.fillText("student token ↓", 2, map.top - 8);
}
