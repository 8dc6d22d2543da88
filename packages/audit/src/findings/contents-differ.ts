import { type ComparedPart, imageVirtualAddress, type SiteKind, type Unexplained } from '@heki/patch-sites';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind, Occurrence, Severity } from '../finding.ts';
import { occurrenceOf } from '../occurrence.ts';
import { extentsOfImage, offsetOf } from './in-image.ts';

/** Places that a summary names. */
const NAMED = 4;
/** Places that tell one finding from another; behind them their number does. */
const MOST_PLACES = 64;

/** Kinds of sites with few values, all of which are known; those of the others depend on much that a dump does not tell. */
const KNOWN_VALUES: ReadonlySet<SiteKind | undefined> = new Set<SiteKind | undefined>([
  undefined,
  'ftrace',
  'return thunk',
  'endbr seal',
  'smp lock',
  'static call',
  'jump label',
  'kprobe',
]);

export const CODE_DIFFERS: FindingKind = {
  id: 'heki/code-differs',
  title: "Code differs from the kernel's image",
  worst: 'high',
  explanation:
    "Bytes of the running kernel's text are not those of the image that it was made of (--vmlinux), and Linux does not write them: they are at no jump label, static call, ftrace site, alternative, retpoline, return, lock prefix or kprobe, or hold there what no such site ever holds.",
  attack:
    'Somebody who could write the text once put instructions of their own into it: a hook that hides files, a check that always succeeds. Permissions that are right again do not show it.',
  legitimate:
    'A livepatch or a tool that patches by itself; a kernel with code that heki does not know to patch itself, of which "medium" tells: a site that may be patched has a value that is not known.',
  advice:
    'Look at the instructions (heki read SNAPSHOT ADDRESS), beside those of the image. Take the guest for compromised where nobody can name who wrote them, and boot it anew from a signed image.',
  find: (kernel) => differences(kernel, kernel.contents?.text, 'code'),
};

export const CONSTANTS_DIFFER: FindingKind = {
  id: 'heki/constants-differ',
  title: "Constants differ from the kernel's image",
  worst: 'high',
  explanation:
    "Bytes of the running kernel's constants are not those of the image that it was made of (--vmlinux). What the kernel writes before it makes them read-only is left out: variables that are constant after init, and tables that it sorts.",
  attack:
    'A pointer in the system call table, in the operations of a file system or in an ops structure of a socket leads to code of the attacker, or to a function that should not run.',
  legitimate: 'None is known of kernels of Debian.',
  advice:
    'Look at what is there (heki read SNAPSHOT ADDRESS --as hex), and at what a pointer leads to (heki symbols SNAPSHOT ADDRESS).',
  find: (kernel) => differences(kernel, kernel.contents?.constants, 'constants'),
};

function* differences(
  kernel: AuditedKernel,
  part: ComparedPart | undefined,
  what: 'code' | 'constants',
): Generator<Occurrence> {
  if (part === undefined) return;
  const isSure = ({ at }: Unexplained): boolean => KNOWN_VALUES.has(at);
  yield* differing(kernel, part.unexplained.filter(isSure), what, 'high');
  yield* differing(
    kernel,
    part.unexplained.filter((one) => !isSure(one)),
    what,
    'medium',
  );
}

function* differing(
  kernel: AuditedKernel,
  runs: readonly Unexplained[],
  what: 'code' | 'constants',
  severity: Severity,
): Generator<Occurrence> {
  if (runs.length === 0) return;
  const extents = extentsOfImage(
    kernel,
    runs.flatMap(({ start, end }) => [start, end - 1]),
  );
  const bytes = runs.reduce((sum, { start, end }) => sum + end - start, 0);
  const named = runs.slice(0, NAMED).map((run) => nameOf(kernel, run));
  const more = runs.length > NAMED ? ` and ${(runs.length - NAMED).toLocaleString('en-US')} more` : '';
  const doubt =
    severity === 'medium'
      ? 'where the kernel patches itself, with values that are not known'
      : 'and nothing explains it';
  yield {
    ...occurrenceOf(kernel, extents, {
      severity,
      summary: `${bytes.toLocaleString('en-US')} ${bytes === 1 ? 'byte' : 'bytes'} of ${what} ${bytes === 1 ? 'differs' : 'differ'} from the image ${doubt}: ${named.join(', ')}${more}.`,
    }),
    place: placesOf(kernel, runs),
  };
}

/** `vfs_read+0x10 (5 bytes)`, `kernel text +0x1234 (5 bytes, at an ftrace site)`. */
function nameOf(kernel: AuditedKernel, { start, end, at }: Unexplained): string {
  const name = kernel.symbolAt?.(imageVirtualAddress(start)) ?? offsetOf(kernel, start);
  const site = at === undefined ? '' : `, at a site of kind ${at}`;
  return `${name} (${end - start} ${end - start === 1 ? 'byte' : 'bytes'}${site})`;
}

/** Offsets in the image, which no KASLR moves. */
function placesOf(kernel: AuditedKernel, runs: readonly Unexplained[]): string {
  const places = runs
    .slice(0, MOST_PLACES)
    .map(({ start, end }) => `${offsetOf(kernel, start)}..${offsetOf(kernel, end)}`);
  return runs.length > MOST_PLACES ? `${places.join(', ')}, ${runs.length} in all` : places.join(', ');
}
