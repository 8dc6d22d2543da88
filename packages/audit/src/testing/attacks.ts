import type { Gfn } from '@heki/physical-memory';
import { CR0, CR4, EntryHigh, EntryLow } from '@heki/x86';
import {
  type AuditSubject,
  auditKernel,
  type Finding,
  isAtLeast,
  rightsText,
  type Severity,
} from '../index.ts';
import { type TamperedKernel, tamperedKernel } from './tampered-kernel.ts';

/** What an attacker who writes page tables does, kernel by kernel: what is found, and how bad it is. */
export interface Attack {
  readonly name: string;
  readonly on?: string;
  readonly tamper: (kernel: TamperedKernel) => Partial<AuditSubject> | undefined;
  /** What is looked for. Default: high. */
  readonly least?: Severity;
  /** `severity id` of what is new at `least` or above, the worst first; several of one kind once. */
  readonly found: readonly string[];
}

const { RW, US } = EntryLow;
const XD = EntryHigh.XD;

/** Where a kernel without KASLR has its text, vmalloc's area, nothing, and the area of its processors' entries. */
export const TEXT = 0xffff_ffff_8100_0000n;
export const VMALLOC = 0xffff_c900_0000_0000n;
export const HOLE = 0xffff_8f00_0000_0000n;
export const CPU_ENTRY_AREA = 0xffff_fe00_0000_0000n;
/** Frames of ordinary RAM that nothing but the direct map shows. */
export const RAM = 0x8100;

export type Entry = { low: number; high: number };
export const writable = (entry: Entry) => {
  entry.low |= RW;
};
export const readOnly = (entry: Entry) => {
  entry.low &= ~RW;
};
export const executable = (entry: Entry) => {
  entry.high &= ~XD;
};
export const user = (entry: Entry) => {
  entry.low |= US;
};
/** Leads an entry to `frame`. */
export const to =
  (frame: number) =>
  (entry: Entry): void => {
    entry.low = ((entry.low & 0xfff) | (frame * 4096)) >>> 0;
  };
export const moduleText = (kernel: TamperedKernel): bigint => first(kernel, 'modules', 'r-x');
/** The first 4-KiB leaf of a region that has these rights before anything is changed. */
export function first(kernel: TamperedKernel, region: string, rights: string): bigint {
  const { mappings } = soundAudit(kernel).kernel;
  const found = mappings.find(
    (one) => one.region === region && rightsText(one.rights) === rights && one.level === 1,
  );
  return BigInt(found?.virtualFrame ?? 0) << 12n;
}
export const direct = (kernel: TamperedKernel, frame: number): bigint =>
  kernel.directMap + BigInt(frame) * 4096n;
/** Another root with the kernel's half of the kernel's, before `change`. */
export function copyOfRoot(kernel: TamperedKernel, at: number, change: (page: Uint32Array) => void): Gfn {
  const page = Uint32Array.from(kernel.memory.page(kernel.root) ?? []);
  page.fill(0, 0, 512);
  change(page);
  kernel.fill(at as Gfn, page);
  return at as Gfn;
}
export const cpu = { cpu: 0, cr0: CR0.PG | CR0.WP, cr4: CR4.SMEP | CR4.SMAP | CR4.UMIP };
export const standingOn = (root: number) => ({ cpus: [{ ...cpu, cr3: BigInt(root) << 12n }] });

const audits = new Map<string, ReturnType<typeof auditKernel>>();
/** The audit of a fixture as it is, which is made once. */
export function soundAudit({ name }: Pick<TamperedKernel, 'name'>): ReturnType<typeof auditKernel> {
  const audit = audits.get(name) ?? auditKernel(tamperedKernel(name).subject());
  audits.set(name, audit);
  return audit;
}

const sound = new Map<string, ReadonlySet<string>>();
const keyOf = ({ severity, fingerprint }: Finding): string => `${severity} ${fingerprint}`;

/** Whether `finding` is not one of those of the fixture `name` as it is. */
export function isFresh(finding: Finding, name: string): boolean {
  const before = sound.get(name) ?? new Set(soundAudit({ name }).findings.map(keyOf));
  sound.set(name, before);
  return !before.has(keyOf(finding));
}

/** All that is found after an attack, and of it what is new and bad enough. */
export function findingsAfter({ on, tamper, least = 'high' }: Attack): {
  readonly all: readonly Finding[];
  readonly fresh: readonly Finding[];
} {
  const name = on ?? 'k61-256-nokaslr';
  const kernel = tamperedKernel(name);
  const changes = tamper(kernel) ?? {};
  const all = auditKernel(kernel.subject(changes)).findings;
  return { all, fresh: all.filter((one) => isAtLeast(one.severity, least) && isFresh(one, name)) };
}

/** `severity id` of `findings`, each once. */
export function kindsOf(findings: readonly Finding[]): string[] {
  return [...new Set(findings.map(({ severity, id }) => `${severity} ${id}`))];
}
