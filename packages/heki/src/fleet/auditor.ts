import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Job, Result, WorkOptions } from '@heki/fleet';
import { createJobProcess, type JobProcess, readReport } from '@heki/fleet/worker';
import { isLiveGuest } from '@heki/vmcore/node';
import { reportHeader } from '../report/report-header.ts';
import { sourceFingerprint } from './work-items.ts';

/** Does jobs in a process of its own. */
export interface JobAuditor {
  audit(job: Job): Promise<Result>;
  close(): void;
}

/** @param memory MiB that the process may take */
export function createAuditor(memory: number): JobAuditor {
  const jobs: JobProcess = createJobProcess({
    program: join(dirname(createRequire(import.meta.url).resolve('heki/package.json')), 'dist', 'main.js'),
    args: ['fleet', 'serve-jobs', '--memory', String(memory)],
    memoryLimit: memory,
  });
  return {
    async audit(job) {
      if (await hasChanged(job)) return changed();
      const { uri } = job.item.source;
      const answer = await jobs.run(['audit', uri, ...argsOf(job.item.options), '--json'], job.timeLimit);
      // What was written meanwhile may have been read in halves.
      return (await hasChanged(job)) ? changed() : readReport(answer, filesOf(job));
    },
    close: () => jobs.close(),
  };
}

/** Whether what is there is no longer what was submitted. @throws where it cannot be reached: that may be otherwise elsewhere */
async function hasChanged({ item: { source, options } }: Job): Promise<boolean> {
  return !isLiveGuest(source.uri) && (await sourceFingerprint(source.uri, options)) !== source.fingerprint;
}

/** Files that an error may be about, and that are not the dump; a guest that runs is no dump either. */
function filesOf({ item: { source, options } }: Job): string[] {
  const files = [options.baseline, options.vmlinux].filter((path) => typeof path === 'string');
  return isLiveGuest(source.uri) ? [...files, source.uri] : files;
}

function changed(): Result {
  const text = 'what is there is no longer what was submitted: submit it again';
  const report = { ...reportHeader('error'), error: { kind: 'input', message: text, place: {} } };
  return {
    ...{ outcome: 'changed', text, worst: undefined, kernel: undefined, findings: [] },
    report: `${JSON.stringify(report, undefined, 2)}\n`,
    milliseconds: 0,
  };
}

/** The options as they are on the command line. */
function argsOf({ failOn, baseline, vmlinux, heki, redact, hypervisor }: WorkOptions): string[] {
  return [
    ...(failOn === undefined ? [] : ['--fail-on', String(failOn)]),
    ...(baseline === undefined ? [] : ['--baseline', String(baseline)]),
    ...(vmlinux === undefined ? [] : ['--vmlinux', String(vmlinux)]),
    ...(heki === false ? ['--no-heki'] : []),
    ...(redact === true ? ['--redact'] : []),
    ...(hypervisor === undefined ? [] : ['--hypervisor', String(hypervisor)]),
  ];
}
