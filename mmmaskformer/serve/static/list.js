// What the view has, as a list and in words.

import { viewUrl } from "./server.js";
import { mark, marked, pin, thresholds } from "./stage.js";
import { $, TITLES, page } from "./state.js";

const percent = (share) => (share === 0 ? "0 %" : share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`);
const ordered = (map) => [...map.entries].sort(map.view === "queries" ? (a, b) => b.score - a.score : (a, b) => b.area - a.area);

export function showList(map) {
  const pixels = map.width * map.height;
  $("downloads").hidden = false;
  const focused = document.activeElement?.closest?.("#list button")?.dataset.id;
  $("list-title").textContent = `${TITLES[map.view]} ${map.entries.length ? `(${map.entries.length})` : ""}`;
  $("list").replaceChildren(...ordered(map).map((entry) => listItem(entry, map, pixels)));
  if (!map.entries.length) {
    const none = document.createElement("li");
    none.className = "none";
    none.textContent = map.view === "semantic" ? "No class." : "Nothing is this confident. Lower the thresholds.";
    $("list").append(none);
  }
  if (focused) $("list").querySelector(`[data-id="${focused}"]`)?.focus();
  showMarked();
}

function listItem(entry, map, pixels) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.id = entry.id;
  const swatch = document.createElement("i");
  swatch.style.background = `rgb(${entry.color.join(" ")})`;
  const name = document.createElement("span");
  name.textContent = entry.class;
  if (map.view === "queries") name.prepend(Object.assign(document.createElement("em"), { textContent: entry.query }));
  const score = document.createElement("small");
  score.textContent = entry.score == null ? "" : entry.score.toFixed(2);
  const area = document.createElement("b");
  area.textContent = percent(entry.area / pixels);
  button.append(swatch, name, score, area);
  const told = [entry.class, map.view === "queries" && `query ${entry.query}`,
    entry.score != null && `score ${entry.score.toFixed(2)}`, `area ${area.textContent}`];
  button.setAttribute("aria-label", told.filter(Boolean).join(", "));
  button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && mark(entry.id));
  button.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && mark(null));
  button.addEventListener("focus", () => button.matches(":focus-visible") && mark(entry.id));
  button.addEventListener("blur", () => mark(null));
  button.addEventListener("click", () => pin(entry.id));
  item.append(button);
  return item;
}

export function showMarked() {
  for (const button of $("list").querySelectorAll("button")) {
    const id = Number(button.dataset.id);
    button.classList.toggle("marked", id === marked());
    button.setAttribute("aria-pressed", String(id === page.pinned));
  }
}

export function summarize(photo, first) {
  const { map } = photo;
  const [most] = [...map.entries].sort((a, b) => b.area - a.area);
  const count = `${map.entries.length} ${TITLES[map.view].toLowerCase()}`;
  const largest = most ? `; the largest is ${most.class}, ${percent(most.area / (map.width * map.height))}` : "";
  $("paint").setAttribute("aria-label", `${photo.name}: ${count}${largest}`);
  if (first || document.activeElement?.type !== "range") say(`${photo.name}: ${count}${largest}`);
  for (const [link, kind, suffix] of [["labels", "ids.png", "png"], ["json", "result.json", "json"]]) {
    $(link).href = viewUrl(photo.id, kind, page.view, thresholds());
    $(link).download = fileName(photo, suffix === "png" ? "_labels.png" : ".json");
  }
}

export const fileName = (photo, end) => `${photo.name.replace(/\.[^.]*$/, "")}_${page.view}${end}`;

export function say(text) {
  $("status").textContent = text;
}
