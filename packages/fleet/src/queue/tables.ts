import type { Database } from '../database/database.ts';
import { FleetError } from '../error.ts';

/**
 * What is beside pg-boss's tables, a step for each version of it. A step that was published stays as it is.
 *
 * A report is text and not jsonb: guests choose parts of it, and jsonb refuses some of what JSON may have (U+0000, half surrogates).
 */
const MIGRATIONS: readonly ((schema: string) => string)[] = [
  (schema) => `
    CREATE TABLE ${schema}.result (
      id uuid PRIMARY KEY,
      item text NOT NULL,
      heki_version text NOT NULL,
      outcome text NOT NULL CHECK (outcome IN ('pass', 'fail', 'unreadable', 'changed')),
      description text NOT NULL,
      worst text,
      kernel text,
      findings text NOT NULL,
      finding_ids text[] NOT NULL,
      report text NOT NULL,
      milliseconds integer NOT NULL,
      worker text NOT NULL,
      finished_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE INDEX result_finished_at ON ${schema}.result (finished_at, id);
    CREATE INDEX result_finding_ids ON ${schema}.result USING gin (finding_ids);`,
  // Without it, taking the next job sorts all that wait: 14 ms of ten thousand.
  (schema) => `CREATE INDEX heki_next_job ON ${schema}.job (name, created_on, id) WHERE state < 'active'`,
  // A source that changed may be again what it was. A worker replaces such a result, and no other.
  (schema) => `
    ALTER TABLE ${schema}.result ENABLE ROW LEVEL SECURITY;
    CREATE POLICY heki_read ON ${schema}.result FOR SELECT USING (true);
    CREATE POLICY heki_keep ON ${schema}.result FOR INSERT WITH CHECK (true);
    CREATE POLICY heki_forget ON ${schema}.result FOR DELETE USING (true);
    CREATE POLICY heki_replace ON ${schema}.result FOR UPDATE USING (outcome = 'changed') WITH CHECK (true);
    DELETE FROM ${schema}.job WHERE id IN (SELECT id FROM ${schema}.result WHERE outcome = 'changed')`,
];

/**
 * Makes the tables what this version of heki needs, whatever they were, and its queue. Several processes may do so at once.
 *
 * @param queue its name; pg-boss's own call would deadlock with another's
 */
export async function migrate(database: Database, schema: string, queue: string): Promise<void> {
  await database.transaction(async (sql) => {
    await sql.query('SELECT pg_advisory_xact_lock(hashtext($1))', [`heki fleet ${schema}`]);
    await sql.query(
      `CREATE TABLE IF NOT EXISTS ${schema}.migration (version integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`,
      [],
    );
    const done = await versionOf(sql, schema);
    if (done > MIGRATIONS.length) throw newer(schema, done);
    for (const [index, step] of MIGRATIONS.entries()) {
      if (index < done) continue;
      for (const command of step(schema).split(';')) if (command.trim() !== '') await sql.query(command, []);
      await sql.query(`INSERT INTO ${schema}.migration (version) VALUES ($1)`, [index + 1]);
    }
    await sql.query(`SELECT ${schema}.create_queue($1, $2)`, [queue, JSON.stringify({ policy: 'standard' })]);
  });
}

/** @throws {FleetError} when the tables are not what this version of heki needs */
export async function checkTables(database: Database, schema: string): Promise<void> {
  const [found] = await database.query('SELECT to_regclass($1)::text AS name', [`${schema}.migration`]);
  const done = found?.name == null ? 0 : await versionOf(database, schema);
  if (done > MIGRATIONS.length) throw newer(schema, done);
  if (done < MIGRATIONS.length) {
    throw new FleetError(
      `the database has no tables of this version of heki in the schema ${schema}: whoever owns it makes them by heki fleet setup`,
    );
  }
}

async function versionOf(sql: Pick<Database, 'query'>, schema: string): Promise<number> {
  const [row] = await sql.query(`SELECT coalesce(max(version), 0) AS version FROM ${schema}.migration`, []);
  return Number(row?.version);
}

function newer(schema: string, version: number): FleetError {
  return new FleetError(
    `the tables in the schema ${schema} are those of a newer heki (${version}, this one knows ${MIGRATIONS.length})`,
  );
}
