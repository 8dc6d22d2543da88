export { FleetError } from './error.ts';
export type { FleetStatus, Job, Queue, ResultFilter, SetAside } from './queue/queue-port.ts';
export type { Outcome, Result, ResultFinding, StoredResult } from './result.ts';
export { fileFingerprint } from './source/fingerprint.ts';
export { type WorkItem, type WorkOptions, workItemId } from './work-item.ts';
