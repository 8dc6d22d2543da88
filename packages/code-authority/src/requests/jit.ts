import { type Gfn, hex, PAGE_SIZE } from '@heki/physical-memory';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { type Answer, granted, type Request, refused } from '../answer.ts';
import { emptyFrames, takeAway } from '../frames/named-frames.ts';
import { pageBytes, retype, writePages } from '../frames/pages.ts';
import { placeAddress } from '../images/build-image.ts';
import type { CodeImage } from '../images/code-image.ts';
import { acceptProgram } from '../jit/accept-program.ts';
import { callsOf } from '../jit/judge-program.ts';
import { type AuthorityState, addressesAreFree, type LiveImage } from '../state.ts';
import { copyOf, type FileInGuest } from './load.ts';
import { callsOfPack, JIT_SLOT, keepCalls, placeOfSlot } from './program-slots.ts';
import { live } from './seal.ts';

/** Pages of a pack: 2 MiB, BPF_PROG_PACK_SIZE of one node. */
const MOST_PACK_PAGES = 512;
/** Bytes of a program: what its own jumps can hold beside zeros is two bytes. */
const MOST_PROGRAM_BYTES = 65_536;
/** Places that a program calls, each counted once: helpers, and BPF_MAX_SUBPROGS functions. The owner keeps them. */
const MOST_CALLED = 512;
const INT3 = 0xcc;
const INT3_WORD = 0xcccc_cccc;

/** Where a compiled program begins. */
export interface ProgramPlace {
  /** Number of the pack, which is an image. */
  readonly pack: number;
  /** From 0 on, 64 bytes each. */
  readonly slot: number;
}

/** Pages for compiled programs, all INT3: pages that hold nothing but zeros or INT3 can be taken. @returns the number of the pack */
export function* makePack(state: AuthorityState, frames: readonly Gfn[], base: bigint): Request<number> {
  if (!state.sealed) return refused('wrong-time', 'the kernel is not sealed');
  const bytes = frames.length * PAGE_SIZE;
  if (frames.length === 0 || frames.length > MOST_PACK_PAGES)
    return refused('malformed', `${frames.length} pages: expected 1 to ${MOST_PACK_PAGES}`);
  if (base % BigInt(PAGE_SIZE) !== 0n || base < 0n || base + BigInt(bytes) > 1n << 64n)
    return refused('malformed', `a pack at ${hex(base)}`);
  if (!addressesAreFree(state, base, bytes)) return refused('not-free', 'another image lies there');
  const named = emptyFrames(state, [frames], INT3_WORD);
  if (!named.ok) return named;
  const id = state.nextId++;
  const all = named.value.flat();
  const taken = takeAway(state, all, id, INT3_WORD);
  if (!taken.ok) return taken;
  yield 'staged';
  if (!addressesAreFree(state, base, bytes)) {
    retype(state, all, 'retired', 0);
    retype(state, all, 'free', 0);
    return refused('not-free', 'another image lies there by now');
  }
  const image = packImage(new Uint8Array(bytes).fill(INT3));
  writePages(state, all, image.parts[0]?.bytes ?? new Uint8Array());
  retype(state, all, 'jit', id);
  const refersTo = new Set([...state.images.keys()].slice(0, 1));
  const pack = live(id, image, { bases: [base], frames: [frames] }, named.value, [], refersTo);
  state.images.set(id, { ...pack, programs: new Map() });
  state.chain.append(`pack ${id}`);
  return granted(id);
}

/**
 * A compiled program goes into free slots of a pack. It is copied once and judged; what its larger constants look like is decided here; it is written
 * with every processor stopped, and INT3 fills its last slot. B-A13 takes it as it is, B-A14 its constants.
 */
export function* addProgram(
  state: AuthorityState,
  { pack: id, slot }: ProgramPlace,
  program: FileInGuest,
): Request {
  if (program.length < 1 || program.length > MOST_PROGRAM_BYTES)
    return refused('malformed', `${program.length} bytes: expected 1 to ${MOST_PROGRAM_BYTES}`);
  const code = copyOf(state, program);
  if (code === undefined) return refused('malformed', 'the program is not memory');
  yield 'copied';
  const pack = state.images.get(id);
  if (pack?.programs === undefined) return refused('no-such-image', `pack ${id}`);
  const slots = Math.ceil(code.length / JIT_SLOT);
  if (!slotsAreFree(pack, slot, slots)) return refused('not-free', `slots ${slot} to ${slot + slots - 1}`);
  if (!state.defects['B-A13']) {
    const [kernel] = state.images.values();
    const around = {
      helpers: helpersOf(state),
      programs: programsOf(state),
      ownOffset: kernel?.image.ownOffset,
    };
    const drawnFrom = { secret: state.host.secret, chain: state.chain.head };
    // Judged as ever; what is written then is what came.
    const written = state.defects['B-A14'] ? code.slice() : code;
    const fault = acceptProgram(written, placeOfSlot(pack, slot), around, drawnFrom);
    if (fault !== undefined) return refused('not-in-grammar', fault);
  }
  const calls = callsOf(code, placeOfSlot(pack, slot));
  if (calls.size > MOST_CALLED)
    return refused('malformed', `it calls ${calls.size} functions: expected at most ${MOST_CALLED}`);
  const bytes = new Uint8Array(slots * JIT_SLOT).fill(INT3);
  bytes.set(code);
  write(state, pack, slot, bytes, { programs: new Map(pack.programs).set(slot, slots), calls });
  state.chain.append(`program ${id} ${slot} ${bytesToHex(sha256(bytes))}`);
  return granted();
}

/** A compiled program goes that no other one calls, and INT3 takes its place. As with RETIRE: a processor that sleeps in it traps. */
export function removeProgram(state: AuthorityState, { pack: id, slot }: ProgramPlace): Answer {
  const pack = state.images.get(id);
  const slots = pack?.programs?.get(slot);
  if (pack?.programs === undefined || slots === undefined)
    return refused('no-such-image', `no program begins in slot ${slot} of pack ${id}`);
  const caller = callerOf(state, new Set([placeOfSlot(pack, slot)]));
  if (caller !== undefined) return refused('in-use', caller);
  const programs = new Map(pack.programs);
  programs.delete(slot);
  write(state, pack, slot, new Uint8Array(slots * JIT_SLOT).fill(INT3), { programs });
  state.chain.append(`no-program ${id} ${slot}`);
  return granted();
}

/** A program that calls one of those at `addresses`, but for those of the pack `apart`, which goes with them. */
export function callerOf(
  { images }: AuthorityState,
  addresses: ReadonlySet<bigint>,
  apart?: number,
): string | undefined {
  for (const pack of images.values()) {
    if (pack.id === apart || pack.programs === undefined) continue;
    for (const [slot, calls] of callsOfPack(pack)) {
      for (const to of calls)
        if (addresses.has(to)) return `the program in slot ${slot} of pack ${pack.id} calls into it`;
    }
  }
  return undefined;
}

/** Where programs begin: of a pack, or of all. */
export function programsOf({ images }: AuthorityState, id?: number): Set<bigint> {
  const found = new Set<bigint>();
  for (const pack of images.values()) {
    if (id !== undefined && pack.id !== id) continue;
    for (const slot of pack.programs?.keys() ?? []) found.add(placeOfSlot(pack, slot));
  }
  return found;
}

function packImage(bytes: Uint8Array): CodeImage {
  return {
    name: 'pack of compiled programs',
    parts: [{ kind: 'text', bytes }],
    relocations: [],
    sites: [],
    exports: new Map(),
    changeable: new Set(),
  };
}

function slotsAreFree({ image, programs }: LiveImage, slot: number, slots: number): boolean {
  const all = (image.parts[0]?.bytes.length ?? 0) / JIT_SLOT;
  if (!Number.isInteger(slot) || slot < 0 || slot + slots > all) return false;
  return [...(programs ?? [])].every(([first, count]) => first + count <= slot || slot + slots <= first);
}

/** Addresses of what programs may call: the kernel's, which is the first image and stays. */
function helpersOf({ images }: AuthorityState): Set<bigint> {
  const [kernel] = images.values();
  const found = new Set<bigint>();
  for (const name of kernel?.image.helpers ?? []) {
    const place = kernel?.image.exports.get(name);
    if (kernel !== undefined && place !== undefined && kernel.frames[place.part]?.length !== 0)
      found.add(placeAddress(kernel.bases, place));
  }
  return found;
}

/** Writes slots while no processor is in the guest; what the pack must hold, and which slots are taken, goes with it. */
function write(
  state: AuthorityState,
  pack: LiveImage,
  slot: number,
  bytes: Uint8Array,
  {
    programs,
    calls,
  }: { readonly programs: ReadonlyMap<number, number>; readonly calls?: ReadonlySet<bigint> },
): void {
  const whole = pack.image.parts[0]?.bytes.slice() ?? new Uint8Array();
  const start = slot * JIT_SLOT;
  whole.set(bytes, start);
  state.host.stopped(() => {
    for (let page = Math.floor(start / PAGE_SIZE); page * PAGE_SIZE < start + bytes.length; page++) {
      const frame = pack.frames[0]?.[page];
      if (frame !== undefined)
        pageBytes(state, frame).set(whole.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE));
    }
  });
  const next = { ...pack, image: packImage(whole), programs };
  keepCalls(pack, next, slot, calls);
  state.images.set(pack.id, next);
}
