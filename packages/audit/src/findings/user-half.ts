import type { FrameRange, Gfn } from '@heki/physical-memory';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind, Occurrence, Severity } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import type { Mapping } from '../mapping.ts';
import { framesOf, occurrenceOfMappings, pagesText } from '../occurrence.ts';
import { Rights } from '../rights.ts';
import { hasFrame, leadsInto, variablesOfImage, writesWhatIsSealed } from '../sealed.ts';
import { walkUserHalves } from '../user-halves.ts';
import { extentsWithin } from '../within.ts';

/**
 * Pages of the image's variables that programs may be shown, read-only: the page of zeros, what the vDSO reads (since Linux 6.14 it lies among
 * them), clocks of a hypervisor.
 */
const MOST_SHOWN = 8;
/** Mappings that are told of; the first alone would do. */
const MOST_MAPPINGS = 2 ** 14;

export const SUPERVISOR_IN_USER_HALF: FindingKind = {
  id: 'heki/supervisor-in-user-half',
  title: "Kernel-only memory in user mode's half",
  worst: 'critical',
  explanation:
    "U/S is clear on the way to a page in user mode's half of an address space that a CPU stands on: programs cannot access it, and the kernel can, without SMEP or SMAP having a say.",
  attack:
    "Code there is run by the kernel and seen by nothing that looks at the kernel's half alone; only LASS would stop it.",
  legitimate:
    'The address spaces by which EFI is called and by which CPUs start have firmware and the trampoline mapped one to one.',
  advice: 'Look at what is mapped there (heki walk --user), and in whose address space.',
  *find(kernel) {
    const judge = (mapping: Mapping) => {
      if ((mapping.rights & Rights.USER) !== 0) return undefined;
      return writesWhatIsSealed(kernel, mapping) ? 'critical' : 'high';
    };
    yield* occurrences(kernel, judge, "of user mode's half can be reached by the kernel alone");
  },
};

export const PROGRAM_MAPS_KERNEL: FindingKind = {
  id: 'heki/program-maps-kernel',
  title: "A program maps the kernel's own memory",
  worst: 'critical',
  explanation:
    "A page in user mode's half leads to a page table, to code of the kernel or of a module, or, writable, to what the kernel itself may only read, to its variables or to those of modules; or to the tables and stacks by which CPUs enter it; or read-only to more of the kernel's variables than Linux shows to programs.",
  attack:
    'A dirty page table: a freed page that came back as a page table, or an entry that was overwritten, lets a program write entries and code by plain stores.',
  legitimate:
    'Nothing: programs see constants of the kernel read-only (the vDSO), a few pages of its variables (the page of zeros, what the vDSO reads), and nothing else of it.',
  advice:
    'Treat the guest as compromised. Find the program, whose CR3 is in the dump, and what else it maps.',
  *find(kernel) {
    const tables = new Set([...kernel.tableFrames, ...kernel.programTableFrames]);
    const variables = variablesOfImage(kernel);
    const read: Mapping[] = [];
    const judge = (mapping: Mapping) => {
      const severity = severityForProgram(kernel, { tables, variables }, mapping);
      const isProgram = (mapping.rights & Rights.USER) !== 0;
      if (severity === undefined && isProgram && read.length < MOST_MAPPINGS && leadsInto(variables, mapping))
        read.push(mapping);
      return severity;
    };
    yield* occurrences(kernel, judge, "of the kernel's own are mapped by a program");
    if (distinctFrames(read, MOST_SHOWN) <= MOST_SHOWN) return;
    const summary = `${pagesText(framesOf(read))} of the kernel's variables can be read by a program.`;
    yield occurrenceOfMappings(kernel, read, { severity: 'medium', summary });
  },
};

/** How many frames `mappings` lead to, of each mapping at most one more than `most`. */
function distinctFrames(mappings: readonly Mapping[], most: number): number {
  const distinct = new Set<number>();
  for (const { guestFrame, frames } of mappings)
    for (let index = 0; index < Math.min(frames, most + 1); index++) distinct.add(guestFrame + index);
  return distinct.size;
}

/** What of the kernel's own the permissions alone do not tell. */
interface Own {
  readonly tables: ReadonlySet<Gfn>;
  readonly variables: readonly FrameRange<Gfn>[];
}

/** Where the kernel has what programs may not write, whatever it may do there itself. */
const KERNEL_ONLY: readonly string[] = ['modules', 'cpu_entry_area'];

function severityForProgram(
  { extents }: AuditedKernel,
  { tables, variables }: Own,
  mapping: Mapping,
): Severity | undefined {
  const { guestFrame, frames, rights } = mapping;
  if ((rights & Rights.USER) === 0) return undefined;
  const range = { start: guestFrame, end: (guestFrame + frames) as Gfn };
  if (hasFrame(tables, range)) return 'critical';
  const writes = (rights & Rights.WRITE) !== 0;
  const own = extentsWithin(extents, range);
  if (own.some((one) => (one.rights & Rights.EXECUTE) !== 0)) return writes ? 'critical' : 'medium';
  const isOfEntry = ({ mappings }: FrameExtent) => mappings.some(({ region }) => region === 'cpu_entry_area');
  if (!writes) return own.some(isOfEntry) ? 'medium' : undefined;
  const isOwn = own.some(
    (one) =>
      (one.rights & Rights.WRITE) === 0 || one.mappings.some(({ region }) => KERNEL_ONLY.includes(region)),
  );
  return isOwn || leadsInto(variables, mapping) ? 'critical' : undefined;
}

/** What `judge` finds in user mode's halves, one occurrence for each severity. */
function* occurrences(
  kernel: AuditedKernel,
  judge: (mapping: Mapping) => Severity | undefined,
  what: string,
): Generator<Occurrence> {
  const found = new Map<Severity, Mapping[]>();
  walkUserHalves(kernel, (mapping) => {
    const severity = judge(mapping);
    if (severity === undefined) return;
    const mappings = found.get(severity);
    if (mappings === undefined) found.set(severity, [mapping]);
    else if (mappings.length < MOST_MAPPINGS) mappings.push(mapping);
  });
  for (const [severity, mappings] of found) {
    const summary = `${pagesText(framesOf(mappings))} ${what}.`;
    yield occurrenceOfMappings(kernel, mappings, { severity, summary });
  }
}
