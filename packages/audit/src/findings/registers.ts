import { CR0, CR4, EFER } from '@heki/x86';
import type { AuditedKernel, CpuRegisters } from '../audited-kernel.ts';
import type { FindingKind, Severity } from '../finding.ts';
import { occurrenceWithoutMemory } from '../occurrence.ts';

/** A protection that a control register switches on. */
interface Protection {
  readonly name: string;
  readonly register: 'cr0' | 'cr4';
  readonly bit: bigint;
  /** Of its absence, when the processor surely has it, and when that is not known; `undefined`: then nothing is said. */
  readonly severity: { readonly known: Severity; readonly unknown: Severity | undefined };
}

const PROTECTIONS: readonly Protection[] = [
  { name: 'CR0.WP', register: 'cr0', bit: CR0.WP, severity: { known: 'critical', unknown: 'critical' } },
  { name: 'CR4.SMEP', register: 'cr4', bit: CR4.SMEP, severity: { known: 'high', unknown: 'medium' } },
  { name: 'CR4.SMAP', register: 'cr4', bit: CR4.SMAP, severity: { known: 'high', unknown: 'medium' } },
  { name: 'CR4.UMIP', register: 'cr4', bit: CR4.UMIP, severity: { known: 'medium', unknown: 'low' } },
  // Kernels of before Linux 6.2 and 6.17 do not know them, and most processors lack them.
  { name: 'CR4.CET', register: 'cr4', bit: CR4.CET, severity: { known: 'info', unknown: undefined } },
  { name: 'CR4.LASS', register: 'cr4', bit: CR4.LASS, severity: { known: 'info', unknown: undefined } },
];

export const PROTECTION_OFF: FindingKind = {
  id: 'heki/protection-off',
  title: "A processor's protection is off",
  worst: 'critical',
  explanation:
    "CR0.WP makes the kernel's own writes heed R/W, SMEP and SMAP keep it from running and touching user pages, UMIP keeps table addresses from programs, CET keeps to the edges of functions, LASS keeps the kernel from user addresses before any table is walked, EFER.NXE makes XD count.",
  attack:
    'Without WP every read-only page is writable for the kernel; without SMEP a jump to a user page is enough; without NXE everything that can be read can be executed.',
  legitimate:
    'A processor, or a virtual CPU model, that lacks SMEP, SMAP or UMIP: a dump does not tell which it has. A kernel that does not know CET or LASS, of which nothing is said unless the processor is named.',
  advice:
    'Give the guest a CPU model with these features, and boot without nosmep, nosmap and clearcpuid. If the processor has them (--cpu NAME says so), find who cleared the bit: Linux pins them at boot (cr4_pinned_mask).',
  *find(kernel) {
    for (const protection of PROTECTIONS) {
      const off = runningCpus(kernel).filter((cpu) => (cpu[protection.register] & protection.bit) === 0n);
      if (off.length === 0) continue;
      const known = isSupported(kernel, protection, off.length);
      const severity = known ? protection.severity.known : protection.severity.unknown;
      if (severity === undefined) continue;
      const doubt = known
        ? ''
        : ': the processor lacks it, or somebody switched it off; the dump does not tell';
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
  },
};

/** A CPU that was never started, or sits in real mode, protects nothing and runs nothing of the kernel's. */
function runningCpus({ cpus }: AuditedKernel): readonly CpuRegisters[] {
  return cpus.filter(({ cr0 }) => (cr0 & CR0.PG) !== 0n);
}

/** All processors of a guest are alike: what one has set, each has. */
function isSupported(kernel: AuditedKernel, { register, bit }: Protection, off: number): boolean {
  if (register === 'cr0') return true;
  return off < runningCpus(kernel).length || ((kernel.supportedCr4 ?? 0n) & bit) !== 0n;
}

function cpusText(off: readonly number[], all: number): string {
  if (off.length === all) return all === 1 ? 'the only CPU' : `all ${all} CPUs`;
  return `CPU ${off.slice(0, 8).join(', ')}${off.length > 8 ? ` and ${off.length - 8} more` : ''}`;
}
