// graphile-worker 0.18.0 (Node), with the settings of its own performance tests: a local queue, completions batched
// without a delay.
import { Logger, makeWorkerUtils, run, runMigrations } from "graphile-worker";
import pg from "pg";
import { handle, main } from "../../harness/node.mjs";

const CONCURRENCY = 50;
const LOCAL_QUEUE = 2000;
const logger = new Logger(() => (level, message) => { if (level === "error") console.error(message); });

main({
  about: {
    name: "graphile-worker 0.18.0 (Node)",
    settings: "local queue of 2,000, 50 concurrent jobs, completions batched without a delay, pool of 52",
    bulk: "addJobs, 1,000 a call",
  },
  setup: (url) => runMigrations({ connectionString: url, logger }),
  async open(url, tasks) {
    const utils = await makeWorkerUtils({ connectionString: url, maxPoolSize: tasks, logger });
    const pool = new pg.Pool({ connectionString: url, max: 1 });
    return {
      enqueue: (job) => utils.addJob("bench", job),
      enqueueMany: (jobs) => utils.addJobs(jobs.map((payload) => ({ identifier: "bench", payload }))),
      async unfinished() {
        const { rows } = await pool.query("select count(*) from graphile_worker._private_jobs");
        return Number(rows[0].count);
      },
    };
  },
  async work(url, params) {
    const concurrency = params.concurrency(CONCURRENCY);
    await run({
      taskList: { bench: (job) => handle(job) },
      crontab: "",
      noHandleSignals: true,
      preset: {
        worker: {
          connectionString: url,
          concurrentJobs: concurrency,
          maxPoolSize: Math.min(concurrency, 100) + 2,
          logger,
          localQueue: { size: Math.max(LOCAL_QUEUE, concurrency) },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
        },
      },
    });
  },
});
