import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { PGlite } from '@electric-sql/pglite';
import { FleetError } from '../error.ts';
import type { Database, Sql } from './database.ts';
import { lockFolder } from './owner-lock.ts';

/**
 * A database of this process alone, in `folder`: PGlite, which takes no lock of its own, and loses writes of two processes.
 *
 * @throws {FleetError} when another process has it, with that process's id
 */
export async function openEmbedded(folder: string): Promise<Database> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const unlock = lockFolder(folder);
  let lite: PGlite;
  try {
    // 27 MB, which no worker of a server needs.
    const { PGlite } = await import('@electric-sql/pglite');
    const database = join(folder, 'database');
    if (!existsSync(database)) {
      // One that was ended in the middle of it has made nothing.
      const made = join(folder, 'database.new');
      rmSync(made, { recursive: true, force: true });
      const { dataDir } = await import('@electric-sql/pglite-prepopulatedfs');
      await (await PGlite.create({ dataDir: made, loadDataDir: await dataDir() })).close();
      renameSync(made, database);
    }
    lite = await PGlite.create(database);
  } catch (error) {
    unlock();
    // What is no Error is one of its file system's, in WebAssembly.
    const why = error instanceof Error ? error.message : `WASI error ${Object(error).errno}`;
    throw new FleetError(`the database in it cannot be opened (${why})`, {
      place: { file: folder },
      cause: error,
    });
  }
  return {
    async query(text, values) {
      if (values !== undefined) return rowsOf(await lite.query(text, [...values]));
      return rowsOf((await lite.exec(text)).at(-1) ?? { rows: [] });
    },
    transaction: (work) =>
      lite.transaction((tx) => {
        const sql: Sql = {
          query: async (text, values) =>
            rowsOf(await tx.query(text, values === undefined ? [] : [...values])),
        };
        return work(sql);
      }),
    async close() {
      await lite.close();
      unlock();
    },
  };
}

function rowsOf({ rows }: { readonly rows: unknown[] }): Record<string, unknown>[] {
  return rows as Record<string, unknown>[];
}
