/** What goes between a worker and the process that does its jobs. */

export interface JobRequest {
  readonly args: readonly string[];
}

export interface JobAnswer {
  readonly exitCode: number;
  /** What the command printed on standard output. */
  readonly report: string;
  readonly milliseconds: number;
}

/** From the process when it can take a job. */
export interface JobReady {
  readonly ready: true;
}

/** Bytes of a report: that of a kernel with 761 modules has 60 KiB. */
export const MOST_REPORT_BYTES = 16 * 2 ** 20;
