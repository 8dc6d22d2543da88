import type { Extract, Vmcore } from '@heki/vmcore';
import { printable } from '../printable.ts';
import { count } from '../quantity.ts';
import type { ExtractSidecar } from './extract-sidecar.ts';

/** Something that whoever gets the extract learns, or does not. */
export interface Disclosure {
  /** A short name, the same for every dump. */
  readonly subject: string;
  readonly detail: string;
}

/** What was taken out of a dump, and what that tells. */
export interface ExtractReport {
  /** File name of the dump. */
  readonly source: string;
  /** Paths of what was written; `undefined` where that is standard output. */
  readonly core: string | undefined;
  readonly sidecar: string | undefined;
  readonly extract: Extract;
  readonly user: boolean;
  /** Bytes written of the core, as it was packed. */
  readonly bytes: number;
  readonly discloses: readonly Disclosure[];
  readonly leavesOut: readonly Disclosure[];
}

/** What an extract discloses. */
export function disclosed(core: Vmcore, user: boolean, sidecar: ExtractSidecar | undefined): Disclosure[] {
  const cpus = Math.max(core.cpus.length, core.threads.length);
  const others = core.notes.filter(({ name }) => !['CORE', 'QEMU', 'VMCOREINFO'].includes(name));
  const named = [...new Set(others.map(({ name }) => printable(JSON.stringify(name))))].join(', ');
  const facts: (Disclosure | false)[] = [
    {
      subject: 'page-tables',
      detail:
        "every mapping of the kernel's half: its address, KASLR's choice in it, its frame and its rights",
    },
    user && {
      subject: 'user-mappings',
      detail: 'the same of the user programs that the CPUs ran',
    },
    cpus > 0 && {
      subject: 'registers',
      detail: `of ${count(cpus, 'CPU')}: control registers, segments, and general registers with whatever was in them`,
    },
    core.vmcoreinfo !== undefined && {
      subject: 'vmcoreinfo',
      detail: "the kernel's release and build, the addresses and sizes of its structures",
    },
    others.length > 0 && {
      subject: 'other-notes',
      detail: `${count(others.length, 'note')} that heki does not read, named ${named}, as they are`,
    },
    sidecar?.kernel !== undefined && { subject: 'kernel-version', detail: "the kernel's version text" },
    sidecar?.cmdline !== undefined && { subject: 'command-line', detail: "the kernel's command line" },
    sidecar?.iomem !== undefined && {
      subject: 'memory-map',
      detail: `${count(sidecar.iomem.length, 'line')} of /proc/iomem, devices and where the kernel's image lies in memory`,
    },
    sidecar?.symbols !== undefined && {
      subject: 'symbols',
      detail: `addresses of ${count(Object.keys(sidecar.symbols).length, 'kernel symbol')}`,
    },
  ];
  return facts.filter((fact) => fact !== false);
}

/** What an extract leaves out of the dump. */
export function leftOut(user: boolean, extract: Extract): Disclosure[] {
  const facts: (Disclosure | false)[] = [
    { subject: 'contents', detail: 'what is in any page that is no page table' },
    !user && {
      subject: 'user-mappings',
      detail: `${count(extract.userEntriesCleared, 'entry', 'entries')} of root tables, and all that they lead to`,
    },
  ];
  return facts.filter((fact) => fact !== false);
}
