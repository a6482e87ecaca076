// The page: photographs in a queue, and one of them on the stage.

import { forgetPhoto, getMap, getModel, getQuery, sendPhoto, viewUrl } from "./server.js";
import { paintMap, paintQuery, toGrey, writeNames } from "./picture.js";

const $ = (id) => document.getElementById(id);
const THRESHOLDS = ["object_threshold", "overlap_threshold"];
const USED = { panoptic: THRESHOLDS, semantic: [], queries: ["object_threshold"] };
const TITLES = { panoptic: "Segments", semantic: "Classes", queries: "Queries" };

let model = null;
let photos = []; // { file, name, state, sent, error, id, map, masks, item }
let current = null;
let view = null;
let pinned = null; // id of the entry that stays marked
let hovered = null;
let bare = false; // the photograph alone
let lanes = 0; // photographs that are on their way
let asking = null; // the request for the current map
let shown = null; // [photograph, width] of what is in the canvas `photo`

// ---------------------------------------------------------------- the queue

function addFiles(files) {
  const images = [...files].filter((file) => file.type.startsWith("image/") || !file.type);
  if (files.length && !images.length) return say("These files are no photographs.");
  for (const file of images) {
    const photo = { file, name: file.name || "pasted", state: "waiting", sent: 0, masks: new Map() };
    photos.push(photo);
    addToFilm(photo);
  }
  if (images.length) select(photos[photos.length - images.length]);
  work();
}

async function work() {
  const next = photos.find((photo) => photo.state === "waiting");
  if (!next || !model || lanes > model.workers) return updateProgress();
  lanes += 1;
  setState(next, "sending");
  work();
  try {
    if (next.file.size > model.max_bytes) {
      throw new Error(`${next.name} is larger than ${Math.round(model.max_bytes / 2 ** 20)} MiB.`);
    }
    const answer = await sendPhoto(next.file, (share) => {
      next.sent = share;
      setState(next, share < 1 ? "sending" : "running");
    });
    Object.assign(next, answer, { map: null });
    next.masks.clear();
    setState(next, "done");
    if (next === current) refresh();
  } catch (error) {
    if (error.retry) {
      setState(next, "pausing");
      setTimeout(() => { setState(next, "waiting"); work(); }, 1000 * error.retry);
    } else {
      next.error = error.message;
      setState(next, "failed");
    }
  } finally {
    lanes -= 1;
    work();
  }
}

function setState(photo, state) {
  photo.state = state;
  const words = { waiting: "waiting", sending: "sending", running: "segmenting", pausing: "waiting", done: "ready", failed: "failed" };
  photo.item.dataset.state = state;
  photo.item.querySelector("button").setAttribute("aria-label", `${photo.name}, ${words[state]}`);
  if (photo === current) showState();
  updateProgress();
}

function updateProgress() {
  const open = photos.filter((photo) => !["done", "failed"].includes(photo.state)).length;
  $("progress").textContent = open && photos.length > 1 ? `${photos.length - open} of ${photos.length} ready` : "";
}

function remove(photo) {
  if (photo.id) forgetPhoto(photo.id);
  const index = photos.indexOf(photo);
  photos.splice(index, 1);
  photo.item.remove();
  select(photos[Math.min(index, photos.length - 1)] ?? null);
}

// ---------------------------------------------------------------- the film

function addToFilm(photo) {
  const item = document.createElement("li");
  item.innerHTML = "<button type='button'><canvas width='96' height='72'></canvas></button>";
  item.querySelector("button").addEventListener("click", () => select(photo));
  photo.item = item;
  $("film").querySelector("ul").append(item);
  setState(photo, photo.state);
  decode(photo, 96).then((bitmap) => {
    const canvas = item.querySelector("canvas");
    const scale = Math.max(96 / bitmap.width, 72 / bitmap.height);
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    canvas.getContext("2d").drawImage(bitmap, (96 - width) / 2, (72 - height) / 2, width, height);
    bitmap.close();
  }, () => {});
}

function decode(photo, width) {
  const options = width ? { resizeWidth: width, resizeQuality: "medium" } : {};
  return createImageBitmap(photo.file, options);
}

// ---------------------------------------------------------------- the stage

function select(photo) {
  current = photo;
  pinned = hovered = null;
  for (const other of photos) {
    other.item.querySelector("button").setAttribute("aria-current", String(other === photo));
  }
  photo?.item.scrollIntoView({ block: "nearest", inline: "nearest" });
  $("empty").hidden = photo !== null;
  $("frame").hidden = photo === null;
  $("controls").hidden = photo === null;
  $("film").hidden = photos.length < 2;
  document.body.classList.toggle("has-photo", photo !== null);
  if (!photo) return;
  clearPicture();
  if (photo.map) {
    showList(photo.map);
    draw();
  }
  showPhoto(photo);
  showState();
  if (photo.state === "done") refresh();
}

function clearPicture() {
  for (const name of ["paint", "words"]) $(name).getContext("2d").clearRect(0, 0, 1e5, 1e5);
  $("list").replaceChildren();
  $("list-title").textContent = TITLES[view];
  $("downloads").hidden = true;
  $("tip").hidden = true;
}

/** Draw the photograph in the size of its map; before there is one, in a size of its own. */
async function showPhoto(photo) {
  const size = photo.map ? [photo.map.width, photo.map.height] : null;
  if (shown && shown[0] === photo && (!size || shown[1] === size[0])) return;
  let bitmap = null;
  try {
    bitmap = await decode(photo);
  } catch {
    if (!size) return;
  }
  if (photo !== current) return bitmap?.close();
  const scale = bitmap ? Math.min(1, 1400 / Math.max(bitmap.width, bitmap.height)) : 1;
  const canvas = $("photo");
  [canvas.width, canvas.height] = size ?? [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
  if (bitmap) {
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
  }
  shown = [photo, canvas.width];
  fit();
  draw();
}

/** Give the picture the largest size that fits into the stage. */
function fit() {
  const canvas = $("photo");
  document.body.style.setProperty("--ratio", canvas.height / canvas.width);
  const room = $("frame").getBoundingClientRect();
  const scale = Math.min(room.width / canvas.width, room.height / canvas.height);
  $("picture").style.width = `${Math.floor(canvas.width * scale)}px`;
  $("picture").style.height = `${Math.floor(canvas.height * scale)}px`;
}

function showState() {
  const { state, error, sent } = current;
  const texts = { waiting: "Waiting…", pausing: "The server is busy. Waiting…", sending: "Sending…", running: "Segmenting…", failed: error };
  $("state").hidden = state === "done";
  $("state").dataset.state = state;
  $("state-text").textContent = texts[state] ?? "";
  $("again").hidden = state !== "failed";
  $("bar").hidden = state === "failed";
  if (state === "sending" && sent < 1) $("bar").value = sent;
  else $("bar").removeAttribute("value");
  if (state === "failed") say(error);
}

// ---------------------------------------------------------------- the view

const thresholds = () => Object.fromEntries(USED[view].map((name) => [name, Number($(name).value) / 100]));

/** Ask for the current view. While an answer is on its way the newest wish waits, and no other. */
async function refresh() {
  if (asking) {
    asking.again = true;
    return;
  }
  if (!current || current.state !== "done") return;
  const photo = current;
  const wish = asking = { again: false };
  try {
    const map = await getMap(photo.id, view, thresholds());
    if (map.view === view && photo === current) {
      const first = !photo.map;
      photo.map = map;
      if (pinned !== null && !map.entries.some((entry) => entry.id === pinned)) pinned = null;
      hovered = null;
      await showPhoto(photo);
      draw();
      showList(map);
      summarize(photo, first);
    }
  } catch (error) {
    if (error.status === 404) { // the server keeps a few photographs only
      photo.id = null;
      setState(photo, "waiting");
      work();
    } else say(error.message);
  } finally {
    asking = null;
    if (wish.again || photo !== current) refresh();
  }
}

const marked = () => hovered ?? pinned;

/** Paint what there is; called for every change of opacity and of what is marked. */
function draw() {
  cancelAnimationFrame(draw.frame);
  draw.frame = requestAnimationFrame(() => {
    const map = current?.map;
    if (!map) return;
    const mark = marked();
    const opacity = bare ? 0 : Number($("opacity").value) / 100;
    $("photo").classList.toggle("grey", map.view === "queries" && !bare);
    const mask = map.view === "queries" && mark !== null && !bare ? current.masks.get(mark) : null;
    if (mask) {
      const { color } = map.entries.find((entry) => entry.id === mark);
      paintQuery($("paint"), mask, current.grid, color, opacity);
    } else paintMap($("paint"), map, opacity, mark);
    drawNames(map, mark);
  });
}

function drawNames(map, mark) {
  const box = $("picture").getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const canvas = $("words");
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  if ($("names").checked && !bare) writeNames(canvas, map, 12 * ratio, mark);
}

async function mark(id) {
  if (hovered === id) return;
  hovered = id;
  showMarked();
  draw();
  const photo = current;
  const entry = photo.map?.entries.find((other) => other.id === marked());
  if (photo.map?.view !== "queries" || !entry || photo.masks.has(entry.id)) return;
  try {
    photo.masks.set(entry.id, await getQuery(photo.id, entry.query));
    if (marked() === entry.id) draw();
  } catch { /* the next map will say what is wrong */ }
}

function pin(id) {
  pinned = pinned === id ? null : id;
  showMarked();
  draw();
}

// ---------------------------------------------------------------- the list

const percent = (share) => (share === 0 ? "0 %" : share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`);
const ordered = (map) => [...map.entries].sort(map.view === "queries" ? (a, b) => b.score - a.score : (a, b) => b.area - a.area);

function showList(map) {
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

function showMarked() {
  for (const button of $("list").querySelectorAll("button")) {
    const id = Number(button.dataset.id);
    button.classList.toggle("marked", id === marked());
    button.setAttribute("aria-pressed", String(id === pinned));
  }
}

function summarize(photo, first) {
  const { map } = photo;
  const [most] = [...map.entries].sort((a, b) => b.area - a.area);
  const count = `${map.entries.length} ${TITLES[map.view].toLowerCase()}`;
  const largest = most ? `; the largest is ${most.class}, ${percent(most.area / (map.width * map.height))}` : "";
  $("paint").setAttribute("aria-label", `${photo.name}: ${count}${largest}`);
  if (first || document.activeElement?.type !== "range") say(`${photo.name}: ${count}${largest}`);
  for (const [link, kind, suffix] of [["labels", "ids.png", "png"], ["json", "result.json", "json"]]) {
    $(link).href = viewUrl(photo.id, kind, view, thresholds());
    $(link).download = fileName(photo, suffix === "png" ? "_labels.png" : ".json");
  }
}

const fileName = (photo, end) => `${photo.name.replace(/\.[^.]*$/, "")}_${view}${end}`;

function say(text) {
  $("status").textContent = text;
}

// ---------------------------------------------------------------- download

async function savePicture() {
  const photo = current;
  if (!photo?.map) return;
  try {
    const map = await getMap(photo.id, view, thresholds(), { full: true });
    const canvas = Object.assign(document.createElement("canvas"), { width: map.width, height: map.height });
    const context = canvas.getContext("2d");
    const bitmap = await decode(photo);
    context.drawImage(bitmap, 0, 0, map.width, map.height);
    bitmap.close();
    if (view === "queries") toGrey(canvas);
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
  if (!model.views.includes(name) || name === view) return;
  view = name;
  pinned = hovered = null;
  $("views").querySelector(`[value=${name}]`).checked = true;
  for (const threshold of THRESHOLDS) {
    for (const part of document.querySelectorAll(`[for=${threshold}], #${threshold}`)) part.hidden = !USED[view].includes(threshold);
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
  const changed = USED[view].some((name) => Number($(name).value) !== Math.round(100 * model[name]));
  $("reset").hidden = !changed;
}

function resetThresholds() {
  for (const name of THRESHOLDS) $(name).value = Math.round(100 * model[name]);
  showValues();
}

function idUnder(event) {
  const map = current?.map;
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
  const entry = current.map?.entries.find((other) => other.id === id);
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
  const index = photos.indexOf(current) + by;
  if (photos[index]) select(photos[index]);
}

function moveInList(by) {
  const buttons = [...$("list").querySelectorAll("button")];
  const index = buttons.indexOf(document.activeElement);
  buttons[Math.min(buttons.length - 1, Math.max(0, index < 0 ? 0 : index + by))]?.focus();
}

function setBare(value) {
  if (bare === value) return;
  bare = value;
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
  l: () => current?.map && $("labels").click(),
  j: () => current?.map && $("json").click(),
  "?": () => $("keys").showModal(),
  arrowleft: () => step(-1),
  arrowright: () => step(1),
  arrowup: () => moveInList(-1),
  arrowdown: () => moveInList(1),
  delete: () => current && remove(current),
  escape: () => { pinned = null; mark(null); showMarked(); draw(); },
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open || !model) return;
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
  new ResizeObserver(() => { if (current) { fit(); draw(); } }).observe($("frame"));
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
  $("again").addEventListener("click", () => { setState(current, "waiting"); work(); });
}

async function begin() {
  listen();
  try {
    model = await getModel();
  } catch (error) {
    $("model").textContent = error.message;
    return setTimeout(() => location.reload(), 1000 * (error.retry ?? 10));
  }
  $("model").textContent = `${model.model.split("/").pop().replace(/\.py$/, "")} on ${model.device}`;
  for (const input of $("views").querySelectorAll("input")) input.parentElement.hidden = !model.views.includes(input.value);
  setView(model.views[0]);
  resetThresholds();
  work();
}

begin();
