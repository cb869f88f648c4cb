// Describes the selected row: its largest weights and its gold links.

const percent = (share) => (share > 0 && share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);

function kindOf(flags) {
  return flags & SURE ? "sure" : flags & POSSIBLE ? "possible" : "";
}

function cellName(map, [i, j]) {
  const cell = i * map.columns + j, kind = kindOf(map.flags[cell]);
  const link = map.view.gold ? `, ${kind || "no"} link` : "";
  return `${map.view.student[i].name} → ${map.view.teacher[j].name}: weight ${map.weights[cell].toFixed(4)}${link}`;
}

class RowPanel {
  constructor() {
    this.head = make("caption");
    this.body = make("tbody");
    const names = ["rank", "teacher token", "weight", "gold"].map((name) => make("th", { scope: "col" }, name));
    this.node = make("table", { class: "probe-row" }, this.head, make("thead", {}, make("tr", {}, ...names)), this.body);
  }

  show(map) {
    const [i] = map.at, { view } = map;
    const entropy = make("span", { class: "probe-entropy" }, `entropy ${view.entropy[i].toFixed(2)} (0 to 1)`);
    this.head.replaceChildren(make("bdi", {}, view.student[i].name), make("br"), entropy);
    this.body.replaceChildren(...view.top[i].map(([j, rank]) => this.#line(map, i, j, rank)));
    this.node.classList.toggle("probe-no-gold", !view.gold);
  }

  #line(map, i, j, rank) {
    const cell = i * map.columns + j, kind = kindOf(map.flags[cell]);
    const bar = make("i");
    bar.style.width = `${100 * map.weights[cell]}%`;
    // The number tells repeated tokens apart.
    const { name, shown } = map.view.teacher[j];
    const token = make("th", { scope: "row", title: name }, make("small", {}, `${j}`), make("bdi", {}, shown));
    const gold = make("td", {}, ...(kind ? [make("b", { class: `probe-${kind}` }), kind] : []));
    return make("tr", {}, make("td", {}, `${rank}`), token, make("td", { class: "probe-weight" }, bar, percent(map.weights[cell])), gold);
  }
}
