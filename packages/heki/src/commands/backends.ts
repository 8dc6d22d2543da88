import { describeCapabilities } from '@heki/hypervisor';
import { isModulePath } from '@heki/machine';
import { WORKLOADS } from '@heki/scenario';
import { INTEL_VT_RP } from '@heki/x86/cpu-profiles';
import { cpuNamed } from '../assumed-processor.ts';
import type { Backend } from '../backend.ts';
import { measureBackend, workOn } from '../backends/backend-cost.ts';
import { backendsText } from '../backends/backends-text.ts';
import { ExitCode, UsageError } from '../failure.ts';
import { findBackend } from '../find-backend.ts';
import { HEKI_HYPERVISORS } from '../hypervisor-names.ts';
import { hypervisorWarnings } from '../hypervisors.ts';
import type { CommandIo } from '../io.ts';
import { createProgress } from '../progress.ts';
import { writeReport } from '../report/write-report.ts';
import { hypervisorOf } from '../specification.ts';

/** `heki backends`: all, or those with the names that were given. */
export async function backends(
  wanted: readonly string[],
  options: { readonly json?: boolean; readonly cpu?: string },
  io: CommandIo,
): Promise<number> {
  const chosen = await Promise.all((wanted.length === 0 ? HEKI_HYPERVISORS : wanted).map(backendNamed));
  const progress = createProgress(io, { what: 'comparing', total: chosen.length * (1 + WORKLOADS.length) });
  const processor = options.cpu === undefined ? INTEL_VT_RP : cpuNamed(options.cpu);
  let done = 0;
  const onProgress = (): void => progress.update(++done);
  const all = chosen.map((backend) => {
    const { name, title, unjudged } = backend;
    const { capabilities } = hypervisorOf(backend, { cpu: processor.name }, {});
    return {
      name,
      title,
      processor: processor.name,
      unjudged,
      capabilities: describeCapabilities(capabilities),
      cost: measureBackend(backend, processor.name, onProgress),
      work: workOn(backend, processor.name, onProgress),
    };
  });
  progress.stop();
  const json = () => ({
    backends: all.map(({ capabilities, work, ...rest }) => ({
      ...rest,
      work: Object.fromEntries(work),
      capabilities: Object.fromEntries(capabilities.map(({ name, value }) => [name, value])),
      warnings: hypervisorWarnings(rest),
    })),
  });
  await writeReport('backends', { json, text: (screen) => backendsText(all, screen) }, options, io);
  return ExitCode.SUCCESS;
}

/** @throws {UsageError} for an unknown name, and for the one without Heki */
async function backendNamed(name: string): Promise<Backend> {
  if (!isModulePath(name) && !HEKI_HYPERVISORS.some((one) => one === name)) {
    const expected = `${HEKI_HYPERVISORS.join(', ')}, or the path of an ES module: ./mine.mjs`;
    throw new UsageError(`hypervisor ${name}: expected one of ${expected}`);
  }
  return findBackend(name);
}
