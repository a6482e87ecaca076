// From ids to pixels.

const little = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

function packed([red, green, blue], alpha) {
  const opaque = Math.round(255 * alpha);
  return little
    ? ((opaque << 24) | (blue << 16) | (green << 8) | red) >>> 0
    : ((red << 24) | (green << 16) | (blue << 8) | opaque) >>> 0;
}

/** A colour for every id. The others step back where one is marked. */
function table(map, opacity, marked) {
  const colors = new Uint32Array(map.ids.reduce((most, id) => (id > most ? id : most), 0) + 1);
  for (const { id, color } of map.entries) {
    const alpha = marked === null ? opacity : id === marked ? Math.min(1, opacity + 0.25) : opacity * 0.3;
    if (id < colors.length) colors[id] = packed(color, alpha);
  }
  return colors;
}

/** Pixels between two segments, as places in the map. */
function borders({ ids, width, height, view }) {
  if (view === "semantic") return new Uint32Array(0);
  const found = [];
  for (let y = 0, k = 0; y < height; y++) {
    for (let x = 0; x < width; x++, k++) {
      if ((x + 1 < width && ids[k] !== ids[k + 1]) || (y + 1 < height && ids[k] !== ids[k + width])) {
        found.push(k);
      }
    }
  }
  return Uint32Array.from(found);
}

/** Paint a map into a canvas of its size. */
export function paintMap(canvas, map, opacity, marked) {
  if (canvas.width !== map.width || canvas.height !== map.height) {
    canvas.width = map.width;
    canvas.height = map.height;
  }
  const context = canvas.getContext("2d");
  const image = context.createImageData(map.width, map.height);
  const pixels = new Uint32Array(image.data.buffer);
  const colors = table(map, opacity, marked);
  const { ids } = map;
  for (let k = 0; k < pixels.length; k++) pixels[k] = colors[ids[k]];
  map.borders ??= borders(map);
  const line = packed([255, 255, 255], Math.min(0.85, opacity * 1.4) * (marked === null ? 1 : 0.6));
  for (const k of map.borders) pixels[k] = line;
  context.putImageData(image, 0, 0);
}

/** Paint one query's mask over a canvas that is cleared; it grows smoothly from its grid. */
export function paintQuery(canvas, mask, grid, color, opacity) {
  const [height, width] = grid;
  const small = new OffscreenCanvas(width, height);
  const context = small.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const strong = Math.min(1, opacity + 0.2);
  for (let k = 0; k < mask.length; k++) {
    // The mask is where the probability is above one half; its edge is drawn softly.
    const share = Math.min(1, Math.max(0, (mask[k] / 255 - 0.4) / 0.2));
    pixels[k] = packed(color, share * strong);
  }
  context.putImageData(image, 0, 0);
  const target = canvas.getContext("2d");
  target.clearRect(0, 0, canvas.width, canvas.height);
  target.imageSmoothingQuality = "high";
  target.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/** The widest place of every segment, { x, y, room } in [0, 1] of the width: where a name fits. */
export function places(map) {
  const step = Math.max(1, Math.ceil(map.width / 200));
  const columns = Math.floor(map.width / step);
  const rows = Math.max(1, Math.floor(map.height / step));
  const at = (x, y) => map.ids[Math.min(map.height - 1, y * step + (step >> 1)) * map.width + x * step + (step >> 1)];
  const cells = new Uint16Array(columns * rows);
  const far = new Float32Array(columns * rows);
  for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) cells[y * columns + x] = at(x, y);
  const relax = (k, x, y, dx, dy, cost) => {
    const inside = x + dx >= 0 && x + dx < columns && y + dy >= 0 && y + dy < rows;
    const other = k + dy * columns + dx;
    const next = inside && cells[other] === cells[k] ? far[other] : 0;
    far[k] = Math.min(far[k], next + cost);
  };
  far.fill(Infinity);
  for (let y = 0, k = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, k++) {
      for (const [dx, dy, cost] of [[-1, 0, 1], [0, -1, 1], [-1, -1, 1.4], [1, -1, 1.4]]) relax(k, x, y, dx, dy, cost);
    }
  }
  const best = new Map();
  for (let y = rows - 1, k = cells.length - 1; y >= 0; y--) {
    for (let x = columns - 1; x >= 0; x--, k--) {
      for (const [dx, dy, cost] of [[1, 0, 1], [0, 1, 1], [1, 1, 1.4], [-1, 1, 1.4]]) relax(k, x, y, dx, dy, cost);
      const found = best.get(cells[k]);
      if (!found || far[k] > found.far) best.set(cells[k], { x, y, far: far[k] });
    }
  }
  const place = ({ x, y, far: room }) => ({
    x: ((x + 0.5) * step) / map.width,
    y: ((y + 0.5) * step) / map.height,
    room: (room * step) / map.width,
  });
  return new Map([...best].filter(([id]) => id).map(([id, spot]) => [id, place(spot)]));
}

/** Write names into a canvas, `size` pixels high, where they fit, largest segments first. */
export function writeNames(canvas, map, size, marked) {
  const context = canvas.getContext("2d");
  map.places ??= places(map);
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.textAlign = "center";
  const taken = [];
  const ordered = [...map.entries].sort((a, b) => (b.id === marked) - (a.id === marked) || b.area - a.area);
  for (const entry of ordered) {
    const place = map.places.get(entry.id);
    if (!place || (marked !== null && entry.id !== marked)) continue;
    if (entry.id !== marked && place.room * canvas.width < size * 0.9) continue;
    const width = context.measureText(entry.class).width + size;
    const height = size * 1.6;
    const x = Math.min(Math.max(place.x * canvas.width, width / 2 + 2), canvas.width - width / 2 - 2);
    const y = Math.min(Math.max(place.y * canvas.height, height / 2 + 2), canvas.height - height / 2 - 2);
    const hits = (box) => Math.abs(box.x - x) < (box.width + width) / 2 && Math.abs(box.y - y) < (box.height + height) / 2;
    if (taken.some(hits)) continue;
    taken.push({ x, y, width, height });
    context.fillStyle = "rgb(20 20 18 / 72%)";
    context.beginPath();
    context.roundRect(x - width / 2, y - height / 2, width, height, height / 2);
    context.fill();
    context.fillStyle = "#fff";
    context.fillText(entry.class, x, y + size * 0.06);
  }
}

/** Make a canvas grey. */
export function toGrey(canvas) {
  const context = canvas.getContext("2d");
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let k = 0; k < image.data.length; k += 4) {
    const [red, green, blue] = image.data.subarray(k, k + 3);
    image.data.fill(0.3 * red + 0.59 * green + 0.11 * blue, k, k + 3);
  }
  context.putImageData(image, 0, 0);
}
