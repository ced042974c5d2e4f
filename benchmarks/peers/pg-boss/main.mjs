// pg-boss 12.38.0, with what its documents advise for many jobs: large batches, bursts while they are full, and
// notifications.
import pg from "pg";
import { PgBoss } from "pg-boss";
import { handle, main } from "../../harness/node.mjs";

const BATCH = 2000;
const WORKERS = 4;

async function start(url, max) {
  const boss = new PgBoss({ connectionString: url, max, useListenNotify: true });
  boss.on("error", (error) => console.error(error.message));
  await boss.start();
  return boss;
}

main({
  about: {
    name: "pg-boss 12.38.0 (Node)",
    settings: "4 workers with batches of 2,000, burstWhenBatchFull, notifications, a poll every 0.5 s, pool of 20",
    bulk: "insert, 1,000 a call",
  },
  async setup(url) {
    const boss = await start(url, 4);
    await boss.createQueue("bench", { notify: true });
    await boss.stop({ graceful: false });
  },
  async open(url, tasks) {
    const boss = await start(url, tasks);
    const pool = new pg.Pool({ connectionString: url, max: 1 });
    return {
      enqueue: (job) => boss.send("bench", job),
      enqueueMany: (jobs) => boss.insert("bench", jobs.map((data) => ({ data }))),
      async unfinished() {
        const { rows } = await pool.query("select count(*) from pgboss.job where name = 'bench' and state < 'completed'");
        return Number(rows[0].count);
      },
    };
  },
  async work(url, params) {
    const boss = await start(url, 20);
    const batch = Math.ceil(params.concurrency(BATCH * WORKERS) / WORKERS);
    await boss.work(
      "bench",
      { localConcurrency: WORKERS, batchSize: batch, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 },
      (jobs) => Promise.all(jobs.map((job) => handle(job.data))),
    );
  },
});
