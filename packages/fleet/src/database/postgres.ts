import pg from 'pg';
import { DatabaseError } from '../error.ts';
import type { Database, Rows, Sql } from './database.ts';

/** Milliseconds. A network that drops packets tells nothing: without these a worker would wait for ever. */
const CONNECT = 10_000;
const ANSWER = 60_000;

/**
 * A PostgreSQL server.
 *
 * @param url `postgres://USER@HOST/DATABASE`; passwords are better in PGPASSFILE or PGPASSWORD
 * @param connections how many at once
 */
export function openPostgres(url: string, connections: number): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: connections,
    connectionTimeoutMillis: CONNECT,
    query_timeout: ANSWER,
    statement_timeout: ANSWER,
    idle_in_transaction_session_timeout: ANSWER,
    keepAlive: true,
    application_name: 'heki fleet',
  });
  // A connection that breaks while nobody uses it is replaced when it is needed.
  pool.on('error', () => {});
  return {
    query: (text, values) => asked(pool, text, values),
    async transaction(work) {
      const client = await pool.connect().catch((error: unknown) => {
        throw new DatabaseError(error);
      });
      const sql: Sql = { query: (text, values) => asked(client, text, values) };
      // Without it, a connection that breaks here ends the process.
      const broken = () => {};
      client.on('error', broken);
      try {
        await sql.query('BEGIN');
        const value = await work(sql);
        await sql.query('COMMIT');
        client.off('error', broken);
        client.release();
        return value;
      } catch (error) {
        // Closing it takes back what was begun, whatever became of the connection.
        client.release(true);
        throw error;
      }
    },
    close: () => pool.end(),
  };
}

async function asked(
  database: pg.Pool | pg.PoolClient,
  text: string,
  values: readonly unknown[] | undefined,
): Promise<Rows> {
  try {
    return rowsOf(await database.query(text, values === undefined ? undefined : [...values]));
  } catch (error) {
    throw new DatabaseError(error);
  }
}

/** Of several commands, which come without values, those of the last one. */
function rowsOf(result: pg.QueryResult | pg.QueryResult[]): Rows {
  return (Array.isArray(result) ? result.at(-1) : result)?.rows ?? [];
}
