import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, test as everyTest, expect } from 'vitest';
import { openEmbedded } from '../database/embedded.ts';
import { openPostgres } from '../database/postgres.ts';
import type { Result } from '../result.ts';
import { createLossyNetwork } from '../testing/lossy-network.ts';
import { postgresPrograms, startPostgres } from '../testing/postgres-server.ts';
import { mountSmallDisk } from '../testing/small-disk.ts';
import { workersIn } from '../testing/worker-process.ts';
import type { WorkItem } from '../work-item.ts';
import { work } from '../worker/work.ts';
import { openQueue } from './pg-boss-queue.ts';
import type { Queue } from './queue-port.ts';

/** These take minutes, root, and programs of the system. `npm run test:fleet` sets HEKI_FAULTS. */
const programs = postgresPrograms();
const isAsked = process.env.HEKI_FAULTS === 'long' && userInfo().uid === 0 && programs !== undefined;
const test = everyTest.runIf(isAsked);

const scratch = mkdtempSync(join(tmpdir(), 'heki-faults-'));
afterAll(() => rmSync(scratch, { recursive: true }));
const worker = workersIn(scratch);
const VERSION = '1.0.0';
const RESULT: Result = {
  ...{ outcome: 'pass', text: 't', worst: undefined, kernel: undefined, findings: [] },
  ...{ report: '{}', milliseconds: 1 },
};

function itemsOf(count: number): WorkItem[] {
  return Array.from({ length: count }, (_, index) => ({
    source: { uri: `good-${index}`, fingerprint: 'f' },
    ...{ command: 'audit' as const, options: {}, hekiVersion: VERSION },
  }));
}

/** A server with a queue in which as many jobs wait. */
async function serverWith(jobs: number, folder = tmpdir()) {
  const server = await startPostgres(programs ?? '', folder);
  const queue = await openQueue(openPostgres(server.url(), 2), {
    hekiVersion: VERSION,
    setUp: true,
    tenant: 't',
  });
  await queue.submit(itemsOf(jobs), 5);
  return {
    server,
    /** That all was done, each once. */
    async expectAll() {
      expect(await queue.status()).toMatchObject({
        waiting: 0,
        active: 0,
        setAside: 0,
        results: { pass: jobs },
      });
      await queue.close();
      server.stop();
    },
  };
}

/** Longer than a worker waits for the answer to a query: a minute. */
const LONG_DROP = 75_000;

test('a network drops every packet for 75 seconds: the worker waits, and does all that is left', async () => {
  const { server, expectAll } = await serverWith(120);
  const url = new URL(server.url());
  const network = await createLossyNetwork(Number(url.port));
  try {
    url.host = `${network.host}:${network.port}`;
    const one = worker({ url: url.href, tenant: 't', version: VERSION, within: network.within });
    await one.says('done');
    network.drop(true);
    await delay(LONG_DROP);
    expect(one.said()).toContain('waiting the database: ');
    network.drop(false);
    expect(await one.ended).toBe(0);
    await expectAll();
  } finally {
    network.close();
  }
}, 400_000);

test("the server's disk is full: workers wait, and do all that is left", async () => {
  const disk = mountSmallDisk(160);
  try {
    const { server, expectAll } = await serverWith(300, disk.folder);
    const one = worker({ url: server.url(), tenant: 't', version: VERSION });
    await one.says('done');
    disk.fill();
    await one.says('waiting the database: ');
    disk.empty();
    expect(await one.ended).toBe(0);
    await expectAll();
  } finally {
    disk.unmount();
  }
}, 400_000);

test('the disk of an embedded database is full: whoever has it waits, or ends with the reason, and nothing is lost', async () => {
  const disk = mountSmallDisk(120);
  // A report that cannot be compressed needs pages that are not there yet.
  const auditors = [
    () => Promise.resolve({ ...RESULT, report: JSON.stringify(randomBytes(2 ** 16).toString('base64')) }),
  ];
  const reasons: string[] = [];
  let done = 0;
  /** Works until everything is done, or until it fails. */
  async function worked(): Promise<Queue> {
    const database = await openEmbedded(join(disk.folder, 'fleet'));
    const queue = await openQueue(database, { hekiVersion: VERSION, setUp: true, alone: true });
    await queue.submit(itemsOf(200), 60);
    await work({
      ...{ queue, auditors, untilEmpty: true, stopped: new AbortController().signal },
      onEvent(event) {
        if (event.event === 'waiting') {
          reasons.push(event.reason);
          disk.empty();
        } else if (++done === 20) disk.fill();
      },
    }).catch((error: unknown) => {
      reasons.push(String(error));
      disk.empty();
    });
    return queue;
  }
  try {
    const first = await worked();
    expect(reasons.join()).toMatch(/no space left/i);
    await first.close().catch(() => {});
    const next = await worked();
    expect(await next.status()).toMatchObject({ waiting: 0, active: 0, setAside: 0, results: { pass: 200 } });
    await next.close();
  } finally {
    disk.unmount();
  }
}, 300_000);
