import { resolve } from 'node:path';
import type { Queue } from '@heki/fleet';
import type { FleetRight } from '@heki/fleet/queue';
import { InputError } from '../failure.ts';
import { VERSION } from '../report/report-header.ts';

/** Which database. */
export interface FleetOptions {
  readonly data?: string;
  readonly database?: string;
  readonly tenant?: string;
}

const DATA = '.heki-fleet';

/** A queue, and whether other machines can have it, too. */
export interface Fleet {
  readonly queue: Queue;
  readonly shared: boolean;
}

/**
 * Opens the queue that `options` name. A folder is made where there is none, and is of this process alone.
 *
 * @param needs how many connections, whether stuck jobs are looked after, and seconds that a job may take
 */
export async function openFleet(
  { data = DATA, database, tenant }: FleetOptions,
  needs: {
    readonly connections?: number;
    readonly supervise?: boolean;
    readonly setUp?: boolean;
    readonly grants?: readonly (readonly [right: FleetRight, role: string])[];
  } = {},
): Promise<Fleet> {
  const { openEmbedded, openPostgres, openQueue } = await loadQueue();
  const { connections = 2, supervise = false, setUp = false, grants = [] } = needs;
  const shared = database !== undefined;
  const opened = shared ? openPostgres(database, connections) : await openEmbedded(resolve(data));
  try {
    const queue = await openQueue(opened, {
      ...{ hekiVersion: VERSION, tenant, supervise, grants },
      setUp: setUp || !shared,
      alone: !shared,
    });
    return { queue, shared };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** What only this command needs comes in a package of its own, which may be left out. */
async function loadQueue(): Promise<typeof import('@heki/fleet/queue')> {
  try {
    return await import('@heki/fleet/queue');
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND';
    if (!isMissing) throw error;
    throw new InputError('@heki/fleet is not installed: npm install @heki/fleet', {}, error);
  }
}
