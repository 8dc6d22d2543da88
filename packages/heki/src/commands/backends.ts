import { describeCapabilities } from '@heki/hypervisor';
import { WORKLOADS } from '@heki/scenario';
import { cpuNamed } from '../assumed-processor.ts';
import { measureBackend, workOn } from '../backends/backend-cost.ts';
import { backendsText, type ComparedBackend } from '../backends/backends-text.ts';
import { CPU_NAMES } from '../cpu-names.ts';
import { ExitCode, UsageError } from '../failure.ts';
import { HEKI_HYPERVISORS } from '../hypervisor-names.ts';
import { HYPERVISORS, hypervisorWarnings } from '../hypervisors.ts';
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
  const names = wanted.length === 0 ? HEKI_HYPERVISORS : wanted.map(known);
  const progress = createProgress(io, { what: 'comparing', total: names.length * (1 + WORKLOADS.length) });
  const processor = cpuNamed(options.cpu ?? CPU_NAMES[0]);
  let done = 0;
  const onProgress = (): void => progress.update(++done);
  const all = names.map((name): ComparedBackend & { readonly cost: ReturnType<typeof measureBackend> } => {
    const { title, unjudged } = HYPERVISORS[name];
    const { capabilities } = hypervisorOf({ hypervisor: name, cpu: processor.name }, {});
    return {
      name,
      title,
      processor: processor.name,
      unjudged,
      capabilities: describeCapabilities(capabilities),
      cost: measureBackend(name, processor.name, onProgress),
      work: workOn(name, processor.name, onProgress),
    };
  });
  progress.stop();
  const json = () => ({
    backends: all.map(({ capabilities, work, ...rest }) => ({
      ...rest,
      work: Object.fromEntries(work),
      capabilities: Object.fromEntries(capabilities.map(({ name, value }) => [name, value])),
      warnings: hypervisorWarnings(rest.name),
    })),
  });
  await writeReport('backends', { json, text: (screen) => backendsText(all, screen) }, options, io);
  return ExitCode.SUCCESS;
}

/** @throws {UsageError} for a name that there is none of */
function known(name: string): (typeof HEKI_HYPERVISORS)[number] {
  const found = HEKI_HYPERVISORS.find((one) => one === name);
  if (found === undefined)
    throw new UsageError(`hypervisor ${name}: expected one of ${HEKI_HYPERVISORS.join(', ')}`);
  return found;
}
