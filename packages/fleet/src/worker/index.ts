export { createJobProcess, JobFailure, type JobProcess, type JobProcessOptions } from './job-process.ts';
export { type JobAnswer, MOST_REPORT_BYTES } from './messages.ts';
export { readReport } from './read-report.ts';
export { serveJobs } from './serve-jobs.ts';
export { type Auditor, type WorkEvent, type WorkSettings, type WorkSummary, work } from './work.ts';
