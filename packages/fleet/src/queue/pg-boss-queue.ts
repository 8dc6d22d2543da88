import PgBoss from 'pg-boss';
import type { Database, Rows, Sql } from '../database/database.ts';
import { OUTCOMES, type Outcome, type StoredResult } from '../result.ts';
import { workItemId } from '../work-item.ts';
import { type FleetRight, grant } from './grants.ts';
import type { FleetStatus, Job, Queue, ResultFilter, SetAside } from './queue-port.ts';
import { jobItemOf, resultOf } from './rows.ts';
import { checkTables, migrate } from './tables.ts';

/** How a queue is opened. */
export interface QueueOptions {
  /** Only jobs for this version are taken. */
  readonly hekiVersion: string;
  /** Whose queue it is: each tenant has a schema of its own. */
  readonly tenant?: string | undefined;
  /** Makes the tables where they are not there. */
  readonly setUp?: boolean;
  /** Roles that may use the tables, where they are made. */
  readonly grants?: readonly (readonly [right: FleetRight, role: string])[];
  /** No other process has the database: what is being done was left behind by one that ended. */
  readonly alone?: boolean;
  /** Frees what workers have taken and did not finish in their time. */
  readonly supervise?: boolean;
}

/** Times that a job is taken again when it failed. */
const RETRIES = 2;
/** Seconds before that, so that others come first: a worker that is at fault itself should not take it again. */
const RETRY_DELAY = 1;
/** Seconds that a worker has beside the time limit of the job: to start its process, and to keep the result. */
const GRACE = 60;
const SUPERVISE_EVERY = 10;
/** Jobs in one command of SQL. */
const BATCH = 1000;
const RESULT_BATCH = 500;
const MOST_REASONS = 20;
/** Characters of a reason that are kept. */
const LONGEST_REASON = 2000;
/** What was set aside, and what waits, is kept until somebody says otherwise: pg-boss would drop it after two weeks. */
const KEPT_SECONDS = 10 * 365 * 86_400;

const RESULT_COLUMNS =
  'id, item, heki_version, outcome, description, worst, kernel, findings, finding_ids, report, milliseconds, worker';
const RESULT_VALUES = '$1, $2, $3, $4, $5, $6, $7, $8, $9::text[], $10, $11, $12';

/** The schema in which everything of a tenant is. @param tenant letters, digits and underscores; not checked here */
function schemaOf(tenant: string | undefined): string {
  return tenant === undefined ? 'heki_fleet' : `heki_fleet_${tenant}`;
}

/**
 * Opens the queue in `database`.
 *
 * @throws {FleetError} when its tables are not those of this version, and are not to be made
 */
export async function openQueue(database: Database, options: QueueOptions): Promise<Queue> {
  const { hekiVersion, tenant, setUp = false, alone = false, supervise = false } = options;
  const { grants = [] } = options;
  const schema = schemaOf(tenant);
  const name = queueName(hekiVersion);
  const boss = new PgBoss({
    db: asBossDb(database),
    schema,
    schedule: false,
    supervise,
    migrate: setUp,
    maintenanceIntervalSeconds: SUPERVISE_EVERY,
    archiveFailedAfterSeconds: KEPT_SECONDS,
    retentionSeconds: KEPT_SECONDS,
  });
  // What fails in its timers fails again at the next call, which tells it.
  boss.on('error', () => {});
  if (!setUp) await checkTables(database, schema);
  await boss.start();
  if (setUp) await migrate(database, schema, name);
  for (const [right, role] of grants) await grant(database, schema, right, role);
  if (alone) await freeLeftBehind(database, schema);

  return {
    async submit(items, timeLimit) {
      let added = 0;
      for (let at = 0; at < items.length; at += BATCH) {
        const jobs = new Map(items.slice(at, at + BATCH).map((item) => [workItemId(item), item]));
        added += await database.transaction(async (sql) => {
          const known = await sql.query(
            `SELECT id::text AS id FROM ${schema}.result WHERE id = ANY($1::uuid[]) AND outcome <> 'changed'`,
            [[...jobs.keys()]],
          );
          for (const { id } of known) jobs.delete(String(id));
          if (jobs.size === 0) return 0;
          await boss.insert(
            [...jobs].map(([id, item]) => ({
              ...{ id, name, data: item },
              retryLimit: RETRIES,
              retryDelay: RETRY_DELAY,
              expireInSeconds: timeLimit + GRACE,
            })),
            { db: asBossDb(sql) },
          );
          // Of what was there before, another transaction made the row.
          const [made] = await sql.query(
            `SELECT count(*)::int AS count FROM ${schema}.job WHERE name = $1 AND id = ANY($2::uuid[]) AND xmin = pg_current_xact_id()::xid`,
            [name, [...jobs.keys()]],
          );
          return Number(made?.count);
        });
      }
      return added;
    },

    async take() {
      for (;;) {
        const { db, failure } = telling(database);
        const [found] = await boss.fetch(name, { includeMetadata: true, priority: false, db });
        // pg-boss takes every error for an empty queue.
        if (failure() !== undefined) throw failure();
        if (found === undefined) return undefined;
        const item = jobItemOf(found.id, found.data);
        if (item?.hekiVersion !== hekiVersion) {
          await database.query(
            `UPDATE ${schema}.job SET state = 'failed', completed_on = now(), output = jsonb_build_object('reason', $3::text)
             WHERE name = $1 AND id = $2`,
            [name, found.id, `no work item of heki ${hekiVersion} with this id`],
          );
          continue;
        }
        const job: Job = {
          id: found.id,
          item,
          attempt: found.retryCount,
          timeLimit: Number(found.expireInSeconds) - GRACE,
        };
        if (job.attempt === 0) return job;
        // Whoever had it before may have finished it after its time.
        const [done] = await database.query(
          `SELECT 1 FROM ${schema}.result WHERE id = $1 AND outcome <> 'changed'`,
          [job.id],
        );
        if (done === undefined) return job;
        await boss.complete(name, job.id);
      }
    },

    async finish({ id, item }, result, worker) {
      await database.transaction(async (sql) => {
        const row = [
          ...[id, JSON.stringify(item), item.hekiVersion, result.outcome, storable(result.text)],
          ...[result.worst ?? null, result.kernel === undefined ? null : storable(result.kernel)],
          JSON.stringify(result.findings),
          [...new Set(result.findings.map((finding) => finding.id))],
          ...[result.report, Math.round(result.milliseconds), worker],
        ];
        const replaced = await sql.query(
          `UPDATE ${schema}.result SET (${RESULT_COLUMNS}) = (${RESULT_VALUES}), finished_at = clock_timestamp()
           WHERE id = $1 AND outcome = 'changed' RETURNING 1`,
          row,
        );
        if (replaced.length === 0) {
          await sql.query(
            `INSERT INTO ${schema}.result (${RESULT_COLUMNS}) VALUES (${RESULT_VALUES}) ON CONFLICT (id) DO NOTHING`,
            row,
          );
        }
        // Active in whoever's hands, waiting for another attempt, or set aside: with a result it is done. What changed may be submitted again.
        await sql.query(
          result.outcome === 'changed'
            ? `DELETE FROM ${schema}.job WHERE name = $1 AND id = $2`
            : `UPDATE ${schema}.job SET state = 'completed', completed_on = now() WHERE name = $1 AND id = $2`,
          [name, id],
        );
      });
    },

    async fail({ id, attempt }, reason) {
      await database.transaction(async (sql) => {
        const [row] = await sql.query(
          `SELECT state::text AS state, retry_count FROM ${schema}.job WHERE name = $1 AND id = $2 FOR UPDATE`,
          [name, id],
        );
        // Its time was over, and it is somebody else's.
        if (row?.state !== 'active' || Number(row.retry_count) !== attempt) return;
        await boss.fail(
          name,
          id,
          { reason: storable(reason).slice(0, LONGEST_REASON) },
          { db: asBossDb(sql) },
        );
      });
    },

    async status() {
      const states = await database.query(
        `SELECT name, state::text AS state, count(*)::int AS count FROM ${schema}.job GROUP BY name, state`,
        [],
      );
      const results = await database.query(
        `SELECT outcome, count(*)::int AS count,
           count(*) FILTER (WHERE finished_at > now() - interval '1 minute')::int AS lately
         FROM ${schema}.result GROUP BY outcome`,
        [],
      );
      const reasons = await database.query(
        `SELECT replace(${REASON}, ${URI}, 'SOURCE') AS reason, count(*)::int AS count
         FROM ${schema}.job WHERE state = 'failed'
         GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ${MOST_REASONS}`,
        [],
      );
      return statusOf(states, results, reasons, hekiVersion);
    },

    async isBusy() {
      const [row] = await database.query(
        `SELECT EXISTS (SELECT 1 FROM ${schema}.job WHERE name = $1 AND state < 'completed') AS busy`,
        [name],
      );
      return row?.busy === true;
    },

    async *results(filter) {
      yield* storedResults(database, schema, filter);
    },

    async report(id) {
      const [row] = await database.query(`SELECT report FROM ${schema}.result WHERE id = $1`, [id]);
      return row === undefined ? undefined : String(row.report);
    },

    async setAside() {
      const rows = await database.query(
        `SELECT id::text AS id, ${URI} AS uri, ${REASON} AS reason, retry_count, completed_on FROM ${schema}.job
         WHERE state = 'failed' ORDER BY completed_on, id`,
        [],
      );
      return rows.map(
        ({ id, uri, reason, retry_count, completed_on }): SetAside => ({
          id: String(id),
          uri: String(uri),
          reason: String(reason),
          attempts: Number(retry_count) + 1,
          at: completed_on instanceof Date ? completed_on : new Date(String(completed_on)),
        }),
      );
    },

    async retry(ids) {
      // pg-boss's own gives one attempt: a network that is away for a moment would set it aside again. The count goes on, by which a worker
      // that comes late is told from the one that has the job now.
      const rows = await database.query(
        `UPDATE ${schema}.job
         SET state = (CASE WHEN state = 'failed' THEN 'retry' ELSE 'created' END)::${schema}.job_state,
           completed_on = NULL, start_after = now(),
           retry_limit = CASE WHEN started_on IS NULL THEN ${RETRIES} ELSE retry_count + 1 + ${RETRIES} END
         WHERE state IN ('failed', 'cancelled') AND ($1::uuid[] IS NULL OR id = ANY($1::uuid[])) RETURNING 1`,
        [ids ?? null],
      );
      return rows.length;
    },

    async cancel(ids) {
      const rows = await database.query(
        `UPDATE ${schema}.job SET state = 'cancelled', completed_on = now()
         WHERE state IN ('created', 'retry') AND ($1::uuid[] IS NULL OR id = ANY($1::uuid[])) RETURNING 1`,
        [ids ?? null],
      );
      return rows.length;
    },

    async purge(days) {
      const rows = await database.query(
        `WITH old AS (DELETE FROM ${schema}.result WHERE finished_at < now() - $1::int * interval '1 day' RETURNING id),
           jobs AS (
             DELETE FROM ${schema}.job WHERE id IN (SELECT id FROM old)
               OR (state IN ('failed', 'cancelled') AND completed_on < now() - $1::int * interval '1 day')
             RETURNING id)
         SELECT count(*)::int AS count FROM (SELECT id FROM old UNION SELECT id FROM jobs) AS forgotten`,
        [days],
      );
      return Number(rows[0]?.count);
    },

    async close() {
      await boss.stop({ graceful: false });
      await database.close();
    },
  };
}

/**
 * Gives back what a process had that was ended. That says nothing of the jobs, whose crashes are those of other processes: it is no attempt.
 */
async function freeLeftBehind(sql: Sql, schema: string): Promise<void> {
  await sql.query(
    `UPDATE ${schema}.job SET state = 'retry', retry_limit = retry_limit + 1, start_after = now()
     WHERE state = 'active'`,
    [],
  );
}

/** The queue of a version of heki: a worker of another one never sees its jobs. */
function queueName(hekiVersion: string): string {
  return `${PREFIX}${hekiVersion}`;
}

const PREFIX = 'audit@';

/** Of a job's source. */
const URI = `coalesce(data->'source'->>'uri', '?')`;

/** What pg-boss, or a worker, wrote when a job failed. */
const REASON = `coalesce(output->>'reason', output->'value'->>'message', 'unknown')`;

function statusOf(states: Rows, results: Rows, reasons: Rows, hekiVersion: string): FleetStatus {
  const sum = (wanted: readonly string[]): number =>
    states.reduce((all, { state, count }) => all + (wanted.includes(String(state)) ? Number(count) : 0), 0);
  const others: Record<string, number> = {};
  for (const { name, state, count } of states) {
    const version = String(name).slice(PREFIX.length);
    if (version !== hekiVersion && (state === 'created' || state === 'retry'))
      others[version] = (others[version] ?? 0) + Number(count);
  }
  const found = new Map(results.map(({ outcome, count }) => [outcome, Number(count)]));
  return {
    waiting: sum(['created', 'retry']),
    waitingForOthers: others,
    active: sum(['active']),
    cancelled: sum(['cancelled']),
    setAside: sum(['failed']),
    results: Object.fromEntries(OUTCOMES.map((outcome) => [outcome, found.get(outcome) ?? 0])) as Record<
      Outcome,
      number
    >,
    lastMinute: results.reduce((all, { lately }) => all + Number(lately), 0),
    reasons: reasons.map(({ reason, count }) => ({ reason: String(reason), count: Number(count) })),
  };
}

/** In batches, each behind the last row of the one before: rows that come meanwhile move nothing. */
async function* storedResults(
  database: Database,
  schema: string,
  { ids, since, finding, outcome }: ResultFilter,
): AsyncGenerator<StoredResult> {
  let last: StoredResult | undefined;
  for (;;) {
    const rows = await database.query(
      `SELECT id::text AS id, item, outcome, description, worst, kernel, findings, milliseconds, worker, finished_at
       FROM ${schema}.result
       WHERE ($1::timestamptz IS NULL OR finished_at >= $1) AND ($2::text IS NULL OR finding_ids @> ARRAY[$2])
         AND ($3::text IS NULL OR outcome = $3)
         AND ($6::uuid[] IS NULL OR id = ANY($6::uuid[]))
         AND ($4::timestamptz IS NULL OR (date_trunc('milliseconds', finished_at), id) > ($4, $5::uuid))
       ORDER BY date_trunc('milliseconds', finished_at), id LIMIT ${RESULT_BATCH}`,
      [
        since ?? null,
        finding ?? null,
        outcome ?? null,
        last?.finishedAt ?? null,
        last?.id ?? null,
        ids ?? null,
      ],
    );
    for (const row of rows) {
      last = resultOf(row);
      yield last;
    }
    if (rows.length < RESULT_BATCH) return;
  }
}

/** PostgreSQL's texts have no U+0000. */
function storable(text: string): string {
  return text.replaceAll('\0', '\u{fffd}');
}

function asBossDb(sql: Sql): PgBoss.Db {
  return { executeSql: async (text, values) => ({ rows: [...(await sql.query(text, values))] }) };
}

/** A database that keeps what it threw. */
function telling(sql: Sql): { readonly db: PgBoss.Db; readonly failure: () => unknown } {
  let failure: unknown;
  return {
    db: {
      async executeSql(text, values) {
        try {
          return { rows: [...(await sql.query(text, values))] };
        } catch (error) {
          failure = error;
          throw error;
        }
      },
    },
    failure: () => failure,
  };
}
