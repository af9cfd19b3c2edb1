import { Chart } from "./chart.js";

const MIB = 1024 * 1024;
const KEPT = 600; // a minute
const SECOND = 10; // samples
const $ = (id) => document.getElementById(id);
const samples = [];
let socket, high = 65536, bound = 81920, retry = 500, lastPaused = false;

// ---- Charts ----------------------------------------------------------------------------------------------------

/** The mean of the last second, at each sample. */
function smooth(pick) {
  let sum = 0;
  return samples.map((sample, i) => {
    sum += pick(sample);
    if (i >= SECOND) sum -= pick(samples[i - SECOND]);
    return sum / Math.min(i + 1, SECOND);
  });
}

const each = (pick) => samples.map(pick);

/** The content of each chart. */
const CHARTS = {
  "chart-rss": {
    min: () => 100,
    lines: [
      ["Deno native", "theirs", () => each((s) => s.native.rss / MIB), { fill: true }],
      ["Sluice", "ours", () => each((s) => s.sluice.rss / MIB), { fill: true }],
    ],
  },
  "chart-queue": {
    min: () => bound * 1.25 / 1024,
    lines: [
      ["most in 0.1 s", "ours", () => each((s) => s.sluice.peak / 1024), { fill: true }],
      ["bound", "text", () => each(() => bound / 1024), {}],
      ["high-water mark", "faint", () => each(() => high / 1024), { dash: [6, 4] }],
    ],
  },
  "chart-flow": {
    min: () => 4,
    lines: [
      ["made", "faint", () => smooth((s) => s.sluice.made / MIB), { dash: [6, 4] }],
      ["taken", "ours", () => smooth((s) => s.sluice.taken / MIB)],
    ],
  },
  "chart-theirs": {
    min: () => 40,
    lines: [["queue", "theirs", () => each((s) => s.native.queue / MIB), { fill: true }]],
  },
  "chart-events": {
    min: () => 40,
    lines: [
      ["drains", "ours", () => smooth((s) => s.sluice.drains).map((mean) => mean * SECOND)],
      ["paused", "faint", () => each((s) => s.paused ? 1 : null), { width: 6 }],
    ],
  },
  "chart-rtt": {
    min: () => 5,
    lines: [["round trip", "ours", () => each((s) => s.roundTrip)]],
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
  const last = samples.at(-1), recent = samples.slice(-SECOND);
  const mean = (pick) => recent.reduce((sum, s) => sum + pick(s), 0) / recent.length;
  $("queue").textContent = `${Math.round(last.sluice.peak / 1024)} KiB`;
  $("made").textContent = (mean((s) => s.sluice.made) / MIB).toFixed(1);
  $("taken").textContent = (mean((s) => s.sluice.taken) / MIB).toFixed(1);
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
  hello({ name }) {
    state("open", `connected as ${name}`);
  },
  start({ rate, chunk, sockets, history, settings, ...message }) {
    high = message.high;
    bound = high + chunk;
    $("rate").textContent = `${rate / MIB} MiB/s`;
    $("bound").textContent =
      `${bound / 1024} KiB, never more: the mark of ${high / 1024} and one ` +
      `message of ${chunk / 1024}, whatever the consumer does.`;
    for (const note of document.querySelectorAll("[data-sockets]")) {
      note.hidden = note.dataset.sockets !== sockets;
    }
    samples.length = 0;
    samples.push(...history);
    $("restart").disabled = false;
    receivers.settings(settings);
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
    $("people").textContent = count === 1 ? "1 page open: open another" : `${count} pages open`;
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
$("restart").addEventListener("click", ({ target }) => {
  target.disabled = true;
  tell({ t: "restart" });
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
