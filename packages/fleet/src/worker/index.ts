export { type Failure, JobFailure } from './job-failure.ts';
export { createJobProcess, type JobProcess, type JobProcessOptions } from './job-process.ts';
export { type JobAnswer, MOST_REPORT_BYTES } from './messages.ts';
export { readReport } from './read-report.ts';
export { serveJobs } from './serve-jobs.ts';
export {
  type Auditor,
  type JobTiming,
  type WorkEvent,
  type WorkSettings,
  type WorkSummary,
  work,
  workerName,
} from './work.ts';
