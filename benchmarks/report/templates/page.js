"use strict";
// The view (order of tables, hidden arms, the place that was jumped to) lives in the address:
// #sort=TABLE:COLUMN:descending&hide=ARM,ARM&filter=WORDS&at=ANCHOR. A copied link opens the same
// view.

const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

function readView() {
  const fragment = location.hash.slice(1);
  const view = { sort: new Map(), hidden: new Set(), filter: "", at: "" };
  if (fragment && !fragment.includes("=")) {
    view.at = decodeURIComponent(fragment);
    return view;
  }
  for (const part of fragment.split("&")) {
    const cut = part.indexOf("=");
    const key = part.slice(0, cut);
    const values = part.slice(cut + 1).split(",").map(decodeURIComponent).filter(Boolean);
    if (key === "at") view.at = values[0] || "";
    if (key === "filter") view.filter = values.join(",");
    if (key === "hide") values.forEach((arm) => view.hidden.add(arm));
    if (key === "sort") {
      for (const value of values) {
        const [table, column, direction] = value.split("|");
        view.sort.set(table, [column, direction]);
      }
    }
  }
  return view;
}

function writeView(view) {
  const parts = [];
  const orders = Array.from(view.sort, ([table, order]) => [table, ...order].join("|"));
  if (orders.length) parts.push("sort=" + orders.map(encodeURIComponent).join(","));
  if (view.hidden.size) parts.push("hide=" + Array.from(view.hidden, encodeURIComponent).join(","));
  if (view.filter) parts.push("filter=" + encodeURIComponent(view.filter));
  if (view.at) parts.push("at=" + encodeURIComponent(view.at));
  const address = parts.length ? "#" + parts.join("&") : location.pathname + location.search;
  history.replaceState(null, "", address);
}

function compareCells(first, second, isText, factor) {
  if (first === "" || second === "") return (first === "") - (second === ""); // unknown: last
  if (isText) return factor * first.localeCompare(second, undefined, { numeric: true });
  return factor * (parseFloat(first) - parseFloat(second));
}

function sortTable(table, column, direction) {
  const heads = all("thead th", table);
  const place = heads.findIndex((head) => head.dataset.column === column);
  if (place < 0) return;
  heads.forEach((head) => head.setAttribute("aria-sort", "none"));
  heads[place].setAttribute("aria-sort", direction);
  const isText = heads[place].classList.contains("text");
  const factor = direction === "ascending" ? 1 : -1;
  for (const body of table.tBodies) {
    const rows = Array.from(body.rows);
    const value = (row) => row.cells[place].dataset.value || "";
    rows.sort((one, other) => compareCells(value(one), value(other), isText, factor));
    body.append(...rows);
  }
}

function nextDirection(head) {
  const first = head.dataset.first;
  const other = first === "ascending" ? "descending" : "ascending";
  return head.getAttribute("aria-sort") === first ? other : first;
}

function showArms(hidden) {
  all("[data-arm]").forEach((part) => {
    const gone = hidden.has(part.dataset.arm);
    if (part instanceof SVGElement) part.style.display = gone ? "none" : "";
    else part.hidden = gone;
  });
  all("input[name=arm]").forEach((box) => { box.checked = !hidden.has(box.value); });
}

// Rows that hold every word, and none that stands behind a minus.
function filterRows(text) {
  const box = document.querySelector("input[name=filter]");
  if (!box) return;
  box.value = text;
  const words = text.toLowerCase().split(/\s+/).filter((word) => word && word !== "-");
  const table = document.querySelector('table[data-table="' + box.dataset.table + '"]');
  const rows = all("tbody tr", table);
  for (const row of rows) {
    const line = row.textContent.toLowerCase();
    const fits = (word) =>
      word.startsWith("-") ? !line.includes(word.slice(1)) : line.includes(word);
    row.hidden = !words.every(fits);
  }
  const shown = rows.filter((row) => !row.hidden).length;
  document.querySelector("output[name=shown]").value = shown + " of " + rows.length;
}

function jump(anchor) {
  all(".reached").forEach((part) => part.classList.remove("reached"));
  const target = anchor && document.getElementById(anchor);
  if (!target) return;
  for (let part = target; part; part = part.parentElement) {
    if (part.tagName === "DETAILS") part.open = true;
  }
  target.classList.add("reached");
  target.scrollIntoView({ block: "start" });
}

let view = readView();

function applyView() {
  view = readView();
  all("table[data-table]").forEach((table) => {
    const order = view.sort.get(table.dataset.table);
    if (order) sortTable(table, ...order);
  });
  showArms(view.hidden);
  filterRows(view.filter);
  jump(view.at);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("th button");
  if (button) {
    const head = button.closest("th");
    const table = head.closest("table");
    const direction = nextDirection(head);
    view.sort.set(table.dataset.table, [head.dataset.column, direction]);
    sortTable(table, head.dataset.column, direction);
    writeView(view);
    return;
  }
  const link = event.target.closest("a[href^='#']");
  if (link) {
    event.preventDefault();
    view.at = decodeURIComponent(link.getAttribute("href").slice(1));
    writeView(view);
    jump(view.at);
  }
  if (event.target.id === "all-arms") {
    view.hidden.clear();
    showArms(view.hidden);
    writeView(view);
  }
});

document.addEventListener("input", (event) => {
  if (event.target.name !== "filter") return;
  view.filter = event.target.value;
  filterRows(view.filter);
  writeView(view);
});

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.name !== "arm") return;
  if (box.checked) view.hidden.delete(box.value);
  else view.hidden.add(box.value);
  showArms(view.hidden);
  writeView(view);
});

let closed = [];
addEventListener("beforeprint", () => {
  closed = all("details.printed:not([open])");
  closed.forEach((part) => { part.open = true; });
});
addEventListener("afterprint", () => closed.forEach((part) => { part.open = false; }));
addEventListener("hashchange", applyView);
applyView();
