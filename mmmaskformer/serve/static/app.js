// What people do: buttons, keys, pointers, files; downloads.

import { fileName, say, showMarked } from "./list.js";
import { paintMap, toGrey, writeNames } from "./picture.js";
import { addFiles, decode, remove, setState, work } from "./queue.js";
import { getMap, getModel } from "./server.js";
import { draw, fit, mark, pin, refresh, select, thresholds } from "./stage.js";
import { $, THRESHOLDS, USED, page } from "./state.js";

// ---------------------------------------------------------------- download

async function savePicture() {
  const photo = page.current;
  if (!photo?.map) return;
  try {
    const map = await getMap(photo.id, page.view, thresholds(), { full: true });
    const canvas = Object.assign(document.createElement("canvas"), { width: map.width, height: map.height });
    const context = canvas.getContext("2d");
    const bitmap = await decode(photo);
    context.drawImage(bitmap, 0, 0, map.width, map.height);
    bitmap.close();
    if (page.view === "queries") toGrey(canvas);
    const layer = document.createElement("canvas");
    paintMap(layer, map, Number($("opacity").value) / 100, null);
    context.drawImage(layer, 0, 0);
    const size = Math.max(11, Math.round(Math.sqrt(map.width * map.height) / 65));
    if ($("names").checked) writeNames(canvas, map, size, null);
    canvas.toBlob((blob) => {
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: fileName(photo, ".png") });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    });
  } catch (error) {
    say(error.message);
  }
}

// ---------------------------------------------------------------- what people do

function setView(name) {
  if (!page.model.views.includes(name) || name === page.view) return;
  page.view = name;
  page.pinned = page.hovered = null;
  $("views").querySelector(`[value=${name}]`).checked = true;
  for (const threshold of THRESHOLDS) {
    for (const part of document.querySelectorAll(`[for=${threshold}], #${threshold}`)) part.hidden = !USED[page.view].includes(threshold);
  }
  showReset();
  refresh();
}

function showValues() {
  for (const input of document.querySelectorAll("#sliders input")) {
    const text = input.id === "opacity" ? `${input.value} %` : (input.value / 100).toFixed(2);
    input.nextElementSibling.textContent = text;
    input.setAttribute("aria-valuetext", text);
  }
  showReset();
}

function showReset() {
  const changed = USED[page.view].some((name) => Number($(name).value) !== Math.round(100 * page.model[name]));
  $("reset").hidden = !changed;
}

function resetThresholds() {
  for (const name of THRESHOLDS) $(name).value = Math.round(100 * page.model[name]);
  showValues();
}

function idUnder(event) {
  const map = page.current?.map;
  if (!map) return null;
  const box = $("paint").getBoundingClientRect();
  const x = Math.floor(((event.clientX - box.left) / box.width) * map.width);
  const y = Math.floor(((event.clientY - box.top) / box.height) * map.height);
  const inside = x >= 0 && y >= 0 && x < map.width && y < map.height;
  return (inside && map.ids[y * map.width + x]) || null;
}

function point(event) {
  const id = idUnder(event);
  mark(id);
  const entry = page.current.map?.entries.find((other) => other.id === id);
  const tip = $("tip");
  tip.hidden = !entry;
  if (!entry) return;
  tip.textContent = [entry.class, entry.score?.toFixed(2)].filter(Boolean).join("  ");
  const frame = $("frame").getBoundingClientRect();
  const x = Math.min(event.clientX - frame.left + 14, frame.width - tip.offsetWidth - 4);
  const y = event.clientY - frame.top + 18;
  tip.style.translate = `${x}px ${y + tip.offsetHeight > frame.height ? y - 48 : y}px`;
  $("list").querySelector(".marked")?.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const index = page.photos.indexOf(page.current) + by;
  if (page.photos[index]) select(page.photos[index]);
}

function moveInList(by) {
  const buttons = [...$("list").querySelectorAll("button")];
  const index = buttons.indexOf(document.activeElement);
  buttons[Math.min(buttons.length - 1, Math.max(0, index < 0 ? 0 : index + by))]?.focus();
}

function setBare(value) {
  if (page.bare === value) return;
  page.bare = value;
  draw();
}

function changeOpacity(by) {
  $("opacity").value = Number($("opacity").value) + by;
  showValues();
  draw();
}

const KEYS = {
  o: () => $("files").click(),
  1: () => setView("panoptic"),
  2: () => setView("semantic"),
  3: () => setView("queries"),
  "[": () => changeOpacity(-5),
  "]": () => changeOpacity(5),
  n: () => $("names").click(),
  s: savePicture,
  l: () => page.current?.map && $("labels").click(),
  j: () => page.current?.map && $("json").click(),
  "?": () => $("keys").showModal(),
  arrowleft: () => step(-1),
  arrowright: () => step(1),
  arrowup: () => moveInList(-1),
  arrowdown: () => moveInList(1),
  delete: () => page.current && remove(page.current),
  escape: () => { page.pinned = null; mark(null); showMarked(); draw(); },
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open || !page.model) return;
  const { target } = event;
  if (event.key === " " && !target.closest("button, input, a")) {
    event.preventDefault();
    return setBare(true);
  }
  const native = target.matches?.("input[type=range], input[type=radio]") && event.key.startsWith("Arrow");
  const action = KEYS[event.key.toLowerCase()];
  if (native || !action) return;
  event.preventDefault();
  action();
}

function listen() {
  const drop = (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", event.type === "dragover");
    if (event.type === "drop") addFiles(event.dataTransfer.files);
  };
  for (const type of ["dragover", "drop"]) addEventListener(type, drop);
  addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dropping"));
  addEventListener("paste", (event) => event.clipboardData.files.length && addFiles(event.clipboardData.files));
  addEventListener("keydown", onKey);
  addEventListener("keyup", (event) => event.key === " " && setBare(false));
  addEventListener("blur", () => setBare(false));
  new ResizeObserver(() => { if (page.current) { fit(); draw(); } }).observe($("frame"));
  for (const name of ["add", "empty"]) $(name).addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", () => { addFiles($("files").files); $("files").value = ""; });
  $("views").addEventListener("change", (event) => setView(event.target.value));
  $("opacity").addEventListener("input", () => { showValues(); draw(); });
  for (const name of THRESHOLDS) $(name).addEventListener("input", () => { showValues(); refresh(); });
  $("reset").addEventListener("click", () => { resetThresholds(); refresh(); });
  $("names").addEventListener("change", draw);
  $("paint").addEventListener("pointermove", point);
  $("paint").addEventListener("pointerleave", () => { mark(null); $("tip").hidden = true; });
  $("paint").addEventListener("click", (event) => { const id = idUnder(event); if (id) pin(id); });
  $("save").addEventListener("click", savePicture);
  $("help").addEventListener("click", () => $("keys").showModal());
  $("again").addEventListener("click", () => { setState(page.current, "waiting"); work(); });
}

async function begin() {
  listen();
  try {
    page.model = await getModel();
  } catch (error) {
    $("model").textContent = error.message;
    return setTimeout(() => location.reload(), 1000 * (error.retry ?? 10));
  }
  USED.panoptic = page.model.panoptic_thresholds;
  $("model").textContent = `${page.model.model.split("/").pop().replace(/\.py$/, "")} on ${page.model.device}`;
  for (const input of $("views").querySelectorAll("input")) input.parentElement.hidden = !page.model.views.includes(input.value);
  setView(page.model.views[0]);
  resetThresholds();
  work();
}

begin();
