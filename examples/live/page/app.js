import { Chart } from "./chart.js";

const MIB = 1024 * 1024;
const KEPT = 600; // a minute
const $ = (id) => document.getElementById(id);
const samples = [];
let socket, high = 65536, low = 0, retry = 500, lastPaused = false;

// ---- Charts ----------------------------------------------------------------------------------------------------

/** What each chart shows. */
const CHARTS = {
  "chart-queue": {
    min: () => high * 1.5 / 1024,
    lines: [
      ["queue", "ours", (s) => s.sluice.peak / 1024, { fill: true }],
      ["high mark", "mark", () => high / 1024, { dash: [6, 4] }],
      ["low mark", "good", () => low / 1024, { dash: [6, 4] }],
    ],
  },
  "chart-flow": {
    min: () => 4,
    lines: [
      ["made", "theirs", (s) => s.sluice.made / MIB],
      ["taken", "ours", (s) => s.sluice.taken / MIB],
    ],
  },
  "chart-rtt": { min: () => 5, lines: [["round trip", "ours", (s) => s.roundTrip]] },
  "chart-events": {
    min: () => 4,
    lines: [
      ["drains", "good", (s) => s.sluice.drains, { bars: true }],
      ["paused", "mark", (s) => s.paused ? 1 : null, { width: 5 }],
    ],
  },
  "chart-rss": {
    min: () => 100,
    lines: [
      ["Sluice", "ours", (s) => s.sluice.rss / MIB, { fill: true }],
      ["native", "theirs", (s) => s.native.rss / MIB, { fill: true }],
    ],
  },
};

const charts = Object.entries(CHARTS).map(([id, chart]) => new Chart($(id), chart));

function draw() {
  for (const chart of charts) chart.draw(samples);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

// ---- Figures ---------------------------------------------------------------------------------------------------

const mib = (bytes) => `${(bytes / MIB).toFixed(1)} MiB`;

function show() {
  const last = samples.at(-1), recent = samples.slice(-10);
  const mean = (pick) => recent.reduce((sum, s) => sum + pick(s), 0) / recent.length;
  $("queue").textContent = `${Math.round(last.sluice.peak / 1024)} of ${high / 1024} KiB`;
  $("made").textContent = `${mib(mean((s) => s.sluice.made))}/s`;
  $("taken").textContent = `${mib(mean((s) => s.sluice.taken))}/s`;
  $("drains").textContent = String(recent.reduce((sum, s) => sum + s.sluice.drains, 0));
  $("rtt").textContent = last.roundTrip === null ? "waiting" : `${last.roundTrip.toFixed(1)} ms`;
  $("rss-ours").textContent = mib(last.sluice.rss);
  $("rss-theirs").textContent = mib(last.native.rss);
  $("queue-theirs").textContent = mib(last.native.queue);
}

// ---- The connection --------------------------------------------------------------------------------------------

let due = false;
function soon() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    if (samples.length === 0) return;
    draw();
    show();
  });
}

const receivers = {
  hello(message) {
    ({ high, low } = message);
    $("rate").textContent = `${message.rate / MIB} MiB/s`;
    samples.length = 0;
    samples.push(...message.history);
    state("open", `connected as ${message.name}`);
    soon();
  },
  sample(sample) {
    samples.push({ ...sample, paused: lastPaused });
    if (samples.length > KEPT) samples.shift();
    soon();
  },
  settings({ speed, paused }) {
    lastPaused = paused;
    if (document.activeElement !== $("speed")) $("speed").value = Math.log2(speed / MIB);
    $("speed-out").textContent = `${(speed / MIB).toFixed(speed < 10 * MIB ? 1 : 0)} MiB/s`;
    $("pause").setAttribute("aria-pressed", String(paused));
    $("pause").firstElementChild.textContent = paused ? "Resume" : "Pause";
  },
  people({ count }) {
    $("people").textContent = `${count} ${count === 1 ? "page" : "pages"} open`;
  },
  chat({ name, text }) {
    const item = document.createElement("li");
    if (name === "") {
      item.className = "note";
      item.textContent = text;
    } else {
      const who = document.createElement("b");
      who.textContent = name;
      item.append(who, ` ${text}`);
    }
    const list = $("messages");
    const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
    list.append(item);
    while (list.children.length > 200) list.firstElementChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  },
};

function connect() {
  const url = new URL("/live", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(url, "sluice-live");
  socket.onopen = () => retry = 500;
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    receivers[message.t]?.(message);
  };
  socket.onclose = ({ code }) => {
    // With jitter, so that many pages don't come back at once.
    const wait = retry * (0.5 + Math.random());
    retry = Math.min(retry * 2, 15_000);
    state("closed", `connection lost (${code}), trying again`);
    setTimeout(connect, wait);
  };
}

function state(name, text) {
  $("state").dataset.state = name;
  $("state").textContent = text;
}

function tell(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

// ---- Controls --------------------------------------------------------------------------------------------------

$("speed").addEventListener("input", ({ target }) => {
  tell({ t: "speed", value: 2 ** Number(target.value) * MIB });
});
$("pause").addEventListener("click", () => tell({ t: "pause", value: !lastPaused }));
addEventListener("keydown", (event) => {
  if (event.key !== "p" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.id === "text") return;
  tell({ t: "pause", value: !lastPaused });
});
$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text !== "") tell({ t: "say", text });
  $("text").value = "";
});

connect();
