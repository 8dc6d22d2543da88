import type { VirtualRange } from '@heki/guest';
import { Errno } from '@heki/hypercall/errno';
import { PAGE_SIZE, type VirtualAddress, type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import { retireSealed } from '../code/sealed-code.ts';
import type { VmArea } from '../mm/vm-area.ts';
import { vfree } from '../mm/vmalloc.ts';
import { fail, KernelStop } from '../outcome.ts';
import { allocateExecutable } from '../text/executable-page.ts';
import { INT3 } from '../text/instructions.ts';
import { textPoke } from '../text/text-poke.ts';
import type { TextState } from '../text/text-state.ts';
import { addSealedProgram, allocateSealedPack, removeSealedProgram } from './sealed-packs.ts';

/** BPF_PROG_PACK_SIZE of one node: 2 MiB. */
const PACK_PAGES = 512;
const PACK_SIZE = PACK_PAGES * PAGE_SIZE;
/** BPF_PROG_CHUNK_SIZE. */
export const CHUNK = 64;

/** A stretch of executable memory that several programs share. */
interface ProgPack {
  readonly area: VmArea;
  /** By chunk. */
  readonly used: boolean[];
  /** By which whoever owns sealed code knows it; `undefined` before the seal. */
  code: number | undefined;
}

/** What the eBPF JIT keeps: packs, and the size of each program. */
export interface BpfPrograms {
  readonly packs: Set<ProgPack>;
  readonly programs: Map<
    VirtualAddress,
    { readonly pack: ProgPack; readonly first: number; readonly chunks: number }
  >;
}

/** What eBPF programs need: their own state, and that of text. */
export interface BpfState extends TextState {
  readonly bpf: BpfPrograms;
}

/** No programs. */
export function createBpfPrograms(): BpfPrograms {
  return { packs: new Set(), programs: new Map() };
}

/**
 * `bpf_prog_pack_alloc`, then `bpf_arch_text_copy`: finds room in a pack, or makes one, and copies the program there by
 * `text_poke_copy`; where code is sealed its owner writes it. Where it lies then.
 *
 * @throws {KernelStop} -E2BIG, -EINVAL, -ENOMEM, Heki's refusal, or an access that does not complete; an error leaves nothing behind
 */
export function loadBpfProgram(kernel: BpfState, code: Uint8Array): VirtualAddress {
  const { packs, programs } = kernel.bpf;
  if (code.length === 0) return fail(Errno.EINVAL, 'a program has at least one byte');
  const chunks = Math.ceil(code.length / CHUNK);
  if (chunks * CHUNK > PACK_SIZE) return fail(Errno.E2BIG, `${code.length} bytes: a pack has ${PACK_SIZE}`);
  let place = findRoom(packs, chunks);
  if (place === undefined) {
    const { area, code: number } =
      kernel.sealed === undefined
        ? { area: allocateExecutable(kernel, PACK_PAGES), code: undefined }
        : allocateSealedPack(kernel, kernel.sealed, PACK_PAGES);
    const pack = { area, code: number, used: new Array(PACK_SIZE / CHUNK).fill(false) };
    packs.add(pack);
    place = { pack, first: 0 };
  }
  const { pack, first } = place;
  const address = (virtualAddressOf(pack.area.start) + BigInt(first * CHUNK)) as VirtualAddress;
  try {
    if (kernel.sealed !== undefined) addSealedProgram(kernel, kernel.sealed, pack.code, first, code);
    else pokePages(kernel, address, code);
  } catch (stop) {
    if (kernel.sealed !== undefined && stop instanceof KernelStop && stop.outcome.kind === 'error')
      freeIfUnused(kernel, pack);
    throw stop;
  }
  pack.used.fill(true, first, first + chunks);
  programs.set(address, { pack, first, chunks });
  return address;
}

/** `bpf_prog_pack_free`: int3 takes the program's place (`text_poke_set`), and an empty pack goes. @throws {KernelStop} -ENOENT, or as {@link loadBpfProgram} */
export function unloadBpfProgram(kernel: BpfState, address: VirtualAddress): void {
  const { programs } = kernel.bpf;
  const { pack, first, chunks } =
    programs.get(address) ?? fail(Errno.ENOENT, `no program at 0x${address.toString(16)}`);
  if (kernel.sealed !== undefined) removeSealedProgram(kernel.sealed, pack.code, first);
  else pokePages(kernel, address, new Uint8Array(chunks * CHUNK).fill(INT3));
  pack.used.fill(false, first, first + chunks);
  programs.delete(address);
  freeIfUnused(kernel, pack);
}

/** The pages of all packs: in use, or kept for the next program. */
export function packedPages({ packs }: BpfPrograms): VirtualRange[] {
  return [...packs].map(({ area: { start, pages } }) => ({ start, end: (start + pages) as VirtualFrame }));
}

/** @throws {KernelStop} as {@link unloadBpfProgram} */
function freeIfUnused(kernel: BpfState, pack: ProgPack): void {
  if (pack.used.includes(true)) return;
  retireSealed(kernel, pack.code);
  kernel.bpf.packs.delete(pack);
  vfree(kernel, pack.area);
}

/** `text_poke_copy`, `text_poke_set`: no more than to the end of a page at a time. */
export function pokePages(kernel: BpfState, address: VirtualAddress, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    const at = (address + BigInt(done)) as VirtualAddress;
    const length = Math.min(PAGE_SIZE - Number(at % BigInt(PAGE_SIZE)), bytes.length - done);
    textPoke(kernel, at, bytes.subarray(done, done + length));
    done += length;
  }
}

function findRoom(
  packs: ReadonlySet<ProgPack>,
  chunks: number,
): { pack: ProgPack; first: number } | undefined {
  for (const pack of packs) {
    let free = 0;
    for (const [chunk, used] of pack.used.entries()) {
      free = used ? 0 : free + 1;
      if (free === chunks) return { pack, first: chunk - chunks + 1 };
    }
  }
  return undefined;
}
