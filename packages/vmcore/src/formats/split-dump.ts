import { type Gpa, joinedRanges, PAGE_SIZE } from '@heki/physical-memory';
import type { DumpWarning } from '../dump-warning.ts';
import { VmcoreError } from '../error.ts';
import type { Note } from '../note.ts';
import { without } from '../range.ts';
import type { DumpContents, DumpPart } from './dump-format.ts';

/**
 * One dump of the parts that `makedumpfile --split` wrote, in any order: a page is in the part that has its frame. What all parts
 * lack is absent, and said.
 *
 * @throws {VmcoreError} when one is not part of a split dump, or they are of different dumps
 */
export function joinParts(contents: readonly DumpContents[]): DumpContents {
  const [first] = contents;
  if (first === undefined) throw new VmcoreError('no file: expected the parts of a dump that was split');
  if (contents.length === 1) return withMissing(first, [first]);
  const parts = contents.map(({ part }, index) => {
    if (part !== undefined && part.of === first.part?.of) {
      if (part.identity === first.part.identity) return part;
      throw new VmcoreError(
        `file ${index + 1} is a part of another dump than the first one: of another machine or time`,
      );
    }
    throw new VmcoreError(
      part === undefined
        ? `file ${index + 1} is not part of a dump that was split (makedumpfile --split)`
        : `file ${index + 1} is a part of a dump of ${part.of} pages, the first one of a dump of ${first.part?.of}`,
    );
  });
  for (const [index, { notes }] of contents.entries()) {
    if (haveSameNotes(notes, first.notes)) continue;
    throw new VmcoreError(
      `file ${index + 1} is a part of another dump than the first one: its notes (registers, VMCOREINFO) are others`,
    );
  }
  const overlap = [...parts]
    .sort((a, b) => a.start - b.start)
    .find(({ start }, index, all) => start < (all[index - 1]?.end ?? 0));
  if (overlap !== undefined) {
    const address = `0x${(overlap.start * PAGE_SIZE).toString(16)}`;
    throw new VmcoreError(
      `two files have the memory from ${address} on: parts of two dumps, or one that is named twice`,
    );
  }
  const memories = contents.map(({ memory }) => memory);
  const joined: DumpContents = {
    format: `${first.format}, ${contents.length} parts`,
    part: undefined,
    memory: {
      page(frame) {
        const index = parts.findIndex(({ start, end }) => frame >= start && frame < end);
        return memories[index]?.page(frame);
      },
      writablePage: (frame) => first.memory.writablePage(frame),
    },
    get segments() {
      const all = contents.flatMap(({ segments }) => segments).sort((a, b) => a.start - b.start);
      return joinedRanges(all).map(({ start, end }) => ({ start: start as Gpa, end: end as Gpa }));
    },
    notes: first.notes,
    warnings: contents.flatMap(({ warnings }) => warnings),
  };
  return withMissing(joined, contents);
}

/** What each part has of the dump as a whole: the same bytes. */
function haveSameNotes(some: readonly Note[], others: readonly Note[]): boolean {
  return (
    some.length === others.length &&
    some.every(({ name, descriptor }, index) => {
      const other = others[index];
      return (
        name === other?.name &&
        descriptor.length === other.descriptor.length &&
        descriptor.every((byte, at) => byte === other.descriptor[at])
      );
    })
  );
}

/** With a warning about the frames that no part has. */
function withMissing(joined: DumpContents, contents: readonly DumpContents[]): DumpContents {
  const parts = contents.flatMap(({ part }) => part ?? []).sort((a, b) => a.start - b.start);
  const frames = parts[0]?.of ?? 0;
  const [gap] = without([{ start: 0, end: frames }], parts satisfies readonly DumpPart[]);
  if (gap === undefined) return joined;
  const address = (frame: number) => `0x${(frame * PAGE_SIZE).toString(16)}`;
  const message = `of a dump that was split, a part is missing: memory from ${address(gap.start)} to ${address(gap.end)} is absent; name all parts`;
  const warning: DumpWarning = { id: 'incomplete', message };
  return Object.assign(joined, { warnings: [...joined.warnings, warning] });
}
