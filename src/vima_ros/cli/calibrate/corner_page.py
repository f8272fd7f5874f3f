"""The page of `calibrate view --click`: one file, no network."""

PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Calibrate: table corners</title>
<style>
body { font: 15px sans-serif; margin: 12px; background: #222; color: #eee; }
canvas, img { background: #000; }
#row { display: flex; gap: 12px; flex-wrap: wrap; align-items: flex-start; }
#side { width: 400px; }
#zoom { width: 240px; height: 240px; }
#picture { cursor: crosshair; }
#result { width: 384px; }
button { font-size: 15px; padding: 6px 14px; }
li.now { color: #fd0; }
#said { white-space: pre-wrap; min-height: 4em; }
.bad { color: #f88; }
</style>
<h3>Click the four corners, in this order</h3>
<div id="row">
<canvas id="picture"></canvas>
<div id="side">
<ol id="list"></ol>
<canvas id="zoom" width="240" height="240"></canvas>
<p>Drag a corner to move it. Arrow keys move the last one by a quarter of a pixel.</p>
<img id="result" alt="">
<div id="said"></div>
<button id="accept" disabled>Accept</button>
<button id="again">Start again</button>
<button id="cancel">Cancel</button>
</div>
</div>
<script>
"use strict";
const LABELS = @LABELS@;
const element = id => document.getElementById(id);
const picture = element("picture"), zoom = element("zoom");
const image = new Image();
let corners = [], held = -1, last = -1, pointer = null, scale = 1, asked = 0;

// The index of a pixel is that of its centre: half a pixel less than where the canvas draws it.
const toImage = event => {
  const box = picture.getBoundingClientRect();
  return [(event.clientX - box.left) / scale - 0.5, (event.clientY - box.top) / scale - 0.5];
};
const inside = p => [
  Math.min(Math.max(p[0], 0), image.width - 1), Math.min(Math.max(p[1], 0), image.height - 1)];

function mark(context, p, size, factor, x0, y0) {
  const x = (p[0] + 0.5 - x0) * factor, y = (p[1] + 0.5 - y0) * factor;
  context.beginPath();
  context.moveTo(x - size, y); context.lineTo(x + size, y);
  context.moveTo(x, y - size); context.lineTo(x, y + size);
  context.stroke();
  return [x, y];
}

function draw() {
  const context = picture.getContext("2d");
  context.drawImage(image, 0, 0, picture.width, picture.height);
  context.strokeStyle = "#fd0"; context.fillStyle = "#fd0"; context.font = "16px sans-serif";
  const places = corners.map((p, i) => {
    const [x, y] = mark(context, p, 9, scale, 0, 0);
    context.fillText(i + 1, x + 6, y - 6);
    return [x, y];
  });
  if (places.length > 1) {
    context.beginPath();
    places.forEach(([x, y], i) => i ? context.lineTo(x, y) : context.moveTo(x, y));
    if (places.length === 4) context.closePath();
    context.stroke();
  }
  const p = last >= 0 && held < 0 && corners.length === 4 ? corners[last] : pointer;
  if (p) {
    const near = zoom.getContext("2d"), factor = 10, span = zoom.width / factor;
    const x0 = p[0] + 0.5 - span / 2, y0 = p[1] + 0.5 - span / 2;
    near.imageSmoothingEnabled = false;
    near.fillStyle = "#000"; near.fillRect(0, 0, zoom.width, zoom.height);
    near.drawImage(image, x0, y0, span, span, 0, 0, zoom.width, zoom.height);
    near.strokeStyle = "#fd0";
    mark(near, p, 14, factor, x0, y0);
  }
  element("list").innerHTML = LABELS.map((label, i) =>
    `<li class="${i === corners.length ? "now" : ""}">${label}</li>`).join("");
}

async function send(what) {
  const answer = await fetch(what, {method: "POST", body: JSON.stringify({corners})});
  return answer.json();
}

async function preview() {
  element("accept").disabled = true;
  if (corners.length < 4) { element("result").removeAttribute("src"); return; }
  const number = ++asked, answer = await send("preview");
  if (number !== asked) return; // a later one is on its way
  element("said").className = answer.ok ? "" : "bad";
  element("said").textContent = answer.message;
  if (answer.ok) element("result").src = answer.picture;
  else element("result").removeAttribute("src");
  element("accept").disabled = !answer.ok;
}

picture.addEventListener("pointerdown", event => {
  const p = inside(toImage(event));
  held = corners.findIndex(q => Math.hypot(q[0] - p[0], q[1] - p[1]) * scale < 12);
  if (held < 0 && corners.length < 4) { corners.push(p); held = corners.length - 1; }
  if (held >= 0) { last = held; picture.setPointerCapture(event.pointerId); }
  draw();
});
picture.addEventListener("pointermove", event => {
  pointer = inside(toImage(event));
  if (held >= 0) corners[held] = pointer;
  draw();
});
picture.addEventListener("pointerup", () => { held = -1; draw(); preview(); });
const STEPS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
document.addEventListener("keydown", event => {
  const step = STEPS[event.key];
  if (!step || last < 0) return;
  event.preventDefault();
  const p = corners[last];
  corners[last] = inside([p[0] + step[0] / 4, p[1] + step[1] / 4]);
  draw(); preview();
});
element("again").onclick = () => {
  corners = []; last = -1; asked++; element("said").textContent = ""; draw(); preview();
};
for (const what of ["accept", "cancel"]) {
  element(what).onclick = async () => {
    const answer = await send(what);
    element("said").textContent = answer.message;
    if (answer.ok) document.querySelectorAll("button").forEach(b => { b.disabled = true; });
  };
}
image.onload = () => {
  scale = Math.min(1.5, Math.max(0.3, (window.innerWidth - 460) / image.width));
  picture.width = image.width * scale; picture.height = image.height * scale;
  draw();
};
image.src = "image.png";
</script>
</html>
"""
