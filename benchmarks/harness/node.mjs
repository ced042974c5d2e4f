// The same work and the same protocol as in src/lib.rs, for contestants that run in node.
//
// A contestant: { about, bulk, setup(url, params), open(url, tasks, params) -> { enqueue(job), enqueueMany(jobs),
// unfinished() }, work(url, params) }.
import fs from "node:fs";
import readline from "node:readline";

const CHUNK = 1000;
const TASKS = 32;
const WARMING = 20;
const LOOK_MS = 2;
const STILL_US = 1_000_000;

/** Microseconds on a clock that all processes of the machine share. */
const now = () => Number(process.hrtime.bigint() / 1000n);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (object) => fs.writeSync(1, JSON.stringify(object) + "\n");
const cpu = () => { const used = process.cpuUsage(); return used.user + used.system; };
const peak = () => process.resourceUsage().maxRSS;
const wakeUps = () => process.resourceUsage().voluntaryContextSwitches;

const payload = (id) => ({ id, sent: now(), to: "user-000042@example.com", subject: "welcome aboard, and thank you for joining" });

/** A slot for each job: how long it took, plus one; 0 while it was not handled. */
let slots = new Uint32Array(0);
let pause = 0;
let handled = 0;
let doubled = 0;

/** What every handler awaits or calls. */
export function handle(job) {
  if (pause > 0) return sleep(pause).then(() => note(job));
  note(job);
}

function note(job) {
  const took = Math.min(Math.max(now() - job.sent, 0) + 1, 0xffffffff);
  if (job.id < slots.length && slots[job.id] === 0) { slots[job.id] = took; handled++; } else doubled++;
}

function mixed(id) {
  const wrap = (value) => BigInt.asUintN(64, value);
  let mix = wrap(BigInt(id) + 0x9e3779b97f4a7c15n);
  mix = wrap((mix ^ (mix >> 30n)) * 0xbf58476d1ce4e5b9n);
  mix = wrap((mix ^ (mix >> 27n)) * 0x94d049bb133111ebn);
  return mix ^ (mix >> 31n);
}

function checksum() {
  let sum = 0n;
  for (let id = 0; id < slots.length; id++) if (slots[id] > 0) sum += mixed(id);
  return BigInt.asUintN(64, sum).toString();
}

function latencies(skip) {
  const took = slots.subarray(skip).filter((it) => it > 0).sort();
  const at = (share) => (took.length ? (took[Math.max(1, Math.ceil(took.length * share)) - 1] - 1) / 1000 : 0);
  return { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1) };
}

/** The runner's orders, one after the other; undefined when it has let go. */
function listen() {
  const waiting = [], asking = [];
  let ended = false;
  const give = (order) => (asking.length ? asking.shift()(order) : waiting.push(order));
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", give);
  lines.on("close", () => { ended = true; while (asking.length) asking.shift()(undefined); });
  const next = () => (waiting.length || ended ? Promise.resolve(waiting.shift()) : new Promise((resolve) => asking.push(resolve)));
  return {
    next,
    async ready() { say({ ready: true }); if ((await next()) !== "go") throw new Error("the runner did not say go"); },
    async end() { while ((await next()) !== undefined); },
  };
}

async function fill(queue, jobs) {
  for (let start = 0; start < jobs; start += CHUNK)
    await queue.enqueueMany(Array.from({ length: Math.min(CHUNK, jobs - start) }, (_, at) => payload(start + at)));
}

async function some(queue, jobs, tasks) {
  let next = 0;
  await Promise.all(Array.from({ length: tasks }, async () => { while (next < jobs) await queue.enqueue(payload(next++)); }));
}

async function bulk(contestant, url, params, number) {
  const jobs = number("jobs", 100000), orders = listen();
  const queue = await contestant.open(url, 1, params);
  await orders.ready();
  const [began, used] = [now(), cpu()];
  await fill(queue, jobs);
  say({ enqueued: jobs, warming: 0, began_us: began, ended_us: now(), cpu_us: cpu() - used, peak_kb: peak() });
  await orders.end();
}

async function produce(contestant, url, params, number) {
  const tasks = number("tasks", 1), time = number("seconds", 4) * 1e6, rate = number("rate", 0), orders = listen();
  const queue = await contestant.open(url, tasks, params);
  const warming = WARMING * tasks;
  await some(queue, warming, tasks);
  await orders.ready();
  const [began, used] = [now(), cpu()];
  let next = warming;
  await Promise.all(Array.from({ length: tasks }, async (_, task) => {
    const gap = rate > 0 ? (tasks / rate) * 1e6 : 0;
    let due = began + (gap * task) / tasks;
    while (true) {
      if (gap > 0) {
        const wait = Math.min(due, began + time) - now();
        due += gap;
        if (wait > 0) await sleep(wait / 1000);
      }
      if (now() - began >= time) return;
      await queue.enqueue(payload(next++));
    }
  }));
  say({ enqueued: next, warming, began_us: began, ended_us: now(), cpu_us: cpu() - used, peak_kb: peak() });
  await orders.end();
}

async function work(contestant, url, params, number) {
  slots = new Uint32Array(number("slots", 100000));
  pause = number("handler_us", 0) / 1000;
  const patience = number("patience", 10) * 1e6, orders = listen();
  const queue = await contestant.open(url, 1, params);
  await queue.unfinished();
  await orders.ready();
  const [began, used, woken] = [now(), cpu(), wakeUps()];
  await contestant.work(url, params);
  let order;
  while ((order = await orders.next()) !== undefined && !order.startsWith("expect"))
    if (order === "sample") say({ handled, cpu_us: cpu() - used, wake_ups: wakeUps() - woken });
  if (order === undefined) return;
  const [jobs, skip] = order.split(" ").slice(1).map(Number);
  let seen = handled, moved = now(), ended, unfinished;
  while (true) {
    ended = now();
    if (handled !== seen) { seen = handled; moved = ended; }
    if (handled >= jobs || ended - moved >= STILL_US) {
      unfinished = await queue.unfinished();
      if (unfinished === 0 || ended - moved >= patience) break;
    }
    await sleep(LOOK_MS);
  }
  say({ handled, doubled, checksum: checksum(), unfinished, began_us: began, ended_us: ended, cpu_us: cpu() - used, peak_kb: peak(), latency: latencies(skip) });
  await orders.end();
}

/** The program around a contestant. */
export async function main(contestant) {
  try {
    const [command, url, ...pairs] = process.argv.slice(2);
    const params = Object.fromEntries(pairs.map((pair) => pair.split(/=(.*)/s).slice(0, 2)));
    const number = (key, fallback) => (params[key] === undefined ? fallback : Number(params[key]));
    if (number("queues", 1) > 1) throw new Error("it is not driven with several queues here");
    if (number("processes", 1) > 1) throw new Error("it is not driven with several processes here");
    if (number("delay", 0) > 0) throw new Error("it is not driven with delays here");
    // As in Rust: where handlers do nothing, the contestant says how many at once are best.
    params.concurrency = (best) => (number("handler_us", 0) > 0 ? number("concurrency", best) : best);
    const commands = { bulk, produce, work };
    if (command === "about") say(contestant.about);
    else if (command === "setup") { await contestant.setup(url, params); say({}); }
    else if (command === "preload") { await fill(await contestant.open(url, 1, params), number("jobs", 0)); say({}); }
    else if (command === "count") say({ unfinished: await (await contestant.open(url, 1, params)).unfinished() });
    else if (commands[command]) await commands[command](contestant, url, params, (key, fallback) => {
      const value = params[key];
      return value === undefined || typeof value === "function" ? fallback : Number(value);
    });
    else throw new Error(`there is no command ${command}`);
    process.exit(0);
  } catch (error) {
    say({ error: String(error?.message ?? error) });
    process.exit(1);
  }
}
