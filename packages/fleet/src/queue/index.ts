export type { Database, Rows, Sql } from '../database/database.ts';
export { openEmbedded } from '../database/embedded.ts';
export { openPostgres } from '../database/postgres.ts';
export { FLEET_RIGHTS, type FleetRight } from './grants.ts';
export { openQueue, type QueueOptions } from './pg-boss-queue.ts';
