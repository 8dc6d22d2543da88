export { FleetError } from './error.ts';
export type { FleetStatus, Job, Queue, ResultFilter, SetAside } from './queue/queue-port.ts';
export { OUTCOMES, type Outcome, type Result, type ResultFinding, type StoredResult } from './result.ts';
export { fileFingerprint } from './source/fingerprint.ts';
export { type WorkItem, type WorkOptions, workItemId } from './work-item.ts';
