import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPostgres } from '../database/postgres.ts';
import type { Result } from '../result.ts';
import { type PostgresServer, postgresPrograms, startPostgres } from '../testing/postgres-server.ts';
import { describeQueue } from '../testing/queue-contract.ts';
import { workersIn } from '../testing/worker-process.ts';
import type { WorkItem } from '../work-item.ts';
import { FLEET_RIGHTS } from './grants.ts';
import { openQueue } from './pg-boss-queue.ts';

const programs = postgresPrograms();
const scratch = mkdtempSync(join(tmpdir(), 'heki-workers-'));

const worker = workersIn(scratch);

describe.skipIf(programs === undefined)('on a PostgreSQL server', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres(programs ?? '');
  }, 120_000);
  afterAll(() => {
    server.stop();
    rmSync(scratch, { recursive: true });
  });

  describeQueue('a queue', () => Promise.resolve(openPostgres(server.url(), 8)));

  const result: Result = {
    ...{ outcome: 'pass', text: 't', worst: undefined, kernel: undefined, findings: [] },
    ...{ report: '{}', milliseconds: 1 },
  };

  const item = (uri: string, hekiVersion = '1.0.0'): WorkItem => ({
    ...{ source: { uri, fingerprint: 'f' }, command: 'audit', options: {}, hekiVersion },
  });

  test('each role may do what it is for, and nothing else, and nothing of another tenant', async () => {
    const owner = openPostgres(server.url(), 1);
    const rights = FLEET_RIGHTS;
    for (const right of rights) await owner.query(`CREATE ROLE ${right}_x LOGIN`);
    const grants = rights.map((right) => [right, `${right}_x`] as const);
    const made = await openQueue(openPostgres(server.url(), 1), {
      ...{ hekiVersion: '1.0.0', tenant: 'roles', setUp: true, grants },
    });
    const as = (right: string, tenant = 'roles') =>
      openQueue(openPostgres(server.url(`${right}_x`), 2), { hekiVersion: '1.0.0', tenant });
    const [submitter, worker, reader, keeper] = await Promise.all(rights.map((right) => as(right)));
    if (!submitter || !worker || !reader || !keeper) throw new Error('no queue');

    expect(await submitter.submit([item('a'), item('b')], 60)).toBe(2);
    await expect(submitter.take()).rejects.toThrow('permission denied');
    await expect(submitter.report('780713ff-c35a-8252-985a-fca2f45078aa')).rejects.toThrow(
      'permission denied',
    );
    const [first, second] = [await worker.take(), await worker.take()];
    if (first === undefined || second === undefined) throw new Error('no job');
    await worker.finish(first, result, 'w');
    await worker.fail(second, 'a reason');
    await expect(worker.purge(0)).rejects.toThrow('permission denied');
    expect(await reader.status()).toMatchObject({ waiting: 1, results: { pass: 1 } });
    expect(await reader.report(first.id)).toBe('{}');
    for (const refused of [
      () => reader.take(),
      () => reader.submit([item('c')], 60),
      () => reader.cancel(),
      () => reader.purge(0),
      () => keeper.take(),
      () => keeper.report(first.id),
      () => keeper.setAside(),
      () => keeper.retry(),
    ]) {
      await expect(refused()).rejects.toThrow('permission denied');
    }
    await made.retry();
    // A result that is no `changed` is no worker's to alter, not even by its own SQL.
    const hostile = openPostgres(server.url('worker_x'), 1);
    const altered = await hostile.query(
      "UPDATE heki_fleet_roles.result SET outcome = 'fail' WHERE id = $1 RETURNING 1",
      [first.id],
    );
    expect(altered).toEqual([]);
    await hostile.close();
    await owner.query("UPDATE heki_fleet_roles.result SET outcome = 'changed'");
    await owner.query('DELETE FROM heki_fleet_roles.job WHERE id = $1', [first.id]);
    expect(await submitter.submit([first.item], 60)).toBe(1);
    for (let job = await worker.take(); job !== undefined; job = await worker.take())
      if (job.id === first.id) await worker.finish(job, result, 'w');
    expect(await reader.status()).toMatchObject({ results: { pass: 1, changed: 0 } });
    expect(await keeper.purge(1)).toBe(0);
    await owner.query("UPDATE heki_fleet_roles.result SET finished_at = now() - interval '2 days'");
    expect(await keeper.purge(1)).toBe(1);
    await openQueue(owner, { hekiVersion: '1.0.0', tenant: 'roles_2', setUp: true });
    for (const right of rights) await expect(as(right, 'roles_2')).rejects.toThrow('permission denied');
    await Promise.all([made, submitter, worker, reader, keeper].map((one) => one.close()));
    await owner.close();
  }, 60_000);

  test('nothing is lost, twice or stuck: a worker is killed, the server falls, jobs crash and hang, clocks are wrong, another version works', async () => {
    const tenant = 'faults';
    const [queue, other] = await Promise.all(
      [1, 2].map(() =>
        openQueue(openPostgres(server.url(), 2), { hekiVersion: '1.0.0', tenant, setUp: true }),
      ),
    );
    if (queue === undefined || other === undefined) throw new Error('no queue');
    const sql = openPostgres(server.url(), 1);
    const names = ['crash', 'hang', ...Array.from({ length: 60 }, (_, index) => `good-${index}`)];
    const items = names.map((name) => item(name));
    const added = await Promise.all([queue.submit(items, 2), other.submit(items, 2)]);
    expect(added.reduce((sum, one) => sum + one)).toBe(items.length);

    // Of the killed worker's two jobs nobody hears again.
    await queue.submit([item('slow')], 30);
    await sql.query(
      "UPDATE heki_fleet_faults.job SET created_on = now() - interval '1 day' WHERE data->'source'->>'uri' = 'slow'",
    );
    const url = server.url();
    const killed = worker({ url, tenant, version: '1.0.0' });
    await killed.says('done');
    killed.child.kill('SIGKILL');
    await killed.ended;
    const { active } = await queue.status();
    expect(active).toBeGreaterThan(0);
    await sql.query(
      "UPDATE heki_fleet_faults.job SET started_on = now() - interval '1 hour' WHERE state = 'active'",
    );

    const stranger = worker({ url, tenant, version: '2.0.0-none' });
    const workers = [3, -3].map((days) => worker({ url, tenant, version: '1.0.0', skew: days * 86_400 }));
    for (const one of workers) await one.says('done');
    server.restart();
    await stranger.ended;
    expect(stranger.said()).not.toContain('done');
    for (const one of workers) expect(await one.ended).toBe(0);

    const status = await queue.status();
    expect(status).toMatchObject({ waiting: 0, active: 0, setAside: 2, results: { pass: 61 } });
    const setAside = await queue.setAside();
    expect(new Map(setAside.map(({ uri, reason, attempts }) => [uri, `${reason} ${attempts}`]))).toEqual(
      new Map([
        ['crash', 'was ended by SIGSEGV 3'],
        ['hang', 'took longer than 2 seconds 3'],
      ]),
    );
    const found = new Set<string>();
    for await (const { id } of queue.results({})) found.add(id);
    expect(found.size).toBe(61);
    await Promise.all([queue.close(), other.close(), sql.close()]);
  }, 240_000);
});
