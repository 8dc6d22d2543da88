import type { AuditedKernel } from '@heki/audit';
import { underHeki } from '@heki/audit/heki';
import { SpecificationError } from '../failure.ts';
import { findBackend } from '../find-backend.ts';
import { HEKI_HYPERVISORS } from '../hypervisor-names.ts';
import { hypervisorWarnings } from '../hypervisors.ts';
import type { MachineFlags } from '../machine-flags.ts';
import { machineOfSubject } from '../protect/machine-of-subject.ts';
import type { Subject } from '../protect/subject.ts';
import { specificationOf } from '../specification-of-flags.ts';
import type { HekiReport } from './heki-report.ts';

/** Hypervisors are loaded with this module, and only an audit that asks for Heki needs them. */
export interface HekiAuditor {
  /** What Heki would do with a kernel. */
  look(subject: Subject, kernel: AuditedKernel): HekiReport;
}

/**
 * The hypervisor that the options name.
 *
 * @throws {UsageError} for a name or a value that there is none of
 */
export async function hekiAuditor(flags: MachineFlags): Promise<HekiAuditor> {
  const specification = specificationOf(flags);
  const backend = await findBackend(specification.hypervisor);
  return {
    look: (subject, kernel) => ({
      result: underHeki(kernel, machineOfSubject(backend, specification, subject)),
      name: backend.name,
      title: backend.title,
      warnings: hypervisorWarnings(backend),
    }),
  };
}

/**
 * What every hypervisor that comes with heki would do, those aside that the options do not fit, and that which they name.
 *
 * @param flags the options of the command
 */
export async function underOtherHypervisors(
  flags: MachineFlags,
  subject: Subject,
  kernel: AuditedKernel,
): Promise<HekiReport[]> {
  const reports: HekiReport[] = [];
  for (const hypervisor of HEKI_HYPERVISORS) {
    if (hypervisor === (flags.hypervisor ?? 'kvm')) continue;
    try {
      reports.push((await hekiAuditor({ ...flags, hypervisor })).look(subject, kernel));
    } catch (error) {
      // One that has no such processor or defect is not what was asked about.
      if (!(error instanceof SpecificationError)) throw error;
    }
  }
  return reports;
}
