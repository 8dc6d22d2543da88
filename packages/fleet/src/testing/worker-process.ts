import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const built = (path: string) => JSON.stringify(new URL(`../../dist/${path}`, import.meta.url).href);

/** A process that does jobs: what each does is in its address. */
const JOB = `import { serveJobs } from ${built('worker/index.js')};
await serveJobs(async ([uri, attempt]) => {
  if (uri.includes('crash')) process.kill(process.pid, 'SIGSEGV');
  if (uri.includes('hang')) for (;;);
  await new Promise((resolve) => setTimeout(resolve, uri.includes('slow') && attempt === '0' ? 20000 : 50));
  const verdict = { result: 'pass', text: 'no finding', worst: null };
  return { exitCode: 0, report: JSON.stringify({ schema: { name: 'audit' }, verdict, findings: [], source: { kernel: null } }) };
}, { memoryLimit: 200 });`;

/** A worker of two jobs at a time, whose clock may be wrong. It tells each event in a line. */
const worker = (job: string) => `const [url, tenant, hekiVersion, skew] = process.argv.slice(2);
const now = Date.now;
Date.now = () => now() + Number(skew) * 1000;
const { openPostgres, openQueue } = await import(${built('queue/index.js')});
const { createJobProcess, readReport, work } = await import(${built('worker/index.js')});
const queue = await openQueue(openPostgres(url, 4), { hekiVersion, tenant, supervise: true });
const jobs = [1, 2].map(() => createJobProcess({ program: ${JSON.stringify(job)}, args: [], memoryLimit: 200 }));
const auditors = jobs.map((one) => async (job) => readReport(await one.run([job.item.source.uri, String(job.attempt)], job.timeLimit)));
const onEvent = ({ event, job, reason }) => console.log(event, job?.item.source.uri ?? reason);
await work({ queue, auditors, untilEmpty: true, stopped: new AbortController().signal, onEvent });
for (const one of jobs) one.close();
await queue.close();`;

/** A worker in a process. */
export interface WorkerProcess {
  readonly child: ChildProcess;
  said(): string;
  /** Waits until it has said that. @throws when it ends before */
  says(what: string): Promise<void>;
  /** Its exit code. */
  readonly ended: Promise<number | null>;
}

/** How a worker is started. */
export interface WorkerSettings {
  readonly url: string;
  readonly tenant: string;
  readonly version: string;
  /** Seconds that its clock is ahead. */
  readonly skew?: number;
  /** A command that starts what follows it, as `ip netns exec NAME`. */
  readonly within?: readonly string[];
}

/** What starts workers, whose programs are in `folder`. */
export function workersIn(folder: string): (settings: WorkerSettings) => WorkerProcess {
  const [jobProgram, program] = [join(folder, 'job.mjs'), join(folder, 'worker.mjs')];
  writeFileSync(jobProgram, JOB);
  writeFileSync(program, worker(jobProgram));
  return ({ url, tenant, version, skew = 0, within = [] }) => {
    const [file = '', ...args] = [...within, process.execPath, program, url, tenant, version, String(skew)];
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (more: string) => {
      text += more;
    });
    return {
      child,
      said: () => text,
      async says(what) {
        while (!text.includes(what)) {
          if (child.exitCode !== null) throw new Error(`the worker ended without ${what}: ${text}`);
          await delay(50);
        }
      },
      ended: once(child, 'close').then(([code]) => code),
    };
  };
}
