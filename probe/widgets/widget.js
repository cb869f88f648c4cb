// What both widgets share; it is put before the script of each.

const FOCUSABLE = ["button", "input", "select", "td", "textarea"];

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value);
  }
  // Shortcuts of a notebook look only at the focused element, so the mark must be on it and not on a parent.
  if (FOCUSABLE.includes(tag)) node.setAttribute("data-lm-suppress-shortcuts", "true");
  // Otherwise JupyterLab would take line breaks that are typed within a cell.
  if (tag === "textarea") node.addEventListener("keydown", (event) => event.key === "Enter" && event.stopPropagation());
  node.append(...children);
  return node;
}

function button(text, title, act) {
  return make("button", { type: "button", title, onclick: act }, text);
}
