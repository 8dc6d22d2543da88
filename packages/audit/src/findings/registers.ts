import { CR0, CR4, EFER } from '@heki/x86';
import type { AuditedKernel, CpuRegisters } from '../audited-kernel.ts';
import type { FindingKind, Severity } from '../finding.ts';
import { isIsolated } from '../isolation.ts';
import { occurrenceWithoutMemory } from '../occurrence.ts';

/** A protection that a control register switches on. */
interface Protection {
  readonly name: string;
  readonly register: 'cr0' | 'cr4';
  readonly bit: bigint;
  /**
   * Of its absence: when other CPUs of the guest have it on, so that somebody switched it off here; when the processor surely has it;
   * when that is not known. `undefined`: then nothing is said.
   */
  readonly severity: {
    readonly differs: Severity;
    readonly known: Severity;
    readonly unknown: Severity | undefined;
  };
}

const PROTECTIONS: readonly Protection[] = [
  protection('CR0.WP', 'cr0', CR0.WP, 'critical', 'critical', 'critical'),
  protection('CR4.SMEP', 'cr4', CR4.SMEP, 'high', 'high', 'medium'),
  protection('CR4.SMAP', 'cr4', CR4.SMAP, 'high', 'high', 'medium'),
  protection('CR4.UMIP', 'cr4', CR4.UMIP, 'medium', 'medium', 'low'),
  // Kernels of before Linux 6.2 and 6.17 do not know them, and most processors lack them. Linux sets them on all CPUs, or on none.
  protection('CR4.CET', 'cr4', CR4.CET, 'high', 'info', undefined),
  protection('CR4.LASS', 'cr4', CR4.LASS, 'high', 'info', undefined),
];

function protection(
  name: string,
  register: Protection['register'],
  bit: bigint,
  differs: Severity,
  known: Severity,
  unknown: Severity | undefined,
): Protection {
  return { name, register, bit, severity: { differs, known, unknown } };
}

export const PROTECTION_OFF: FindingKind = {
  id: 'heki/protection-off',
  title: "A processor's protection is off",
  worst: 'critical',
  explanation:
    "CR0.WP makes the kernel's own writes heed R/W, SMEP and SMAP keep it from running and touching user pages, UMIP keeps table addresses from programs, CET keeps to the edges of functions, LASS keeps the kernel from user addresses before any table is walked, EFER.NXE makes XD count, page-table isolation keeps the kernel out of the tables on which user mode runs.",
  attack:
    'Without WP every read-only page is writable for the kernel; without SMEP a jump to a user page is enough; without NXE everything that can be read can be executed.',
  legitimate:
    'A processor, or a virtual CPU model, that lacks SMEP, SMAP or UMIP: a dump does not tell which it has. A kernel that does not know CET or LASS, and one without page-table isolation, of which nothing is said unless the processor is named: what the guest was told of Meltdown (RDCL_NO) a dump does not tell either.',
  advice:
    'Give the guest a CPU model with these features, and boot without nosmep, nosmap, nopti, mitigations=off and clearcpuid. If the processor has them (--cpu NAME says so), find who cleared the bit: Linux pins them at boot (cr4_pinned_mask).',
  *find(kernel) {
    for (const protection of PROTECTIONS) {
      const off = runningCpus(kernel).filter((cpu) => (cpu[protection.register] & protection.bit) === 0n);
      if (off.length === 0) continue;
      const how = absenceOf(kernel, protection, off.length);
      const severity = protection.severity[how];
      if (severity === undefined) continue;
      const doubt = {
        differs: ', and set on the others, which Linux never leaves so',
        known: '',
        unknown: ': the processor lacks it, or somebody switched it off; the dump does not tell',
      }[how];
      yield occurrenceWithoutMemory(
        protection.name,
        severity,
        `${protection.name} is clear on ${cpusText(
          off.map(({ cpu }) => cpu),
          runningCpus(kernel).length,
        )}${doubt}.`,
      );
    }
    if (kernel.efer !== undefined && (kernel.efer & EFER.NXE) === 0n) {
      yield occurrenceWithoutMemory('EFER.NXE', 'critical', 'EFER.NXE is clear: XD does not count.');
    }
    if (kernel.meltdown === true && isIsolated(kernel.mappings) === false) {
      const summary =
        'Page-table isolation is off: programs run on tables that map the kernel, which the named processor reads for them when it speculates (Meltdown).';
      yield occurrenceWithoutMemory('page-table isolation', 'medium', summary);
    }
  },
};

/** A CPU that was never started, or sits in real mode, protects nothing and runs nothing of the kernel's. */
function runningCpus({ cpus }: AuditedKernel): readonly CpuRegisters[] {
  return cpus.filter(({ cr0 }) => (cr0 & CR0.PG) !== 0n);
}

/** All processors of a guest are alike: what one has set, each has. */
function absenceOf(
  kernel: AuditedKernel,
  { register, bit }: Protection,
  off: number,
): keyof Protection['severity'] {
  if (off < runningCpus(kernel).length) return 'differs';
  return register === 'cr0' || ((kernel.supportedCr4 ?? 0n) & bit) !== 0n ? 'known' : 'unknown';
}

function cpusText(off: readonly number[], all: number): string {
  if (off.length === all) return all === 1 ? 'the only CPU' : `all ${all} CPUs`;
  return `CPU ${off.slice(0, 8).join(', ')}${off.length > 8 ? ` and ${off.length - 8} more` : ''}`;
}
