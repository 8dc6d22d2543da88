import type { Database } from '../database/database.ts';

/** What somebody may do with a queue. Whoever made the tables may do everything. */
export const FLEET_RIGHTS = ['submitter', 'worker', 'reader', 'keeper'] as const;
export type FleetRight = (typeof FLEET_RIGHTS)[number];

/** What each needs, and no more: a submitter reads no report, a worker takes back none, a reader changes nothing, and a keeper only forgets. */
const GRANTS: Readonly<Record<FleetRight, readonly string[]>> = {
  submitter: ['SELECT, INSERT ON @.job', 'SELECT (id, outcome) ON @.result'],
  worker: [
    'SELECT, INSERT, UPDATE, DELETE ON @.job',
    'SELECT, INSERT, DELETE ON @.archive',
    // Of what there is, a policy lets it replace those alone that are `changed`.
    'SELECT, INSERT, UPDATE ON @.result',
    'UPDATE ON @.version',
  ],
  reader: ['SELECT ON @.job', 'SELECT ON @.result'],
  keeper: [
    'SELECT (id, state, completed_on), DELETE ON @.job',
    'SELECT (id, finished_at), DELETE ON @.result',
  ],
};

/** Without these nobody can tell whether the tables are there. */
const FOR_ALL = ['USAGE ON SCHEMA @', 'SELECT ON @.version', 'SELECT ON @.migration', 'SELECT ON @.queue'];

/**
 * Grants `right` to a role that there is, on the queue of one tenant: on those of others it has none.
 *
 * @param role small letters, digits and underscores; not checked here
 */
export async function grant(
  database: Database,
  schema: string,
  right: FleetRight,
  role: string,
): Promise<void> {
  for (const what of [...FOR_ALL, ...GRANTS[right]]) {
    await database.query(`GRANT ${what.replaceAll('@', schema)} TO ${role}`, []);
  }
}
