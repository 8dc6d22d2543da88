import type { Extract, Vmcore } from '@heki/vmcore';
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
  readonly redacted: boolean;
  /** Bytes written of the core, as it was packed. */
  readonly bytes: number;
  readonly discloses: readonly Disclosure[];
  readonly leavesOut: readonly Disclosure[];
}

/** What an extract discloses. */
export function disclosed(
  core: Vmcore,
  { redaction }: Extract,
  user: boolean,
  sidecar: ExtractSidecar | undefined,
): Disclosure[] {
  const isRedacted = redaction !== undefined;
  const cpus = Math.max(core.cpus.length, core.threads.length);
  const others = othersNotes(core);
  const named = [...new Set(others.map(({ name }) => JSON.stringify(name)))].join(', ');
  const facts: (Disclosure | false)[] = [
    {
      subject: 'page-tables',
      detail: isRedacted
        ? "the size, the rights and the frames of every mapping of the kernel's half: how large its parts are tells kernels apart"
        : "every mapping of the kernel's half: its address, KASLR's choice in it, its frames and its rights",
    },
    user && {
      subject: 'user-mappings',
      detail: 'the same of the user programs that the CPUs ran',
    },
    cpus > 0 && {
      subject: 'registers',
      detail: `of ${count(cpus, 'CPU')}: ${core.cpus.length === 0 ? threadsText(isRedacted) : cpusText(isRedacted)}`,
    },
    core.vmcoreinfo !== undefined && {
      subject: 'vmcoreinfo',
      detail: isRedacted
        ? "where in the kernel's image text, names and page tables begin"
        : "the kernel's release and build, the addresses and sizes of its structures",
    },
    !isRedacted &&
      others.length > 0 && {
        subject: 'other-notes',
        detail: `${count(others.length, 'note')} that heki does not read, named ${named}, as they are`,
      },
    sidecar?.kernel !== undefined && { subject: 'kernel-version', detail: "the kernel's version text" },
    sidecar?.cmdline !== undefined && { subject: 'command-line', detail: "the kernel's command line" },
    sidecar?.iomem !== undefined && {
      subject: 'memory-map',
      detail: isRedacted
        ? `${count(sidecar.iomem.length, 'line')} of /proc/iomem: memory, and without a name what it stands in`
        : `${count(sidecar.iomem.length, 'line')} of /proc/iomem, devices and where the kernel's image lies in memory`,
    },
    sidecar?.symbols !== undefined && {
      subject: 'symbols',
      detail: `${isRedacted ? 'places in the image' : 'addresses'} of ${count(Object.keys(sidecar.symbols).length, 'kernel symbol')}`,
    },
  ];
  return [...facts.filter((fact) => fact !== false), ...(redaction?.remains ?? [])];
}

/** What an extract leaves out of the dump. */
export function leftOut(core: Vmcore, extract: Extract, user: boolean): Disclosure[] {
  const isRedacted = extract.redaction !== undefined;
  const others = othersNotes(core).length;
  const facts: (Disclosure | false)[] = [
    { subject: 'contents', detail: 'what is in any page that is not a page table' },
    !user && {
      subject: 'user-mappings',
      detail: `${count(extract.userEntriesCleared, 'entry', 'entries')} of root tables, and all that they lead to`,
    },
    isRedacted && {
      subject: 'kaslr',
      detail:
        "where the kernel's regions, image and modules were: they are where every redacted extract has them",
    },
    isRedacted && {
      subject: 'general-registers',
      detail: 'and instruction pointers, bases and CR2: they read 0',
    },
    isRedacted && {
      subject: 'names',
      detail:
        "the kernel's release, build, version and command line, symbols that no command looks at, devices",
    },
    isRedacted && others > 0 && { subject: 'other-notes', detail: count(others, 'note') },
  ];
  return facts.filter((fact) => fact !== false);
}

/** Notes that no command reads. */
function othersNotes({ notes }: Vmcore): Vmcore['notes'] {
  return notes.filter(({ name }) => !['CORE', 'QEMU', 'VMCOREINFO'].includes(name));
}

function cpusText(isRedacted: boolean): string {
  return isRedacted
    ? 'control registers and the mode that it was in'
    : 'control registers, segments, and general registers with whatever was in them';
}

/** Of a dump without QEMU's notes, as /proc/vmcore. */
function threadsText(isRedacted: boolean): string {
  return isRedacted
    ? 'the mode that it was in'
    : 'which process it ran, segments, and general registers with whatever was in them';
}
