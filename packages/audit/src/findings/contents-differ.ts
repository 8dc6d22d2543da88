import { type ComparedPart, digestOf, imageVirtualAddress, type Unexplained } from '@heki/patch-sites';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind, Occurrence } from '../finding.ts';
import { occurrenceOf } from '../occurrence.ts';
import { extentsOfImage, offsetOf } from './in-image.ts';

/** Places that a summary names. */
const NAMED = 4;
/** Places that are written out to tell one finding from another; more are hashed. */
const MOST_PLACES = 16;

export const CODE_DIFFERS: FindingKind = {
  id: 'heki/code-differs',
  title: "Code differs from the kernel's image",
  worst: 'high',
  explanation:
    "Bytes of the running kernel's text, or of a module's text and constants, are not those of the image or file that it was made of (--vmlinux; modules with a Debian package), and Linux does not write them: they are at no jump label, static call, ftrace site, alternative, retpoline, return, lock prefix or kprobe, or hold there what no such site ever holds.",
  attack:
    'Somebody who could write the text once put instructions of their own into it: a hook that hides files, a check that always succeeds. Permissions that are right again do not show it.',
  legitimate:
    'A livepatch or a tool that patches by itself; a kernel that patches itself as heki does not know.',
  advice:
    'Look at the instructions (heki read SNAPSHOT ADDRESS), beside those of the image. Take the guest for compromised where nobody can name who wrote them, and boot it anew from a signed image.',
  *find(kernel) {
    yield* differences(kernel, kernel.contents?.text, 'code');
    yield* differencesOfModules(kernel);
  },
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
  const runs = part?.unexplained ?? [];
  if (runs.length === 0) return;
  const extents = extentsOfImage(
    kernel,
    runs.flatMap(({ start, end }) => [start, end - 1]),
  );
  const bytes = runs.reduce((sum, { start, end }) => sum + end - start, 0);
  const named = runs.slice(0, NAMED).map((run) => nameOf(kernel, run));
  const more = runs.length > NAMED ? ` and ${(runs.length - NAMED).toLocaleString('en-US')} more` : '';
  yield {
    ...occurrenceOf(kernel, extents, {
      severity: 'high',
      summary: `${bytes.toLocaleString('en-US')} ${bytes === 1 ? 'byte' : 'bytes'} of ${what} ${bytes === 1 ? 'differs' : 'differ'} from the image and nothing explains it: ${named.join(', ')}${more}.`,
    }),
    place: placesOf(kernel, runs),
  };
}

/** Of each module that differs one, its constants among them. */
function* differencesOfModules(kernel: AuditedKernel): Generator<Occurrence> {
  for (const { name, unexplained } of kernel.contents?.modules ?? []) {
    if (unexplained.length === 0) continue;
    const extents = extentsOfImage(
      kernel,
      unexplained.flatMap(({ start, end }) => [start, end - 1]),
    );
    const bytes = unexplained.reduce((sum, { start, end }) => sum + end - start, 0);
    const places = unexplained.map(
      ({ start, end, value, section }) =>
        `${name} ${section.name}+0x${(start - section.start).toString(16)}..+0x${(end - section.start).toString(16)} ${value}`,
    );
    const named = unexplained
      .slice(0, NAMED)
      .map((run, index) => kernel.symbolAt?.(imageVirtualAddress(run.start)) ?? places[index]);
    const more = places.length > NAMED ? ` and ${(places.length - NAMED).toLocaleString('en-US')} more` : '';
    yield {
      ...occurrenceOf(kernel, extents, {
        severity: 'high',
        summary: `${bytes.toLocaleString('en-US')} ${bytes === 1 ? 'byte' : 'bytes'} of the module ${name} ${bytes === 1 ? 'differs' : 'differ'} from its file and nothing explains it: ${named.join(', ')}${more}.`,
      }),
      place: joined(places),
    };
  }
}

/** `vfs_read+0x10 (5 bytes)`, `kernel text +0x1234 (5 bytes, at an ftrace site)`. */
function nameOf(kernel: AuditedKernel, { start, end, at }: Unexplained): string {
  const name = kernel.symbolAt?.(imageVirtualAddress(start)) ?? offsetOf(kernel, start);
  const site = at === undefined ? '' : `, at a site of kind ${at}`;
  return `${name} (${end - start} ${end - start === 1 ? 'byte' : 'bytes'}${site})`;
}

/** Offsets in the image, which no KASLR moves, and what stands there: who accepts one change accepts no other at its place. */
function placesOf(kernel: AuditedKernel, runs: readonly Unexplained[]): string {
  const places = runs.map(
    ({ start, end, value }) => `${offsetOf(kernel, start)}..${offsetOf(kernel, end)} ${value}`,
  );
  return joined(places);
}

function joined(places: readonly string[]): string {
  const rest = places.slice(MOST_PLACES);
  return [
    ...places.slice(0, MOST_PLACES),
    ...(rest.length === 0 ? [] : [`${rest.length} more ${digestOf(rest.join())}`]),
  ].join(', ');
}
