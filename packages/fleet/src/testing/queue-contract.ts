import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Database } from '../database/database.ts';
import { openQueue, type QueueOptions } from '../queue/pg-boss-queue.ts';
import type { Queue } from '../queue/queue-port.ts';
import type { Result } from '../result.ts';
import { type WorkItem, workItemId } from '../work-item.ts';

const VERSION = '1.0.0';
const LIMIT = 60;

const item = (name: string, hekiVersion = VERSION): WorkItem => ({
  source: { uri: `/dumps/${name}`, fingerprint: 'f' },
  command: 'audit',
  options: {},
  hekiVersion,
});

const result = (over: Partial<Result> = {}): Result => ({
  ...{ outcome: 'pass', text: 'no finding', worst: 'info', kernel: 'Linux', findings: [], report: '{}' },
  milliseconds: 1,
  ...over,
});

const FINDING = {
  ...{ id: 'heki/wx-alias', severity: 'critical', summary: 's', fingerprint: 'f', pages: 1, fails: true },
};

/** What a queue does, whatever database is under it. @param open the database, each time that it is asked for */
export function describeQueue(what: string, open: () => Promise<Database>): void {
  describe(what, () => {
    let database: Database;
    beforeAll(async () => {
      database = await open();
    }, 120_000);
    afterAll(() => database.close());
    let tenants = 0;

    /** The queue of a tenant of its own, and whatever else is opened in the same database. */
    async function fresh() {
      const tenant = `t${++tenants}`;
      const of = (options: Partial<QueueOptions> = {}): Promise<Queue> =>
        openQueue(
          { ...database, close: () => Promise.resolve() },
          { hekiVersion: VERSION, tenant, setUp: true, ...options },
        );
      const sql = (text: string) => database.query(text.replaceAll('@', `heki_fleet_${tenant}.`), []);
      return { of, sql, queue: await of() };
    }

    /** Takes the next job, which must be there. */
    async function taken(queue: Queue) {
      const job = await queue.take();
      if (job === undefined) throw new Error('no job waits');
      return job;
    }

    async function all(queue: Queue, filter = {}) {
      const found = [];
      for await (const one of queue.results(filter)) found.push(one);
      return found;
    }

    test('what is submitted twice, at once or after its end, is one job and one result', async () => {
      const { queue } = await fresh();
      const items = [item('a'), item('b'), item('a')];
      const added = await Promise.all([queue.submit(items, LIMIT), queue.submit(items, LIMIT)]);
      expect(added.reduce((sum, one) => sum + one)).toBe(2);
      const uris = new Set<string>();
      for (let count = 0; count < 2; count++) {
        const job = await taken(queue);
        expect(job).toMatchObject({ attempt: 0, timeLimit: LIMIT });
        uris.add(job.item.source.uri);
        await queue.finish(job, result(), 'w');
      }
      expect(uris).toEqual(new Set(['/dumps/a', '/dumps/b']));
      expect(await queue.take()).toBeUndefined();
      expect(await queue.submit(items, LIMIT)).toBe(0);
      expect(await queue.isBusy()).toBe(false);
      expect(await queue.status()).toMatchObject({ waiting: 0, active: 0, results: { pass: 2, fail: 0 } });
    });

    test('a job that fails is tried three times, set aside with its reason, and as often again when asked to', async () => {
      const { queue, sql } = await fresh();
      await queue.submit([item('poison')], LIMIT);
      async function threeFail(first: number) {
        for (let attempt = first; attempt < first + 3; attempt++) {
          const job = await taken(queue);
          expect(job.attempt).toBe(attempt);
          await queue.fail(job, `took too long\0 ${attempt}`);
          await sql("UPDATE @job SET start_after = now() - interval '1 second'");
        }
        expect(await queue.take()).toBeUndefined();
      }
      await threeFail(0);
      const [one] = await queue.setAside();
      expect(one).toMatchObject({ uri: '/dumps/poison', reason: 'took too long\u{fffd} 2', attempts: 3 });
      expect((await queue.status()).reasons).toEqual([{ reason: 'took too long\u{fffd} 2', count: 1 }]);
      expect(await queue.submit([item('poison')], LIMIT)).toBe(0);
      expect(await queue.retry([one?.id ?? ''])).toBe(1);
      await threeFail(3);
      expect(await queue.setAside()).toMatchObject([{ attempts: 6 }]);
      expect([await queue.retry(), await queue.retry()]).toEqual([1, 0]);
      await queue.finish(await taken(queue), result(), 'w');
      expect(await queue.setAside()).toEqual([]);
    });

    test('the job of a worker that was killed comes back after its time, and a late result is the only one', async () => {
      const { of, sql, queue } = await fresh();
      await queue.submit([item('a')], LIMIT);
      const late = await taken(queue);
      await sql("UPDATE @job SET started_on = now() - interval '1 hour'");
      await queue.fail({ ...late, attempt: 7 }, 'of another attempt');
      expect(await queue.status()).toMatchObject({ active: 1 });
      await expire(sql);
      expect(await queue.status()).toMatchObject({ active: 0, waiting: 1 });
      await sql("UPDATE @job SET start_after = now() - interval '1 second'");
      const again = await taken(queue);
      expect(again.attempt).toBe(1);
      // The first worker was only slow. What it says of the job is no longer asked for; what it found out is.
      await queue.fail(late, 'the network was away');
      expect(await queue.status()).toMatchObject({ active: 1 });
      await queue.finish(late, result({ text: 'of the first' }), 'first');
      await queue.finish(again, result({ text: 'of the second' }), 'second');
      expect(await all(queue)).toMatchObject([{ text: 'of the first', worker: 'first' }]);
      expect(await (await of()).isBusy()).toBe(false);
    });

    test('a result that comes while the job waits for its next attempt ends it', async () => {
      const { sql, queue } = await fresh();
      await queue.submit([item('a')], LIMIT);
      const late = await taken(queue);
      await sql("UPDATE @job SET started_on = now() - interval '1 hour'");
      await expire(sql);
      await queue.finish(late, result(), 'w');
      await sql("UPDATE @job SET start_after = now() - interval '1 second'");
      expect(await queue.take()).toBeUndefined();
      expect(await queue.isBusy()).toBe(false);
    });

    test('what changed, and is again what was submitted, is audited when it is asked for anew; other results stay', async () => {
      const { queue } = await fresh();
      for (const outcome of ['changed', 'changed', 'pass'] as const) {
        expect(await queue.submit([item('a')], LIMIT)).toBe(1);
        await queue.finish(await taken(queue), result({ outcome }), 'w');
        expect(await all(queue)).toMatchObject([{ outcome }]);
      }
      expect(await queue.submit([item('a')], LIMIT)).toBe(0);
      expect(await queue.isBusy()).toBe(false);
    });

    test('a row that is no work item, or not the one of its id and queue, is set aside, and others are done', async () => {
      const { queue, sql } = await fresh();
      const foreign = item('b', '2.0.0');
      for (const [id, data] of [
        [workItemId(item('wrong')), {}],
        [workItemId(item('other')), item('a')],
        [workItemId(foreign), foreign],
      ] as const) {
        await sql(
          `INSERT INTO @job (id, name, data) VALUES ('${id}', 'audit' || chr(64) || '${VERSION}', '${JSON.stringify(data)}')`,
        );
      }
      await queue.submit([item('sound')], LIMIT);
      expect((await taken(queue)).item).toEqual(item('sound'));
      const reason = 'no work item of heki 1.0.0 with this id';
      const found = await queue.setAside();
      expect(found.map(({ uri }) => uri).sort()).toEqual(['/dumps/a', '/dumps/b', '?']);
      expect((await queue.status()).reasons).toEqual([{ reason, count: 3 }]);
    });

    test('a worker of another version never sees a job, and the status says whom it waits for', async () => {
      const { of, queue } = await fresh();
      await queue.submit([item('a')], LIMIT);
      const other = await of({ hekiVersion: '2.0.0' });
      expect(await other.take()).toBeUndefined();
      expect(await other.isBusy()).toBe(false);
      expect(await other.status()).toMatchObject({ waiting: 1, waitingForOthers: { '1.0.0': 1 } });
      expect((await queue.take())?.item).toEqual(item('a'));
    });

    test('a tenant sees nothing of another', async () => {
      const [one, other] = [await fresh(), await fresh()];
      await one.queue.submit([item('a')], LIMIT);
      expect(await other.queue.take()).toBeUndefined();
      expect(await other.queue.submit([item('a')], LIMIT)).toBe(1);
    });

    test('results come in their order, by time, finding and outcome, with whatever guests wrote', async () => {
      const { queue } = await fresh();
      const names = Array.from({ length: 12 }, (_, index) => `${index}`);
      await queue.submit(
        names.map((name) => item(name)),
        LIMIT,
      );
      const hostile = '\u0000\u001b]0;x\u0007"; DROP TABLE job; --\ud800\u{202e}';
      const uris: string[] = [];
      for (const name of names) {
        const fails = name === '3' || name === '5';
        const job = await taken(queue);
        uris.push(job.item.source.uri);
        await queue.finish(
          job,
          result({
            ...{ kernel: hostile, report: JSON.stringify({ name, hostile }) },
            ...(fails && { outcome: 'fail' as const, findings: [FINDING], text: hostile }),
          }),
          'w',
        );
      }
      const found = await all(queue);
      expect(found.map(({ item }) => item.source.uri)).toEqual(uris);
      const fifth = found[5];
      expect(JSON.parse((await queue.report(fifth?.id ?? '')) ?? '')).toEqual({ name: '5', hostile });
      expect(await all(queue, { finding: 'heki/wx-alias' })).toHaveLength(2);
      expect(await all(queue, { outcome: 'pass' })).toHaveLength(10);
      expect(await all(queue, { since: fifth?.finishedAt })).toHaveLength(
        found.filter(({ finishedAt }) => finishedAt >= (fifth?.finishedAt ?? 0)).length,
      );
      expect(await all(queue, { since: new Date(Date.now() + 86_400_000) })).toEqual([]);
    });

    test('what waits can be cancelled and given back, and old results forgotten, after which they may be asked for anew', async () => {
      const { sql, queue } = await fresh();
      await queue.submit([item('a'), item('b')], LIMIT);
      expect(await queue.cancel()).toBe(2);
      expect(await queue.take()).toBeUndefined();
      expect(await queue.retry()).toBe(2);
      await queue.finish(await taken(queue), result(), 'w');
      await queue.finish(await taken(queue), result(), 'w');
      expect(await queue.purge(1)).toBe(0);
      await sql("UPDATE @result SET finished_at = now() - interval '2 days'");
      expect(await queue.purge(1)).toBe(2);
      expect(await queue.submit([item('a')], LIMIT)).toBe(1);

      // The same of what came to nothing; what waits stays.
      await queue.submit([item('b'), item('c')], LIMIT);
      const { id } = await taken(queue);
      await sql(`UPDATE @job SET state = 'failed', completed_on = now() WHERE id = '${id}'`);
      await queue.cancel([workItemId(item('c'))]);
      expect(await queue.purge(1)).toBe(0);
      await sql(
        "UPDATE @job SET created_on = now() - interval '3 days', completed_on = now() - interval '2 days'",
      );
      expect(await queue.purge(1)).toBe(2);
      expect(await queue.status()).toMatchObject({ waiting: 1, setAside: 0, cancelled: 0 });
    });

    test('what a process left behind that had the database alone is freed at once, however often, and counts against no job', async () => {
      const { of, sql, queue } = await fresh();
      await queue.submit([item('a')], LIMIT);
      for (let death = 0; death < 4; death++) {
        await taken(queue);
        const next = await of({ alone: true });
        expect(await next.status()).toMatchObject({ active: 0, waiting: 1, setAside: 0 });
      }
      for (let attempt = 4; attempt < 7; attempt++) {
        await queue.fail(await taken(queue), 'of its own');
        await sql("UPDATE @job SET start_after = now() - interval '1 second'");
      }
      expect(await queue.status()).toMatchObject({ waiting: 0, setAside: 1 });
    });

    test('without tables, or with those of a newer heki, it says who makes them', async () => {
      const { of, sql } = await fresh();
      await expect(of({ tenant: 'none', setUp: false })).rejects.toThrow('by heki fleet setup');
      await sql('INSERT INTO @migration (version) VALUES (99)');
      await expect(of({ setUp: false })).rejects.toThrow('of a newer heki (99, ');
      await expect(of()).rejects.toThrow('of a newer heki (99, ');
    });
  });
}

/** What pg-boss does every few seconds. */
async function expire(sql: (text: string) => Promise<unknown>): Promise<void> {
  await sql(
    "UPDATE @job SET state = 'retry', start_after = now() + interval '1 second' WHERE state = 'active' AND started_on + expire_in < now()",
  );
}
