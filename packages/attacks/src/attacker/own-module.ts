import { MODULE_MEMORY, type ModuleMemory } from '@heki/linux';
import type { LinkedModule } from '@heki/machine';
import { type Gfn, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import { EntryLow } from '@heki/x86';
import { storePage } from './code-requests.ts';
import type { Lab } from './lab.ts';

const LARGE_PAGE = 0x20_0000n;
/** Entries of the page directory from the text's to where no kernel is: 128 MiB. */
const AHEAD = 64;

/** A part of a module: an address and pages, of memory that the attacker got as any code of the kernel does. */
export interface OwnPart {
  readonly type: ModuleMemory;
  readonly address: VirtualAddress;
  readonly frames: readonly Gfn[];
  /** What its author built. */
  readonly bytes: Uint8Array;
}

/** The file of a module that somebody signed, and memory of the attacker's for it, which is empty. */
export interface OwnModule {
  readonly file: Uint8Array;
  readonly parts: readonly OwnPart[];
  /** The address of a byte of its text. */
  text(offset: number): VirtualAddress;
}

/**
 * What gets modules of the attacker's memory. Their addresses are as far from the kernel's text as those of modules, so that calls reach it: the attacker
 * maps them there himself, in a page table of his.
 */
export function ownModules(lab: Lab): (image: LinkedModule) => OwnModule {
  const { check } = lab.places;
  const directory =
    lab.cpu.findEntries(check)?.find(({ level }) => level === 2) ??
    lab.notExpressible('no page directory maps the text');
  const table = emptyPage(lab);
  lab.cpu.store((directory.address + BigInt(8 * AHEAD)) as VirtualAddress, 8, entryOf(table));
  const start = ((check & -LARGE_PAGE) + BigInt(AHEAD) * LARGE_PAGE) as VirtualAddress;
  let next = 0;
  return (image) => {
    const parts = MODULE_MEMORY.flatMap((type): OwnPart[] => {
      const bytes = image.memory[type];
      if (bytes === undefined) return [];
      const first = next;
      next += Math.ceil(bytes.length / PAGE_SIZE);
      const frames = Array.from({ length: next - first }, (_, page) => {
        const frame = emptyPage(lab);
        lab.cpu.store(lab.direct(table, 8 * (first + page)), 8, entryOf(frame));
        return frame;
      });
      return [{ type, address: at(start, first * PAGE_SIZE), frames, bytes }];
    });
    const text =
      parts.find(({ type }) => type === 'text')?.address ?? lab.notExpressible('a module without text');
    return { file: lab.moduleFile(image), parts, text: (offset) => at(text, offset) };
  };
}

function emptyPage(lab: Lab): Gfn {
  const frame = lab.prepare('allocate a page', (kernel) => kernel.allocatePages());
  storePage(lab, frame, new Uint8Array());
  return frame;
}

/** Maps a frame for everything that the kernel does. */
function entryOf(frame: Gfn): bigint {
  return (BigInt(frame) << 12n) | BigInt(EntryLow.P | EntryLow.RW | EntryLow.A | EntryLow.D);
}

/** The same parts, one of them with another page of the attacker's choice at its beginning. */
export function withFirstFrame(
  parts: readonly OwnPart[],
  type: ModuleMemory,
  frame: Gfn,
): readonly OwnPart[] {
  return parts.map((part) =>
    part.type === type ? { ...part, frames: [frame, ...part.frames.slice(1)] } : part,
  );
}

/** The first page of a part. */
export function firstFrame(lab: Lab, { parts }: OwnModule, type: ModuleMemory): Gfn {
  return (
    parts.find((part) => part.type === type)?.frames[0] ?? lab.notExpressible(`a module without ${type}`)
  );
}

/** Asks, as the kernel does for a module, that its text may be executed: beside the owner of the code the hypervisor has to allow it. */
export function askForText(lab: Lab, { parts }: OwnModule): void {
  for (const frame of parts.find(({ type }) => type === 'text')?.frames ?? []) lab.cpu.ask(frame, 1, 'r-x');
}

/** Stores what its author built, as a kernel lays a module out: for an owner that compares. */
export function layOut(lab: Lab, { parts }: OwnModule): void {
  for (const { frames, bytes } of parts)
    for (const [page, frame] of frames.entries())
      storePage(lab, frame, bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE));
}

const at = (address: VirtualAddress, offset: number): VirtualAddress =>
  (address + BigInt(offset)) as VirtualAddress;
